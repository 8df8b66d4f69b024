//! Those who submit and follow. They outlive the process: after a restart they
//! go on with what they know.

mod change;
mod items;
mod operator;
mod reading;
mod retry;
mod stream;
mod submit;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use flowgate::model::{BatchId, Code, Refusal};
use tokio::sync::watch;

use crate::checker::{Accepted, Fact};
use crate::dice::Dice;
use crate::front::{Front, Taken};
use crate::plan::JobPlan;
use crate::sim::nanos;

pub use operator::Operator;

/// How long somebody waits before trying again.
const PAUSE: Duration = Duration::from_millis(700);

/// What one of them knows, whatever becomes of the process.
#[derive(Default)]
pub struct Job {
    state: Mutex<State>,
}

#[derive(Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a thing to know")]
struct State {
    was_submitted: bool,
    /// The batch's id, once it was told.
    id: Option<BatchId>,
    /// How many items it was told are held.
    held: u32,
    /// There is no more to submit.
    is_said: bool,
    /// It cannot go on as it meant to: what is there is to be cancelled.
    gave_up: bool,
    /// It knows as much as it ever will.
    is_over: bool,
    cursor: u64,
    cancelled: bool,
    watched: u32,
    /// It asked for a pause; and for its end.
    paused: bool,
    resumed: bool,
    /// What it was told of items that failed: by index, the kind.
    failed: BTreeMap<u32, String>,
    /// What it knows of the batch of its failed items.
    again: Again,
}

#[derive(Clone, Default)]
struct Again {
    was_submitted: bool,
    id: Option<BatchId>,
    cursor: u64,
    is_over: bool,
}

impl Job {
    pub fn is_over(&self) -> bool {
        self.state.lock().expect("the state of a job").is_over
    }
}

/// All jobs of a run, and what operators do, until all are over.
pub async fn all(front: &Front) {
    let sim = &front.process.sim;
    let jobs = sim.plan.jobs.iter().zip(&sim.jobs).map(|(plan, job)| {
        let client = Client {
            front: front.clone(),
            dice: Dice::new(plan.dice ^ front.process.dice.seed()),
            plan,
            job,
        };
        client.run()
    });
    let operators = sim.plan.holds.iter().zip(&sim.operators);
    let operators = operators.map(|(plan, operator)| operator.run(front, plan));
    tokio::join!(
        futures_util::future::join_all(jobs),
        futures_util::future::join_all(operators),
    );
}

/// A job in a process.
struct Client<'a> {
    front: Front,
    plan: &'a JobPlan,
    job: &'a Job,
    dice: Dice,
}

impl Client<'_> {
    /// Goes on from what is known, to the end.
    async fn run(self) {
        if self.state().is_over {
            return;
        }
        let clock = &self.front.process.sim.clock;
        tokio::time::sleep_until(clock.instant(nanos(self.plan.begins))).await;
        let (known, id) = watch::channel(self.state().id);
        let submit = async {
            self.submit(&known).await;
            drop(known);
        };
        let read = async {
            self.read(id.clone()).await;
            self.retry().await;
        };
        let watches = (0..self.plan.watches).map(|_| self.watch(id.clone()));
        tokio::join!(
            submit,
            read,
            self.cancel(id.clone()),
            self.pause(id.clone()),
            self.snoop(id.clone()),
            futures_util::future::join_all(watches),
        );
        self.state().is_over = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.job.state.lock().expect("the state of a job")
    }

    async fn wait(&self, how_long: Duration) {
        self.front.process.sleep(how_long).await;
    }

    /// Notes what is held, where that is news.
    fn accepted(&self, taken: &Taken) {
        let mut state = self.state();
        let is_news = state.id.is_none() || state.held < taken.held;
        state.id = Some(taken.batch);
        state.held = state.held.max(taken.held);
        drop(state);
        if is_news {
            self.front.process.saw(Fact::Accepted(Accepted {
                name: self.plan.name.clone(),
                tenant: self.plan.tenant.clone(),
                request_id: self.plan.request_id.clone(),
                batch: taken.batch.to_string(),
                held: taken.held,
            }));
        }
    }

    fn trouble(&self, what: &str) {
        let what = format!("{}: {what}", self.plan.name);
        self.front.process.saw(Fact::Trouble(what));
    }
}

/// Whether a refusal says to try again later.
fn is_for_now(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::Unavailable | Code::ResourceExhausted)
}

/// Waits until the id is known; `None` when it never will be.
async fn known(id: &mut watch::Receiver<Option<BatchId>>) -> Option<BatchId> {
    let known = id.wait_for(Option::is_some).await;
    known.ok().and_then(|id| *id)
}

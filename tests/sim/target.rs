//! Targets that fail in every way there is, and keep a ledger of what they saw.
//! They live outside the process: a request that was written may arrive when
//! nobody waits for the answer any more.

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::{Answer, Cause, Code, Form, Item, Payload, Refusal, Reply};
use flowgate::target::{Key, Permit, Single};
use futures_util::future::BoxFuture;

use crate::bugs::Bug;
use crate::checker::{Arrived, Fact, Nanos, digest};
use crate::facts::{field, tag};
use crate::plan::{Point, Safety, TargetPlan};
use crate::sim::{Process, Sim, nanos};

/// A request between a process and a target.
#[derive(Clone, Debug)]
pub struct Request {
    pub arrives: Nanos,
    pub target: usize,
    pub key: String,
    pub body: Vec<u8>,
    /// The item is safe to repeat, within the window of its key if that is why.
    pub safe: bool,
    pub fate: Fate,
    /// Nobody waits for its answer.
    pub is_orphan: bool,
}

/// What a target that knows keys has on record for one.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// When it first came.
    since: Nanos,
    /// Of what came then.
    body: u64,
    /// Whether it was done; otherwise it was refused.
    did: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done, unless its data is bad.
    Done,
    Refused,
    Busy(Option<Duration>),
    FaultBefore,
    FaultAfter,
    TornBefore,
    TornAfter,
    /// It never gets there.
    Lost,
}

/// What the target says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Done,
    Replayed,
    Refused,
    Busy(Option<Duration>),
    Fault,
    Nothing,
}

/// One of the targets, as a process knows it.
pub struct Scripted {
    pub process: Arc<Process>,
    /// Its place in the plan.
    pub number: usize,
}

/// How a call goes wrong besides what the target does.
enum Way {
    Unsent,
    /// It looked written, and then proved not to be.
    Unwritten,
    PanicBefore,
    PanicAfter,
    Through(Fate),
}

impl Single for Scripted {
    fn admit(&self, item: &Item) -> Result<(), Refusal> {
        let body = item.payload.as_ref().map_or(&[][..], |p| &p.body);
        match field(body, "kind") {
            Some("not admitted") => Err(Refusal::new(
                Code::InvalidArgument,
                "NOT_FOR_THIS_TARGET",
                "as scripted",
            )),
            _ => Ok(()),
        }
    }

    fn operation(&self) -> String {
        "POST /".to_owned()
    }

    fn repeatable_for(&self, item: &Item) -> Duration {
        match self.process.sim.has(Bug::RepeatsAll) {
            true => Duration::MAX,
            false => self.safe_for(item),
        }
    }

    fn honours_keys(&self) -> bool {
        self.plan().safety == Safety::Keys
    }

    fn call<'a>(
        &'a self,
        item: &'a Item,
        key: Key<'a>,
        mut permit: Permit,
    ) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let process = &self.process;
            process.at(Point::BeforeWrite).await;
            let way = self.way();
            match way {
                Way::Unsent => {
                    self.wait(5).await;
                    return Reply::Unsent(cause("REFUSED", None));
                }
                Way::PanicBefore => std::panic::resume_unwind(Box::new("as scripted")),
                Way::Unwritten => {
                    permit.written();
                    self.wait(20).await;
                    let _ = permit.unwritten();
                    return Reply::Unsent(cause("REFUSED_STREAM", None));
                }
                Way::PanicAfter | Way::Through(_) => {}
            }
            permit.written();
            process.saw(Fact::Wrote { tag: tag(item) });
            let said = self.send(item, &key, &way).await;
            process.at(Point::Arrived).await;
            if let Way::PanicAfter = way {
                std::panic::resume_unwind(Box::new("as scripted"));
            }
            let reply = self.reply(item, said, &mut permit).await;
            process.at(Point::Replied).await;
            reply
        })
    }
}

impl Scripted {
    fn plan(&self) -> &TargetPlan {
        &self.process.sim.plan.targets[self.number]
    }

    /// Whether sending an item again does no harm, so long after it was first.
    fn safe_for(&self, item: &Item) -> Duration {
        match self.plan().safety {
            Safety::None => Duration::ZERO,
            Safety::Keys => self.plan().key_window,
            Safety::Repeatable => Duration::MAX,
            Safety::SomeItems => {
                let body = item.payload.as_ref().map_or(&[][..], |p| &p.body);
                match field(body, "safe") == Some("yes") {
                    true => Duration::MAX,
                    false => Duration::ZERO,
                }
            }
        }
    }

    /// How a call goes.
    fn way(&self) -> Way {
        let faults = match self.process.sim.is_calm() {
            true => crate::plan::Faults::default(),
            false => self.plan().faults,
        };
        let dice = &self.process.dice;
        let mut rest = dice.number(0..=999);
        let mut falls = |times: u32| {
            let falls = rest < times;
            rest = rest.saturating_sub(times);
            falls
        };
        if falls(faults.unsent) {
            return match dice.chance(700) {
                true => Way::Unsent,
                false => Way::Unwritten,
            };
        }
        if falls(faults.panics) {
            return match dice.chance(500) {
                true => Way::PanicBefore,
                false => Way::PanicAfter,
            };
        }
        if falls(faults.refused) {
            return Way::Through(Fate::Refused);
        }
        if falls(faults.busy) {
            let asked = dice.chance(600).then(|| dice.ms(0..=2_000));
            return Way::Through(Fate::Busy(asked));
        }
        if falls(faults.fault) {
            return Way::Through(match dice.chance(500) {
                true => Fate::FaultBefore,
                false => Fate::FaultAfter,
            });
        }
        if falls(faults.torn) {
            let fates = [Fate::TornBefore, Fate::TornAfter, Fate::Lost];
            return Way::Through(*dice.one_of(&fates));
        }
        Way::Through(Fate::Done)
    }

    /// Writes the request; what the target said to it, when it has arrived.
    async fn send(&self, item: &Item, key: &Key<'_>, way: &Way) -> Said {
        let process = &self.process;
        let sim = &process.sim;
        let transit = sim.plan.quotas[self.plan().quota].transit;
        let took = process.dice.ms(0..=millis(transit));
        let mut key = key.to_string();
        let number = {
            let mut state = sim.state();
            state.requests += 1;
            if sim.has(Bug::FreshKeys) {
                key = format!("{key}-{}", state.requests);
            }
            let number = state.requests;
            let request = Request {
                arrives: sim.clock.now() + nanos(took),
                target: self.number,
                key,
                body: item
                    .payload
                    .as_ref()
                    .map_or(Vec::new(), |p| p.body.to_vec()),
                safe: !self.safe_for(item).is_zero(),
                fate: match way {
                    Way::Through(fate) => *fate,
                    _ => Fate::Done,
                },
                is_orphan: false,
            };
            state.on_the_way.insert(number, request);
            number
        };
        process.at(Point::Written).await;
        process.sleep(took).await;
        arrive(sim, number)
    }

    /// What comes back of what the target said.
    async fn reply(&self, item: &Item, said: Said, permit: &mut Permit) -> Reply {
        let slow = self.plan().faults.slow;
        let (low, high) = self.plan().answers;
        let process = &self.process;
        process.sleep(process.dice.ms(low..=high)).await;
        if !process.sim.is_calm() && process.dice.chance(slow) {
            process.sleep(process.dice.ms(0..=3_000)).await;
        }
        if said == Said::Nothing {
            // It broke off: before the answer, or in the middle of it.
            if process.dice.chance(300) {
                permit.answered(flowgate::target::Hints::default());
            }
            let believes = process.sim.has(Bug::BelievesAnything);
            return match believes {
                true => Reply::Ok(answer(item)),
                false => Reply::Unknown(cause("CONNECTION_LOST", None)),
            };
        }
        permit.answered(flowgate::target::Hints::default());
        match said {
            Said::Done | Said::Replayed | Said::Nothing => Reply::Ok(answer(item)),
            Said::Refused => Reply::Refused(cause("HTTP_422", None)),
            Said::Busy(after) => Reply::Busy(cause("HTTP_429", after)),
            Said::Fault => Reply::Fault(cause("HTTP_500", None)),
        }
    }

    async fn wait(&self, most: u64) {
        let wait = self.process.dice.ms(0..=most);
        self.process.sleep(wait).await;
    }
}

/// A request arrives at its target: what that says.
fn arrive(sim: &Sim, number: u64) -> Said {
    let Some(request) = sim.state().on_the_way.remove(&number) else {
        return Said::Nothing;
    };
    if request.fate == Fate::Lost {
        return Said::Nothing;
    }
    let plan = &sim.plan.targets[request.target];
    let at = request.arrives;
    let known = (plan.name.clone(), request.key.clone());
    let body = digest(&request.body);
    let mut state = sim.state();
    let window = nanos(plan.key_window);
    let record = state.records.get(&known).copied();
    let was_known = plan.safety == Safety::Keys && record.is_some();
    let record = record.filter(|record| plan.safety == Safety::Keys && at < record.since + window);
    let has_forgotten = was_known && record.is_none();
    let bad = field(&request.body, "kind") == Some("refused");
    let punished = sim.has(Bug::PunishesSiblings) && {
        let refused_before = state.marked.remove(&plan.name);
        if bad {
            state.marked.insert(plan.name.clone());
        }
        refused_before && !bad
    };
    // What it does comes before what it says of it.
    let did = match request.fate {
        Fate::Busy(_) | Fate::FaultBefore | Fate::TornBefore | Fate::Lost => None,
        // The same key for something else is refused.
        _ if record.is_some() => record.map(|record| record.did && record.body == body),
        Fate::Refused => Some(false),
        Fate::Done | Fate::FaultAfter | Fate::TornAfter => Some(!bad && !punished),
    };
    let said = match (request.fate, did) {
        (Fate::Busy(after), _) => Said::Busy(after),
        (Fate::FaultBefore | Fate::FaultAfter, _) => Said::Fault,
        (Fate::TornBefore | Fate::TornAfter | Fate::Lost, _) => Said::Nothing,
        (_, Some(true)) if record.is_some() => Said::Replayed,
        (_, Some(true)) => Said::Done,
        _ => Said::Refused,
    };
    if let Some(did) = did.filter(|_| record.is_none()) {
        let since = at;
        state.records.insert(known, Record { since, body, did });
    }
    let arrived = Arrived {
        target: plan.name.clone(),
        tag: field(&request.body, "tag").unwrap_or("untagged").to_owned(),
        key: Some(request.key),
        body,
        acted: did == Some(true) && record.is_none(),
        // Where it knew the key once, and does no more, it is not.
        safe: request.safe && !has_forgotten,
        answer: format!("{said:?}"),
    };
    state.run.saw(at, Fact::Arrived(arrived));
    said
}

/// What was on its way when the process died: some of it is lost, the rest
/// arrives when it would have.
pub fn deliver_orphans(process: &Arc<Process>) {
    let sim = &process.sim;
    let waiting: Vec<u64> = sim.state().on_the_way.keys().copied().collect();
    for number in waiting {
        let lost = sim.dice.chance(300);
        let mut state = sim.state();
        let Some(request) = state.on_the_way.get_mut(&number) else {
            continue;
        };
        if lost && !request.is_orphan {
            state.on_the_way.remove(&number);
            continue;
        }
        request.is_orphan = true;
        let arrives = request.arrives;
        drop(state);
        if arrives <= sim.clock.now() {
            arrive(sim, number);
            continue;
        }
        let process = process.clone();
        let at = sim.clock.instant(arrives);
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            process.alive().await;
            arrive(&process.sim, number);
        });
    }
}

/// Says whose item it was, so that it shows where answers get to.
fn answer(item: &Item) -> Answer {
    let body = item.payload.as_ref().map_or(&[][..], |p| &p.body);
    let tenant = field(body, "tenant").unwrap_or_default();
    Answer {
        status: 200,
        body: Some(Payload {
            form: Form::JsonText,
            content_type: None,
            body: format!("{{\"tenant\":\"{tenant}\"}}").into(),
        }),
        truncated: false,
    }
}

fn cause(reason: &str, retry_after: Option<Duration>) -> Box<Cause> {
    Box::new(Cause {
        reason: reason.to_owned(),
        message: "as scripted".to_owned(),
        retry_after,
        ..Cause::default()
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("it is short")
}

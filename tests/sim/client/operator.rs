//! Somebody who holds a target for a while, whatever becomes of the process.

use std::sync::{Mutex, MutexGuard};

use flowgate::model::TargetName;

use super::PAUSE;
use crate::checker::Fact;
use crate::front::Front;
use crate::plan::HoldPlan;
use crate::sim::nanos;

/// What one of them has done.
#[derive(Default)]
pub struct Operator {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    #[default]
    Waits,
    /// The hold was acknowledged.
    Holds,
    Done,
}

impl Operator {
    pub fn is_over(&self) -> bool {
        *self.state() == State::Done
    }

    pub(super) async fn run(&self, front: &Front, plan: &HoldPlan) {
        let process = &front.process;
        let clock = &process.sim.clock;
        let name = &process.sim.plan.targets[plan.target].name;
        let held = |on| Fact::Held {
            what: name.clone(),
            on,
        };
        if *self.state() == State::Waits {
            tokio::time::sleep_until(clock.instant(nanos(plan.begins))).await;
            Self::ask(front, name, Some("as planned")).await;
            process.saw(held(true));
            *self.state() = State::Holds;
        }
        if *self.state() == State::Holds {
            process.sleep(plan.lasts).await;
            process.saw(held(false));
            Self::ask(front, name, None).await;
            *self.state() = State::Done;
        }
    }

    /// Asks for a hold or its end, as often as that takes.
    async fn ask(front: &Front, target: &str, reason: Option<&str>) {
        loop {
            let target = TargetName::new(target);
            let asked = front.intake.hold(&target, reason.map(str::to_owned)).await;
            front.process.alive().await;
            match asked {
                Ok(()) => return,
                Err(_) => front.process.sleep(PAUSE).await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("what an operator did")
    }
}

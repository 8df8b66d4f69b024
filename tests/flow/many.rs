//! A target that takes many items a request, and does as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgate::model::{Answer, Item, Refusal, Reply};
use flowgate::target::{self, Bounds, Hints, Many, Permit, Said};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::world::TargetSpec;

/// What it answers to a request, after 5 ms; the number counts the requests
/// before this one.
pub type Answers = Arc<dyn Fn(&[Item], usize) -> Said + Send + Sync>;

/// A request as the target saw it.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    pub items: Vec<u32>,
    pub is_atomic: bool,
}

/// A target that takes many items a request.
#[derive(Clone)]
pub struct Together {
    pub items: u32,
    /// It can do all or none.
    pub atomic: bool,
    pub answers: Answers,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Together {
    /// It does all that it is sent.
    pub fn of(items: u32) -> Together {
        Together {
            items,
            atomic: true,
            answers: Arc::new(|items, _| all_done(items)),
            requests: Arc::default(),
        }
    }

    pub fn answering(
        self,
        answers: impl Fn(&[Item], usize) -> Said + Send + Sync + 'static,
    ) -> Together {
        Together {
            answers: Arc::new(answers),
            ..self
        }
    }

    /// A target that does so, with chunks as large as its requests.
    pub fn target(&self, name: &'static str) -> TargetSpec {
        TargetSpec {
            chunk_items: self.items,
            together: Some(self.clone()),
            ..TargetSpec::named(name)
        }
    }

    /// What it saw so far.
    pub fn seen(&self) -> Vec<Request> {
        self.requests.lock().expect("the requests").clone()
    }
}

pub fn all_done(items: &[Item]) -> Said {
    Said::Each(items.iter().map(|_| Some(done())).collect())
}

pub fn done() -> Reply {
    Reply::Ok(Answer {
        status: 200,
        ..Answer::default()
    })
}

pub struct ScriptedMany {
    pub together: Together,
    pub safe: bool,
}

impl Many for ScriptedMany {
    fn admit(&self, _item: &Item) -> Result<(), Refusal> {
        Ok(())
    }

    fn operation(&self) -> String {
        "POST /batch".to_owned()
    }

    fn repeatable_for(&self, _item: &Item) -> Duration {
        match self.safe {
            true => Duration::MAX,
            false => Duration::ZERO,
        }
    }

    fn honours_keys(&self) -> bool {
        false
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            items: self.together.items,
            bytes: usize::MAX,
        }
    }

    fn atomic_items(&self) -> Option<u32> {
        self.together.atomic.then_some(self.together.items)
    }

    fn bytes(&self, _item: &Item) -> usize {
        1
    }

    fn call<'a>(
        &'a self,
        request: target::Together<'a>,
        permit: &'a mut Permit,
    ) -> BoxFuture<'a, Said> {
        Box::pin(async move {
            permit.written();
            let before = {
                let mut requests = self.together.requests.lock().expect("the requests");
                requests.push(Request {
                    at: Instant::now(),
                    items: request.items.iter().map(|item| item.index).collect(),
                    is_atomic: request.is_atomic,
                });
                requests.len() - 1
            };
            tokio::time::sleep(Duration::from_millis(5)).await;
            permit.answered(Hints::default());
            (self.together.answers)(request.items, before)
        })
    }
}

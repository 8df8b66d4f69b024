//! What the run sees, and where it is cut.

use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use tokio::time::Instant;

use crate::checker::{Fact, Run};
use crate::support::program::Process;

/// The facts of a run as they come. Cheap to clone.
#[derive(Clone)]
pub struct Notes {
    began: Instant,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    run: Run,
    readers: u32,
    /// Events until the fuse has burnt down, and what ends then.
    fuse: Option<(u64, Process)>,
}

impl Notes {
    pub fn new(run: Run) -> Notes {
        let shared = Shared {
            run,
            ..Shared::default()
        };
        Notes {
            began: Instant::now(),
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    pub fn saw(&self, what: Fact) {
        let at = self.began.elapsed().as_nanos();
        let at = at.try_into().expect("no run takes centuries");
        self.shared.lock().unwrap().run.saw(at, what);
    }

    /// What was seen so far.
    pub fn run(&self) -> Run {
        self.shared.lock().unwrap().run.clone()
    }

    /// A number for a reader.
    pub fn reader(&self) -> u32 {
        let mut shared = self.shared.lock().unwrap();
        shared.readers += 1;
        shared.readers
    }

    /// Kills a process after so many events from now.
    pub fn light(&self, events: u64, process: Process) {
        self.shared.lock().unwrap().fuse = Some((events, process));
    }

    /// An event of the run: the process ends with the last before the fuse has
    /// burnt down, there and then.
    pub fn event(&self) {
        let mut shared = self.shared.lock().unwrap();
        let Some((left, process)) = &mut shared.fuse else {
            return;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            process.signal(Signal::KILL);
            shared.fuse = None;
        }
    }

    /// Puts the fuse out; whether it still burnt.
    pub fn put_out(&self) -> bool {
        self.shared.lock().unwrap().fuse.take().is_some()
    }
}

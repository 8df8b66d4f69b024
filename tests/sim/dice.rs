//! Everything random, from the seed.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

pub struct Dice {
    rng: Mutex<fastrand::Rng>,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Small seeds that are neighbours begin alike.
        rng.u64(..);
        Dice {
            rng: Mutex::new(rng),
        }
    }

    /// Others that do not disturb these.
    pub fn fork(&self) -> Dice {
        Dice::new(self.rng().u64(..))
    }

    pub fn seed(&self) -> u64 {
        self.rng().u64(..)
    }

    /// True so many times in a thousand.
    pub fn chance(&self, in_a_thousand: u32) -> bool {
        self.rng().u32(0..1_000) < in_a_thousand
    }

    pub fn number(&self, range: RangeInclusive<u32>) -> u32 {
        self.rng().u32(range)
    }

    pub fn ms(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng().u64(range))
    }

    pub fn one_of<'a, T>(&self, list: &'a [T]) -> &'a T {
        &list[self.rng().usize(0..list.len())]
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().expect("the dice")
    }
}

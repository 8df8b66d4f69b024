//! Admits a request, or says when.
//!
//! A [`Gate`] guards one quota: every limit of it, and the concurrency of each
//! target that draws on it. Permits are given in the order in which they were
//! asked for; a request whose target is at its concurrency lets those for other
//! targets pass.
//!
//! - `window` (pure): no window at the target holds more than its limit
//! - `smooth`: even spacing, on top of that
//! - `line`: who waits, in which order, and who wakes them
//! - `gate`: what the others use: the gate and its permits
//! - `recent`: the requests of the last second

mod gate;
mod line;
mod recent;
mod smooth;
#[cfg(test)]
mod tests;
mod window;

pub use gate::{Gate, GateSpec, GateStatus, Permit, Spent};

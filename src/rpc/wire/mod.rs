//! The contract's messages to the model, and back. Nothing is decided here.

mod asked;
mod told;

pub use asked::{drafts, spec, unknown_value};
pub use told::{batch, event, result, standing, target};

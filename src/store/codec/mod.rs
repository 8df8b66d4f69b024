//! What goes into blobs: items, results, progress, and what a batch was asked
//! for. Protobuf, because it grows without a migration; with messages of its
//! own, because the contract on the wire changes for other reasons than what
//! is on disk. The same value has the same bytes every time.
//!
//! Bodies are [`Bytes`]: reading them out of a blob copies nothing.

mod batch;
mod items;
mod results;
#[cfg(test)]
mod tests;

pub(super) use batch::{
    BatchBody, decode_body, decode_progress, decode_spec, encode_body, encode_progress, encode_spec,
};
pub(super) use items::{decode_items, digest, encode_items};
pub(super) use results::{decode_results, encode_results};

use super::rows::Undone;

/// A part that every such message has.
fn required<T>(part: Option<T>, name: &str) -> Result<T, Undone> {
    part.ok_or_else(|| Undone::Broken(format!("a stored message has no {name}")))
}

/// A number that this version does not know.
fn unknown(name: &str, number: u32) -> Undone {
    Undone::Broken(format!("{number} is no {name} that this version knows"))
}

/// A blob that is not what it should be.
#[allow(clippy::needless_pass_by_value, reason = "it is for map_err")]
fn unreadable(error: prost::DecodeError) -> Undone {
    Undone::Broken(format!("a stored message cannot be read: {error}"))
}

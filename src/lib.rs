//! Flowgate takes batches of items over gRPC and sends them on to downstream
//! targets within their rate limits: durable, fair, one outcome for each item.
//!
//! # Layout
//!
//! A batch is a log. [`intake`] appends items to it, a [`lane`] sends them and
//! appends what became of them, [`feed`] reads it for whoever follows; they
//! meet in the [`store`] and wake each other through [`wake`]. Each module may
//! use only those below it in this list:
//!
//! - [`cli`]: one file for each verb of the command line
//! - [`app`]: wires the rooms; the only start order and the only drain order
//! - [`rpc`]: the gRPC face
//! - [`keeper`]: what has to be done because time passes
//! - [`intake`]: admission: limits, validation, idempotency, slicing, append
//! - [`feed`]: a batch's events: replay, then live
//! - [`lane`]: one task for each quota: pick, lease, pace, send, classify, settle
//! - [`sweep`]: settles what is queued of a cancelled batch
//! - [`target`]: the downstreams
//! - [`store`]: where batches live
//! - [`limiter`]: admits a request, or says when
//! - [`wake`]: wake-ups within the process
//! - [`observe`]: what operators see
//! - [`config`]: the configuration, validated
//! - [`time`]: wall time on tokio's clock
//! - [`core`]: decisions: no async, no clock, no I/O
//! - [`model`]: plain data

#![warn(missing_docs)]

pub mod app;
pub mod cli;
pub mod config;
pub mod core;
pub mod feed;
pub mod intake;
pub mod keeper;
pub mod lane;
pub mod limiter;
pub mod model;
pub mod observe;
pub mod rpc;
pub mod store;
pub mod sweep;
pub mod target;
pub mod time;
pub mod wake;

/// The contract, generated from `proto/`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    rustdoc::invalid_html_tags
)]
pub mod proto {
    tonic::include_proto!("flowgate.v1");

    /// What the details of errors are made of.
    pub mod error_details {
        tonic::include_proto!("google.rpc");
    }

    /// The compiled contract, for reflection.
    pub const DESCRIPTORS: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/flowgate_descriptor.bin"));
}

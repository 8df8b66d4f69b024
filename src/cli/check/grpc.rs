//! What the configuration of a `grpc` target comes to.

use std::fmt;

use ::http::HeaderName;

use super::{http, line};
use crate::config::{GrpcConfig, GrpcMethods, show_duration, show_size};

/// What it does with an item that says nothing.
pub(super) fn operation(grpc: &GrpcConfig) -> String {
    format!("{} at {}", grpc.method, http::url(&grpc.connect, ""))
}

/// All that is its own.
pub(super) fn lines(f: &mut fmt::Formatter<'_>, grpc: &GrpcConfig) -> fmt::Result {
    line(
        f,
        "  time-outs",
        format_args!(
            "{} a call, {} a connection; kept {} without a call",
            show_duration(grpc.timeout),
            show_duration(grpc.connect.connect_timeout),
            show_duration(grpc.connect.idle_timeout)
        ),
    )?;
    http::trust(f, &grpc.connect)?;
    match &grpc.descriptors {
        Some(_) => line(f, "  messages", "as the file of descriptors has them")?,
        None => line(f, "  messages", "as the target says, by reflection")?,
    }
    repeating(f, grpc)?;
    match &grpc.allow_methods[..] {
        [] => line(f, "  methods", "no other: items cannot name one")?,
        some => line(f, "  methods", format_args!("{} as well", listed(some)))?,
    }
    let names: Vec<&str> = grpc.allow_headers.iter().map(HeaderName::as_str).collect();
    match &names[..] {
        [] => line(f, "  metadata", "items cannot bring any")?,
        some => line(
            f,
            "  metadata",
            format_args!("items may set {}", some.join(", ")),
        )?,
    }
    line(
        f,
        "  replies",
        format_args!("kept up to {}", show_size(grpc.reply_limit)),
    )
}

/// What is called again although it may have been done, and what becomes of the
/// rest.
fn repeating(f: &mut fmt::Formatter<'_>, grpc: &GrpcConfig) -> fmt::Result {
    let again = if grpc.repeatable {
        "every item: the target is repeatable".to_owned()
    } else if let Some(header) = &grpc.idempotency_header {
        let window = show_duration(grpc.key_window);
        format!("every item, with the same {header}, for {window}")
    } else if grpc.idempotent_methods.is_empty() {
        "methods whose descriptor says that they are idempotent".to_owned()
    } else {
        format!(
            "{}, and methods whose descriptor says that they are idempotent",
            listed(&grpc.idempotent_methods)
        )
    };
    line(
        f,
        "  sent again",
        format_args!("after a fault of the target or no answer: {again}"),
    )?;
    if grpc.repeatable || grpc.idempotency_header.is_some() {
        return Ok(());
    }
    line(
        f,
        "",
        "else a fault ends UNAVAILABLE, no answer ends IN_DOUBT",
    )
}

fn listed(methods: &[GrpcMethods]) -> String {
    let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
    names.join(", ")
}

//! What the configuration of an `http` target comes to.

use std::fmt;
use std::net::IpAddr;

use super::{count, line};
use crate::config::{ConnectConfig, HttpConfig, show_duration, show_size};
use crate::model::Verb;

/// What it does with an item that says nothing.
pub(super) fn operation(http: &HttpConfig) -> String {
    format!("{} {}", http.method, url(&http.connect, &http.path))
}

/// All that is its own.
pub(super) fn lines(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    reached(f, http)?;
    repeating(f, http)?;
    actions(f, http)?;
    calls(f, http)?;
    line(
        f,
        "  replies",
        format_args!("kept up to {}", show_size(http.reply_limit)),
    )
}

/// How it is reached.
pub(super) fn reached(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    line(
        f,
        "  time-outs",
        format_args!(
            "{} a request, {} a connection; kept {} without a request",
            show_duration(http.timeout),
            show_duration(http.connect.connect_timeout),
            show_duration(http.connect.idle_timeout)
        ),
    )?;
    trust(f, &http.connect)
}

pub(super) fn url(connect: &ConnectConfig, path: &str) -> String {
    let base = connect.base.to_string();
    format!("{}{path}", base.trim_end_matches('/'))
}

/// Whether what is sent can be read on the way.
pub(super) fn is_in_the_clear(connect: &ConnectConfig) -> bool {
    let host = connect.base.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    connect.base.scheme_str() == Some("http") && !is_loopback
}

/// Where a target may be, and whom its certificate must come from.
pub(super) fn trust(f: &mut fmt::Formatter<'_>, connect: &ConnectConfig) -> fmt::Result {
    if connect.allow_link_local {
        let what = "all, also link-local ones and where clouds keep metadata";
        line(f, "  addresses", what)?;
    }
    if connect.base.scheme_str() != Some("https") {
        return Ok(());
    }
    let label = "  trusts";
    match u32::try_from(connect.ca.len()).unwrap_or(u32::MAX) {
        0 => line(f, label, "the public authorities"),
        n => line(
            f,
            label,
            format_args!("only {} of `ca`", count(n, "certificate")),
        ),
    }
}

/// What is sent again although it may have been done, and what becomes of the
/// rest.
fn repeating(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    let again = if http.repeatable {
        "every item: the target is repeatable".to_owned()
    } else if let Some(header) = &http.idempotency_header {
        let window = show_duration(http.key_window);
        format!("every item, with the same {header}, for {window}")
    } else if http.idempotent_methods {
        "GET, PUT and DELETE".to_owned()
    } else {
        "nothing".to_owned()
    };
    line(
        f,
        "  sent again",
        format_args!("after a 5xx or no answer: {again}"),
    )?;
    match http.repeatable || http.idempotency_header.is_some() {
        true => Ok(()),
        false => not_repeated(f),
    }
}

/// What becomes of what is not sent again.
pub(super) fn not_repeated(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let says = "else a 5xx ends UNAVAILABLE, no answer ends IN_DOUBT";
    line(f, "", says)
}

/// How actions are done.
pub(super) fn actions(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    let mut label = "  actions";
    for (verb, name) in [
        (Verb::Create, "create"),
        (Verb::Update, "update"),
        (Verb::Delete, "delete"),
    ] {
        match http.actions.get(&verb) {
            Some((method, path)) => line(f, label, format_args!("{name}: {method} {path}"))?,
            None => line(f, label, format_args!("{name}: refused"))?,
        }
        label = "";
    }
    Ok(())
}

/// What items may ask for.
pub(super) fn calls(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    let headers: Vec<&str> = http
        .allow_headers
        .iter()
        .map(http::HeaderName::as_str)
        .collect();
    match (http.allow_calls, headers.is_empty()) {
        (false, _) => line(
            f,
            "  calls",
            "refused: items cannot bring a request of their own",
        ),
        (true, true) => line(f, "  calls", "allowed, without headers"),
        (true, false) => line(
            f,
            "  calls",
            format_args!("allowed, with {}", headers.join(", ")),
        ),
    }
}

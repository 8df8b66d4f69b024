//! The service's words as the checker's.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

use flowgate::model::{self, Batch, Event, EventKind, FailureKind, ItemResult, Payload};

use crate::checker::{Counts, Ended, Outcome, Read, Told};

/// Where a text stands in a payload or a reply: `"tenant":"ada"`.
pub fn field<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

/// What the `request_id` of a batch begins with that another one's failed items
/// make up.
pub const AGAIN: &str = "again-";

/// The name of a batch. That of failed items has the labels of the other one.
fn name(batch: &Batch) -> String {
    let again = batch.spec.request_id.as_deref();
    match again.filter(|id| id.starts_with(AGAIN)) {
        Some(again) => again.to_owned(),
        None => batch.spec.labels.get("name").cloned().unwrap_or_default(),
    }
}

/// The tag in a payload.
pub fn tag(item: &model::Item) -> String {
    let body = item.payload.as_ref().map_or(&[][..], |p| &p.body);
    field(body, "tag").unwrap_or("untagged").to_owned()
}

pub fn told(reader: u32, batch: &Batch, event: &Event) -> Told {
    let mut told = Told {
        reader,
        tenant: batch.tenant.as_str().to_owned(),
        batch: batch.id.to_string(),
        sequence: event.sequence,
        bytes: digest(event),
        ..Told::default()
    };
    match &event.kind {
        EventKind::Results(results) => {
            told.outcomes = results.iter().map(outcome).collect();
            told.owners = results.iter().flat_map(owners).collect();
        }
        EventKind::Progress(progress) => told.counts = Some(counts(&progress.counts)),
        EventKind::Finished => told.finished = true,
    }
    told
}

pub fn outcome(result: &ItemResult) -> Outcome {
    Outcome {
        index: result.index,
        ended: match &result.outcome {
            model::Outcome::Succeeded(_) => Ended::Succeeded,
            model::Outcome::Failed(failure) => Ended::Failed(failure.kind.name().to_owned()),
        },
        replayed: result.replayed,
    }
}

/// The tenants that a result names.
fn owners(result: &ItemResult) -> Vec<String> {
    let reply = match &result.outcome {
        model::Outcome::Succeeded(success) => success.reply.as_ref(),
        model::Outcome::Failed(failure) => failure.reply.as_ref(),
    };
    let item = result.item.as_ref().and_then(|item| item.payload.as_ref());
    let owner = |payload: &Payload| field(&payload.body, "tenant").map(str::to_owned);
    reply.into_iter().chain(item).filter_map(owner).collect()
}

pub fn counts(counts: &model::Counts) -> Counts {
    let failed = FailureKind::ALL.iter().zip(counts.failed);
    Counts {
        total: counts.total,
        succeeded: counts.succeeded,
        failed: failed
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.name().to_owned(), count))
            .collect(),
        in_flight: counts.in_flight,
        queued: counts.queued(),
    }
}

/// A batch that somebody asked for and found.
pub fn read(tenant: &str, batch: &Batch) -> Read {
    Read {
        tenant: tenant.to_owned(),
        batch: batch.id.to_string(),
        found: true,
        name: name(batch),
        sealed: batch.sealed_by.is_some(),
        finished: batch.state.is_final(),
        last_sequence: batch.last_sequence,
        counts: counts(&batch.progress.counts),
        at_the_end: false,
    }
}

/// Of all that there is to an event.
fn digest(event: &Event) -> u64 {
    struct Into(DefaultHasher);
    impl Write for Into {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut into = Into(DefaultHasher::new());
    write!(into, "{event:?}").expect("a hasher takes anything");
    into.0.finish()
}

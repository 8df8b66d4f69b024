//! What the configuration of an `http_batch` target comes to.

use std::fmt;

use super::http::{actions, calls, not_repeated, reached, url};
use super::{count, line};
use crate::config::{Element, Embed, HttpBatchConfig, Join, show_duration, show_size};

/// What it does with the items of a chunk.
pub(super) fn operation(batch: &HttpBatchConfig) -> String {
    let http = &batch.http;
    format!("{} {}", http.method, url(&http.connect, &http.path))
}

/// All that is its own.
pub(super) fn lines(f: &mut fmt::Formatter<'_>, batch: &HttpBatchConfig) -> fmt::Result {
    line(
        f,
        "  requests",
        format_args!(
            "up to {} and {} each",
            count(batch.max_items, "item"),
            show_size(batch.max_bytes)
        ),
    )?;
    elements(f, batch)?;
    line(
        f,
        "  answers",
        format_args!(
            "{}; read up to {}, and kept up to {} of each item",
            match batch.results.join {
                Join::Place => "a result for each item, in their order",
                Join::Id(_) => "a result for each item, found by its id",
                Join::Whole => "one for all items of the request",
            },
            show_size(batch.max_answer),
            show_size(batch.http.reply_limit)
        ),
    )?;
    line(
        f,
        "  refused",
        match batch.refusal_does_nothing {
            true => "a 400 or 422 did nothing: in halves, until what is wrong is alone",
            false => "a 400 or 422 that names no item rejects all of its items",
        },
    )?;
    if batch.is_atomic {
        let most = count(batch.max_items, "item");
        line(f, "  all or nothing", format_args!("up to {most}"))?;
    }
    reached(f, &batch.http)?;
    repeating(f, batch)
}

/// What becomes of an item.
fn elements(f: &mut fmt::Formatter<'_>, batch: &HttpBatchConfig) -> fmt::Result {
    let label = "  items";
    let embed = match &batch.element {
        Element::Payload => return line(f, label, "their payloads, in an array"),
        Element::Entry { embed, .. } => *embed,
        Element::Request(sub) => {
            let http = &sub.http;
            match sub.has_operation {
                true => line(
                    f,
                    label,
                    format_args!("requests in JSON: {} {}", http.method, http.path),
                )?,
                false => line(f, label, "requests in JSON; each says what to do")?,
            }
            actions(f, http)?;
            return calls(f, http);
        }
    };
    line(
        f,
        label,
        format_args!(
            "entries, with the payload as {}",
            match embed {
                Embed::Json => "JSON",
                Embed::Text => "a text",
                Embed::Base64 => "a text in base64",
            }
        ),
    )
}

/// What is sent again although it may have been done.
fn repeating(f: &mut fmt::Formatter<'_>, batch: &HttpBatchConfig) -> fmt::Result {
    let http = &batch.http;
    let window = show_duration(http.key_window);
    let header = http.idempotency_header.as_ref();
    let again = match (&batch.element, header) {
        _ if http.repeatable => "every item: the target is repeatable".to_owned(),
        _ if batch.has_item_keys() => {
            format!("every item, with the same key, for {window}")
        }
        (_, Some(header)) if batch.max_items == 1 => {
            format!("every item, with the same {header}, for {window}")
        }
        (Element::Request(_), _) if http.idempotent_methods => "GET, PUT and DELETE".to_owned(),
        (_, Some(header)) => {
            format!("nothing: {header} is of a whole request, and items may come in others")
        }
        _ => "nothing".to_owned(),
    };
    line(
        f,
        "  sent again",
        format_args!("after a 5xx or no answer: {again}"),
    )?;
    match http.repeatable || batch.has_item_keys() {
        true => Ok(()),
        false => not_repeated(f),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::cli::check::Summary;
    use crate::config::Loaded;

    #[test]
    fn the_summary_says_what_a_request_holds_and_what_an_answer_proves() {
        let said = |own: &str, batch: &str| {
            let text = format!(
                "[targets.t]\nkind = \"http_batch\"\nurl = \"https://api.example.com/v1\"\n\
                 path = \"/batch\"\n{own}\n[targets.t.batch]\n{batch}"
            );
            let loaded = Loaded::parse(&text, Path::new(""), &|_: &str| None);
            Summary(&loaded.unwrap()).to_string()
        };
        let key = "idempotency_header = \"Idempotency-Key\"";
        for (own, batch, lines) in [
            (
                key,
                "preset = \"resend\"",
                &[
                    "target t: POST https://api.example.com/v1/batch",
                    "  requests      up to 100 items and 4MiB each",
                    "  items         their payloads, in an array",
                    "  refused       a 400 or 422 did nothing: in halves, until what is wrong is alone",
                    "  sent again    after a 5xx or no answer: nothing: idempotency-key is of a whole request, and items may come in others",
                    "                else a 5xx ends UNAVAILABLE, no answer ends IN_DOUBT",
                ][..],
            ),
            (
                "",
                "preset = \"sqs\"\nentry_key = \"/MessageDeduplicationId\"",
                &[
                    "  items         entries, with the payload as a text",
                    "  answers       a result for each item, found by its id; read up to 8MiB, and kept up to 64KiB of each item",
                    "  sent again    after a 5xx or no answer: every item, with the same key, for 5m",
                ],
            ),
            (
                "",
                "preset = \"graph\"\nitem_path = \"/users\"\natomic = true",
                &[
                    "  items         requests in JSON: POST /users",
                    "  actions       create: POST /users",
                    "  all or nothing up to 20 items",
                    "  sent again    after a 5xx or no answer: GET, PUT and DELETE",
                ],
            ),
        ] {
            let said = said(own, batch);
            for line in lines {
                assert!(said.lines().any(|is| is == *line), "{line}\n{said}");
            }
        }
    }
}

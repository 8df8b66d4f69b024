//! `BatchSubmit`: submit, then follow and fold.

use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, timeout_at};
use tonic::Request;

use super::{Rooms, follow, page, status, tenant, wire};
use crate::intake::{Rehearsal, store_trouble};
use crate::model::{Batch, Code, Refusal};
use crate::proto;
use crate::proto::ResultView;

/// Up to so many items, a call waits unless it says otherwise.
const WAITS_BY_DEFAULT: usize = 100;

/// How long a call waits that has no deadline of its own.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long before its deadline a call answers: what the answer needs to get
/// back in time.
const BEFORE_DEADLINE: Duration = Duration::from_millis(250);

pub(super) async fn batch_submit(
    rooms: &Rooms,
    request: Request<proto::BatchSubmitRequest>,
) -> Result<proto::BatchSubmitResponse, Refusal> {
    let answer_by = answer_by(&request)?;
    let tenant = tenant(&request);
    let request = request.into_inner();
    let message_bytes = request.encoded_len();
    let view = page::view(request.view)?;
    let wait = request
        .wait
        .unwrap_or(request.items.len() <= WAITS_BY_DEFAULT);
    if rooms.drain.is_cancelled() {
        return Err(status::shutting_down());
    }
    let spec = wire::spec(request.spec)?;
    let drafts = wire::drafts(request.items);
    if request.validate_only {
        let rehearsed = rooms.intake.rehearse(&spec, drafts, message_bytes).await?;
        return Ok(validated(rehearsed, view));
    }
    // In a task of its own: a caller that goes away drops this call, and what
    // is recorded by then the lanes must hear of.
    let intake = rooms.intake.clone();
    let submitted =
        tokio::spawn(async move { intake.submit(tenant, spec, drafts, message_bytes).await });
    let mut batch = submitted.await.map_err(|panic| {
        tracing::error!(%panic, "a submission failed");
        Refusal::new(
            Code::Internal,
            "INTERNAL",
            "the server made a mistake; it was logged",
        )
    })??;
    if wait {
        batch = finished(rooms, batch, answer_by).await?;
    }
    let store = rooms.store.as_ref();
    let most = rooms.intake.limits().unary_items;
    if wait
        && !request.all_failed_is_ok
        && let Some(refusal) = follow::all_failed(rooms, &batch).await?
    {
        return Err(refusal);
    }
    let mut page = page::results(store, batch.no, view, "", most).await?;
    page.results.sort_by_key(|result| result.index);
    Ok(proto::BatchSubmitResponse {
        batch: Some(rooms.tell(&batch)),
        results: page.results,
        next_page_token: page.next,
        validation: None,
    })
}

/// What would become of the items, as many of the invalid ones as fit.
fn validated(rehearsed: Rehearsal, view: ResultView) -> proto::BatchSubmitResponse {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let invalid = rehearsed.invalid.len();
    let mut report = proto::ValidationReport {
        items: count(rehearsed.items),
        valid: count(rehearsed.items - invalid),
        invalid: count(invalid),
        omitted: 0,
        refused: rehearsed.refused,
    };
    let mut results = Vec::new();
    if matches!(view, ResultView::All | ResultView::Failed) {
        results = page::fitting(rehearsed.invalid);
        report.omitted = count(invalid - results.len());
    }
    proto::BatchSubmitResponse {
        results,
        validation: Some(report),
        ..proto::BatchSubmitResponse::default()
    }
}

/// The batch once it is final, or as it stands when time is up.
async fn finished(rooms: &Rooms, batch: Batch, answer_by: Instant) -> Result<Batch, Refusal> {
    let (tenant, id) = (batch.tenant.clone(), batch.id);
    let mut news = rooms.feed.news(&batch);
    loop {
        let now = rooms.store.batch(tenant.clone(), id).await;
        let now = now.map_err(store_trouble)?.unwrap_or_else(|| batch.clone());
        if now.state.is_final() {
            return Ok(now);
        }
        tokio::select! {
            waited = timeout_at(answer_by, news.wait()) => if waited.is_err() {
                return Ok(now);
            },
            () = rooms.drain.cancelled() => return Ok(now),
        }
    }
}

/// When a call has to be answered.
fn answer_by<T>(request: &Request<T>) -> Result<Instant, Refusal> {
    let now = Instant::now();
    let Some(given) = request.metadata().get("grpc-timeout") else {
        return Ok(now + LONGEST_WAIT);
    };
    let timeout = given.to_str().ok().and_then(grpc_timeout).ok_or_else(|| {
        let message = "grpc-timeout is up to eight digits and one of H, M, S, m, u, n";
        Refusal::new(Code::InvalidArgument, "INVALID_MESSAGE", message)
    })?;
    Ok(now + timeout.saturating_sub(BEFORE_DEADLINE))
}

/// Reads a `grpc-timeout`; none is longer than a day here.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(timeout.min(Duration::from_hours(24)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_timeout_is_digits_and_a_unit() {
        let table = [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("3S", Some(Duration::from_secs(3))),
            ("99999999m", Some(Duration::from_hours(24))),
            ("500m", Some(Duration::from_millis(500))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("123456789S", None),
            ("1ü", None),
        ];
        for (text, want) in table {
            assert_eq!(grpc_timeout(text), want, "{text}");
        }
    }
}

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::option;
use proptest::prelude::*;

use super::super::rows::Numbered;
use super::*;
use crate::core::rate::{Mark, Pace};
use crate::model::{
    Action, Atomicity, BatchSpec, Counts, Echo, Failure, FailureKind, FailurePolicy, Form,
    GrpcCall, HttpCall, Item, ItemResult, Operation, Ordering, Outcome, Payload, Progress,
    SealedBy, StoppedBy, Success, TargetName, Validation, Verb, Violation,
};

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(text(), text(), 0..4)
}

fn payload() -> impl Strategy<Value = Payload> {
    let form = prop::sample::select(vec![Form::Json, Form::JsonText, Form::Raw]);
    let body = prop::collection::vec(any::<u8>(), 0..40);
    (form, option::of(text()), body).prop_map(|(form, content_type, body)| Payload {
        form,
        content_type,
        body: body.into(),
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let verb = prop::sample::select(vec![Verb::Create, Verb::Update, Verb::Delete]);
    prop_oneof![
        Just(Operation::Target),
        (verb, text())
            .prop_map(|(verb, resource_id)| Operation::Action(Action { verb, resource_id })),
        (text(), text(), map()).prop_map(|(method, path, headers)| Operation::Http(HttpCall {
            method,
            path,
            headers,
        })),
        (text(), map())
            .prop_map(|(method, metadata)| Operation::Grpc(GrpcCall { method, metadata })),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let texts = (option::of(text()), option::of(text()));
    (any::<u32>(), texts, option::of(payload()), operation()).prop_map(
        |(index, (id, key), payload, operation)| Item {
            index,
            id,
            key,
            payload,
            operation,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let succeeded = (any::<u16>(), option::of(payload()), any::<bool>());
    let succeeded = succeeded.prop_map(|(status, reply, truncated)| {
        Outcome::Succeeded(Success {
            status,
            reply,
            truncated,
        })
    });
    let violation =
        (text(), text()).prop_map(|(field, description)| Violation { field, description });
    let failed = (
        prop::sample::select(FailureKind::ALL.to_vec()),
        (text(), text(), prop::collection::vec(violation, 0..3)),
        (option::of(any::<u16>()), option::of(payload())),
        any::<(bool, bool)>(),
    );
    let failed = failed.prop_map(|(kind, words, answer, (truncated, retryable))| {
        let (reason, message, violations) = words;
        let (status, reply) = answer;
        Outcome::Failed(Box::new(Failure {
            kind,
            reason,
            message,
            violations,
            status,
            reply,
            truncated,
            retryable,
        }))
    });
    prop_oneof![succeeded, failed]
}

fn result() -> impl Strategy<Value = ItemResult> {
    let numbers = any::<(u32, u32, bool)>();
    (numbers, text(), outcome(), option::of(item())).prop_map(
        |((index, attempts, replayed), id, outcome, item)| ItemResult {
            index,
            id,
            outcome,
            attempts,
            replayed,
            item: item.map(Box::new),
        },
    )
}

fn counts() -> impl Strategy<Value = Counts> {
    any::<(u32, u32, [u32; 9], u32, u32)>().prop_map(
        |(total, succeeded, failed, in_flight, chunks_finished)| Counts {
            total,
            succeeded,
            failed,
            in_flight,
            chunks_finished,
        },
    )
}

fn spec() -> impl Strategy<Value = BatchSpec> {
    let validation = prop::sample::select(vec![Validation::Item, Validation::Batch]);
    let echo = prop::sample::select(vec![Echo::Failed, Echo::None, Echo::All]);
    let ordering = prop::sample::select(vec![Ordering::Parallel, Ordering::Strict]);
    let policy = (any::<u32>(), 0.0..=1.0);
    let atomicity = prop::sample::select(vec![Atomicity::Each, Atomicity::AllOrNothing]);
    let ordering = (ordering, atomicity);
    let rest = (ordering, option::of(any::<i64>()), policy);
    (text(), option::of(text()), map(), (validation, echo), rest).prop_map(
        |(target, request_id, labels, (validation, echo), (ordering, deadline_ms, policy))| {
            let (ordering, atomicity) = ordering;
            BatchSpec {
                target: TargetName::new(&target),
                request_id,
                labels,
                validation,
                echo,
                ordering,
                atomicity,
                deadline_ms,
                failure_policy: FailurePolicy {
                    stop_after: policy.0,
                    stop_at_share: policy.1,
                },
            }
        },
    )
}

proptest! {
    #[test]
    fn items_read_back_as_they_were(items in prop::collection::vec(item(), 0..5)) {
        let blob = encode_items(items.clone());
        prop_assert_eq!(decode_items(blob).unwrap(), items);
    }

    #[test]
    fn results_read_back_as_they_were(results in prop::collection::vec(result(), 0..5)) {
        let blob = encode_results(results.clone());
        prop_assert_eq!(decode_results(blob.clone()).unwrap(), results.clone());
        prop_assert_eq!(encode_results(results), blob);
    }

    #[test]
    fn progress_reads_back_as_it_was(
        counts in counts(), items_per_second in 0.0..1e9, left in option::of(any::<u64>()),
    ) {
        let time_left = left.map(Duration::from_millis);
        let progress = Progress { counts, items_per_second, time_left };
        prop_assert_eq!(decode_progress(encode_progress(&progress)).unwrap(), progress);
    }

    #[test]
    fn specs_read_back_as_they_were(spec in spec()) {
        prop_assert_eq!(decode_spec(encode_spec(&spec)).unwrap(), spec);
    }

    #[test]
    fn bodies_read_back_as_they_were(
        counts in counts(),
        sealed_by in option::of(prop::sample::select(SealedBy::ALL.to_vec())),
        stopped_by in option::of(prop::sample::select(StoppedBy::ALL.to_vec())),
        marks in option::of(any::<[(i64, u64); 3]>()),
        last_sequence: u64,
        times in any::<[Option<i64>; 3]>(),
        (came, again) in any::<(u32, u32)>(),
    ) {
        let mark = |(at_ms, outcomes)| Mark { at_ms, outcomes };
        let body = BatchBody {
            sealed_by,
            stopped_by,
            open_until_ms: times[2],
            counts,
            pace: marks.map(|[older, newer, latest]| Pace {
                older: mark(older),
                newer: mark(newer),
                latest: mark(latest),
            }),
            chunks: Numbered { came, again },
            last_sequence,
            started_ms: times[0],
            finished_ms: times[1],
        };
        prop_assert_eq!(decode_body(encode_body(&body)).unwrap(), body);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let blob = Bytes::from(bytes);
        let _ = decode_items(blob.clone());
        let _ = decode_results(blob.clone());
        let _ = decode_progress(blob.clone());
        let _ = decode_spec(blob.clone());
        let _ = decode_body(blob);
    }
}

#[test]
fn bodies_are_slices_of_the_blob() {
    let body = Bytes::from(vec![7; 1_000]);
    let blob = encode_items([Item {
        index: 0,
        id: None,
        key: None,
        payload: Some(Payload {
            form: Form::Raw,
            content_type: None,
            body,
        }),
        operation: Operation::Target,
    }]);
    let within = blob.as_ptr_range();
    let read = decode_items(blob.clone()).unwrap();
    let body = &read[0].payload.as_ref().unwrap().body;
    assert!(within.contains(&body.as_ptr()));
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    // An item whose payload has form 9.
    let blob = Bytes::from_static(b"\x0a\x04\x22\x02\x08\x09");
    assert!(matches!(decode_items(blob), Err(Undone::Broken(why)) if why.contains("9 is no form")));
    // A result without an outcome.
    let blob = Bytes::from_static(b"\x0a\x02\x08\x01");
    assert!(matches!(decode_results(blob), Err(Undone::Broken(why)) if why.contains("outcome")));
}

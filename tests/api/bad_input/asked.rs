//! What is asked about what is not there.

use super::*;

#[tokio::test]
async fn what_is_asked_about_what_is_not_there_is_refused() {
    let mut world = World::start().await;
    let unknown = "01998a3c-0000-7000-8000-000000000000".to_owned();
    for (batch_id, code, reason, says) in [
        (
            unknown.clone(),
            Code::NotFound,
            "BATCH_NOT_FOUND",
            unknown.as_str(),
        ),
        (
            "7".to_owned(),
            Code::InvalidArgument,
            "INVALID_BATCH_ID",
            "UUID",
        ),
        (
            String::new(),
            Code::InvalidArgument,
            "INVALID_BATCH_ID",
            "UUID",
        ),
    ] {
        let id = || batch_id.clone();
        let batches = &mut world.batches;
        let refused: Vec<Status> = vec![
            batches
                .get_batch(GetBatchRequest { batch_id: id() })
                .await
                .expect_err("get"),
            batches
                .cancel_batch(CancelBatchRequest { batch_id: id() })
                .await
                .expect_err("cancel"),
            batches
                .watch_batch(WatchBatchRequest {
                    batch_id: id(),
                    ..Default::default()
                })
                .await
                .expect_err("watch"),
            batches
                .list_batch_results(ListBatchResultsRequest {
                    batch_id: id(),
                    ..Default::default()
                })
                .await
                .expect_err("results"),
        ];
        for status in refused {
            assert_refused(&status, code, reason, says);
        }
    }
    let request = GetTargetRequest {
        name: "rooms".to_owned(),
    };
    let status = world
        .targets
        .get_target(request)
        .await
        .expect_err("no such target");
    assert_refused(&status, Code::NotFound, "TARGET_NOT_FOUND", "`rooms`");
    let response = world
        .batches
        .batch_submit(submit(vec![item(1)]))
        .await
        .expect("a batch");
    let batch_id = response.into_inner().batch.expect("a batch").id;
    for page_token in ["x", "r1.0.0", "r2.1.0", "r1.1", "r1.1.1.1"] {
        let request = ListBatchResultsRequest {
            batch_id: batch_id.clone(),
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let status = world
            .batches
            .list_batch_results(request)
            .await
            .expect_err(page_token);
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_PAGE_TOKEN",
            "next_page_token",
        );
    }
    let request = ListBatchesRequest {
        page_token: "7".to_owned(),
        ..Default::default()
    };
    let status = world
        .batches
        .list_batches(request)
        .await
        .expect_err("a made-up token");
    assert_refused(
        &status,
        Code::InvalidArgument,
        "INVALID_PAGE_TOKEN",
        "next_page_token",
    );
    let request = WatchBatchRequest {
        batch_id,
        cursor: 99,
        summary_only: false,
    };
    let status = world
        .batches
        .watch_batch(request)
        .await
        .expect_err("from the future");
    assert_refused(
        &status,
        Code::OutOfRange,
        "CURSOR_IN_FUTURE",
        "the last event",
    );
}

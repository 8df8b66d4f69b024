//! Readers that do not read: what they cost is bounded, however long the log.

use flowgate::proto::{BatchSpec, BatchSubmitRequest, Echo, WatchBatchRequest};

use crate::support::http_target::Act;
use crate::support::patience::within;
use crate::world::{World, client, items, results, spec, submission};

/// Streams that are opened and not read.
const READERS: usize = 100;

/// Items of the batch that they follow, and bytes of each: every result brings
/// its item, so that the log holds all of them.
const ITEMS: u32 = 900;
const ITEM_BYTES: usize = 10_000;

/// What a reader may cost, in bytes: a part of the log as it is read, a few
/// messages on their way, and the connection's windows. All of the log would be
/// 9 MB.
const MOST_EACH: u64 = 4 * 1024 * 1024;

#[tokio::test]
async fn a_reader_that_does_not_read_costs_little_however_long_the_log() {
    let world = World::new("5s", |_| Act::answer(201, "")).await;
    let program = world.start().await;
    let mut caller = client(&program).await;
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            echo: Echo::All.into(),
            ..spec()
        }),
        ..submission(items(ITEMS, ITEM_BYTES), false)
    };
    let submitted = caller.batch_submit(request).await.expect("it is accepted");
    let id = submitted.into_inner().batch.expect("a batch").id;
    assert_eq!(results(&mut caller, &id).await.len(), ITEMS as usize);
    let before = program.memory();
    let mut held = Vec::new();
    for _ in 0..READERS {
        // Each on a connection of its own: one that is full holds up no other.
        let mut reader = client(&program).await;
        let request = WatchBatchRequest {
            batch_id: id.clone(),
            ..WatchBatchRequest::default()
        };
        let mut stream = reader.watch_batch(request).await.expect("a stream");
        let first = within("the first event", stream.get_mut().message()).await;
        assert!(first.expect("no error").is_some());
        held.push((reader, stream));
    }
    // Whoever reads is served meanwhile, to the end of the log; by then every
    // stream before it has been given what it will be given.
    assert_eq!(results(&mut caller, &id).await.len(), ITEMS as usize);
    let each = program.memory().saturating_sub(before) / READERS as u64;
    assert!(each < MOST_EACH, "each costs {each} bytes");
    drop(held);
    program.stopped().await;
}

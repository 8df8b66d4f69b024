//! The same submission many times at once.

use flowgate::proto::BatchSubmitRequest;
use flowgate::proto::batch_service_client::BatchServiceClient;
use futures_util::future::join_all;

use crate::checker::Fact;
use crate::client::{Client, Gone, How, accepted, spec, submitted};
use crate::lives::look_back;
use crate::site::Site;
use crate::support::patience::within;
use crate::support::program::Program;
use crate::work::{PLAIN, SAFE, Work};

/// How often the same is submitted at once.
const TIMES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_unary_calls_are_one_batch() {
    for target in [PLAIN, SAFE] {
        let site = Site::new().await;
        let program = site.start().await;
        let work = Work::mixed("a", target, 10, &mut fastrand::Rng::with_seed(3));
        // Over several connections, so that they truly meet.
        let mut channels = Vec::new();
        for _ in 0..5 {
            channels.push(program.connect().await.expect("a connection"));
        }
        let calls = (0..TIMES).map(async |n| {
            submitted(&site.notes, &work, 0, work.pieces.len());
            let request = BatchSubmitRequest {
                spec: Some(spec(&work)),
                items: work.pieces.iter().map(super::work::Piece::item).collect(),
                wait: Some(n % 2 == 0),
                all_failed_is_ok: true,
                ..BatchSubmitRequest::default()
            };
            let mut client = BatchServiceClient::new(channels[n % channels.len()].clone());
            let response = client.batch_submit(request).await;
            let batch = response.expect("it is accepted").into_inner().batch;
            let batch = batch.expect("a batch");
            let held = batch.progress.expect("progress").total;
            accepted(&site.notes, &work, &batch.id, held);
            batch.id
        });
        let mut ids = within("all answers", join_all(calls)).await;
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        follow_to_the_end(&site, program, work).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_are_one_batch() {
    let site = Site::new().await;
    let program = site.start().await;
    let work = Work::mixed("a", SAFE, 30, &mut fastrand::Rng::with_seed(3));
    let mut clients: Vec<Client> = (0..TIMES)
        .map(|n| {
            let part = 1 + n % work.pieces.len();
            Client::new(work.clone(), How::Stream(part), site.notes.clone(), 0)
        })
        .collect();
    let channel = program.connect().await.expect("a connection");
    // Who meets another that fills the batch is told so, and comes again.
    let going = clients.iter_mut().map(async |client| {
        while let Err(why) = client.go(channel.clone()).await {
            assert_eq!(why, Gone::Shared);
        }
    });
    within("all ends", join_all(going)).await;
    follow_to_the_end(&site, program, work).await;
}

/// Follows the one batch, and checks that each item came once to the target, or
/// again only for want of an answer.
async fn follow_to_the_end(site: &Site, program: Program, work: Work) {
    let mut client = Client::new(work, How::Unary, site.notes.clone(), 1);
    let channel = program.connect().await.expect("a connection");
    within("the end", client.go(channel)).await.expect("served");
    look_back(site, &mut [client], program, false).await;
    let run = site.notes.run();
    let batches = run.facts.iter().filter_map(|seen| match &seen.what {
        Fact::Accepted(accepted) => Some(&accepted.batch),
        _ => None,
    });
    let batches: std::collections::BTreeSet<_> = batches.collect();
    assert_eq!(batches.len(), 1);
}

//! Batches that are filled piece by piece.

use std::time::Duration;

use flowgate::model::TenantId;

use crate::world::{TargetSpec, World, draft, results, spec};

#[tokio::test(start_paused = true)]
async fn frames_of_one_item_do_not_become_chunks_of_one() {
    let world = World::start(&["1000/s"], vec![TargetSpec::named("guests")]);
    let opened = world.intake.open(TenantId::default(), spec("guests")).await;
    let mut submission = opened.expect("a submission");
    let batch = submission.batch().clone();
    for number in 0..500 {
        let appended = submission
            .append(vec![draft(number)], Some(number), 16)
            .await;
        appended.expect("it is taken");
        while !submission.has_room() {
            submission.committed().await.expect("it is held");
        }
    }
    submission.seal(Some(500)).expect("it is sealed");
    while submission.committed().await.expect("it is held").is_some() {}
    let events = world.events(&batch).await;
    assert_eq!(results(&events).len(), 500);
    assert_eq!(world.read(&batch).await.progress.counts.chunks_finished, 10);
}

#[tokio::test(start_paused = true)]
async fn streams_that_share_little_memory_all_get_on() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let intake = world.intake_with_memory(100);
    let mut streams = Vec::new();
    for _ in 0..5 {
        let opened = intake.open(TenantId::default(), spec("guests")).await;
        streams.push(opened.expect("a submission"));
    }
    // Each message takes most of it, and most leave their chunk half full: what
    // a stream holds has to get on while it waits for more.
    let filled = streams.iter_mut().map(|submission| async move {
        for first in (0..600).step_by(30) {
            let items = (first..first + 30).map(draft).collect();
            let appended = submission.append(items, None, 80).await;
            appended.expect("it is taken");
            tokio::task::yield_now().await;
            if let Some(due) = submission.flush_due() {
                tokio::time::sleep_until(due).await;
                submission.flush();
            }
            while submission.is_committing() {
                submission.committed().await.expect("it is held");
            }
        }
        submission.seal(Some(600)).expect("it is sealed");
        while submission.committed().await.expect("it is held").is_some() {}
    });
    let filled = futures_util::future::join_all(filled);
    let minute = Duration::from_mins(1);
    let filled = tokio::time::timeout(minute, filled).await;
    filled.expect("none waits for another for ever");
    for submission in &streams {
        assert_eq!(results(&world.events(submission.batch()).await).len(), 600);
    }
    // A message that is larger than all of it is taken all the same, alone.
    let drafts = (0..3).map(draft).collect();
    let submitted = intake.submit(TenantId::default(), spec("guests"), drafts, 1_000);
    submitted.await.expect("a batch");
}

#[tokio::test(start_paused = true)]
async fn a_stream_does_not_wait_for_memory_that_it_holds_itself() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let intake = world.intake_with_memory(100);
    let opened = intake.open(TenantId::default(), spec("guests")).await;
    let mut submission = opened.expect("a submission");
    // Nobody asks for commits in between: an append that waits does.
    let appends = async {
        for number in 0..120 {
            let appended = submission.append(vec![draft(number)], None, 60).await;
            appended.expect("it is taken");
        }
    };
    let appended = tokio::time::timeout(Duration::from_mins(1), appends).await;
    appended.expect("it does not wait for itself");
}

#[tokio::test(start_paused = true)]
async fn items_that_are_held_already_keep_no_memory() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let intake = world.intake_with_memory(100);
    let opened = intake.open(TenantId::default(), spec("guests")).await;
    let mut submission = opened.expect("a submission");
    // As a client that begins again from the start, over and over.
    let repeats = async {
        for _ in 0..5 {
            let items = (0..3).map(draft).collect();
            let appended = submission.append(items, Some(0), 60).await;
            appended.expect("it is the same");
        }
    };
    let repeated = tokio::time::timeout(Duration::from_mins(1), repeats).await;
    repeated.expect("it does not wait for itself");
    // And what it repeated keeps nobody else waiting.
    let drafts = (0..3).map(draft).collect();
    let submitted = intake.submit(TenantId::default(), spec("guests"), drafts, 100);
    let submitted = tokio::time::timeout(Duration::from_mins(1), submitted).await;
    submitted.expect("there is memory").expect("a batch");
}

#[tokio::test(start_paused = true)]
async fn two_streams_may_seal_the_same_batch_at_once() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let opened = world.intake.open(TenantId::default(), spec("guests")).await;
    let mut first = opened.expect("a submission");
    let items = (0..3).map(draft).collect();
    first.append(items, None, 48).await.expect("it is taken");
    first.flush();
    while first.committed().await.expect("it is held").is_some() {}
    let batch = world.read(first.batch()).await;
    let mut second = world.intake.resume(batch).expect("a submission");
    first.seal(Some(3)).expect("it is sealed");
    second.seal(Some(3)).expect("it is sealed");
    for submission in [&mut first, &mut second] {
        let sealed = submission.committed().await.expect("no conflict");
        assert_eq!(sealed.map(|batch| batch.progress.counts.total), Some(3));
    }
    // With other items it is not the same.
    let opened = world.intake.open(TenantId::default(), spec("guests")).await;
    let mut first = opened.expect("a submission");
    let mut second = world
        .intake
        .resume(first.batch().clone())
        .expect("a submission");
    for (number, submission) in (0..).zip([&mut first, &mut second]) {
        let appended = submission.append(vec![draft(number)], None, 16).await;
        appended.expect("it is taken");
        submission.seal(None).expect("it is on its way");
    }
    first.committed().await.expect("it is held");
    let refused = second.committed().await.expect_err("another one was first");
    assert_eq!(refused.reason, "BATCH_SEALED");
}

//! What is held or cancelled is so after a crash: nothing of it is sent.

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::target_service_client::TargetServiceClient;
use flowgate::proto::{
    BatchState, BatchSubmitRequest, CancelBatchRequest, GetTargetRequest, PauseBatchRequest,
    PauseTargetRequest, ResumeBatchRequest, ResumeTargetRequest,
};
use tonic::transport::Channel;

use crate::client::{Client, How, accepted, spec, submitted};
use crate::lives::look_back;
use crate::site::Site;
use crate::support::patience::within;
use crate::support::program::Program;
use crate::work::{Ask, PLAIN, SAFE, Terms, Work};

/// A server, and calls to it.
struct Desk {
    program: Program,
    channel: Channel,
}

impl Desk {
    async fn open(site: &Site) -> Desk {
        let program = site.start().await;
        let channel = program.connect().await.expect("a connection");
        Desk { program, channel }
    }

    fn batches(&self) -> BatchServiceClient<Channel> {
        BatchServiceClient::new(self.channel.clone())
    }

    fn targets(&self) -> TargetServiceClient<Channel> {
        TargetServiceClient::new(self.channel.clone())
    }

    /// Kills it, and starts another.
    async fn killed(self, site: &Site) -> Desk {
        self.program.killed().await;
        Desk::open(site).await
    }

    async fn hold_target(&self, name: &str) {
        let request = PauseTargetRequest {
            name: name.to_owned(),
            reason: "an upgrade".to_owned(),
        };
        let held = self.targets().pause_target(request).await;
        held.expect("it is held");
    }

    async fn let_target_go(&self, name: &str) {
        let name = name.to_owned();
        let request = ResumeTargetRequest { name };
        let going = self.targets().resume_target(request).await;
        going.expect("it goes on");
    }

    /// Submits without waiting, and returns the batch's id.
    async fn submit(&self, site: &Site, work: &Work) -> String {
        submitted(&site.notes, work, 0, work.pieces.len());
        let request = BatchSubmitRequest {
            spec: Some(spec(work)),
            items: work.pieces.iter().map(super::work::Piece::item).collect(),
            wait: Some(false),
            ..BatchSubmitRequest::default()
        };
        let answer = self.batches().batch_submit(request).await;
        let batch = answer.expect("it is accepted").into_inner().batch;
        let id = batch.expect("a batch").id;
        let held = u32::try_from(work.pieces.len()).expect("few items");
        accepted(&site.notes, work, &id, held);
        id
    }

    /// Has another batch done on a target: what could have gone before it, has.
    async fn do_another(&self, site: &Site, name: &str, target: &'static str) -> Client {
        let work = Work::of(name, target, [Ask::Ok; 20]);
        let mut client = Client::new(work, How::Unary, site.notes.clone(), 1);
        let done = within("another batch", client.go(self.channel.clone())).await;
        done.expect("it is served");
        client
    }
}

/// A client that goes on with a batch that was submitted.
async fn to_the_end(site: &Site, desk: &Desk, work: Work) -> Client {
    let mut client = Client::new(work, How::Unary, site.notes.clone(), 1);
    let done = within("its end", client.go(desk.channel.clone())).await;
    done.expect("it is served");
    client
}

/// How many requests came to a target's path.
fn arrived(site: &Site, target: &str) -> usize {
    let requests = site.target.requests();
    let path = format!("/{target}");
    requests
        .iter()
        .filter(|request| request.path == path)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_stays_held() {
    let site = Site::new().await;
    let mut desk = Desk::open(&site).await;
    desk.hold_target(PLAIN).await;
    let work = Work::of("waits", PLAIN, [Ask::Ok; 10]);
    desk.submit(&site, &work).await;
    let mut clients = Vec::new();
    for name in ["first", "second"] {
        clients.push(desk.do_another(&site, name, SAFE).await);
        desk = desk.killed(&site).await;
        let name = PLAIN.to_owned();
        let target = desk.targets().get_target(GetTargetRequest { name }).await;
        let target = target.expect("it is there").into_inner().target;
        let status = target.and_then(|target| target.status).expect("a status");
        assert!(status.held_since.is_some(), "{status:?}");
        assert!(status.pause_reason.contains("an upgrade"), "{status:?}");
        assert_eq!(status.queued_items, 10);
    }
    clients.push(desk.do_another(&site, "third", SAFE).await);
    assert_eq!(arrived(&site, PLAIN), 0);
    desk.let_target_go(PLAIN).await;
    clients.push(to_the_end(&site, &desk, work).await);
    assert_eq!(arrived(&site, PLAIN), 10);
    look_back(&site, &mut clients, desk.program, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_stays_paused() {
    let site = Site::new().await;
    let mut desk = Desk::open(&site).await;
    desk.hold_target(PLAIN).await;
    let work = Work::of("waits", PLAIN, [Ask::Ok; 10]);
    let batch_id = desk.submit(&site, &work).await;
    let request = PauseBatchRequest {
        batch_id: batch_id.clone(),
    };
    let paused = desk.batches().pause_batch(request).await;
    let paused = paused.expect("it is paused").into_inner().batch;
    assert_eq!(paused.expect("a batch").state(), BatchState::Paused);
    desk.let_target_go(PLAIN).await;
    let mut clients = Vec::new();
    for (name, before) in [("first", 0), ("second", 20)] {
        assert_eq!(arrived(&site, PLAIN), before);
        clients.push(desk.do_another(&site, name, PLAIN).await);
        assert_eq!(arrived(&site, PLAIN), before + 20, "only of the other one");
        desk = desk.killed(&site).await;
    }
    let request = ResumeBatchRequest { batch_id };
    desk.batches()
        .resume_batch(request)
        .await
        .expect("it goes on");
    clients.push(to_the_end(&site, &desk, work).await);
    assert_eq!(arrived(&site, PLAIN), 50);
    look_back(&site, &mut clients, desk.program, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_stays_cancelled() {
    let site = Site::new().await;
    let mut desk = Desk::open(&site).await;
    desk.hold_target(PLAIN).await;
    let only = &["CANCELLED"];
    let work = Work::of("stops", PLAIN, [Ask::Ok; 100]).under(Terms::default(), only);
    let batch_id = desk.submit(&site, &work).await;
    let request = CancelBatchRequest { batch_id };
    let cancelled = desk.batches().cancel_batch(request).await;
    cancelled.expect("it is cancelled");
    // Whatever was swept by then.
    desk = desk.killed(&site).await;
    desk.let_target_go(PLAIN).await;
    let mut clients = vec![desk.do_another(&site, "other", PLAIN).await];
    clients.push(to_the_end(&site, &desk, work).await);
    assert_eq!(arrived(&site, PLAIN), 20, "only of the other one");
    look_back(&site, &mut clients, desk.program, true).await;
}

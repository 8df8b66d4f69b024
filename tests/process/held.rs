//! What may hold on to a server that is told to stop, and holds it up no longer
//! than its drain.

use std::time::Duration;

use flowgate::proto::{
    BatchSpec, BatchSubmitRequest, Echo, ListBatchesRequest, WatchBatchRequest, WatchBatchResponse,
};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Streaming;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::http_target::Act;
use crate::support::patience::within;
use crate::support::program::Program;
use crate::support::strace;
use crate::world::{Client, Took, World, client, items, results, spec, submission, submit};

/// How long a server here may drain.
const DRAIN: Duration = Duration::from_secs(5);

async fn world() -> World {
    World::new("5s", |_| Act::answer(201, "")).await
}

async fn started() -> (World, Program) {
    let world = world().await;
    let program = world.start().await;
    (world, program)
}

/// Tells it to stop, and checks that it does so in order and in time.
async fn ends_in_order(program: Program) {
    let took = Took::begins();
    program.process().signal(Signal::TERM);
    let ended = program.ended().await;
    took.assert_under(DRAIN);
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.log.contains("drained"), "{ended:?}");
}

#[tokio::test]
async fn nobody_at_all() {
    let (_world, program) = started().await;
    ends_in_order(program).await;
}

#[tokio::test]
async fn an_open_health_watch() {
    let (_world, program) = started().await;
    let mut health = HealthClient::new(program.connect().await.expect("a connection"));
    let watch = health.watch(HealthCheckRequest::default()).await;
    let _held = watch.expect("it is watched");
    ends_in_order(program).await;
}

#[tokio::test]
async fn an_idle_connection() {
    let (_world, program) = started().await;
    let mut client = client(&program).await;
    submit(&mut client, items(1, 0)).await;
    ends_in_order(program).await;
    drop(client);
}

#[tokio::test]
async fn a_connection_that_never_sent_its_preface() {
    let (_world, program) = started().await;
    let _held = TcpStream::connect(program.address()).await.expect("taken");
    // It was accepted before this one, which is served.
    submit(&mut client(&program).await, items(1, 0)).await;
    ends_in_order(program).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_after_its_preface() {
    let (_world, program) = started().await;
    let mut held = TcpStream::connect(program.address()).await.expect("taken");
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    held.write_all(greeting).await.expect("it is taken");
    // The server's own settings, in answer.
    let mut answer = [0; 9];
    let answered = within("its settings", held.read_exact(&mut answer)).await;
    answered.expect("it speaks HTTP/2");
    ends_in_order(program).await;
}

/// A client that reads nothing of a batch whose log is larger than all that
/// lies between the two.
async fn does_not_read(program: &Program) -> Streaming<WatchBatchResponse> {
    let address = format!("http://{}", program.address());
    let endpoint = Channel::from_shared(address).expect("an address");
    // Small, so that the server soon has nowhere to put what it has to tell.
    let endpoint = endpoint
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let mut reader = Client::new(endpoint.connect().await.expect("a connection"));
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            echo: Echo::All.into(),
            ..spec()
        }),
        ..submission(items(200, 20_000), false)
    };
    let accepted = reader.batch_submit(request).await.expect("it is accepted");
    let id = accepted.into_inner().batch.expect("a batch").id;
    let watch = WatchBatchRequest {
        batch_id: id.clone(),
        ..WatchBatchRequest::default()
    };
    let held = reader.watch_batch(watch).await.expect("a stream");
    // All there is to tell is there: somebody else has read it.
    let results = results(&mut client(program).await, &id).await;
    assert_eq!(results.len(), 200);
    held.into_inner()
}

#[tokio::test]
async fn a_reader_that_does_not_read() {
    let (_world, program) = started().await;
    let _held = does_not_read(&program).await;
    ends_in_order(program).await;
}

#[tokio::test]
async fn all_of_them_at_once() {
    let (_world, program) = started().await;
    let _silent = TcpStream::connect(program.address()).await.expect("taken");
    let mut health = HealthClient::new(program.connect().await.expect("a connection"));
    let watch = health.watch(HealthCheckRequest::default()).await;
    let _watch = watch.expect("it is watched");
    let _held = does_not_read(&program).await;
    ends_in_order(program).await;
}

/// Each sync takes ten minutes.
const HANGS: &str = "inject=fsync,fdatasync:delay_enter=600000000:when=1+";

/// A server whose disk hangs while it writes. `None` where that cannot be
/// made.
async fn on_a_disk_that_hangs(world: &World) -> Option<Program> {
    if !strace::is_there() {
        return None;
    }
    let program = world.start().await;
    // From now on: to open the store takes syncs of its own.
    let trace = world.folder.path().join("trace");
    let trace = strace::Trace::of(strace::SYNCS, &trace).with(HANGS);
    program
        .process()
        .traced_by(trace.attach(program.id()))
        .await;
    let mut client = client(&program).await;
    let mut hangs = client.clone();
    tokio::spawn(async move { hangs.batch_submit(submission(items(1, 0), false)).await });
    // On the same connection: it is answered after that one was begun.
    let page = client.list_batches(ListBatchesRequest::default()).await;
    assert!(
        page.expect("it can be read")
            .into_inner()
            .batches
            .is_empty()
    );
    Some(program)
}

#[tokio::test]
async fn a_disk_that_hangs() {
    let world = World::new("2s", |_| Act::answer(201, "")).await;
    let Some(program) = on_a_disk_that_hangs(&world).await else {
        return;
    };
    let took = Took::begins();
    let process = program.process();
    process.signal(Signal::TERM);
    process.exits().await;
    // It waits for the disk almost to the end, so that there is little to spare
    // for a machine that is busy.
    took.assert_under(DRAIN * 2);
    process.release();
    let ended = program.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let why = "error: the drain was cut short: the store was still writing";
    assert!(ended.log.contains(why), "{ended:?}");
}

#[tokio::test]
async fn a_disk_that_hangs_does_not_hold_up_a_second_signal() {
    let world = World::new("1h", |_| Act::answer(201, "")).await;
    let Some(mut program) = on_a_disk_that_hangs(&world).await else {
        return;
    };
    let process = program.process();
    process.signal(Signal::TERM);
    program.says("draining").await;
    process.signal(Signal::TERM);
    process.exits().await;
    process.release();
    ended_at_once(program).await;
}

#[tokio::test]
async fn a_start_that_has_not_come_to_its_end() {
    if !strace::is_there() {
        return;
    }
    let world = World::new("1h", |_| Act::Silence).await;
    let program = world.start().await;
    let id = submit(&mut client(&program).await, items(1, 0)).await;
    within("a request", world.target.arrived(1)).await;
    program.killed().await;
    // What was leased is put to rest before it serves, which is a commit.
    let trace = world.folder.path().join("trace");
    let command = strace::Trace::of(strace::SYNCS, &trace)
        .with(HANGS)
        .serve(&world.config());
    let starting = Program::spawn(command);
    let process = starting.process();
    process.hears().await;
    process.signal(Signal::TERM);
    process.exits().await;
    process.release();
    let ended = starting.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    let said = "told to stop before it served";
    assert!(ended.log.contains(said), "{ended:?}");
    // Nothing is lost by that.
    let program = world.start().await;
    let results = results(&mut client(&program).await, &id).await;
    assert_eq!(results.len(), 1);
    program.stopped().await;
}

#[tokio::test]
async fn a_second_signal_of_either_sort_ends_it_at_once() {
    let world = World::new("1h", |_| Act::Silence).await;
    let table = [
        (Signal::TERM, Signal::TERM),
        (Signal::INT, Signal::INT),
        (Signal::TERM, Signal::INT),
    ];
    for ((first, second), requests) in table.into_iter().zip(1..) {
        let mut program = world.start().await;
        submit(&mut client(&program).await, items(1, 0)).await;
        within("a request", world.target.arrived(requests)).await;
        program.process().signal(first);
        program.says("a second signal ends it at once").await;
        program.process().signal(second);
        ended_at_once(program).await;
    }
}

async fn ended_at_once(program: Program) {
    let ended = program.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = "error: ended at once, by a second signal";
    assert!(ended.log.contains(said), "{ended:?}");
}

//! A log is the same to the byte from every place in it, over every call, and
//! before and after a restart.

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message as Said;
use flowgate::proto::batch_submit_stream_response::Message as Heard;
use flowgate::proto::watch_batch_response::Message as Watched;
use flowgate::proto::{
    BatchOpen, BatchResume, BatchSubmitStreamRequest, WatchBatchRequest, batch_open,
};
use prost::Message as _;
use tonic::transport::Channel;

use crate::client::{Client, clients, spec};
use crate::lives::{Life, live};
use crate::site::Site;
use crate::support::patience::within;
use crate::support::program::{Program, serve};
use crate::work::Work;

/// Events, encoded.
type Log = Vec<Vec<u8>>;

async fn watched(channel: &Channel, batch: &str, cursor: u64) -> Log {
    let request = WatchBatchRequest {
        batch_id: batch.to_owned(),
        cursor,
        summary_only: false,
    };
    let mut client = BatchServiceClient::new(channel.clone());
    let stream = client.watch_batch(request).await.expect("a stream");
    let mut stream = stream.into_inner();
    let mut log = Vec::new();
    while let Some(response) = stream.message().await.expect("no error") {
        if let Some(Watched::Event(event)) = response.message {
            log.push(event.encode_to_vec());
        }
    }
    log
}

async fn streamed(channel: &Channel, how: batch_open::How) -> Log {
    let open = BatchSubmitStreamRequest {
        message: Some(Said::Open(BatchOpen {
            how: Some(how),
            all_failed_is_ok: true,
        })),
    };
    let mut client = BatchServiceClient::new(channel.clone());
    let stream = client.batch_submit_stream(tokio_stream::once(open)).await;
    let mut stream = stream.expect("a stream").into_inner();
    let mut log = Vec::new();
    while let Some(response) = stream.message().await.expect("no error") {
        if let Some(Heard::Event(event)) = response.message {
            log.push(event.encode_to_vec());
        }
    }
    log
}

/// Checks that a log is read everywhere as it was.
async fn same_everywhere(program: &Program, batch: &str, work: &Work, log: &Log) {
    let channel = program.connect().await.expect("a connection");
    for cursor in 0..=log.len() {
        let rest = &log[cursor..];
        let after = cursor.try_into().expect("a short log");
        assert_eq!(watched(&channel, batch, after).await, rest, "{cursor}");
        let resume = batch_open::How::Resume(BatchResume {
            batch_id: batch.to_owned(),
            cursor: after,
        });
        assert_eq!(streamed(&channel, resume).await, rest, "{cursor}");
    }
    let again = batch_open::How::Spec(spec(work));
    assert_eq!(&streamed(&channel, again).await, log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_every_place_before_and_after_a_restart() {
    let site = Site::new().await;
    let mut clients = clients(&site.notes, &mut fastrand::Rng::with_seed(5), 12);
    // One that is cut in the middle: what its first life told is in its log.
    let first = live(&site, &mut clients, serve(&site.config()), 50).await;
    assert!(matches!(first, Life::Ended(_)), "it was not killed");
    let second = live(&site, &mut clients, serve(&site.config()), u64::MAX).await;
    let mut program = second.over();
    let batches: Vec<_> = clients.iter().flat_map(Client::batches).collect();
    let mut logs = Vec::new();
    let channel = program.connect().await.expect("a connection");
    for (batch, _) in &batches {
        let log = watched(&channel, batch, 0).await;
        assert!(log.len() >= 3, "{}", log.len());
        logs.push(log);
    }
    for restart in ["none", "killed", "stopped"] {
        eprintln!("restart: {restart}");
        program = match restart {
            "killed" => {
                program.killed().await;
                site.start().await
            }
            "stopped" => {
                program.stopped().await;
                site.start().await
            }
            _ => program,
        };
        for ((batch, work), log) in batches.iter().zip(&logs) {
            let same = same_everywhere(&program, batch, work, log);
            within("all of it", same).await;
        }
    }
    program.stopped().await;
}

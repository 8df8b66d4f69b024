//! The whole way: from a client of the real program to the rows in the table.

use std::path::PathBuf;

use flowgate::proto::batch_event::Kind;
use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message as Asked;
use flowgate::proto::{
    Atomicity, Batch, BatchAppend, BatchOpen, BatchSeal, BatchSpec, BatchSubmitRequest,
    BatchSubmitStreamRequest, FailureKind, Item, ItemResult, Payload, WatchBatchRequest,
    batch_open, item_result, payload, watch_batch_response,
};
use futures_util::stream;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;
use tonic::transport::Channel;

use crate::support::patience::within;
use crate::support::postgres::Cluster;
use crate::support::program::{self, PROGRAM, Program};

type Client = BatchServiceClient<Channel>;

const TABLE: &str = "CREATE TABLE guests (n int PRIMARY KEY, email text NOT NULL, visits int)";

/// Rows that went in twice would be seen.
const LOG: &str = "CREATE TABLE guests (n int NOT NULL, email text NOT NULL, visits int)";

const MANY: u32 = 10_000;

/// A database, and a folder with a store and a configuration.
struct World {
    cluster: Cluster,
    folder: TempDir,
}

impl World {
    async fn new(table: &str, settings: &str) -> Option<World> {
        let cluster = Cluster::start().await?;
        cluster.run_sql(table).await;
        let world = World {
            cluster,
            folder: TempDir::new().expect("a folder"),
        };
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            [store]
            path = "flowgate.db"
            [targets.guests]
            kind = "postgres"
            url = "{}"
            retry = {{ attempts = 100, base = "10ms", max = "100ms" }}
            breaker = {{ pause = "10ms", max_pause = "50ms" }}
            {settings}
            "#,
            world.cluster.url()
        );
        std::fs::write(world.config(), text).expect("the folder can be written to");
        let prepared = Command::new(PROGRAM)
            .arg("prepare")
            .arg(world.config())
            .status()
            .await;
        assert!(prepared.expect("it runs").success());
        Some(world)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("flowgate.toml")
    }

    async fn start(&self) -> (Program, Client) {
        let started = Program::start(program::serve(&self.config())).await;
        let program = started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}"));
        let channel = program.connect().await.expect("a connection");
        (program, Client::new(channel))
    }

    /// Every row is there once, with what its item said.
    async fn assert_all(&self, count: u32) {
        let right = format!(
            "SELECT count(*) FROM generate_series(0, {count} - 1) AS n
             JOIN guests USING (n)
             WHERE email = 'guest.' || n || '@example.net' AND visits = n % 10"
        );
        assert_eq!(self.cluster.count(&right).await, i64::from(count));
        assert_eq!(
            self.cluster.count("SELECT count(*) FROM guests").await,
            i64::from(count)
        );
    }
}

fn new_item(n: u32) -> Item {
    let text = format!(
        r#"{{"n":{n},"email":"guest.{n}@example.net","visits":{}}}"#,
        n % 10
    );
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(text)),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

fn spec() -> BatchSpec {
    BatchSpec {
        target: "guests".to_owned(),
        ..BatchSpec::default()
    }
}

/// Hands a batch in on a stream, and returns its id once all of it is accepted.
async fn accepted(client: &mut Client, count: u32) -> String {
    use flowgate::proto::batch_submit_stream_response::Message as Told;
    let open = Asked::Open(BatchOpen {
        how: Some(batch_open::How::Spec(spec())),
        all_failed_is_ok: false,
    });
    let appends = (0..count).step_by(500).map(move |first| {
        let items = (first..count.min(first + 500)).map(new_item).collect();
        Asked::Append(BatchAppend {
            items,
            offset: None,
        })
    });
    let seal = Asked::Seal(BatchSeal { count: Some(count) });
    let messages: Vec<_> = std::iter::once(open).chain(appends).chain([seal]).collect();
    let messages = messages
        .into_iter()
        .map(|message| BatchSubmitStreamRequest {
            message: Some(message),
        });
    let told = client.batch_submit_stream(stream::iter(messages)).await;
    let mut told = told.expect("a stream").into_inner();
    while let Some(message) = told.message().await.expect("no error") {
        if let Some(Told::Accepted(accepted)) = message.message
            && accepted.items_held == count
        {
            return accepted.batch_id;
        }
    }
    panic!("it was not accepted");
}

/// Follows a batch to its end.
async fn followed(client: &mut Client, id: &str) -> (Vec<ItemResult>, Batch) {
    let request = WatchBatchRequest {
        batch_id: id.to_owned(),
        ..WatchBatchRequest::default()
    };
    let stream = client.watch_batch(request).await;
    let mut stream = stream.expect("a stream").into_inner();
    let (mut results, mut finished) = (Vec::new(), None);
    let reading = async {
        while let Some(response) = stream.message().await.expect("no error") {
            let Some(watch_batch_response::Message::Event(event)) = response.message else {
                continue;
            };
            match event.kind {
                Some(Kind::Results(more)) => results.extend(more.results),
                Some(Kind::Finished(batch)) => finished = Some(batch),
                _ => {}
            }
        }
    };
    within("the batch's end", reading).await;
    results.sort_by_key(|result| result.index);
    (results, finished.expect("it finished"))
}

fn assert_succeeded(results: &[ItemResult], count: u32) {
    assert_eq!(results.len(), count as usize);
    for result in results {
        let is_done = matches!(result.outcome, Some(item_result::Outcome::Success(_)));
        assert!(is_done, "{result:?}");
    }
}

#[tokio::test]
async fn ten_thousand_items_are_rows() {
    let settings = "[targets.guests.postgres]\ntable = \"guests\"";
    let Some(world) = World::new(TABLE, settings).await else {
        return;
    };
    let (program, mut client) = world.start().await;
    let id = accepted(&mut client, MANY).await;
    let (results, _) = followed(&mut client, &id).await;
    assert_succeeded(&results, MANY);
    world.assert_all(MANY).await;
    program.stopped().await;
}

#[tokio::test]
async fn a_killed_server_leaves_each_row_once() {
    let settings = "concurrency = 2\nchunk_items = 50\n[targets.guests.postgres]\n\
                    table = \"guests\"\ndedupe_table = \"flowgate_keys\"";
    let Some(world) = World::new(LOG, settings).await else {
        return;
    };
    let (mut program, mut client) = world.start().await;
    let id = accepted(&mut client, MANY).await;
    for lives in 1..=4 {
        let some = async {
            let there = "SELECT count(*) FROM guests";
            while world.cluster.count(there).await < i64::from(lives * MANY / 6) {}
        };
        within("some rows", some).await;
        program.killed().await;
        (program, client) = world.start().await;
    }
    let (results, _) = followed(&mut client, &id).await;
    assert_succeeded(&results, MANY);
    world.assert_all(MANY).await;
    program.stopped().await;
}

#[tokio::test]
async fn a_database_that_is_restarted_loses_and_doubles_nothing() {
    let settings = "concurrency = 2\nchunk_items = 50\n[targets.guests.postgres]\n\
                    table = \"guests\"\ndedupe_table = \"flowgate_keys\"";
    let Some(mut world) = World::new(LOG, settings).await else {
        return;
    };
    let (program, mut client) = world.start().await;
    let id = accepted(&mut client, MANY).await;
    for (lives, signal) in [(1, Signal::INT), (3, Signal::QUIT)] {
        let some = async {
            let there = "SELECT count(*) FROM guests";
            while world.cluster.count(there).await < i64::from(lives * MANY / 6) {}
        };
        within("some rows", some).await;
        world.cluster.stop(signal).await;
        world.cluster.run().await;
    }
    let (results, _) = followed(&mut client, &id).await;
    assert_succeeded(&results, MANY);
    world.assert_all(MANY).await;
    program.stopped().await;
}

#[tokio::test]
async fn all_or_nothing_is_so_for_who_asks() {
    let settings = "[targets.guests.postgres]\ntable = \"guests\"";
    let Some(world) = World::new(TABLE, settings).await else {
        return;
    };
    let (program, mut client) = world.start().await;
    let mut items: Vec<Item> = (0..800).map(new_item).collect();
    items[222] = new_item(3);
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            atomicity: Atomicity::AllOrNothing.into(),
            ..spec()
        }),
        items,
        wait: Some(false),
        ..BatchSubmitRequest::default()
    };
    let submitted = client.batch_submit(request.clone()).await;
    let batch = submitted.expect("it is accepted").into_inner().batch;
    let (results, _) = followed(&mut client, &batch.expect("a batch").id).await;
    for result in &results {
        let Some(item_result::Outcome::Failure(failure)) = &result.outcome else {
            panic!("{result:?}");
        };
        let expected = match result.index {
            222 => FailureKind::Rejected,
            _ => FailureKind::Aborted,
        };
        assert_eq!(failure.kind(), expected, "{result:?}");
        let status = failure.error.as_ref().expect("an error");
        let says = if result.index == 222 {
            "guests_pkey"
        } else {
            "item 222"
        };
        assert!(status.message.contains(says), "{status:?}");
    }
    assert_eq!(world.cluster.count("SELECT count(*) FROM guests").await, 0);
    let request = BatchSubmitRequest {
        items: (0..800).map(new_item).collect(),
        ..request
    };
    let submitted = client.batch_submit(request).await;
    let batch = submitted.expect("it is accepted").into_inner().batch;
    let (results, _) = followed(&mut client, &batch.expect("a batch").id).await;
    assert_succeeded(&results, 800);
    world.assert_all(800).await;
    program.stopped().await;
}

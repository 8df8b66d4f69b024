//! Flowgate's own rooms around a target that costs nothing: what accepting,
//! dispatching, settling and telling take, whatever the downstream.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use flowgate::config::Config;
use flowgate::feed::Feed;
use flowgate::intake::{Intake, Limits};
use flowgate::lane::{Lane, LaneSpec};
use flowgate::model::{Answer, Chunk, Form, Item, Payload, Refusal, Reply};
use flowgate::observe::Board;
use flowgate::rpc::{self, Rooms, ServeSpec};
use flowgate::store::{MemoryStore, SqliteStore, Store};
use flowgate::target::{Catalog, Entry, Target, Wire};
use flowgate::wake::Wake;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::server::TARGET;
use crate::worker;

/// Where its batches live.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Keeps {
    /// In an SQLite file.
    OnDisk,
    /// In memory.
    InMemory,
}

/// Says of each item of a chunk at once that it succeeded.
struct AtOnce;

impl Target for AtOnce {
    fn admit(&self, _: &Item) -> Result<(), Refusal> {
        Ok(())
    }

    fn operation(&self) -> String {
        "nothing".to_owned()
    }

    fn repeatable_for(&self, _: &Item) -> Duration {
        Duration::MAX
    }

    fn honours_keys(&self) -> bool {
        false
    }

    fn send(self: Arc<Self>, chunk: Chunk, wire: Wire) -> BoxFuture<'static, ()> {
        async move {
            let items = u32::try_from(chunk.items.len()).unwrap_or(u32::MAX);
            // One request for all of them, as a batch endpoint takes.
            let Ok(mut permit) = wire.permit(0..items).await else {
                return;
            };
            permit.written();
            permit.answered(flowgate::target::Hints::default());
            for at in 0..items {
                wire.reply(at, succeeded());
            }
        }
        .boxed()
    }
}

fn succeeded() -> Reply {
    Reply::Ok(Answer {
        status: 201,
        body: Some(Payload {
            form: Form::Raw,
            content_type: None,
            body: Bytes::from_static(br#"{"id":"i-1"}"#),
        }),
        truncated: false,
    })
}

/// Plays it: as [`flowgate::app`] starts a server, with another target.
pub async fn play(keeps: Keeps) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let text = format!(
        "[targets.{TARGET}]\nkind = \"http\"\nurl = \"http://127.0.0.1:1\"\npath = \"/\"\n"
    );
    let mut config = Config::parse(&text, folder.path(), &|_| None)?;
    let entry = Entry {
        config: config.targets.pop().context("no target")?,
        quota: config.quotas.pop().context("no quota")?,
        target: Arc::new(AtOnce),
    };
    let catalog = Catalog::new([entry]);
    let store: Arc<dyn Store> = match keeps {
        Keeps::OnDisk => Arc::new(SqliteStore::open(&folder.path().join("flowgate.db"))?),
        Keeps::InMemory => Arc::new(MemoryStore::new()),
    };
    let (wake, drain) = (Wake::default(), CancellationToken::new());
    let lane = Lane::new(
        store.clone(),
        wake.clone(),
        LaneSpec {
            targets: catalog.all().cloned().collect(),
            hold_until: None,
            charged: false,
            spent: Vec::new(),
            seed: 1,
        },
    );
    let board = Board::new(lane.gauges().into_iter().collect());
    let intake = Intake::new(
        store.clone(),
        wake.clone(),
        catalog.clone(),
        Limits::default(),
    );
    let rooms = Rooms {
        feed: Feed::new(store.clone(), wake),
        intake,
        store,
        catalog,
        board,
        drain: drain.clone(),
        heartbeat: Duration::from_secs(15),
        streams: Arc::new(Semaphore::new(1_000)),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let serve = ServeSpec {
        max_calls: 1_000,
        max_connections: 100,
        max_streams: 1_000,
    };
    let mut asked = worker::Asked::ready(port).await?;
    tokio::select! {
        driven = lane.drive(drain) => driven?,
        served = rpc::serve(rooms, listener, serve, std::future::pending()) => served?,
        _ = asked.next::<()>() => {}
    }
    Ok(())
}

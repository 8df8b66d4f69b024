//! The `postgres` target among the kinds: all items of a chunk in one statement,
//! to a real server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowgate::config::{Config, PostgresAddress, PostgresConfig, TargetKind};
use flowgate::model::Item;
use flowgate::target::{Bulk, Postgres, Target};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::faults::withstands_every_fault;
use crate::kinds::Kind;
use crate::support::postgres::Cluster;
use crate::world::items;

#[tokio::test]
async fn postgres() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    // Not unique, so that what is done twice shows.
    cluster.run_sql("CREATE TABLE guests (n int)").await;
    let bridge = Bridge::start(&cluster).await;
    withstands_every_fault(&Rows { cluster, bridge }).await;
}

/// A way to the server's socket by TCP. Stops when it is dropped.
struct Bridge {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl Bridge {
    async fn start(cluster: &Cluster) -> Bridge {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let socket = cluster.folder().join(".s.PGSQL.5432");
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, socket.clone()));
            }
        });
        Bridge { address, listening }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(mut client: TcpStream, socket: PathBuf) {
    let mut server = UnixStream::connect(socket).await.expect("the server");
    // Either may go away as it likes.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

struct Rows {
    cluster: Cluster,
    bridge: Bridge,
}

impl Rows {
    fn config(&self) -> PostgresConfig {
        let url = self.cluster.url();
        let text = format!(
            r#"
            [targets.guests]
            kind = "postgres"
            url = "{url}"
            [targets.guests.postgres]
            table = "guests"
            "#
        );
        let config = Config::parse(&text, Path::new("/"), &|_| None);
        let mut config = config.unwrap_or_else(|error| panic!("{error}"));
        match config.targets.remove(0).kind {
            TargetKind::Postgres(config) => *config,
            other => panic!("{other:?}"),
        }
    }
}

impl Kind for Rows {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn upstream(&self) -> SocketAddr {
        self.bridge.address
    }

    fn target(&self, at: SocketAddr, timeout: Duration) -> Arc<dyn Target> {
        let mut config = self.config();
        config.connect.address = PostgresAddress::Tcp(at.ip().to_string(), at.port());
        config.connect.connect_timeout = timeout;
        config.timeout = timeout;
        // Outside of the runtime, nobody looks at the table in the background:
        // that connection would be what meets the fault.
        let made = std::thread::spawn(|| Postgres::new(config));
        let made = made
            .join()
            .expect("a target")
            .expect("a good configuration");
        Arc::new(Bulk::new(made))
    }

    fn items(&self, count: u32) -> Vec<Item> {
        let mut items = items(count);
        for item in &mut items {
            let row = format!(r#"{{"n": {}}}"#, item.index);
            item.payload.as_mut().expect("a payload").body = Bytes::from(row);
        }
        items
    }

    fn done(&self, count: u32) -> BoxFuture<'_, Vec<usize>> {
        async move {
            let done = self.cluster.texts("SELECT n::text FROM guests").await;
            self.cluster.run_sql("TRUNCATE guests").await;
            let names = (0..count).map(|n| n.to_string());
            let times = names.map(|name| done.iter().filter(|n| **n == name).count());
            times.collect()
        }
        .boxed()
    }

    fn at_risk(&self) -> usize {
        usize::MAX
    }

    // A message of the server's is read to its end, or for as long as the
    // time-out: tokio-postgres has no bound for one.
    fn patience_bytes(&self) -> u64 {
        u64::MAX
    }
}

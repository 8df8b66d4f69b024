//! The `grpc` target among the kinds: one call an item, all on one connection,
//! to a service that tonic serves.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowgate::config::{Config, GrpcConfig, TargetKind};
use flowgate::model::Item;
use flowgate::target::{Each, Grpc, Target};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::faults::withstands_every_fault;
use crate::kinds::Kind;
use crate::world::items;

#[path = "../grpc/guests.rs"]
#[allow(dead_code, reason = "the tests of the kind use the rest")]
mod guests;

use guests::{CREATE, Guests, Server, pool, serve};

#[tokio::test]
async fn grpc() {
    let guests = Guests::default();
    let server = serve(guests.router(), 0).await;
    withstands_every_fault(&Calls { guests, server }).await;
}

struct Calls {
    guests: Guests,
    server: Server,
}

impl Calls {
    fn config(&self) -> GrpcConfig {
        let base = &self.server.base;
        let text = format!(
            r#"
            [targets.guests]
            kind = "grpc"
            url = "{base}"
            limits = ["100/s"]
            grpc.method = "{CREATE}"
            "#
        );
        let config = Config::parse(&text, Path::new("/"), &|_| None);
        let mut config = config.unwrap_or_else(|error| panic!("{error}"));
        match config.targets.remove(0).kind {
            TargetKind::Grpc(config) => *config,
            other => panic!("{other:?}"),
        }
    }
}

impl Kind for Calls {
    fn name(&self) -> &'static str {
        "grpc"
    }

    fn upstream(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.server.port).into()
    }

    fn target(&self, at: SocketAddr, timeout: Duration) -> Arc<dyn Target> {
        let mut config = self.config();
        config.connect.base = format!("http://{at}").parse().expect("an address");
        config.timeout = timeout;
        // Asked of the target itself, they would be what meets the fault.
        config.descriptors = Some(pool());
        let grpc = Grpc::new(&config).expect("a good configuration");
        Arc::new(Each::new(grpc))
    }

    fn items(&self, count: u32) -> Vec<Item> {
        let mut items = items(count);
        for item in &mut items {
            let guest = format!(r#"{{"name": "{}", "email": "a@example.com"}}"#, item.index);
            item.payload.as_mut().expect("a payload").body = Bytes::from(guest);
        }
        items
    }

    fn done(&self, count: u32) -> BoxFuture<'_, Vec<usize>> {
        let taken = std::mem::take(&mut *self.guests.taken.lock().unwrap());
        let names = (0..count).map(|n| n.to_string());
        let times = names.map(|name| taken.iter().filter(|guest| guest.name == name).count());
        let times = times.collect();
        async move { times }.boxed()
    }
}

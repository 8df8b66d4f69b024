//! What an item is known by, when it may be repeated, and a panic at one.

use std::sync::Arc;
use std::time::Duration;

use flowgate::config::HttpConfig;
use flowgate::model::{Item, Operation, Refusal, Reply};
use flowgate::target::{Each, Permit, Single, Target};
use futures_util::future::BoxFuture;
use http::HeaderName;

use crate::support::http_target::{Act, HttpTarget};
use crate::world::*;

#[tokio::test]
async fn a_key_is_the_items_own_or_the_same_on_every_try() {
    let server = HttpTarget::start(|_| Act::answer(200, "{}")).await;
    let target = target(&config(&server.base()));
    let mut both = items(2);
    both[0].key = Some("my-key".to_owned());
    for _ in 0..2 {
        start(&target, both.clone(), 1).finish().await;
    }
    let keys: Vec<Option<String>> = server
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").map(str::to_owned))
        .collect();
    let made_up = format!("flowgate-{}-1", batch());
    let expected = ["my-key", &made_up, "my-key", &made_up].map(|key| Some(key.to_owned()));
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn what_is_safe_to_repeat_follows_the_configuration_and_the_method() {
    let call = |method: &str| Item {
        operation: Operation::Http(flowgate::model::HttpCall {
            method: method.to_owned(),
            ..Default::default()
        }),
        ..items(1).remove(0)
    };
    let plain = HttpConfig {
        idempotency_header: None,
        ..config("http://127.0.0.1")
    };
    let target_with = |change: fn(&mut HttpConfig)| {
        let mut config = HttpConfig {
            idempotency_header: None,
            ..config("http://127.0.0.1")
        };
        change(&mut config);
        target(&config)
    };
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(
            target(&plain).repeatable_for(&call(method)),
            Duration::MAX,
            "{method}"
        );
        let strict = target_with(|config| config.idempotent_methods = false);
        assert_eq!(
            strict.repeatable_for(&call(method)),
            Duration::ZERO,
            "{method}"
        );
    }
    for method in ["", "POST", "PATCH"] {
        assert_eq!(
            target(&plain).repeatable_for(&call(method)),
            Duration::ZERO,
            "{method}"
        );
        let repeatable = target_with(|config| config.repeatable = true);
        assert_eq!(
            repeatable.repeatable_for(&call(method)),
            Duration::MAX,
            "{method}"
        );
        let keyed = target_with(|config| {
            config.idempotency_header = Some(HeaderName::from_static("key"));
        });
        assert_eq!(
            keyed.repeatable_for(&call(method)),
            Duration::from_hours(24),
            "{method}"
        );
    }
}

/// Panics at item 1 before it writes, and at item 2 after.
struct Panics;

impl Single for Panics {
    fn admit(&self, _item: &Item) -> Result<(), Refusal> {
        Ok(())
    }

    fn operation(&self) -> String {
        "none".to_owned()
    }

    fn repeatable_for(&self, _item: &Item) -> Duration {
        Duration::ZERO
    }

    fn honours_keys(&self) -> bool {
        false
    }

    fn call<'a>(
        &'a self,
        item: &'a Item,
        _key: flowgate::target::Key<'a>,
        mut permit: Permit,
    ) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            assert_ne!(item.index, 1, "on purpose");
            permit.written();
            assert_ne!(item.index, 2, "on purpose");
            Reply::Ok(flowgate::model::Answer::default())
        })
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_item_only() {
    let target: Arc<dyn Target> = Arc::new(Each::new(Panics));
    let fates: Vec<String> = send(&target, items(4)).await.iter().map(own).collect();
    assert_eq!(
        fates,
        ["ok 0", "unsent INTERNAL", "unknown INTERNAL", "ok 0"]
    );
}

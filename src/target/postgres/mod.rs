//! A `PostgreSQL` database: rows of a table, or calls of a function. A request
//! is one statement, or one transaction of few.
//!
//! In the good case it is one round trip. Where an item's data is at fault,
//! `bisect` finds it under savepoints, and the others are done. With a dedupe
//! table, an item's key is written in the transaction that does the item, and
//! what became of a lost answer is looked up.

mod bisect;
mod connect;
mod fault;
mod groups;
mod job;
mod keys;
mod rows;
mod run;
mod session;
mod sql;
mod table;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::{Bounds, Many, Permit, Said, Together};
use crate::config::{Dedupe, PostgresConfig, PostgresWork, RowOperation};
use crate::model::{Action, Cause, Item, Operation, Refusal, Reply, Verb};
use connect::Dialer;
use fault::told;
use job::Known;
use session::{Pool, Session};
use table::{Table, Unfit};

/// Items in one request: what is done all or none of.
const REQUEST_ITEMS: u32 = 10_000;
/// Bytes of payloads in one request.
const REQUEST_BYTES: usize = 8 << 20;
/// The table may have changed; it is not looked at more often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often the table is looked at, and old keys are thrown away.
const UPKEEP: Duration = Duration::from_mins(1);
/// Between two steps of throwing old keys away, and two tries to reach a server
/// that is down.
const PAUSE: Duration = Duration::from_millis(200);
const DOWN_PAUSE: Duration = Duration::from_secs(5);

/// A `PostgreSQL` database. Cheap to clone.
#[derive(Clone)]
pub struct Postgres {
    inner: Arc<Inner>,
}

struct Inner {
    config: PostgresConfig,
    pool: Pool,
    known: Mutex<Option<(Known, Instant)>>,
    /// An item named a column that is not known.
    doubts: Notify,
}

impl Postgres {
    /// A database; what it has is looked at in the background.
    ///
    /// # Errors
    ///
    /// What of the configuration TLS does not take.
    pub fn new(config: PostgresConfig) -> Result<Postgres, String> {
        let dialer = Dialer::new(&config.connect, config.timeout);
        let dialer = dialer.map_err(|error| error.to_string())?;
        let inner = Arc::new(Inner {
            pool: Pool::new(dialer, config.timeout),
            config,
            known: Mutex::default(),
            doubts: Notify::new(),
        });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(upkeep(Arc::downgrade(&inner)));
        }
        Ok(Postgres { inner })
    }
}

impl Inner {
    /// What is known of the table or function; read, where it is not.
    async fn known(&self, session: &mut Session) -> Result<Known, Reply> {
        match self.known_now() {
            Some(known) => Ok(known),
            None => self.learn(session).await,
        }
    }

    fn known_now(&self) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|(known, _)| known.clone())
    }

    /// Whether what is known is not from just now.
    fn may_have_changed(&self) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .as_ref()
            .is_none_or(|(_, at)| at.elapsed() >= LOOK_AGAIN)
    }

    /// Reads it anew.
    async fn learn(&self, session: &mut Session) -> Result<Known, Reply> {
        let read = async {
            match &self.config.work {
                PostgresWork::Table(config) => {
                    let table = Table::read(session.client(), config).await?;
                    Ok(Known::Table(Arc::new(table)))
                }
                PostgresWork::Function(name) => {
                    let returns = table::function(session.client(), name).await?;
                    Ok(Known::Function(returns))
                }
            }
        };
        let cause = |reason: &str, message: String| {
            Box::new(Cause {
                reason: reason.to_owned(),
                message,
                ..Cause::default()
            })
        };
        match timeout(self.config.timeout, read).await {
            Ok(Ok(known)) => {
                let mut place = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                *place = Some((known.clone(), Instant::now()));
                Ok(known)
            }
            Ok(Err(Unfit::Wrong(message))) => {
                Err(Reply::Fault(cause("TARGET_MISCONFIGURED", message)))
            }
            Ok(Err(Unfit::Failed(error))) => {
                let message = format!("the catalogue cannot be read: {}", told(&error));
                Err(Reply::Unsent(cause("CATALOGUE_UNREAD", message)))
            }
            Err(_) => {
                session.give_up();
                let message = "the catalogue cannot be read: no answer".to_owned();
                Err(Reply::Unsent(cause("CATALOGUE_UNREAD", message)))
            }
        }
    }

    /// Looks at the table, and throws old keys away.
    async fn look_after(&self) -> Result<(), String> {
        let taken = self.pool.take().await;
        let mut session = taken.map_err(|unreachable| unreachable.gone.message)?;
        let learnt = self.learn(&mut session).await;
        if let Err(Reply::Fault(cause) | Reply::Unsent(cause)) = learnt {
            return Err(cause.message);
        }
        if let Some(dedupe) = &self.config.dedupe {
            while keys::forget_some(&session, dedupe, &self.config.name)
                .await
                .map_err(|error| format!("old keys cannot be thrown away: {}", told(&error)))?
            {
                sleep(PAUSE).await;
            }
        }
        self.pool.put(session);
        Ok(())
    }
}

/// Looks after a database for as long as somebody uses it.
async fn upkeep(inner: Weak<Inner>) {
    let mut was_told = false;
    loop {
        let Some(held) = inner.upgrade() else { return };
        let looked = held.look_after().await;
        if let (Err(why), false) = (&looked, was_told) {
            let target = &held.config.name;
            tracing::warn!(%target, "{why}");
        }
        was_told = looked.is_err();
        let pause = match looked {
            Ok(()) => UPKEEP,
            Err(_) => DOWN_PAUSE,
        };
        let doubts = timeout(pause, held.doubts.notified()).await;
        drop(held);
        if doubts.is_ok() {
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Many for Postgres {
    fn admit(&self, item: &Item) -> Result<(), Refusal> {
        let config = match &self.inner.config.work {
            PostgresWork::Table(config) => config,
            PostgresWork::Function(_) => return rows::call(item).map(drop),
        };
        let known = self.inner.known_now();
        let table = match &known {
            Some(Known::Table(table)) => Some(&**table),
            _ => None,
        };
        let read = rows::row(item, config, table).map(drop);
        if read
            .as_ref()
            .is_err_and(|wrong| wrong.reason == "UNKNOWN_COLUMN")
        {
            self.inner.doubts.notify_one();
        }
        read
    }

    fn operation(&self) -> String {
        match &self.inner.config.work {
            PostgresWork::Table(table) => {
                format!("{} {}", table.operation.name(), table.name.plain())
            }
            PostgresWork::Function(name) => format!("call {}", name.plain()),
        }
    }

    fn repeatable_for(&self, item: &Item) -> Duration {
        let config = &self.inner.config;
        if config.repeatable {
            return Duration::MAX;
        }
        if let Some(Dedupe { keep, .. }) = &config.dedupe {
            return *keep;
        }
        let PostgresWork::Table(table) = &config.work else {
            return Duration::ZERO;
        };
        let operation = match &item.operation {
            Operation::Target => table.operation,
            Operation::Action(Action { verb, .. }) => match verb {
                Verb::Create => RowOperation::Create,
                Verb::Update => RowOperation::Update,
                Verb::Delete => RowOperation::Delete,
            },
            Operation::Http(_) | Operation::Grpc(_) => RowOperation::Create,
        };
        let is_idempotent = match operation {
            RowOperation::Create => false,
            RowOperation::Update | RowOperation::Delete => true,
            // Without its key, it makes another row each time.
            RowOperation::Upsert => match self.inner.known_now() {
                Some(Known::Table(known)) => rows::row(item, table, Some(&known))
                    .is_ok_and(|(shape, row)| rows::upserts_by_key(&known, &shape, &row)),
                _ => false,
            },
        };
        match config.idempotent_operations && is_idempotent {
            true => Duration::MAX,
            false => Duration::ZERO,
        }
    }

    fn honours_keys(&self) -> bool {
        self.inner.config.dedupe.is_some()
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            items: REQUEST_ITEMS,
            bytes: REQUEST_BYTES,
        }
    }

    fn atomic_items(&self) -> Option<u32> {
        Some(REQUEST_ITEMS)
    }

    fn bytes(&self, item: &Item) -> usize {
        const OVERHEAD: usize = 64;
        item.payload
            .as_ref()
            .map_or(0, |payload| payload.body.len())
            + OVERHEAD
    }

    fn call<'a>(&'a self, request: Together<'a>, permit: &'a mut Permit) -> BoxFuture<'a, Said> {
        run::run(&self.inner, request, permit).boxed()
    }
}

/// The statements that make the dedupe table, where it is not there; `None`
/// for a target without one.
pub fn dedupe_sql(config: &PostgresConfig) -> Option<String> {
    config.dedupe.as_ref().map(keys::create_sql)
}

/// Makes the dedupe table of a target, where it is not there.
///
/// # Errors
///
/// Why it cannot be made.
pub async fn make_dedupe_table(config: &PostgresConfig) -> Result<(), String> {
    let Some(text) = dedupe_sql(config) else {
        return Ok(());
    };
    let dialer = Dialer::new(&config.connect, config.timeout);
    let dialer = dialer.map_err(|error| error.to_string())?;
    let session = Pool::new(dialer, config.timeout).take().await;
    let session = session.map_err(|unreachable| unreachable.gone.message)?;
    let made = session.client().batch_execute(&text).await;
    made.map_err(|error| told(&error))
}

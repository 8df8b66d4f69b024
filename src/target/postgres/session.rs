//! Connections that are kept, and statements over them: what came back, or
//! what the failure proves. Knows nothing of items.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::{MaybeDone, maybe_done};
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use super::connect::{Dialed, Dialer, Unreachable};
use super::fault::{Gone, Trouble};

/// A connection that nobody used for so long is tried before it is used: a
/// firewall may have forgotten it without a word.
const STALE: Duration = Duration::from_secs(30);
/// How much later than the server's own time-out this side gives up, at most.
const GRACE: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const PREPARED_MAX: usize = 64;

/// Connections that are ready, beside those that are in use.
pub(super) struct Pool {
    dialer: Arc<Dialer>,
    idle: Mutex<Vec<Session>>,
    patience: Duration,
}

/// A connection.
pub(super) struct Session {
    dialed: Dialed,
    dialer: Arc<Dialer>,
    statements: HashMap<String, Statement>,
    used: Instant,
    patience: Duration,
    /// What it does is not known any more, or not wanted.
    is_broken: AtomicBool,
}

/// A statement with its parameters, ready to be sent.
pub(super) struct Ready<'p> {
    how: How,
    params: Params<'p>,
}

enum How {
    Prepared(Statement),
    Text(String),
}

/// Parameters: lists of texts, and a text after them.
#[derive(Clone, Default)]
pub(super) struct Params<'p> {
    pub lists: Vec<Vec<Option<&'p str>>>,
    pub last: Option<&'p str>,
}

impl Params<'_> {
    fn types(&self) -> Vec<Type> {
        let lists = self.lists.iter().map(|_| Type::TEXT_ARRAY);
        lists.chain(self.last.map(|_| Type::TEXT)).collect()
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        let lists = self.lists.iter().map(|list| list as &(dyn ToSql + Sync));
        let last = self.last.as_ref().map(|last| last as &(dyn ToSql + Sync));
        lists.chain(last).collect()
    }
}

impl Pool {
    /// No connections yet. A statement takes at most so long.
    pub fn new(dialer: Dialer, statement: Duration) -> Pool {
        Pool {
            dialer: Arc::new(dialer),
            idle: Mutex::default(),
            patience: statement + GRACE.min(statement),
        }
    }

    /// A connection that works, as far as can be told.
    pub async fn take(&self) -> Result<Session, Unreachable> {
        while let Some(session) = self.pop() {
            if session.works().await {
                return Ok(session);
            }
        }
        Ok(Session {
            dialed: self.dialer.dial().await?,
            dialer: self.dialer.clone(),
            statements: HashMap::new(),
            used: Instant::now(),
            patience: self.patience,
            is_broken: AtomicBool::new(false),
        })
    }

    /// Gives one back that no transaction is open on.
    pub fn put(&self, mut session: Session) {
        if session.is_broken.load(Relaxed) || session.client().is_closed() {
            return;
        }
        session.used = Instant::now();
        self.lock().push(session);
    }

    fn pop(&self) -> Option<Session> {
        self.lock().pop()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        // Nothing in it can be half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// The connection, for what is asked once.
    pub fn client(&self) -> &Client {
        &self.dialed.client
    }

    /// Forgets what was prepared: the table has changed.
    pub fn forget(&mut self) {
        self.statements.clear();
    }

    /// It is not used for anything else.
    pub fn give_up(&self) {
        self.is_broken.store(true, Relaxed);
    }

    async fn works(&self) -> bool {
        if self.used.elapsed() > STALE {
            let asked = timeout(GRACE, self.client().check_connection()).await;
            return matches!(asked, Ok(Ok(())));
        }
        !self.client().is_closed()
    }

    /// A statement with its parameters. `once`: it is not worth preparing.
    pub async fn ready<'p>(
        &mut self,
        text: &str,
        params: Params<'p>,
        once: bool,
    ) -> Result<Ready<'p>, Trouble> {
        if let Some(statement) = self.statements.get(text) {
            let how = How::Prepared(statement.clone());
            return Ok(Ready { how, params });
        }
        if once {
            let how = How::Text(text.to_owned());
            return Ok(Ready { how, params });
        }
        let types = params.types();
        let prepared = async {
            let prepared = self.client().prepare_typed(text, &types).await;
            prepared.map_err(|error| Trouble::of(&error, false, false))
        };
        let prepared = self.within(prepared).await;
        let statement = prepared.map_err(Trouble::before_commit)?;
        if self.statements.len() >= PREPARED_MAX {
            self.statements.clear();
        }
        self.statements.insert(text.to_owned(), statement.clone());
        let how = How::Prepared(statement);
        Ok(Ready { how, params })
    }

    /// Runs statements in one transaction, all in one go: what begins it, those,
    /// and what ends it. The rows of each.
    pub async fn all(
        &self,
        begin: Option<&str>,
        statements: &[Ready<'_>],
        end: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        type Step<'s> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Trouble>> + Send + 's>>;
        let simple = |text, is_end| Box::pin(self.simple(text, is_end)) as Step<'_>;
        let first = begin.map(|text| simple(text, false));
        let mut steps: Vec<Step<'_>> = first.into_iter().collect();
        steps.extend(
            statements
                .iter()
                .map(|ready| Box::pin(self.rows(ready)) as Step<'_>),
        );
        steps.extend(end.map(|text| simple(text, true)));
        let count = steps.len();
        let done = self.within(async { Ok(in_order(steps).await) }).await?;
        let mut rows = Vec::with_capacity(statements.len());
        // The first failure is the one that counts: those after it follow from it.
        for (at, result) in done.into_iter().enumerate() {
            let is_end = end.is_some() && at + 1 == count;
            let mut result = result?;
            if !(is_end || begin.is_some() && at == 0) {
                rows.push(std::mem::take(&mut result));
            }
        }
        Ok(rows)
    }

    /// One statement without rows.
    pub async fn simply(&self, text: &str) -> Result<(), Trouble> {
        self.within(self.simple(text, true)).await.map(drop)
    }

    async fn simple(&self, text: &str, is_end: bool) -> Result<Vec<Row>, Trouble> {
        let before = self.written();
        let done = self.client().batch_execute(text).await;
        done.map_err(|error| Trouble::of(&error, is_end, self.written() == before))?;
        Ok(Vec::new())
    }

    async fn rows(&self, ready: &Ready<'_>) -> Result<Vec<Row>, Trouble> {
        let before = self.written();
        let failed =
            |error: &Error, is_ending| Trouble::of(error, is_ending, self.written() == before);
        let values = ready.params.values();
        let stream = match &ready.how {
            How::Prepared(statement) => self.client().query_raw(statement, values).await,
            How::Text(text) => {
                let values = values.into_iter().zip(ready.params.types());
                self.client().query_typed_raw(text, values).await
            }
        };
        let mut stream = pin!(stream.map_err(|error| failed(&error, false))?);
        let mut rows = Vec::new();
        loop {
            match stream.try_next().await {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => return Ok(rows),
                Err(error) => return Err(failed(&error, stream.rows_affected().is_some())),
            }
        }
    }

    /// Waits no longer than the server is to take, and then has it give up.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        if let Ok(done) = timeout(self.patience, work).await {
            return done;
        }
        self.give_up();
        let (dialer, token) = (self.dialer.clone(), self.client().cancel_token());
        tokio::spawn(async move { dialer.cancel(token).await });
        Err(Trouble::Lost(Gone {
            reason: "TIMEOUT".to_owned(),
            message: format!("no answer within {} ms", self.patience.as_millis()),
        }))
    }

    fn written(&self) -> u64 {
        self.dialed.written.load(Relaxed)
    }
}

/// Waits for all of them. Each is begun in its turn, so that what they send goes
/// out in that order, and at once.
async fn in_order<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output>
where
    F::Output: Unpin,
{
    let mut waiting: Vec<MaybeDone<F>> = futures.into_iter().map(maybe_done).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for future in &mut waiting {
            is_done &= Pin::new(future).poll(cx).is_ready();
        }
        match is_done {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    let taken = waiting
        .iter_mut()
        .map(|future| Pin::new(future).take_output());
    taken.flatten().collect()
}

//! What outlives the server: its folder, its target, and what is noted.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::process::Command;

use crate::checker::Run;
use crate::ledger::{KEY, Ledger};
use crate::notes::Notes;
use crate::support::http_target::HttpTarget;
use crate::support::program::{self, Program};
use crate::work::{PLAIN, SAFE};

/// A folder, a target and notes.
pub struct Site {
    pub folder: TempDir,
    pub notes: Notes,
    pub target: HttpTarget,
}

impl Site {
    pub async fn new() -> Site {
        Site::with("", Run::default()).await
    }

    /// One whose configuration says this too, with the target's address for
    /// `URL`, and whose run begins so.
    pub async fn with(settings: &str, run: Run) -> Site {
        let notes = Notes::new(run);
        let ledger = Arc::new(Ledger::new(notes.clone()));
        let target = HttpTarget::start(move |request| ledger.answer(request)).await;
        let site = Site {
            folder: TempDir::new().expect("a folder"),
            notes,
            target,
        };
        let base = site.target.base();
        // Little at once, so that there is much in between; and so many tries
        // that crashes do not use them up.
        let common = format!(
            r#"
            kind = "http"
            url = "{base}"
            concurrency = 6
            chunk_items = 7
            retry = {{ attempts = 20, base = "1ms", max = "4ms" }}
            breaker = {{ pause = "2ms", max_pause = "8ms" }}
            "#
        );
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            drain = "20s"
            heartbeat = "500ms"
            [store]
            path = "flowgate.db"
            [targets.{PLAIN}]
            path = "/{PLAIN}"
            {common}
            [targets.{SAFE}]
            path = "/{SAFE}"
            idempotency_header = "{KEY}"
            {common}
            {}
            "#,
            settings.replace("URL", &base)
        );
        std::fs::write(site.config(), text).expect("the folder can be written to");
        site
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("flowgate.toml")
    }

    /// The store's file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("flowgate.db")
    }

    /// The log beside it, in which everything is first.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("flowgate.db-wal")
    }

    /// A server on what the one before it left.
    pub async fn start(&self) -> Program {
        self.start_by(program::serve(&self.config())).await
    }

    pub async fn start_by(&self, command: Command) -> Program {
        let started = Program::start(command).await;
        started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}"))
    }
}

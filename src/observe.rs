//! What operators see of the running parts.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use crate::model::{LaneStatus, TargetName};

/// Answers how one target is doing, as of now.
pub type Gauge = Arc<dyn Fn() -> LaneStatus + Send + Sync>;

/// How each target is doing: the lanes put it up, the API reads it.
#[derive(Clone, Default)]
pub struct Board {
    gauges: Arc<HashMap<TargetName, Gauge>>,
}

impl Board {
    /// A board with a gauge for each target.
    pub fn new(gauges: HashMap<TargetName, Gauge>) -> Board {
        Board {
            gauges: Arc::new(gauges),
        }
    }

    /// How a target is doing; idle, where nobody has put it up.
    pub fn read(&self, target: &TargetName) -> LaneStatus {
        self.gauges
            .get(target)
            .map_or_else(LaneStatus::default, |gauge| gauge())
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes the log to stderr from now on: what `RUST_LOG` says, or these levels.
/// Once in a process; a second call changes nothing.
pub fn log_to_stderr(levels: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(levels));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .with_env_filter(filter);
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

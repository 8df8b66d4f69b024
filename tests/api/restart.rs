//! The real program, killed and started again on the same store.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::target_service_client::TargetServiceClient;
use flowgate::proto::{BatchSubmitRequest, GetBatchRequest, GetTargetRequest, TargetStatus};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

use crate::support::http_target::{Act, HttpTarget};
use crate::world::{item, spec, submit};

/// A server process, and a connection to it.
struct Program {
    child: Child,
    channel: Channel,
}

impl Program {
    /// Starts it, and waits until it serves.
    async fn start(config: &Path) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flowgate"))
            .args(["serve", "--config"])
            .arg(config)
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program");
        let mut log = BufReader::new(child.stderr.take().expect("a log")).lines();
        let mut said = Vec::new();
        let address = loop {
            let line = log.next_line().await.expect("text");
            let line = line.unwrap_or_else(|| panic!("it ended: {said:?}"));
            if let Some((_, address)) = line.split_once("serving address=") {
                break address.trim().to_owned();
            }
            said.push(line);
        };
        // It never waits for somebody to read what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let endpoint = Channel::from_shared(format!("http://{address}"));
        let channel = endpoint.expect("an address").connect().await;
        Program {
            child,
            channel: channel.expect("a connection"),
        }
    }

    /// Ends it with SIGKILL.
    async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }

    fn batches(&self) -> BatchServiceClient<Channel> {
        BatchServiceClient::new(self.channel.clone())
    }

    async fn status(&self, target: &str) -> TargetStatus {
        let mut targets = TargetServiceClient::new(self.channel.clone());
        let name = target.to_owned();
        let response = targets.get_target(GetTargetRequest { name }).await;
        let target = response.expect("the target").into_inner().target;
        target.expect("the target").status.expect("its status")
    }
}

fn sent(target: &HttpTarget, path: &str) -> usize {
    let requests = target.requests();
    requests.iter().filter(|sent| sent.path == path).count()
}

#[tokio::test]
async fn a_long_limit_that_is_used_up_stays_so_when_the_server_is_killed() {
    let target = HttpTarget::start(|_| Act::answer(201, "")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("flowgate.toml");
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [targets.guests]
        kind = "http"
        url = "{0}"
        path = "/guests"
        limits = ["20/h"]
        [targets.rooms]
        kind = "http"
        url = "{0}"
        path = "/rooms"
        "#,
        target.base()
    );
    std::fs::write(&config, text).expect("the configuration");

    let program = Program::start(&config).await;
    let request = BatchSubmitRequest {
        wait: Some(false),
        ..submit((0..30).map(item).collect())
    };
    let response = program.batches().batch_submit(request).await;
    let batch = response.expect("at once").into_inner().batch;
    let batch_id = batch.expect("a batch").id;
    target.arrived(20).await;
    program.kill().await;

    let program = Program::start(&config).await;
    let status = program.status("guests").await;
    assert_eq!(status.pause_reason, "the limit 20/h is used up");
    let until = status.paused_until.expect("it is paused");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let left = until.seconds - now.expect("after 1970").as_secs().cast_signed();
    // From the end of the minute in which they were sent, or from now.
    assert!(left <= 3_601, "{left}");
    let least = Duration::from_hours(1).as_secs() - target.requests()[0].at.elapsed().as_secs();
    assert!(left >= least.cast_signed() - 2, "{left} of {least}");

    // It serves others meanwhile.
    let rooms = BatchSubmitRequest {
        spec: Some(spec("rooms")),
        ..submit((0..5).map(item).collect())
    };
    let response = program.batches().batch_submit(rooms).await;
    let batch = response.expect("they are sent").into_inner().batch;
    let progress = batch.expect("a batch").progress.expect("progress");
    assert_eq!(progress.succeeded, 5);
    assert_eq!((sent(&target, "/rooms"), sent(&target, "/guests")), (5, 20));

    // Ten were never leased: they wait, and are not in doubt.
    let request = GetBatchRequest { batch_id };
    let response = program.batches().get_batch(request).await;
    let batch = response.expect("the batch").into_inner().batch;
    let progress = batch.expect("the batch").progress.expect("progress");
    assert_eq!((progress.completed, progress.in_flight), (20, 0));
    let waiting = progress.waiting.expect("it waits");
    assert_eq!(waiting.reason, "the limit 20/h is used up");
    assert_eq!(sent(&target, "/guests"), 20);
    program.kill().await;
}

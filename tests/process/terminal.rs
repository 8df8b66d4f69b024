//! The server in a terminal, as who started it there sees it.

use std::io::Write as _;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::support::http_target::{Act, Latch};
use crate::support::patience::{is_long, within};
use crate::support::program::PROGRAM;
use crate::world::{Client, World, items, submit};

/// `flowgate serve` in a terminal of its own, which `script` makes.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: watch::Receiver<String>,
}

impl Terminal {
    /// Opens it, with a request under way; `None` where there is no `script`,
    /// which a long run has to have.
    async fn open(world: &World) -> Option<Terminal> {
        // A shell that stayed would be ended by Ctrl-C itself, and its status be told.
        let line = format!("exec {PROGRAM} serve --config {}", world.config().display());
        let child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line])
            .arg("/dev/null")
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut child) = child else {
            assert!(!is_long(), "a long run needs script(1)");
            let _ = writeln!(std::io::stderr(), "SKIPPED: script(1) is not here");
            return None;
        };
        let mut output = child.stdout.take().expect("it is piped");
        let (shown, screen) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes).await {
                let more = String::from_utf8_lossy(&bytes[..n]).into_owned();
                shown.send_modify(|screen| screen.push_str(&more));
            }
        });
        let keys = child.stdin.take().expect("it is piped");
        let mut terminal = Terminal {
            child,
            keys,
            screen,
        };
        terminal.shows("serving").await;
        let said = terminal.said();
        let (_, address) = said[0].split_once("address=").expect("where it serves");
        let channel = Channel::from_shared(format!("http://{address}"));
        let channel = channel.expect("an address").connect().await;
        let mut client = Client::new(channel.expect("a connection"));
        submit(&mut client, items(1, 0)).await;
        within("a request", world.target.arrived(1)).await;
        Some(terminal)
    }

    async fn shows(&mut self, words: &str) {
        // A line is shown whole.
        let has_words = |screen: &String| {
            let found = screen.split_once(words);
            found.is_some_and(|(_, rest)| rest.contains('\n'))
        };
        let shown = within(words, self.screen.wait_for(has_words)).await.is_ok();
        assert!(shown, "{:?}", self.screen.borrow());
    }

    /// What its lines say, without their times and their colours.
    fn said(&self) -> Vec<String> {
        let screen = self.screen.borrow();
        let line = |line: &str| {
            let mut parts = line.split("\x1b[");
            let mut text = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                text.push_str(part.split_once('m').map_or("", |(_, after)| after));
            }
            let time = text.find("20").filter(|_| text.contains("Z "));
            let end = text.find("Z ").map_or(0, |at| at + 2);
            text.replace_range(time.unwrap_or(end)..end, "");
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        screen.lines().map(line).collect()
    }

    async fn press_ctrl_c(&mut self) {
        self.keys.write_all(b"\x03").await.expect("it is open");
        self.keys.flush().await.expect("it is open");
    }

    async fn status(&mut self) -> Option<i32> {
        let ended = within("the program ends", self.child.wait()).await;
        ended.expect("it can be waited for").code()
    }
}

#[tokio::test]
async fn ctrl_c_says_how_long_it_may_take_and_how_to_end_it_at_once() {
    let latch = Latch::default();
    let held = latch.clone();
    let world = World::new("90s", move |_| Act::answer(201, "").after(&held)).await;
    let Some(mut terminal) = Terminal::open(&world).await else {
        return;
    };
    let coloured = terminal.screen.borrow().contains("\x1b[");
    assert!(coloured, "{:?}", terminal.screen.borrow());
    terminal.press_ctrl_c().await;
    terminal.shows("draining").await;
    latch.open();
    assert_eq!(terminal.status().await, Some(0));
    terminal.shows("drained").await;
    let said = terminal.said();
    assert_eq!(
        said[1..],
        [
            "^C INFO draining, for up to 90s; a second signal ends it at once",
            "INFO drained"
        ],
    );
}

#[tokio::test]
async fn ctrl_c_again_ends_it_at_once() {
    let world = World::new("1h", |_| Act::Silence).await;
    let Some(mut terminal) = Terminal::open(&world).await else {
        return;
    };
    terminal.press_ctrl_c().await;
    terminal.shows("draining").await;
    terminal.press_ctrl_c().await;
    terminal
        .shows("error: ended at once, by a second signal")
        .await;
    assert_eq!(terminal.status().await, Some(1));
}

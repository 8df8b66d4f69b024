//! A run over several lives of the server, and what is looked at when it is
//! over.

use tokio::process::Command;
use tonic::transport::Channel;

use crate::checker::Fact;
use crate::client::{Client, Gone, follow, look};
use crate::oracle;
use crate::site::Site;
use crate::support::patience::within;
use crate::support::program::{Ended, Program};

/// What becomes of one life of the server.
pub enum Life {
    /// All clients came to the end of their batches, and it goes on.
    Over(Program),
    /// It ended before that.
    Ended(Ended),
}

impl Life {
    /// The server, which has no reason to end.
    pub fn over(self) -> Program {
        match self {
            Life::Over(program) => program,
            Life::Ended(ended) => panic!("nothing was done to it, and it ended: {ended:?}"),
        }
    }
}

/// Starts a server and has all clients go on, until they are done or it ends.
/// It may end before it serves.
pub async fn live(site: &Site, clients: &mut [Client], command: Command, fuse: u64) -> Life {
    let program = match Program::start(command).await {
        Ok(program) => program,
        Err(ended) => return Life::Ended(ended),
    };
    site.notes.light(fuse, program.process());
    let gone = go(clients, &program).await;
    let still_burns = site.notes.put_out();
    match gone {
        Ok(()) if still_burns => Life::Over(program),
        // Or killed at the very last of its events.
        gone => {
            let others = gone == Err(Gone::Shared);
            assert!(!others, "nobody else fills these");
            let ended = program.ended().await;
            let how = format!("{:?}", ended.status);
            site.notes.saw(Fact::Stopped(how));
            Life::Ended(ended)
        }
    }
}

async fn go(clients: &mut [Client], program: &Program) -> Result<(), Gone> {
    let channel = program.connect().await.map_err(|_| Gone::Away)?;
    let going = clients.iter_mut().map(|client| client.go(channel.clone()));
    let ends = futures_util::future::join_all(going);
    let ends = within("the clients' ends", ends).await;
    ends.into_iter().collect()
}

/// Reads everything again: at the end, and by a server that is started anew
/// after a crash. Then checks it all.
pub async fn look_back(site: &Site, clients: &mut [Client], program: Program, crashed: bool) {
    reread(site, clients, &program).await;
    let ended = program.killed().await;
    site.notes.saw(Fact::Stopped(format!("{:?}", ended.status)));
    let program = site.start().await;
    reread(site, clients, &program).await;
    program.stopped().await;
    let batches = clients.iter().flat_map(Client::batches);
    let work: Vec<_> = batches.map(|(_, work)| work).collect();
    oracle::check_all(&site.notes.run(), &work, crashed);
}

/// Reads every batch as it stands, and its log from every place.
async fn reread(site: &Site, clients: &[Client], program: &Program) {
    let channel: Channel = program.connect().await.expect("a connection");
    for (batch, work) in clients.iter().flat_map(Client::batches) {
        let batch = &batch;
        let reading = follow(&site.notes, channel.clone(), batch, 0);
        let last = within("the log's end", reading).await.expect("it is there");
        look(&site.notes, channel.clone(), batch, &work.name, last).await;
        let step = usize::try_from(last / 8 + 1).expect("a short log");
        for after in (1..=last).step_by(step) {
            let reading = follow(&site.notes, channel.clone(), batch, after);
            within("the log's end", reading).await.expect("it is there");
        }
    }
}

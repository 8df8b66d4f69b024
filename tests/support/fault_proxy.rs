//! A TCP proxy that breaks what it carries, at the byte that it is told. It
//! knows no protocol, so that it can stand before any upstream.
//!
//! The fault befalls the first connection; those after it are carried whole, so
//! that a test sees what one fault does to the rest. An upstream is never cut
//! off by it: it is told that no more comes, and is waited for, so that all that
//! it was given is in its ledger before the ledger is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nobody listens.
    Refuse,
    /// Nothing, but every byte comes by itself.
    Trickle,
    /// So many bytes that way are carried; then this happens.
    At(Way, u64, Then),
}

/// A direction, and when its fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the upstream: as soon as so many bytes were carried.
    Request,
    /// From the upstream: when one more byte would be.
    Reply,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The end, in order (FIN).
    Close,
    /// The end at once (RST).
    Reset,
    /// Silence until the client goes away.
    Stall,
    /// Bytes that no protocol has there, then the end.
    Garbage,
    /// Such bytes, until the client goes away.
    Endless,
}

/// Bytes of the first connection, as far as they were the upstream's and the
/// client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    pub request: u64,
    pub reply: u64,
    /// Bytes of garbage that the client took.
    pub garbage: u64,
}

/// A proxy before an upstream. Stops when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    stop: CancellationToken,
    counts: Arc<Counts>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    request: AtomicU64,
    reply: AtomicU64,
    garbage: AtomicU64,
}

impl FaultProxy {
    /// Starts one on a port of its own.
    pub async fn start(upstream: SocketAddr, fault: Fault) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let counts = Arc::new(Counts::default());
        let listening = (fault != Fault::Refuse).then(|| {
            tokio::spawn(listen(
                listener,
                upstream,
                fault,
                stop.clone(),
                counts.clone(),
            ))
        });
        FaultProxy {
            address,
            stop,
            counts,
            listening,
        }
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and waits for the end of those that there are,
    /// which needs their clients to go away; then the upstream has done all that
    /// it ever will.
    pub async fn settled(mut self) -> Carried {
        self.stop.cancel();
        if let Some(listening) = self.listening.take() {
            listening.await.expect("the proxy does not panic");
        }
        Carried {
            request: self.counts.request.load(Relaxed),
            reply: self.counts.reply.load(Relaxed),
            garbage: self.counts.garbage.load(Relaxed),
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

async fn listen(
    listener: TcpListener,
    upstream: SocketAddr,
    fault: Fault,
    stop: CancellationToken,
    counts: Arc<Counts>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (client, _) = accepted.expect("connections can be taken");
        let is_first = counts.connections.fetch_add(1, Relaxed) == 0;
        let fault = match fault {
            Fault::At(..) if !is_first => Fault::None,
            fault => fault,
        };
        connections.spawn(connection(
            client,
            upstream,
            fault,
            is_first,
            counts.clone(),
        ));
    }
    // Whoever waits there is told that nobody comes.
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        ended.expect("no connection panics");
    }
}

async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    fault: Fault,
    is_first: bool,
    counts: Arc<Counts>,
) {
    let _ = client.set_nodelay(true);
    let mut server = TcpStream::connect(upstream).await.expect("an upstream");
    let _ = server.set_nodelay(true);
    let end = {
        let counts = is_first.then_some(&*counts);
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let request = Carrying::of(Way::Request, fault, counts.map(|counts| &counts.request));
        let reply = Carrying::of(Way::Reply, fault, counts.map(|counts| &counts.reply));
        tokio::select! {
            end = request.carry(from_client, to_server) => end,
            end = reply.carry(from_server, to_client) => end,
        }
    };
    match end {
        End::Gone => {
            let _ = client.shutdown().await;
            let_finish(server).await;
        }
        End::Fault(then) => befall(then, client, server, &counts.garbage).await,
    }
}

/// Why a way ends.
enum End {
    /// One of the two has gone, or said that it has no more.
    Gone,
    /// The fault's turn has come.
    Fault(Then),
}

/// One way of a connection.
struct Carrying<'a> {
    way: Way,
    fault: Option<(u64, Then)>,
    /// Bytes that are read at once.
    piece: usize,
    count: Option<&'a AtomicU64>,
}

impl Carrying<'_> {
    fn of(way: Way, fault: Fault, count: Option<&AtomicU64>) -> Carrying<'_> {
        Carrying {
            way,
            fault: match fault {
                Fault::At(at, bytes, then) if at == way => Some((bytes, then)),
                _ => None,
            },
            piece: if fault == Fault::Trickle { 1 } else { 16 << 10 },
            count,
        }
    }

    async fn carry(self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; self.piece];
        let mut left = self.fault.map(|(bytes, _)| bytes);
        loop {
            if let (Way::Request, Some((_, then)), Some(0)) = (self.way, self.fault, left) {
                return End::Fault(then);
            }
            let Ok(read @ 1..) = from.read(&mut buffer).await else {
                return End::Gone;
            };
            let most = left.map_or(read, |left| usize::try_from(left).unwrap_or(read));
            let whole = read.min(most);
            if to.write_all(&buffer[..whole]).await.is_err() {
                return End::Gone;
            }
            left = left.map(|left| left - whole as u64);
            if let Some(count) = self.count {
                count.fetch_add(whole as u64, Relaxed);
            }
            if let Some((_, then)) = self.fault
                && whole < read
            {
                return End::Fault(then);
            }
        }
    }
}

/// Does it to the client; the upstream only hears that no more comes.
async fn befall(then: Then, mut client: TcpStream, server: TcpStream, taken: &AtomicU64) {
    const GARBAGE: &[u8] = b"\0\x16\xff\r\n\xaa{]<garbage>";
    match then {
        Then::Reset => {
            let _ = client.set_zero_linger();
        }
        Then::Close => {
            let _ = client.shutdown().await;
            let_finish(server).await;
            until_gone(&mut client).await;
            return;
        }
        Then::Stall => until_gone(&mut client).await,
        Then::Garbage => {
            let _ = client.write_all(GARBAGE).await;
            let _ = client.shutdown().await;
            until_gone(&mut client).await;
        }
        Then::Endless => {
            let much = GARBAGE.repeat(1000);
            while let Ok(written) = client.write(&much).await {
                taken.fetch_add(written as u64, Relaxed);
            }
        }
    }
    drop(client);
    let_finish(server).await;
}

/// Tells an upstream that no more comes, and waits until it has gone too.
async fn let_finish(mut server: TcpStream) {
    let _ = server.shutdown().await;
    until_gone(&mut server).await;
}

async fn until_gone(socket: &mut TcpStream) {
    let mut bin = vec![0; 16 << 10];
    while let Ok(1..) = socket.read(&mut bin).await {}
}

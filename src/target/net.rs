//! Connects to where a target's name leads, and never to an address that is
//! forbidden. Knows names and sockets; nothing of what is said over them.
//!
//! The address that is judged is the one that is dialled: a name is resolved
//! once for a connection, and nobody resolves it again. An address that is
//! written out is judged as one that a name leads to.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};

use crate::core::address::{Forbidden, forbidden};

/// How long one address is tried before the next is tried beside it, as RFC
/// 8305 advises.
const HEAD_START: Duration = Duration::from_millis(250);

/// No connection: nothing was sent.
#[derive(Clone, Debug)]
pub(in crate::target) struct Unreachable {
    /// `ADDRESS_REFUSED`, `CONNECT_FAILED` or `CONNECT_TIMEOUT`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Unreachable {
    /// For a reason of the system's.
    pub(in crate::target) fn failed(message: String) -> Unreachable {
        Unreachable {
            reason: "CONNECT_FAILED",
            message,
        }
    }
}

impl Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Unreachable {}

/// Connects to the first address of a host that takes it; the families by
/// turns, each with a head start over the next. Dropped, it gives up. It has no
/// time-out of its own.
///
/// # Errors
///
/// As [`resolve`]; or what the last address said.
pub(in crate::target) async fn connect(
    host: &str,
    port: u16,
    allow_link_local: bool,
) -> Result<TcpStream, Unreachable> {
    let addresses = resolve(host, port, allow_link_local).await?;
    let mut next = by_turns(addresses).into_iter();
    let mut tried = FuturesUnordered::new();
    let mut failure = None;
    loop {
        tried.extend(next.next().map(TcpStream::connect));
        tokio::select! {
            Some(attempt) = tried.next() => match attempt {
                Ok(stream) => return ready(stream),
                Err(error) => failure = Some(error),
            },
            () = tokio::time::sleep(HEAD_START), if next.len() > 0 => {}
            else => break,
        }
    }
    let failure = failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    Err(Unreachable::failed(failure.to_string()))
}

/// Small requests go out at once.
fn ready(stream: TcpStream) -> Result<TcpStream, Unreachable> {
    match stream.set_nodelay(true) {
        Ok(()) => Ok(stream),
        Err(error) => Err(Unreachable::failed(error.to_string())),
    }
}

/// The addresses of a host that may be connected to; at least one. The host is
/// a name or an address, in brackets or not.
///
/// # Errors
///
/// `CONNECT_FAILED` when the name leads nowhere, `ADDRESS_REFUSED` when it leads
/// only to forbidden addresses.
pub(in crate::target) async fn resolve(
    host: &str,
    port: u16,
    allow_link_local: bool,
) -> Result<Vec<SocketAddr>, Unreachable> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let found = lookup_host((host, port)).await;
    let found = found
        .map_err(|error| Unreachable::failed(format!("`{host}` has no address: {error}")))?
        .collect();
    permitted(host, found, allow_link_local)
}

/// Leaves out what is forbidden.
fn permitted(
    host: &str,
    found: Vec<SocketAddr>,
    allow_link_local: bool,
) -> Result<Vec<SocketAddr>, Unreachable> {
    let mut refused = None;
    let mut left = Vec::with_capacity(found.len());
    for address in found {
        match forbidden(address.ip()) {
            None => left.push(address),
            Some(Forbidden::LinkLocal) if allow_link_local => left.push(address),
            Some(why) => refused = Some((address, why)),
        }
    }
    match (left.is_empty(), refused) {
        (false, _) => Ok(left),
        (true, Some((address, why))) => Err(Unreachable {
            reason: "ADDRESS_REFUSED",
            message: format!("`{host}` leads to {}, {why}", address.ip()),
        }),
        (true, None) => Err(Unreachable::failed(format!("`{host}` has no address"))),
    }
}

/// The families by turns, beginning with that of the first; each in its order.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        mixed.extend(first.next());
        mixed.extend(second.next());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        let address = |ip: &&str| SocketAddr::new(ip.parse().expect(ip), 80);
        all.iter().map(address).collect()
    }

    fn left(all: &[&str], allow_link_local: bool) -> Result<Vec<SocketAddr>, &'static str> {
        let left = permitted("api.example", addresses(all), allow_link_local);
        left.map_err(|refused| {
            assert!(refused.message.contains("api.example"), "{refused}");
            refused.reason
        })
    }

    #[test]
    fn a_name_that_also_leads_to_a_forbidden_address_is_reached_by_the_others() {
        let all = [
            "169.254.169.254",
            "10.0.0.1",
            "::ffff:169.254.169.254",
            "::",
        ];
        assert_eq!(left(&all, false), Ok(addresses(&["10.0.0.1"])));
        assert_eq!(left(&all, true), Ok(addresses(&all[..3])));
    }

    #[test]
    fn a_name_that_leads_to_nothing_else_is_refused() {
        assert_eq!(left(&["169.254.169.254"], false), Err("ADDRESS_REFUSED"));
        assert_eq!(
            left(&["fe80::1", "fd00:ec2::254"], false),
            Err("ADDRESS_REFUSED")
        );
        assert_eq!(left(&["0.0.0.0"], true), Err("ADDRESS_REFUSED"));
        assert_eq!(left(&[], true), Err("CONNECT_FAILED"));
    }

    #[tokio::test]
    async fn an_address_is_judged_however_it_is_written() {
        for host in [
            "169.254.169.254",
            "[fe80::1]",
            "[::ffff:a9fe:a9fe]",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "0",
            "[::]",
        ] {
            let refused = resolve(host, 80, false).await.expect_err(host);
            assert_eq!(refused.reason, "ADDRESS_REFUSED", "{host}: {refused}");
        }
    }

    #[test]
    fn families_take_turns() {
        let mixed = by_turns(addresses(&["::1", "::2", "::3", "10.0.0.1"]));
        assert_eq!(mixed, addresses(&["::1", "10.0.0.1", "::2", "::3"]));
    }
}

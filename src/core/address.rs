//! Which addresses are never connected to unless the operator says so. Pure:
//! an address in, a verdict out; it resolves nothing.
//!
//! Loopback and private addresses are not among them: targets of operators' own
//! are there. What is refused is what a machine is reached by without anybody
//! having meant it: link-local addresses, where clouds answer whoever asks with
//! credentials, and the other addresses where they do.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds keep metadata besides at link-local addresses.
const METADATA_V4: [Ipv4Addr; 3] = [
    // Alibaba.
    Ipv4Addr::new(100, 100, 100, 200),
    // Oracle, before it moved to a link-local address.
    Ipv4Addr::new(192, 0, 0, 192),
    // Azure's WireServer.
    Ipv4Addr::new(168, 63, 129, 16),
];

/// The same, of IPv6: a network each, as groups and how many of them count.
const METADATA_V6: [([u16; 8], usize); 4] = [
    // AWS: metadata at ::254, credentials of containers at ::23.
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 2),
    // Google.
    ([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254], 8),
    // Oracle.
    ([0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 8),
    // Scaleway.
    ([0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042], 8),
];

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// Link-local, or where a cloud keeps its metadata: refused unless the
    /// operator allows it.
    LinkLocal,
    /// Nobody's: it means any address to a listener, and this machine to some
    /// systems when it is connected to. Always refused.
    Unspecified,
}

impl Display for Forbidden {
    /// Goes on after the address: what it is, and what to write.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Forbidden::LinkLocal => {
                "which is link-local or where a cloud keeps its metadata; if the target \
                 really is there, write `allow_link_local = true`"
            }
            Forbidden::Unspecified => {
                "which is nobody's address; write that of the target, e.g. `127.0.0.1` for \
                 this machine"
            }
        })
    }
}

/// Whether an address may be connected to. An IPv6 address that carries an
/// IPv4 address, however it does, is judged by both.
pub fn forbidden(address: IpAddr) -> Option<Forbidden> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<Forbidden> {
    if address.is_unspecified() {
        Some(Forbidden::Unspecified)
    } else if address.is_link_local() || METADATA_V4.contains(&address) {
        Some(Forbidden::LinkLocal)
    } else {
        None
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<Forbidden> {
    if address.is_unspecified() {
        return Some(Forbidden::Unspecified);
    }
    let groups = address.segments();
    let is_metadata = METADATA_V6
        .iter()
        .any(|(network, count)| groups[..*count] == network[..*count]);
    if address.is_unicast_link_local() || is_metadata {
        return Some(Forbidden::LinkLocal);
    }
    if address.to_ipv4_mapped() == Some(Ipv4Addr::UNSPECIFIED) {
        return Some(Forbidden::Unspecified);
    }
    let mut carried = carried(groups).into_iter();
    carried
        .any(|address| forbidden_v4(address) == Some(Forbidden::LinkLocal))
        .then_some(Forbidden::LinkLocal)
}

/// The IPv4 addresses that an IPv6 address may stand for.
fn carried(groups: [u16; 8]) -> Vec<Ipv4Addr> {
    let at = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    let last = at(groups[6], groups[7]);
    match groups {
        // ::a.b.c.d, IPv4-compatible; ::1 is this machine, not 0.0.0.1.
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => vec![last],
        // ::ffff:a.b.c.d, mapped, and ::ffff:0:a.b.c.d, translated; NAT64, by
        // the well-known prefix; ISATAP, below any prefix.
        [0, 0, 0, 0, 0, 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => vec![last],
        // NAT64 by a network's own prefix, of 96 bits or (around the unused
        // byte in the middle) 64, 56 or 48 of them.
        [0x64, 0xff9b, 1, a, b, c, ..] => {
            let [_, b_low] = b.to_be_bytes();
            let [c_high, c_low] = c.to_be_bytes();
            let [g_high, _] = groups[6].to_be_bytes();
            vec![
                last,
                at(
                    u16::from_be_bytes([b_low, c_high]),
                    u16::from_be_bytes([c_low, g_high]),
                ),
                at(u16::from_be_bytes([a.to_be_bytes()[1], b_low]), c),
                at(a, u16::from_be_bytes([b_low, c_high])),
            ]
        }
        // 6to4.
        [0x2002, high, low, ..] => vec![at(high, low)],
        // Teredo: the server, and the client with its bits turned.
        [0x2001, 0, high, low, ..] => vec![at(high, low), at(!groups[6], !groups[7])],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Option<Forbidden> {
        forbidden(text.parse().expect(text))
    }

    #[test]
    fn link_local_and_metadata_addresses_are_forbidden_in_every_form() {
        for text in [
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fe80::1",
            "febf:ffff::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "::ffff:169.254.169.254",
            "::ffff:100.100.100.200",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00:0",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:5601:5601",
            "2001:db8::5efe:169.254.169.254",
            "fd12::200:5efe:169.254.169.254",
        ] {
            assert_eq!(verdict(text), Some(Forbidden::LinkLocal), "{text}");
        }
    }

    #[test]
    fn what_means_any_address_is_nobodys() {
        for text in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert_eq!(verdict(text), Some(Forbidden::Unspecified), "{text}");
        }
    }

    #[test]
    fn all_else_is_the_operators_to_choose() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "100.100.100.201",
            "169.253.255.255",
            "169.255.0.0",
            "192.0.0.191",
            "1.1.1.1",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::1.1.1.1",
            "64:ff9b:1::1.1.1.1",
            "2002:101:101::1",
            "fd00::1",
            "fd00:ec3::254",
            "fec0::1",
            "2606:4700:4700::1111",
        ] {
            assert_eq!(verdict(text), None, "{text}");
        }
    }
}

//! Who a request comes from when proxies stand between: the peer of the socket, or what a *trusted* proxy
//! wrote about it. Anybody can send `X-Forwarded-For`, so it says nothing by itself.
//!
//! The rule: start with the peer. As long as the address at hand is one of a trusted proxy, take the next
//! hop of `X-Forwarded-For` from its right end, where that proxy wrote whom it saw. The first address that
//! is no trusted proxy's is the client's, and nothing to the left of it is looked at. A hop that is no
//! address ends the walk at the last one that was.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use poem::http::{HeaderMap, HeaderValue};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks whose word about their clients is taken: the setting `TRUSTED_PROXIES`.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Takes a list of networks (`10.0.0.0/8, 2001:db8::/32`) or single addresses; for
    /// [`crate::settings::Reader`]. A network with bits set beyond its prefix is a typing error, and one of
    /// prefix 0 would trust everybody.
    pub fn parse(text: &str) -> Result<Self, String> {
        let networks = text.split(',').map(str::trim).map(|item| {
            let network = item
                .parse()
                .or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| "has an item that is no network such as 10.0.0.0/8".to_owned())
        });
        let networks = networks.collect::<Result<Vec<IpNet>, String>>()?;
        if networks.iter().any(|it| it.network() != it.addr()) {
            return Err("has a network with bits beyond its prefix".to_owned());
        }
        if networks.iter().any(|it| it.prefix_len() == 0) {
            return Err("trusts every address there is".to_owned());
        }
        Ok(Self(networks))
    }

    fn include(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Where a request comes from. Handlers take it as `Data<&ClientAddress>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// By the rule of this module.
    pub fn of(peer: SocketAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let mut client = peer.ip().to_canonical();
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let mut hops = lines.into_iter().rev().flat_map(hops_from_the_right);
        while trusted.include(client) {
            let Some(Some(hop)) = hops.next() else { break };
            client = hop;
        }
        Self(client)
    }

    /// The address itself.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// What limits are counted by.
    pub fn network(self) -> Network {
        match self.0 {
            IpAddr::V4(address) => Network::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Network::V6([a, b, c, d])
            }
        }
    }
}

/// What one customer of a provider holds: an IPv4 address (mapped into IPv6 or not), or the /64 of an IPv6
/// one, within which everybody picks addresses as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// A single address.
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6([u16; 4]),
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(out),
            Self::V6([a, b, c, d]) => {
                write!(out, "{}/64", Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0))
            }
        }
    }
}

/// `None` for a hop that is no address; a line that is no text is one such hop.
fn hops_from_the_right(line: &HeaderValue) -> Vec<Option<IpAddr>> {
    let text = line.to_str().unwrap_or_default();
    text.rsplit(',').map(|hop| address(hop.trim())).collect()
}

/// `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:5678`.
fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = || {
        hop.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
    };
    let address = hop
        .parse::<IpAddr>()
        .ok()
        .or_else(|| bracketed().map(IpAddr::V6))
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|it| it.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROXIES: &str = "10.0.0.0/8, 192.0.2.7, 2001:db8:aaaa::/48";

    fn client(peer: &str, lines: &[&[u8]]) -> String {
        let trusted = TrustedProxies::parse(PROXIES).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 443);
        ClientAddress::of(peer, &headers, &trusted).ip().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_the_hop_before_it() {
        for (peer, lines, expected) in [
            // Nobody in between.
            ("203.0.113.5", &[][..], "203.0.113.5"),
            // A stranger says what he likes.
            ("203.0.113.5", &["198.51.100.1"][..], "203.0.113.5"),
            ("203.0.113.5", &["10.0.0.1", "127.0.0.1"][..], "203.0.113.5"),
            // One proxy, two, and what the client claimed before them.
            ("10.0.0.1", &["203.0.113.5"][..], "203.0.113.5"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.5"][..], "203.0.113.5"),
            (
                "10.0.0.1",
                &["1.1.1.1, 203.0.113.5, 10.9.9.9"][..],
                "203.0.113.5",
            ),
            (
                "192.0.2.7",
                &["1.1.1.1", "203.0.113.5", "10.9.9.9"][..],
                "203.0.113.5",
            ),
            // Claiming to be behind a trusted proxy does not help.
            (
                "10.0.0.1",
                &["1.1.1.1, 10.0.0.2, 203.0.113.5"][..],
                "203.0.113.5",
            ),
            // Ports, brackets, IPv6, addresses mapped into it.
            ("10.0.0.1", &["203.0.113.5:40000"][..], "203.0.113.5"),
            ("10.0.0.1", &["[2001:db8:1::5]:40000"][..], "2001:db8:1::5"),
            ("10.0.0.1", &["[2001:db8:1::5]"][..], "2001:db8:1::5"),
            (
                "::ffff:10.0.0.1",
                &["::ffff:203.0.113.5"][..],
                "203.0.113.5",
            ),
            ("2001:db8:aaaa::1", &["2001:db8:1::5"][..], "2001:db8:1::5"),
            // All of them trusted: the farthest.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"][..], "10.0.0.3"),
            // A hop that is no address ends the walk.
            ("10.0.0.1", &[""][..], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5, unknown"][..], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5, , 10.0.0.2"][..], "10.0.0.2"),
            (
                "10.0.0.1",
                &["203.0.113.5", "_hidden, 10.0.0.2"][..],
                "10.0.0.2",
            ),
            ("10.0.0.1", &["fe80::1%eth0"][..], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5/32"][..], "10.0.0.1"),
        ] {
            let bytes: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(client(peer, &bytes), expected, "{peer} {lines:?}");
        }
        assert_eq!(client("10.0.0.1", &[b"203.0.113.5", b"\xff"]), "10.0.0.1");
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_64() {
        for (address, expected) in [
            ("203.0.113.5", "203.0.113.5"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ] {
            let address = ClientAddress(address.parse::<IpAddr>().unwrap().to_canonical());
            assert_eq!(address.network().to_string(), expected);
        }
    }

    #[test]
    fn a_list_of_proxies_is_read_strictly() {
        for wrong in [
            "",
            "10.0.0.0/8,",
            "10.0.0.1/8",
            "0.0.0.0/0",
            "::/0",
            "proxy",
            "10.0.0.0/33",
        ] {
            assert!(TrustedProxies::parse(wrong).is_err(), "accepted {wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn without_a_trusted_peer_no_header_changes_anything(
            peer in any::<u32>(),
            lines in prop::collection::vec("[0-9a-f:., \\[\\]]{0,40}", 0..4),
        ) {
            let peer = Ipv4Addr::from(peer);
            prop_assume!(!TrustedProxies::parse(PROXIES).unwrap().include(peer.into()));
            let lines: Vec<_> = lines.iter().map(String::as_bytes).collect();
            prop_assert_eq!(client(&peer.to_string(), &lines), peer.to_string());
        }

        #[test]
        fn what_stands_left_of_the_client_changes_nothing(
            claimed in "[0-9a-f:., \\[\\]]{0,60}",
            real in any::<u32>(),
        ) {
            let real = Ipv4Addr::from(real);
            prop_assume!(!TrustedProxies::parse(PROXIES).unwrap().include(real.into()));
            let line = format!("{claimed}, {real}, 10.1.1.1");
            prop_assert_eq!(client("10.0.0.1", &[line.as_bytes()]), real.to_string());
        }
    }
}

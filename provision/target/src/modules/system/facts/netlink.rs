//! Addresses and routes from the kernel (rtnetlink(7)), read-only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Longest wait for the kernel's answer, in seconds; it answers at once or never.
const ANSWER_TIMEOUT_S: i64 = 2;

/// Answers arrive in pieces of at most this many bytes (NLMSG_GOODSIZE and more).
const PIECE_BYTES: usize = 64 << 10;

/// Most entries that are read: a router may know a million routes, nobody wants them as facts.
const ENTRY_LIMIT: usize = 20_000;

const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_SECONDARY: u32 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RT_TABLE_LOCAL: u32 = 255;
const RTN_LOCAL: u8 = 2;

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Index of the interface.
    pub interface: u32,
    /// The host's own address.
    pub address: IpAddr,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// Bits of the network part.
    pub prefix: u8,
    /// Broadcast address.
    pub broadcast: Option<IpAddr>,
    /// Name under which the address was added, `eth0:1`.
    pub label: Option<String>,
    /// Not the first address of its network.
    pub secondary: bool,
    /// `global`, `link`, `host`…
    pub scope: &'static str,
}

/// Where packets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Index of the interface.
    pub interface: Option<u32>,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Address of the host that packets carry.
    pub source: Option<IpAddr>,
    /// Where it leads to.
    pub destination: Option<IpAddr>,
    /// Bits of the destination that count.
    pub prefix: u8,
    table: u32,
    kind: u8,
}

/// Index and name of all interfaces. In a container `/sys` may show those of another namespace.
pub(super) fn links() -> Vec<(u32, String)> {
    let answers = ask(RTM_GETLINK, NLM_F_DUMP, &[0; 16]).unwrap_or_default();
    let parse = |(kind, body): &(u16, Vec<u8>)| {
        if *kind == RTM_NEWLINK { parse_link(body) } else { None }
    };
    answers.iter().filter_map(parse).collect()
}

/// All addresses of all interfaces.
pub(super) fn addresses() -> Vec<Address> {
    // Family 0: all of them.
    let answers = ask(RTM_GETADDR, NLM_F_DUMP, &[0; 8]).unwrap_or_default();
    let parse = |(kind, body): &(u16, Vec<u8>)| {
        if *kind == RTM_NEWADDR { parse_address(body) } else { None }
    };
    answers.iter().filter_map(parse).collect()
}

/// How a packet to this address would leave.
pub(super) fn route_to(destination: IpAddr) -> Option<Route> {
    let (family, bytes) = match destination {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    };
    let bits = u8::try_from(bytes.len() * 8).ok()?;
    let mut body = vec![family, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let length = u16::try_from(bytes.len() + 4).ok()?;
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&RTA_DST.to_ne_bytes());
    body.extend_from_slice(&bytes);
    let answers = ask(RTM_GETROUTE, 0, &body)?;
    answers.iter().find(|(kind, _)| *kind == RTM_NEWROUTE).and_then(|(_, body)| parse_route(body))
}

/// Destinations that this host answers for itself.
pub(super) fn local_routes(v6: bool) -> Vec<Route> {
    let mut body = [0; 12];
    if let Some(family) = body.first_mut() {
        *family = if v6 { AF_INET6 } else { AF_INET };
    }
    let answers = ask(RTM_GETROUTE, NLM_F_DUMP, &body).unwrap_or_default();
    answers
        .iter()
        .filter(|(kind, _)| *kind == RTM_NEWROUTE)
        .filter_map(|(_, body)| parse_route(body))
        .filter(|route| route.table == RT_TABLE_LOCAL && route.kind == RTN_LOCAL)
        .collect()
}

/// Sends a request and collects the answers; `None` if the kernel refuses.
fn ask(kind: u16, flags: u16, body: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let socket = open().ok()?;
    let length = u32::try_from(HEADER_BYTES + body.len()).ok()?;
    let mut request = length.to_ne_bytes().to_vec();
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    request.extend_from_slice(&1_u32.to_ne_bytes());
    request.extend_from_slice(&0_u32.to_ne_bytes());
    request.extend_from_slice(body);
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty()).ok()?;
    let mut answers = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = recv(socket.as_raw_fd(), &mut piece, MsgFlags::empty()).ok()?;
        let mut rest = piece.get(..count)?;
        if rest.is_empty() {
            return Some(answers);
        }
        while let Some((kind, body, next)) = message(rest) {
            match kind {
                NLMSG_DONE => return Some(answers),
                NLMSG_ERROR => return None,
                _ => answers.push((kind, body.to_vec())),
            }
            rest = next;
        }
        if flags & NLM_F_DUMP == 0 || answers.len() > ENTRY_LIMIT {
            return Some(answers);
        }
    }
}

fn open() -> nix::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_TIMEOUT_S))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// The first message: its type, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(number(bytes.get(..4)?)).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER_BYTES..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Attributes: type and value.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    /// The upper bits are flags.
    const TYPE_MASK: u16 = 0x3fff;
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (bytes.get(..2), bytes.get(2..4)) {
        let (Ok(length), Ok(kind)) = (length.try_into(), kind.try_into()) else { break };
        let length = usize::from(u16::from_ne_bytes(length));
        let Some(value) = bytes.get(4..length) else { break };
        found.push((u16::from_ne_bytes(kind) & TYPE_MASK, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_ne_bytes)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

/// A text that ends with a zero byte.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn parse_link(body: &[u8]) -> Option<(u32, String)> {
    let index = number(body.get(4..8)?);
    let attributes = attributes(body.get(16..)?);
    let name = attributes.iter().find(|(kind, _)| *kind == IFLA_IFNAME)?.1;
    Some((index, text(name)))
}

fn parse_address(body: &[u8]) -> Option<Address> {
    let (prefix, flags, scope) = (*body.get(1)?, *body.get(2)?, *body.get(3)?);
    let interface = number(body.get(4..8)?);
    let attributes = attributes(body.get(8..)?);
    let find =
        |kind: u16| attributes.iter().find(|(known, _)| *known == kind).map(|(_, value)| *value);
    let remote = find(IFA_ADDRESS).and_then(address);
    let local = find(IFA_LOCAL).and_then(address);
    let flags = find(IFA_FLAGS).map_or(u32::from(flags), number);
    let label = find(IFA_LABEL).map(text);
    Some(Address {
        interface,
        address: local.or(remote)?,
        peer: remote.filter(|remote| local.is_some_and(|local| local != *remote)),
        prefix,
        broadcast: find(IFA_BROADCAST).and_then(address),
        label,
        secondary: flags & IFA_F_SECONDARY != 0,
        scope: match scope {
            0 => "global",
            200 => "site",
            253 => "link",
            254 => "host",
            _ => "nowhere",
        },
    })
}

fn parse_route(body: &[u8]) -> Option<Route> {
    let (prefix, table, kind) = (*body.get(1)?, *body.get(4)?, *body.get(7)?);
    let attributes = attributes(body.get(12..)?);
    let find =
        |kind: u16| attributes.iter().find(|(known, _)| *known == kind).map(|(_, value)| *value);
    Some(Route {
        interface: find(RTA_OIF).map(number),
        gateway: find(RTA_GATEWAY).and_then(address),
        source: find(RTA_PREFSRC).and_then(address),
        destination: find(RTA_DST).and_then(address),
        prefix,
        table: find(RTA_TABLE).map_or(u32::from(table), number),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_address() {
        let own = addresses();
        let loopback =
            own.iter().find(|address| address.address == IpAddr::from([127, 0, 0, 1])).unwrap();
        assert_eq!((loopback.prefix, loopback.scope, loopback.secondary), (8, "host", false));
        assert_eq!(loopback.label.as_deref(), Some("lo"));
        assert!(links().contains(&(loopback.interface, "lo".to_owned())));
        let routes = local_routes(false);
        assert!(routes.iter().any(|route| {
            route.destination == Some(IpAddr::from([127, 0, 0, 0])) && route.prefix == 8
        }));
        let route = route_to(IpAddr::from([127, 0, 0, 1])).unwrap();
        assert_eq!(route.interface, Some(loopback.interface));
    }

    #[test]
    fn broken_messages_end_the_reading() {
        assert_eq!(message(&[1, 2, 3]), None);
        assert_eq!(message(&[200, 0, 0, 0, 20, 0, 0, 0]), None);
        assert!(attributes(&[3, 0, 1, 0]).is_empty());
        assert!(attributes(&[200, 0, 1, 0, 1]).is_empty());
        assert_eq!(parse_address(&[2, 8, 0]), None);
    }
}

//! Addresses: the parts of `ansible.utils.ipaddr` that roles use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use minijinja::Value;

use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{View, int_value, is_list, iterate, list_value, text_of, view};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("ipaddr", |_, call| each(call, None)),
    pure("ipv4", |_, call| each(call, Some(4))),
    pure("ipv6", |_, call| each(call, Some(6))),
    pure("ipmath", ip_math),
    pure("ipsubnet", ip_subnet),
    pure("ipwrap", ip_wrap),
    pure("hwaddr", |_, call| Ok(Value::from(call.input_text().to_lowercase().replace('-', ":")))),
];

/// An address with the length of its network prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u32,
    /// Whether the prefix was written.
    pub(crate) has_prefix: bool,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let length = match prefix {
            None => width,
            Some(prefix) => match prefix.parse::<u32>() {
                Ok(length) => length,
                Err(_) => mask_length(prefix)?,
            },
        };
        (length <= width).then_some(Network {
            address,
            prefix: length,
            has_prefix: prefix.is_some(),
        })
    }

    fn bits(self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        }
    }

    /// The same kind of address with other bits.
    fn with_bits(self, bits: u128) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => {
                IpAddr::V4(Ipv4Addr::from(u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(0)))
            }
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(bits)),
        }
    }

    fn host_mask(self) -> u128 {
        let bits = width(self.address) - self.prefix;
        if bits >= 128 { u128::MAX } else { (1u128 << bits) - 1 }
    }

    fn network_bits(self) -> u128 {
        self.bits() & !self.host_mask()
    }

    fn network(self) -> IpAddr {
        self.with_bits(self.network_bits())
    }

    fn last(self) -> IpAddr {
        self.with_bits(self.network_bits() | self.host_mask())
    }

    fn netmask(self) -> IpAddr {
        let all =
            if matches!(self.address, IpAddr::V4(_)) { u128::from(u32::MAX) } else { u128::MAX };
        self.with_bits(all & !self.host_mask())
    }

    fn size(self) -> u128 {
        self.host_mask().saturating_add(1)
    }

    fn contains(self, other: Network) -> bool {
        width(self.address) == width(other.address)
            && other.prefix >= self.prefix
            && (other.bits() & !self.host_mask()) == self.network_bits()
    }

    fn version(self) -> u8 {
        if matches!(self.address, IpAddr::V4(_)) { 4 } else { 6 }
    }

    fn is_network(self) -> bool {
        self.has_prefix && self.bits() == self.network_bits() && self.prefix < width(self.address)
    }
}

fn width(address: IpAddr) -> u32 {
    if matches!(address, IpAddr::V4(_)) { 32 } else { 128 }
}

/// The prefix length of a mask such as 255.255.255.0.
fn mask_length(mask: &str) -> Option<u32> {
    let mask: Ipv4Addr = mask.parse().ok()?;
    let bits = u32::from(mask);
    let ones = bits.leading_ones();
    (bits.checked_shl(ones).unwrap_or(0) == 0).then_some(ones)
}

fn each(call: &mut Call, version: Option<u8>) -> Outcome<Value> {
    let query = call.text(0, "query").unwrap_or_default();
    if !is_list(&call.input) {
        return one(&call.input, &query, version);
    }
    let mut found = Vec::new();
    for item in iterate(&call.input)? {
        let value = one(&item, &query, version)?;
        if crate::value::is_true(&value) {
            found.push(value);
        }
    }
    Ok(list_value(found))
}

fn one(value: &Value, query: &str, version: Option<u8>) -> Outcome<Value> {
    let no = Value::from(false);
    let text = match view(value) {
        View::Text(text) => text.to_owned(),
        View::Int(number) => match u32::try_from(number) {
            Ok(bits) => Ipv4Addr::from(bits).to_string(),
            Err(_) => return Ok(no),
        },
        _ => return Ok(no),
    };
    let Some(network) = Network::parse(&text) else { return Ok(no) };
    if version.is_some_and(|version| version != network.version()) {
        return Ok(no);
    }
    Ok(answer(network, &text, query)?.unwrap_or(no))
}

fn with_prefix(address: IpAddr, prefix: u32) -> Value {
    Value::from(format!("{address}/{prefix}"))
}

/// What a query says about an address; nothing if it does not apply.
fn answer(network: Network, text: &str, query: &str) -> Outcome<Option<Value>> {
    let plain = |address: IpAddr| Some(Value::from(address.to_string()));
    let point = network.prefix >= width(network.address) - 1;
    let keep = |condition: bool| condition.then(|| Value::from(text));
    Ok(match query {
        "" => Some(Value::from(text)),
        "bool" => Some(Value::from(true)),
        "address" | "ip" if !network.is_network() || point => plain(network.address),
        "address" | "ip" => None,
        "address/prefix" | "gateway" | "gw" | "host/prefix" | "hostnet" | "router" => {
            keep_host(network)
        }
        "host" if network.is_network() => None,
        "host" => Some(with_prefix(network.address, network.prefix)),
        "network" | "network_id" => plain(network.network()),
        "network/prefix" | "subnet" => Some(with_prefix(network.network(), network.prefix)),
        "net" => keep(network.is_network()),
        "network_netmask" => {
            Some(Value::from(format!("{} {}", network.network(), network.netmask())))
        }
        "netmask" => plain(network.netmask()),
        "hostmask" | "wildcard" => plain(network.with_bits(network.host_mask())),
        "ip_netmask" => Some(Value::from(format!("{} {}", network.address, network.netmask()))),
        "prefix" => Some(Value::from(network.prefix)),
        "broadcast" => (!point).then(|| plain(network.last())).flatten(),
        "size" => Some(int_value(i128::try_from(network.size()).unwrap_or(i128::MAX))),
        "first_usable" => usable(network).and_then(|(first, _)| plain(network.with_bits(first))),
        "last_usable" => usable(network).and_then(|(_, last)| plain(network.with_bits(last))),
        "range_usable" => usable(network).map(|(first, last)| {
            Value::from(format!("{}-{}", network.with_bits(first), network.with_bits(last)))
        }),
        "size_usable" => Some(int_value(
            usable(network)
                .map_or(0, |(first, last)| i128::try_from(last - first + 1).unwrap_or(i128::MAX)),
        )),
        "int" => Some(int_value(i128::try_from(network.bits()).unwrap_or(i128::MAX))),
        "version" => Some(Value::from(network.version())),
        "type" => Some(Value::from(if network.is_network() { "network" } else { "address" })),
        "revdns" => Some(Value::from(reverse_name(network))),
        "ipv4" => keep(network.version() == 4),
        "ipv6" => keep(network.version() == 6),
        "private" => keep(is_private(network.address)),
        "public" => keep(!is_private(network.address) && is_unicast(network.address)),
        "loopback" | "lo" => keep(network.address.is_loopback()),
        "multicast" => keep(network.address.is_multicast()),
        "unicast" => keep(!network.address.is_multicast()),
        "link-local" => keep(is_link_local(network.address)),
        _ => return answer_number_or_network(network, text, query),
    })
}

fn keep_host(network: Network) -> Option<Value> {
    (network.has_prefix && !network.is_network())
        .then(|| with_prefix(network.address, network.prefix))
}

/// First and last address that hosts can have.
fn usable(network: Network) -> Option<(u128, u128)> {
    let (first, last) = (network.network_bits(), network.network_bits() | network.host_mask());
    if network.prefix + 1 >= width(network.address) {
        return (network.prefix < width(network.address)).then_some((first, last));
    }
    Some(if network.version() == 4 { (first + 1, last - 1) } else { (first + 1, last) })
}

fn answer_number_or_network(network: Network, text: &str, query: &str) -> Outcome<Option<Value>> {
    if let Ok(number) = query.parse::<i128>() {
        let size = i128::try_from(network.size()).unwrap_or(i128::MAX);
        let index = if number < 0 { size.saturating_add(number) } else { number };
        if index < 0 || index >= size {
            return Ok(None);
        }
        let bits = network.network_bits().saturating_add(index.unsigned_abs());
        return Ok(Some(with_prefix(network.with_bits(bits), network.prefix)));
    }
    if let Some(outer) = Network::parse(query) {
        return Ok(outer.contains(network).then(|| Value::from(text)));
    }
    Err(TemplateError::failed(format!("ipaddr: unknown filter type: {query}")))
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

fn is_unicast(address: IpAddr) -> bool {
    !address.is_multicast() && !address.is_unspecified()
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn reverse_name(network: Network) -> String {
    match network.address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let digits: Vec<String> = address
                .octets()
                .iter()
                .rev()
                .map(|octet| format!("{:x}.{:x}", octet & 15, octet >> 4))
                .collect();
            format!("{}.ip6.arpa.", digits.join("."))
        }
    }
}

fn ip_wrap(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let wrap = |value: &Value| -> Value {
        let text = text_of(value);
        match Network::parse(&text).filter(|network| network.version() == 6) {
            Some(network) if network.has_prefix => {
                Value::from(format!("[{}]/{}", network.address, network.prefix))
            }
            Some(network) => Value::from(format!("[{}]", network.address)),
            None => value.clone(),
        }
    };
    if is_list(&call.input) {
        return Ok(list_value(iterate(&call.input)?.iter().map(wrap).collect()));
    }
    Ok(wrap(&call.input))
}

fn ip_math(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let amount = i128::from(call.integer(0, "amount")?.unwrap_or(0));
    let text = call.input_text();
    let network = Network::parse(&text).ok_or_else(|| {
        TemplateError::failed(format!("You must pass a valid IP address; {text} is invalid"))
    })?;
    let bits = i128::try_from(network.bits()).unwrap_or(i128::MAX).saturating_add(amount);
    Ok(Value::from(network.with_bits(bits.unsigned_abs()).to_string()))
}

fn ip_subnet(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = call.input_text();
    let Some(network) = Network::parse(&text) else { return Ok(Value::from(false)) };
    let Some(prefix) = call.integer(0, "query")?.and_then(|prefix| u32::try_from(prefix).ok())
    else {
        return Ok(with_prefix(network.network(), network.prefix));
    };
    let index = call.integer(1, "index")?;
    if prefix > width(network.address) {
        return Ok(Value::from(false));
    }
    if prefix < network.prefix {
        let outer = Network { prefix, ..network };
        return Ok(with_prefix(outer.network(), prefix));
    }
    let count = match prefix - network.prefix {
        shift @ 0..127 => 1i128 << shift,
        _ => i128::MAX,
    };
    let Some(index) = index.map(i128::from) else { return Ok(int_value(count)) };
    let position = if index < 0 { count + index } else { index };
    if position < 0 || position >= count {
        return Ok(Value::from(false));
    }
    let step = Network { prefix, ..network }.size();
    let bits = network.network_bits().saturating_add(step.saturating_mul(position.unsigned_abs()));
    Ok(with_prefix(network.with_bits(bits), prefix))
}

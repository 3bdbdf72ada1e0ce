//! Facts: interfaces, addresses, name servers, names of storage initiators.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use indexmap::IndexMap;
use provision_protocol::Object;
use serde_json::Value;

use super::netlink::{self, Address};
use super::{Gathering, content, entries, object};

/// Addresses somewhere in the internet: the route to them is the default route. Nothing is sent.
const FAR_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));
const FAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2404, 0x6800, 0x400a, 0x0800, 0, 0, 0, 0x1012));

const CLASS: &str = "/sys/class/net";

type Interfaces = IndexMap<String, Object>;

pub(super) fn network(gathering: &mut Gathering<'_, '_>) {
    let indices = netlink::links();
    let known = entries(CLASS).into_iter().filter(|name| Path::new(CLASS).join(name).is_dir());
    let mut names: Vec<String> =
        known.chain(indices.iter().map(|(_, name)| name.clone())).collect();
    names.sort();
    names.dedup();
    let mut interfaces: Interfaces =
        names.into_iter().map(|name| (name.clone(), interface(&name))).collect();
    let mut defaults = [default_route(FAR_V4, &indices), default_route(FAR_V6, &indices)];
    let (mut all_v4, mut all_v6) = (Vec::new(), Vec::new());
    for address in netlink::addresses() {
        let Some((_, device)) = indices.iter().find(|(index, _)| *index == address.interface)
        else {
            continue;
        };
        match address.address {
            IpAddr::V4(own) => {
                add_v4(&mut interfaces, &mut defaults[0], device, &address, own);
                if !own.to_string().starts_with("127.") {
                    all_v4.push(own.to_string());
                }
            }
            IpAddr::V6(own) => {
                add_v6(&mut interfaces, &mut defaults[1], device, &address, own);
                if own != Ipv6Addr::LOCALHOST {
                    all_v6.push(own.to_string());
                }
            }
        }
    }
    let interfaces: Interfaces =
        interfaces.into_iter().map(|(name, facts)| (name.replace(':', "_"), facts)).collect();
    gathering.set("interfaces", interfaces.keys().cloned().collect::<Vec<String>>());
    for (name, facts) in interfaces {
        gathering.set(&name, facts);
    }
    let [v4, v6] = defaults;
    gathering.set("default_ipv4", v4);
    gathering.set("default_ipv6", v6);
    gathering.set("all_ipv4_addresses", all_v4);
    gathering.set("all_ipv6_addresses", all_v6);
    let reachable = object([("ipv4", reachable(false).into()), ("ipv6", reachable(true).into())]);
    gathering.set("locally_reachable_ips", reachable);
}

fn reachable(v6: bool) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for route in netlink::local_routes(v6) {
        let Some(destination) = route.destination else { continue };
        let whole = if v6 { 128 } else { 32 };
        let text = if route.prefix == whole {
            destination.to_string()
        } else {
            format!("{destination}/{}", route.prefix)
        };
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    shown
}

fn default_route(far: IpAddr, indices: &[(u32, String)]) -> Object {
    let mut facts = Object::new();
    let Some(route) = netlink::route_to(far) else { return facts };
    if let Some(gateway) = route.gateway {
        facts.insert("gateway".to_owned(), gateway.to_string().into());
    }
    let name = indices.iter().find(|(index, _)| Some(*index) == route.interface);
    if let Some((_, name)) = name {
        facts.insert("interface".to_owned(), name.as_str().into());
    }
    if let Some(source) = route.source {
        facts.insert("address".to_owned(), source.to_string().into());
    }
    facts
}

fn add_v4(
    interfaces: &mut Interfaces,
    default: &mut Object,
    device: &str,
    found: &Address,
    own: Ipv4Addr,
) {
    // The other end of a point-to-point link has no network.
    let (prefix, broadcast) = match (found.peer, found.broadcast) {
        (Some(_), _) => (32, String::new()),
        (None, broadcast) => {
            (found.prefix, broadcast.map_or_else(String::new, |address| address.to_string()))
        }
    };
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
    let facts = object([
        ("address", own.to_string().into()),
        ("broadcast", broadcast.into()),
        ("netmask", Ipv4Addr::from(mask).to_string().into()),
        ("network", Ipv4Addr::from(u32::from(own) & mask).to_string().into()),
        ("prefix", prefix.to_string().into()),
    ]);
    let label = found.label.as_deref().unwrap_or(device);
    let owner = interfaces.entry(label.to_owned()).or_default();
    if !found.secondary && !owner.contains_key("ipv4") {
        owner.insert("ipv4".to_owned(), facts.clone());
    } else {
        append(owner, "ipv4_secondaries", facts.clone());
    }
    if found.secondary && label != device {
        append(interfaces.entry(device.to_owned()).or_default(), "ipv4_secondaries", facts.clone());
    }
    if default.get("address").and_then(Value::as_str) == Some(own.to_string().as_str()) {
        for name in ["broadcast", "netmask", "network", "prefix"] {
            default.insert(name.to_owned(), facts.get(name).cloned().unwrap_or_default());
        }
        describe_default(default, interfaces.get(device));
        default.insert("alias".to_owned(), label.into());
    }
}

fn add_v6(
    interfaces: &mut Interfaces,
    default: &mut Object,
    device: &str,
    found: &Address,
    own: Ipv6Addr,
) {
    let prefix = Value::from(found.prefix.to_string());
    let facts = object([
        ("address", own.to_string().into()),
        ("prefix", prefix.clone()),
        ("scope", found.scope.into()),
    ]);
    append(interfaces.entry(device.to_owned()).or_default(), "ipv6", facts);
    if default.get("address").and_then(Value::as_str) == Some(own.to_string().as_str()) {
        default.insert("prefix".to_owned(), prefix);
        default.insert("scope".to_owned(), found.scope.into());
        describe_default(default, interfaces.get(device));
    }
}

fn describe_default(default: &mut Object, interface: Option<&Object>) {
    let fact = |name: &str| interface.and_then(|facts| facts.get(name)).cloned();
    default.insert("macaddress".to_owned(), fact("macaddress").unwrap_or_else(|| "".into()));
    default.insert("mtu".to_owned(), fact("mtu").unwrap_or_default());
    default.insert("type".to_owned(), fact("type").unwrap_or_else(|| "unknown".into()));
}

fn append(facts: &mut Object, name: &str, value: Value) {
    match facts.get_mut(name) {
        Some(Value::Array(values)) => values.push(value),
        _ => {
            facts.insert(name.to_owned(), Value::Array(vec![value]));
        }
    }
}

/// What `/sys/class/net` says about an interface.
fn interface(name: &str) -> Object {
    let folder = Path::new(CLASS).join(name);
    let read = |file: &str| content(folder.join(file));
    let number = |file: &str| read(file).and_then(|text| text.parse::<i64>().ok());
    let last =
        |path: std::path::PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut facts = Object::new();
    let mut set = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    set("device", name.into());
    if let Some(address) = read("address").filter(|address| address != "00:00:00:00:00:00") {
        set("macaddress", address.into());
    }
    if let Some(mtu) = number("mtu") {
        set("mtu", mtu.into());
    }
    if let Some(state) = read("operstate") {
        set("active", (state != "down").into());
    }
    let module = fs::canonicalize(folder.join("device/driver/module")).ok().and_then(last);
    if let Some(module) = module {
        set("module", module.into());
    }
    if let Some(kind) = read("type") {
        let kind = match kind.as_str() {
            "1" => "ether",
            "32" => "infiniband",
            "512" => "ppp",
            "772" => "loopback",
            "65534" => "tunnel",
            _ => "unknown",
        };
        set("type", kind.into());
    }
    for (name, value) in bridge(&folder).into_iter().chain(bond(&folder)) {
        set(name, value);
    }
    if folder.join("bonding_slave").exists() {
        let address = read("bonding_slave/perm_hwaddr").unwrap_or_default();
        set("perm_macaddress", address.into());
    }
    if let Some(device) = fs::read_link(folder.join("device")).ok().and_then(last) {
        set("pciid", device.into());
    }
    if let Some(speed) = number("speed") {
        set("speed", speed.into());
    }
    let flags = read("flags")
        .and_then(|text| u32::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).ok());
    if let Some(flags) = flags {
        /// IFF_PROMISC of if.h
        const PROMISCUOUS: u32 = 0x100;
        set("promisc", (flags & PROMISCUOUS != 0).into());
    }
    facts
}

/// What is special about a bridge.
fn bridge(folder: &Path) -> Vec<(&'static str, Value)> {
    if !folder.join("bridge").exists() {
        return Vec::new();
    }
    let mut facts: Vec<(&'static str, Value)> =
        vec![("type", "bridge".into()), ("interfaces", entries(folder.join("brif")).into())];
    if let Some(id) = content(folder.join("bridge/bridge_id")) {
        facts.push(("id", id.into()));
    }
    if let Some(state) = content(folder.join("bridge/stp_state")) {
        facts.push(("stp", (state == "1").into()));
    }
    facts
}

/// What is special about a bond of interfaces.
fn bond(folder: &Path) -> Vec<(&'static str, Value)> {
    let folder = folder.join("bonding");
    if !folder.exists() {
        return Vec::new();
    }
    let read = |file: &str| content(folder.join(file));
    let first =
        |file: &str| read(file).and_then(|text| text.split_whitespace().next().map(str::to_owned));
    let slaves = read("slaves").unwrap_or_default();
    let mut facts: Vec<(&'static str, Value)> = vec![
        ("type", "bonding".into()),
        ("slaves", slaves.split_whitespace().collect::<Vec<&str>>().into()),
        ("mode", first("mode").into()),
        ("miimon", first("miimon").into()),
        ("lacp_rate", first("lacp_rate").into()),
    ];
    if let Some(primary) = read("primary") {
        facts.push(("primary", primary.into()));
        if let Some(active) = read("all_slaves_active") {
            facts.push(("all_slaves_active", (active == "1").into()));
        }
    }
    facts
}

pub(super) fn dns(gathering: &mut Gathering<'_, '_>) {
    let facts = dns_of(&content("/etc/resolv.conf").unwrap_or_default());
    gathering.set("dns", facts);
}

fn dns_of(text: &str) -> Object {
    let mut facts = Object::new();
    for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let (keyword, rest) = (words.next(), words.collect::<Vec<&str>>());
        match keyword {
            Some("nameserver") => {
                for server in rest {
                    append(&mut facts, "nameservers", server.into());
                }
            }
            Some("domain") => {
                if let Some(domain) = rest.first() {
                    facts.insert("domain".to_owned(), (*domain).into());
                }
            }
            Some(list @ ("search" | "sortlist")) => {
                facts.insert(list.to_owned(), rest.into());
            }
            Some("options") => {
                let options: Object = rest
                    .iter()
                    .map(|option| match option.split_once(':') {
                        Some((name, value)) if !value.is_empty() => (name.to_owned(), value.into()),
                        Some((name, _)) => (name.to_owned(), true.into()),
                        None => ((*option).to_owned(), true.into()),
                    })
                    .collect();
                facts.insert("options".to_owned(), options.into());
            }
            _ => {}
        }
    }
    facts
}

pub(super) fn iscsi(gathering: &mut Gathering<'_, '_>) {
    let text = content("/etc/iscsi/initiatorname.iscsi").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("InitiatorName="));
    gathering.set("iscsi_iqn", name.unwrap_or_default());
}

pub(super) fn nvme(gathering: &mut Gathering<'_, '_>) {
    let text = content("/etc/nvme/hostnqn").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("nqn."));
    gathering.set("hostnqn", name.unwrap_or_default());
}

pub(super) fn fibre_channel(gathering: &mut Gathering<'_, '_>) {
    let names: Vec<String> = entries("/sys/class/fc_host")
        .iter()
        .filter_map(|host| content(format!("/sys/class/fc_host/{host}/port_name")))
        .map(|name| name.trim_start_matches("0x").to_owned())
        .collect();
    gathering.set("fibre_channel_wwn", names);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(address: &str, prefix: u8, label: &str, secondary: bool) -> Address {
        Address {
            interface: 2,
            address: address.parse().unwrap(),
            peer: None,
            prefix,
            broadcast: "10.0.0.255".parse().ok(),
            label: Some(label.to_owned()),
            secondary,
            scope: "global",
        }
    }

    #[test]
    fn addresses_go_to_their_interfaces() {
        let mut interfaces: Interfaces = IndexMap::new();
        interfaces.insert("eth0".to_owned(), Object::new());
        let mut default = Object::new();
        default.insert("address".to_owned(), "10.0.0.5".into());
        for (address, label, secondary) in
            [("10.0.0.5", "eth0", false), ("10.0.0.6", "eth0", true), ("10.0.0.7", "eth0:1", true)]
        {
            let own = address.parse().unwrap();
            let address = found(address, 24, label, secondary);
            add_v4(&mut interfaces, &mut default, "eth0", &address, own);
        }
        assert_eq!(
            interfaces["eth0"]["ipv4"],
            json!({
                "address": "10.0.0.5", "broadcast": "10.0.0.255", "netmask": "255.255.255.0",
                "network": "10.0.0.0", "prefix": "24",
            })
        );
        assert_eq!(interfaces["eth0"]["ipv4_secondaries"].as_array().unwrap().len(), 2);
        assert_eq!(interfaces["eth0:1"]["ipv4_secondaries"][0]["address"], "10.0.0.7");
        assert_eq!(default["network"], "10.0.0.0");
        assert_eq!(default["alias"], "eth0");
    }

    #[test]
    fn name_servers() {
        let text =
            "# x\nnameserver 1.1.1.1\nnameserver ::1\nsearch a.b c\noptions ndots:2 rotate\n";
        assert_eq!(
            Value::Object(dns_of(text)),
            json!({
                "nameservers": ["1.1.1.1", "::1"], "search": ["a.b", "c"],
                "options": {"ndots": "2", "rotate": true},
            })
        );
    }
}

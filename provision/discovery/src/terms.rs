//! The small language of a mapping: `meta.rack`, `service.web.port`, `10s`, `10.0.0.0/8`, `web*`.

use std::net::IpAddr;

/// What a variable is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// `node`: its name.
    Node,
    /// `address`: its address.
    Address,
    /// `address.wan`: one of its tagged addresses.
    Tagged(String),
    /// `datacenter`.
    Datacenter,
    /// `health`: `passing`, `critical`… as members see it.
    Health,
    /// `meta`: everything that it says about itself.
    Meta,
    /// `meta.rack`: one thing that it says about itself.
    MetaKey(String),
    /// `services`: names of the services on it.
    Services,
    /// `service.web.port`: something of a service on it.
    Service(String, Field),
}

/// Something of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Its port.
    Port,
    /// Its address, or that of the node.
    Address,
    /// Its tags.
    Tags,
    /// Something that it says about itself.
    Meta(String),
}

/// What names keyed groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `meta.env`.
    Meta(String),
    /// `service`: a group a service.
    Service,
    /// `tag`: a group a tag of a service.
    Tag,
    /// `datacenter`.
    Datacenter,
    /// `health`.
    Health,
}

/// What [`Term::parse`] expects.
pub(crate) const TERMS: &str = "node, address, address.KIND, datacenter, health, meta, meta.KEY, \
     services, service.NAME.port, service.NAME.address, service.NAME.tags or service.NAME.meta.KEY";

/// What [`Key::parse`] expects.
pub(crate) const KEYS: &str = "meta.KEY, service, tag, datacenter or health";

impl Term {
    /// Reads a term.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match text {
            "node" => return Some(Term::Node),
            "address" => return Some(Term::Address),
            "datacenter" => return Some(Term::Datacenter),
            "health" => return Some(Term::Health),
            "meta" => return Some(Term::Meta),
            "services" => return Some(Term::Services),
            _ => {}
        }
        match text.split_once('.')? {
            ("address", kind) => some(kind).map(Term::Tagged),
            ("meta", key) => some(key).map(Term::MetaKey),
            ("service", rest) => {
                let (name, field) = match rest.split_once(".meta.") {
                    Some((name, key)) => (name, Field::Meta(some(key)?)),
                    None => {
                        let (name, field) = rest.rsplit_once('.')?;
                        let field = match field {
                            "port" => Field::Port,
                            "address" => Field::Address,
                            "tags" => Field::Tags,
                            _ => return None,
                        };
                        (name, field)
                    }
                };
                some(name).map(|name| Term::Service(name, field))
            }
            _ => None,
        }
    }
}

impl Key {
    /// Reads a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "service" => Some(Key::Service),
            "tag" => Some(Key::Tag),
            "datacenter" => Some(Key::Datacenter),
            "health" => Some(Key::Health),
            _ => {
                let key = text.strip_prefix("meta.").filter(|key| !key.is_empty())?;
                Some(Key::Meta(key.to_owned()))
            }
        }
    }

    /// Whether a node decides itself what it is.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        matches!(self, Key::Meta(_) | Key::Service | Key::Tag)
    }
}

/// `500ms`, `10s`, `5m` or `1h`, in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `10.0.0.0/8`, or a single address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    /// Whether an address is in it.
    pub(crate) fn contains(self, text: &str) -> bool {
        let Ok(other) = text.parse::<IpAddr>() else { return false };
        let (ours, theirs, most) = match (self.address, other) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (u128::from(u32::from(ours)), u128::from(u32::from(theirs)), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (u128::from(ours), u128::from(theirs), 128),
            _ => return false,
        };
        let rest = u32::from(most - self.bits);
        ours.checked_shr(rest).unwrap_or(0) == theirs.checked_shr(rest).unwrap_or(0)
    }
}

/// Whether a text matches a pattern in which `*` stands for anything and `?` for one character.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where to go on if the last star has to stand for one character more.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(character) = text.get(from) {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at + 1, from));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at += 1;
                from += 1;
            }
            _ => match retry {
                Some((behind, start)) => {
                    retry = Some((behind, start + 1));
                    (at, from) = (behind, start + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|wanted| *wanted == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read() {
        let service = |name: &str, field| Some(Term::Service(name.into(), field));
        let table = [
            ("node", Some(Term::Node)),
            ("address.wan", Some(Term::Tagged("wan".into()))),
            ("meta.a.b", Some(Term::MetaKey("a.b".into()))),
            ("service.web.port", service("web", Field::Port)),
            ("service.a.b.tags", service("a.b", Field::Tags)),
            ("service.web.meta.version", service("web", Field::Meta("version".into()))),
            ("meta.", None),
            ("service.port", None),
            ("service.web.colour", None),
            ("colour", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Term::parse(text), expected, "{text}");
        }
        assert_eq!(Key::parse("meta.env"), Some(Key::Meta("env".into())));
        assert_eq!(Key::parse("meta"), None);
    }

    #[test]
    fn durations_have_units() {
        let table =
            [("10s", Some(10_000)), ("5m", Some(300_000)), ("7", None), ("s", None), ("1d", None)];
        for (text, expected) in table {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn networks_contain_addresses() {
        let contains = |network: &str, address| Network::parse(network).unwrap().contains(address);
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("fe80::/10", "fe80::1"));
        assert!(contains("::/0", "fe80::1"));
        assert!(!contains("10.0.0.1", "10.0.0.2"));
        assert!(!contains("10.0.0.1", "host"));
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }

    #[test]
    fn patterns_match() {
        let table = [
            ("*", "", true),
            ("web*", "web1", true),
            ("web?", "web", false),
            ("*a*b", "xaxbab", true),
            ("*a*b", "xaxba", false),
            ("", "", true),
            ("a", "A", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}

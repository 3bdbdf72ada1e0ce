//! Names of hosts: optional ports, and ranges such as `web[01:20:2].example[a:c].org`.

use std::net::Ipv6Addr;

/// Most hosts that one pattern may stand for; more is a slip of the keyboard.
pub(super) const MAX_HOSTS_OF_A_PATTERN: usize = 100_000;

/// A host pattern taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address<'text> {
    /// Name, possibly with ranges.
    pub(super) name: &'text str,
    /// The port behind it.
    pub(super) port: Option<u32>,
}

/// Splits the port off; `None` if what remains isn't a host name or address. Then Ansible takes
/// the whole text as a name.
pub(super) fn parse(text: &str) -> Option<Address<'_>> {
    let mut address = Address { name: text, port: None };
    if let Some((inside, port)) = bracketed_port(address.name) {
        address = Address { name: inside, port: Some(port) };
    }
    if let Some((name, port)) = plain_port(address.name) {
        address = Address { name, port: Some(port) };
    }
    (is_host_name(address.name) || is_ipv6(address.name)).then_some(address)
}

/// `[anything]:port`.
fn bracketed_port(text: &str) -> Option<(&str, u32)> {
    let (name, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
    Some((name, number(port)?)).filter(|(name, _)| !name.is_empty())
}

/// `name:port`, where colons inside brackets belong to ranges.
fn plain_port(text: &str) -> Option<(&str, u32)> {
    let (name, port) = text.rsplit_once(':')?;
    let port = number(port)?;
    let mut inside = false;
    for character in name.chars() {
        match (character, inside) {
            ('[', false) => inside = true,
            (']', true) => inside = false,
            (':' | ']', false) => return None,
            _ => {}
        }
    }
    (!inside).then_some((name, port))
}

fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Labels of word characters, dashes and ranges, separated by dots.
fn is_host_name(text: &str) -> bool {
    let mut rest = text;
    loop {
        let mut last = None;
        while let Some(character) = rest.chars().next() {
            let length = match character {
                '.' => break,
                '[' => match label_range(rest) {
                    Some(length) => length,
                    None => return false,
                },
                '-' if last.is_none() => return false,
                _ if character.is_alphanumeric() || matches!(character, '-' | '_') => {
                    character.len_utf8()
                }
                _ => return false,
            };
            last = Some(character);
            rest = rest.get(length..).unwrap_or("");
        }
        if matches!(last, None | Some('-' | '_')) {
            return false;
        }
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None => return true,
        }
    }
}

/// Length of `[x:y]` or `[x:y:step]` with single letters or decimal numbers.
fn label_range(text: &str) -> Option<usize> {
    range(text, |bound| {
        let letter = bound.len() == 1 && bound.bytes().all(|byte| byte.is_ascii_alphabetic());
        letter || number_text(bound)
    })
}

fn number_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn range(text: &str, bound: impl Fn(&str) -> bool) -> Option<usize> {
    let inside = text.strip_prefix('[')?.split(']').next()?;
    let mut parts = inside.split(':');
    let (begin, end) = (parts.next()?, parts.next()?);
    let step = parts.next();
    let fits = bound(begin) && bound(end) && step.is_none_or(number_text) && parts.next().is_none();
    let closed = text.get(inside.len() + 1..).is_some_and(|rest| rest.starts_with(']'));
    (fits && closed).then_some(inside.len() + 2)
}

/// An IPv6 address, perhaps with a zone (`%eth0`), where a range of hexadecimal numbers may
/// stand for a part.
fn is_ipv6(text: &str) -> bool {
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let hexadecimal =
            |bound: &str| !bound.is_empty() && bound.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (before, from) = rest.split_at(at);
        let Some(length) = range(from, hexadecimal) else { return false };
        plain.push_str(before);
        plain.push('0');
        rest = from.get(length..).unwrap_or("");
    }
    plain.push_str(rest);
    plain.parse::<Ipv6Addr>().is_ok()
}

/// Whether a name is an IP address, which has no short form.
pub(super) fn is_ip(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
}

/// All names that a pattern stands for; the error says what is wrong with its range.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((head, range, tail)) = next_range(rest)? {
        let values = values(range)?;
        if names.len().saturating_mul(values.len()) > MAX_HOSTS_OF_A_PATTERN {
            return Err(format!("stands for more than {MAX_HOSTS_OF_A_PATTERN} hosts"));
        }
        names = names
            .iter()
            .flat_map(|name| values.iter().map(move |value| format!("{name}{head}{value}")))
            .collect();
        rest = tail;
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok(names)
}

/// Text before the first range, the range, and the text behind it.
fn next_range(text: &str) -> Result<Option<(&str, &str, &str)>, String> {
    let Some((head, rest)) = text.split_once('[') else { return Ok(None) };
    let (range, tail) = rest.split_once(']').ok_or("has a `[` without `]`")?;
    Ok(Some((head, range, tail)))
}

/// The values of `begin:end:step`.
fn values(range: &str) -> Result<Vec<String>, String> {
    let bounds: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match bounds.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err("needs a range of the form [begin:end] or [begin:end:step]".to_owned()),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err("has a range without an end".to_owned());
    }
    let step: usize = match step.parse() {
        Ok(step) if step > 0 => step,
        _ => return Err(format!("has the step `{step}`; a positive number is needed")),
    };
    let width = if begin.starts_with('0') && begin.len() > 1 { begin.len() } else { 0 };
    if width > 0 && width != end.len() {
        return Err(format!("pads with zeros, but `{begin}` and `{end}` differ in length"));
    }
    if let (Some(first), Some(last)) = (letter(begin), letter(end)) {
        if first > last {
            return Err(format!("begins with `{begin}` behind its end `{end}`"));
        }
        let letters = LETTERS.chars().skip(first).take(last - first + 1).step_by(step);
        return Ok(letters.map(String::from).collect());
    }
    let number = |text: &str| {
        text.parse::<u64>().map_err(|_| {
            format!("has `{text}` in a range; both ends are numbers or both single letters")
        })
    };
    let (first, last) = (number(begin)?, number(end)?);
    if first > last {
        return Err(format!("begins with `{begin}` behind its end `{end}`"));
    }
    let numbers = (first..=last).step_by(step).take(MAX_HOSTS_OF_A_PATTERN + 1);
    Ok(numbers.map(|value| format!("{value:0width$}")).collect())
}

/// Python's `string.ascii_letters`: the order of ranges of letters.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn letter(text: &str) -> Option<usize> {
    if text.len() == 1 { LETTERS.find(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_addresses() {
        type Parts = (&'static str, Option<u32>);
        let table: [(&str, Option<Parts>); 17] = [
            ("web", Some(("web", None))),
            ("web:22", Some(("web", Some(22)))),
            ("web[1:3]:22", Some(("web[1:3]", Some(22)))),
            ("web[1:3]", Some(("web[1:3]", None))),
            ("[::1]:2222", Some(("::1", Some(2222)))),
            ("::1", Some(("::1", None))),
            ("fe80::[1:f]", Some(("fe80::[1:f]", None))),
            ("10.0.0.[1:9]:80", Some(("10.0.0.[1:9]", Some(80)))),
            ("[web]:22", Some(("web", Some(22)))),
            ("web:", None),
            ("-web", None),
            ("[fe80::1%eth0]:22", Some(("fe80::1%eth0", Some(22)))),
            ("web_:1", None),
            ("a:b", None),
            ("web[1-3]", None),
            ("ünï.org", Some(("ünï.org", None))),
            ("a..b", None),
        ];
        for (text, expected) in table {
            let address = parse(text).map(|address| (address.name, address.port));
            assert_eq!(address, expected, "{text}");
        }
    }

    #[test]
    fn ranges_expand_in_order() {
        assert_eq!(expand("web[01:07:3].x").unwrap(), ["web01.x", "web04.x", "web07.x"]);
        assert_eq!(expand("a[1:2]b[x:y]").unwrap(), ["a1bx", "a1by", "a2bx", "a2by"]);
        assert_eq!(expand("n[:2]").unwrap(), ["n0", "n1", "n2"]);
        assert_eq!(expand("n[y:B]").unwrap(), ["ny", "nz", "nA", "nB"]);
        assert_eq!(expand("plain").unwrap(), ["plain"]);
        for wrong in [
            "a[1:",
            "a[1]",
            "a[1:]",
            "a[01:100]",
            "a[b:a]",
            "a[3:1]",
            "a[1:2:0]",
            "a[1:b]",
            "a[0:999999]",
        ] {
            assert!(expand(wrong).is_err(), "{wrong}");
        }
    }
}

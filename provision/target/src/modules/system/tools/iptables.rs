//! `iptables`: rules, chains and policies of the packet filter.

use provision_protocol::Object;
use serde_json::Value;

use super::{ask, change};
use crate::module::{Context, Failure, Given, Outcome};

/// Parameters that are an option with a value, in Ansible's order, up to the destination ports.
const BEFORE_PORTS: &[(&str, &str)] = &[
    ("log_prefix", "--log-prefix"),
    ("log_level", "--log-level"),
    ("to_destination", "--to-destination"),
];

/// The same after them.
const AFTER_PORTS: &[(&str, &str)] = &[
    ("to_source", "--to-source"),
    ("goto", "-g"),
    ("in_interface", "-i"),
    ("out_interface", "-o"),
    ("fragment", "-f"),
    ("set_counters", "-c"),
    ("source_port", "--source-port"),
    ("destination_port", "--destination-port"),
    ("to_ports", "--to-ports"),
    ("set_dscp_mark", "--set-dscp"),
    ("set_dscp_mark_class", "--set-dscp-class"),
];

/// `iptables`: a rule, a chain or a policy.
///
/// # Errors
/// When the parameters don't fit together, or iptables refuses.
pub fn iptables(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let rule = rule_words(given, given.text("jump"));
    let mut jump = given.text("jump");
    if given.text("log_prefix").is_some() || given.text("log_level").is_some() {
        match jump {
            None => jump = Some("LOG"),
            Some("LOG") => {}
            Some(_) => {
                return Err(Failure::new(
                    "Logging options can only be used with the LOG jump target.",
                ));
            }
        }
    }
    for name in ["set_dscp_mark", "set_dscp_mark_class"] {
        if given.text(name).is_some() && jump.is_none() {
            return Err(Failure::new(format!("missing parameter(s) required by '{name}': jump")));
        }
    }
    let filter = Filter { given, words: rule_words(given, jump) };
    let changed = if given.flag("flush") {
        filter.change("-F", &[], context)?;
        true
    } else if let Some(policy) = given.text("policy") {
        filter.set_policy(policy, context)?
    } else if rule.is_empty() {
        filter.manage_chain(context)?
    } else {
        filter.manage_rule(context)?
    };
    let mut outcome = Outcome::new(changed)
        .with("rule", rule.join(" "))
        .with("flush", given.flag("flush"))
        .with("chain_management", given.flag("chain_management"))
        .with("chain", given.text("chain").map_or(Value::Null, Value::from));
    for name in ["ip_version", "table", "state"] {
        outcome = outcome.with(name, given.word(name));
    }
    Ok(outcome)
}

/// What is to be done to which chain.
struct Filter<'a> {
    given: Given<'a>,
    words: Vec<String>,
}

impl Filter<'_> {
    fn program(&self) -> &'static str {
        if self.given.is("ip_version", "ipv6") { "ip6tables" } else { "iptables" }
    }

    /// The command line of an action.
    fn line<'a>(&'a self, action: &'a str, more: &'a [String]) -> Vec<&'a str> {
        let mut line = vec!["-t", self.given.word("table"), action];
        line.extend(self.given.text("chain"));
        if action == "-I" {
            line.extend(self.given.text("rule_num"));
        }
        line.extend(more.iter().map(String::as_str));
        line
    }

    fn change(
        &self,
        action: &str,
        more: &[String],
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        change(self.program(), &self.line(action, more), context)
    }

    /// What a chain holds; `None` if there is no such chain.
    fn listing(&self, context: &Context<'_>) -> Result<Option<String>, Failure> {
        let numeric = ["--numeric".to_owned()];
        let more: &[String] = if self.given.flag("numeric") { &numeric } else { &[] };
        let said = ask(self.program(), &self.line("-L", more), context)?;
        Ok(said.succeeded().then(|| said.stdout_text()))
    }

    fn set_policy(&self, wanted: &str, context: &mut Context<'_>) -> Result<bool, Failure> {
        let listing = self.listing(context)?.unwrap_or_default();
        let Some(now) = policy_of(&listing) else {
            return Err(Failure::new("Can't detect current policy"));
        };
        if now == wanted {
            return Ok(false);
        }
        self.change("-P", &[wanted.to_owned()], context)?;
        Ok(true)
    }

    fn manage_chain(&self, context: &mut Context<'_>) -> Result<bool, Failure> {
        let is_there = self.listing(context)?.is_some();
        let (differs, action) = match self.given.is("state", "absent") {
            true => (is_there, "-X"),
            false => (!is_there, "-N"),
        };
        if differs && self.given.flag("chain_management") {
            self.change(action, &[], context)?;
        }
        Ok(differs)
    }

    fn manage_rule(&self, context: &mut Context<'_>) -> Result<bool, Failure> {
        let is_there = ask(self.program(), &self.line("-C", &self.words), context)?.succeeded();
        let is_wanted = self.given.is("state", "present");
        if is_there == is_wanted {
            return Ok(false);
        }
        let action = match (is_wanted, self.given.is("action", "insert")) {
            (false, _) => "-D",
            (true, true) => "-I",
            (true, false) => "-A",
        };
        self.change(action, &self.words, context)?;
        Ok(true)
    }
}

/// The policy in the first line of a listing: `Chain INPUT (policy ACCEPT)`.
fn policy_of(listing: &str) -> Option<&str> {
    let (_, rest) = listing.lines().next()?.split_once("(policy ")?;
    let end = rest.find(|character: char| !character.is_ascii_uppercase())?;
    rest.get(..end).filter(|policy| !policy.is_empty())
}

/// The words of a rule, in Ansible's order.
fn rule_words(given: Given<'_>, jump: Option<&str>) -> Vec<String> {
    let mut rule = Rule(Vec::new());
    let matches = given.words("match");
    rule.add("-w", given.text("wait"), false);
    for (name, option) in [("protocol", "-p"), ("source", "-s"), ("destination", "-d")] {
        rule.add(option, given.text(name), true);
    }
    for module in &matches {
        rule.add("-m", Some(module), true);
    }
    rule.tcp_flags(given);
    rule.add("-j", jump, true);
    if jump.is_some_and(|jump| jump.eq_ignore_ascii_case("tee")) {
        rule.add("--gateway", given.text("gateway"), true);
    }
    rule.all(given, BEFORE_PORTS);
    let ports = given.words("destination_ports");
    rule.list("multiport", "--dports", &ports);
    rule.all(given, AFTER_PORTS);
    match given.word("syn") {
        "match" => rule.say(&["--syn"]),
        "negate" => rule.say(&["!", "--syn"]),
        _ => {}
    }
    rule.matches(given, &matches);
    if jump.is_none() && given.text("reject_with").is_some() {
        rule.say(&["-j", "REJECT"]);
    }
    rule.add("--reject-with", given.text("reject_with"), true);
    let icmp = if given.is("ip_version", "ipv6") { "--icmpv6-type" } else { "--icmp-type" };
    rule.add(icmp, given.text("icmp_type"), true);
    if given.text("comment").is_some() {
        rule.say(&["-m", "comment"]);
    }
    rule.add("--comment", given.text("comment"), true);
    rule.0
}

struct Rule(Vec<String>);

impl Rule {
    fn say(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// An option with a value; `!` in front of the value negates it.
    fn add(&mut self, option: &str, value: Option<&str>, negatable: bool) {
        match value.map(|value| (value.strip_prefix('!').filter(|_| negatable), value)) {
            None => {}
            Some((Some(value), _)) => self.say(&["!", option, value]),
            Some((None, value)) => self.say(&[option, value]),
        }
    }

    fn all(&mut self, given: Given<'_>, options: &[(&str, &str)]) {
        for (name, option) in options {
            self.add(option, given.text(name), true);
        }
    }

    /// An option with a list, and the match that knows it.
    fn list(&mut self, module: &str, option: &str, values: &[&str]) {
        if !values.is_empty() {
            self.say(&["-m", module, option, &values.join(",")]);
        }
    }

    fn tcp_flags(&mut self, given: Given<'_>) {
        let flags = |name: &str| {
            let value = given.0.get("tcp_flags")?.get(name)?;
            Some(match value.as_array() {
                Some(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                None => value.as_str()?.to_owned(),
            })
        };
        if let (Some(looked_at), Some(set)) = (flags("flags"), flags("flags_set")) {
            self.say(&["--tcp-flags", &looked_at, &set]);
        }
    }

    /// Options that belong to a match, which is named unless the user has named it.
    fn matches(&mut self, given: Given<'_>, named: &[&str]) {
        let is_named = |module: &str| named.contains(&module);
        let states = given.words("ctstate").join(",");
        if !states.is_empty() {
            match (is_named("conntrack"), is_named("state")) {
                (true, _) => self.say(&["--ctstate", &states]),
                (false, true) => self.say(&["--state", &states]),
                (false, false) => self.say(&["-m", "conntrack", "--ctstate", &states]),
            }
        }
        let (source, target) = (given.text("src_range"), given.text("dst_range"));
        if (source.is_some() || target.is_some()) && !is_named("iprange") {
            self.say(&["-m", "iprange"]);
        }
        self.add("--src-range", source, true);
        self.add("--dst-range", target, true);
        if let Some(set) = given.text("match_set") {
            if !is_named("set") {
                self.say(&["-m", "set"]);
            }
            self.add("--match-set", Some(set), true);
        }
        if let Some(flags) = given.text("match_set_flags") {
            self.say(&[flags]);
        }
        if given.text("limit").is_some() || given.text("limit_burst").is_some() {
            self.say(&["-m", "limit"]);
        }
        self.add("--limit", given.text("limit"), true);
        self.add("--limit-burst", given.text("limit_burst"), true);
        for (name, option) in [("uid_owner", "--uid-owner"), ("gid_owner", "--gid-owner")] {
            if given.text(name).is_some() {
                self.say(&["-m", "owner"]);
            }
            self.add(option, given.text(name), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use provision_protocol::modules;
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::{context, object};

    fn words(given: Value) -> String {
        let spec = modules::find("iptables").unwrap();
        let given = modules::normalise(spec, object(given)).unwrap();
        rule_words(Given(&given), Given(&given).text("jump")).join(" ")
    }

    #[test]
    fn rules_are_in_ansible_s_order() {
        let given = json!({
            "chain": "INPUT", "protocol": "tcp", "source": "!8.8.8.8", "match": ["tcp"],
            "destination_ports": ["80", "443", "8081:8083"], "ctstate": ["NEW", "RELATED"],
            "jump": "ACCEPT", "comment": "Accept new", "syn": "match", "in_interface": "eth0",
        });
        assert_eq!(
            words(given),
            "-p tcp ! -s 8.8.8.8 -m tcp -j ACCEPT -m multiport --dports 80,443,8081:8083 -i eth0 \
             --syn -m conntrack --ctstate NEW,RELATED -m comment --comment Accept new"
        );
    }

    #[test]
    fn matches_are_named_once() {
        let given = json!({"chain": "X", "match": "state", "ctstate": "NEW", "limit": "2/second"});
        assert_eq!(words(given), "-m state --state NEW -m limit --limit 2/second");
        let given = json!({"chain": "X", "match_set": "a", "match_set_flags": "src"});
        assert_eq!(words(given), "-m set --match-set a src");
        let given = json!({"chain": "X", "reject_with": "tcp-reset", "uid_owner": "!bob"});
        assert_eq!(words(given), "-m owner ! --uid-owner bob -j REJECT --reject-with tcp-reset");
        let flags =
            json!({"chain": "X", "tcp_flags": {"flags": ["ALL"], "flags_set": ["ACK", "RST"]}});
        assert_eq!(words(flags), "--tcp-flags ALL ACK,RST");
    }

    #[test]
    fn policies_are_read() {
        assert_eq!(policy_of("Chain INPUT (policy DROP 3 packets)\n"), Some("DROP"));
        assert_eq!(policy_of("Chain own (1 references)\n"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let logs = json!({"chain": "INPUT", "jump": "DROP", "log_prefix": "x"});
        let failure = context().call_named("iptables", logs).unwrap_err();
        assert!(failure.message.contains("LOG jump target"), "{failure:?}");
        let spec = modules::find("iptables").unwrap();
        let missing = modules::normalise(spec, object(json!({"jump": "tee", "chain": "X"})));
        let said = missing.unwrap_err()[0].to_string();
        assert_eq!(said, "jump is tee but all of the following are missing: gateway");
    }
}

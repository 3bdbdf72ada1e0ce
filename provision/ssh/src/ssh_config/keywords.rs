//! Which keywords mean what to us. Pure.

/// What becomes of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// The first value counts; at least and at most this many arguments.
    Single,
    /// The first line counts, with all its arguments.
    List,
    /// All lines count.
    Every,
    /// Changes nothing for a program that runs commands and forwards nothing.
    Ignored,
    /// Would change where or how we connect: an error unless it has one of these values.
    Refused(&'static [&'static str]),
    /// Nobody knows it.
    Unknown,
}

/// Renames obsolete spellings.
pub(crate) fn canonical(keyword: &str) -> &str {
    match keyword {
        "identityfile2" => "identityfile",
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms",
        "dsaauthentication" => "pubkeyauthentication",
        "challengeresponseauthentication" | "skeyauthentication" | "tisauthentication" => {
            "kbdinteractiveauthentication"
        }
        other => other,
    }
}

/// Classifies a canonical keyword.
pub(crate) fn treatment(keyword: &str) -> Treatment {
    match keyword {
        "hostname"
        | "user"
        | "port"
        | "identitiesonly"
        | "identityagent"
        | "hostkeyalias"
        | "proxyjump"
        | "connecttimeout"
        | "connectionattempts"
        | "serveraliveinterval"
        | "serveralivecountmax"
        | "stricthostkeychecking"
        | "hashknownhosts"
        | "ciphers"
        | "macs"
        | "kexalgorithms"
        | "hostkeyalgorithms"
        | "pubkeyacceptedalgorithms"
        | "ignoreunknown"
        | "addressfamily"
        | "passwordauthentication"
        | "kbdinteractiveauthentication"
        | "pubkeyauthentication"
        | "preferredauthentications" => Treatment::Single,
        "userknownhostsfile" | "globalknownhostsfile" | "proxycommand" => Treatment::List,
        "identityfile" | "certificatefile" => Treatment::Every,
        "pkcs11provider" | "smartcarddevice" | "knownhostscommand" | "revokedhostkeys"
        | "remotecommand" | "bindinterface" | "bindaddress" => Treatment::Refused(&["none"]),
        "canonicalizehostname" | "permitlocalcommand" => Treatment::Refused(&["no", "false"]),
        "sessiontype" => Treatment::Refused(&["default"]),
        "refuseconnection" => Treatment::Refused(&[]),
        other if IGNORED.contains(&other) => Treatment::Ignored,
        _ => Treatment::Unknown,
    }
}

/// Interactive use, forwarding, multiplexing, logging, methods that we don't have (a server that
/// wants them refuses us with a clear message), and restrictions that we exceed anyway.
const IGNORED: &[&str] = &[
    "addkeystoagent",
    "afstokenpassing",
    "batchmode",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "casignaturealgorithms",
    "channeltimeout",
    "checkhostip",
    "cipher",
    "clearallforwardings",
    "compression",
    "compressionlevel",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fallbacktorsh",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "globalknownhostsfile2",
    "gssapiauthentication",
    "gssapiclientidentity",
    "gssapidelegatecredentials",
    "gssapikexalgorithms",
    "gssapikeyexchange",
    "gssapirenewalforcesrekey",
    "gssapiserveridentity",
    "gssapitrustdns",
    "hostbasedacceptedalgorithms",
    "hostbasedauthentication",
    "hostbasedkeytypes",
    "ipqos",
    "kbdinteractivedevices",
    "keepalive",
    "kerberosauthentication",
    "kerberostgtpassing",
    "localcommand",
    "localforward",
    "loglevel",
    "logverbose",
    "nohostauthenticationforlocalhost",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "permitremoteopen",
    "protocol",
    "proxyusefdpass",
    "rekeylimit",
    "remoteforward",
    "requesttty",
    "requiredrsasize",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "securitykeyprovider",
    "sendenv",
    "setenv",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunnel",
    "tunneldevice",
    "updatehostkeys",
    "useprivilegedport",
    "userknownhostsfile2",
    "useroaming",
    "usersh",
    "verifyhostkeydns",
    "versionaddendum",
    "visualhostkey",
    "warnweakcrypto",
    "xauthlocation",
];

//! Entries: network.

use super::super::FILE_COMMON;
use super::{Kind, ModuleSpec, Parameter, RequiredIf, exclusive, needs, prepared, skips};

const HTTP: &[Parameter] = &[
    Parameter::new("url", Kind::Text, "address").required(),
    Parameter::new("force", Kind::Boolean, "do not use or ask for cached content"),
    Parameter::new("http_agent", Kind::Text, "User-Agent header"),
    Parameter::new("use_proxy", Kind::Boolean, "use the proxies of the environment"),
    Parameter::new("validate_certs", Kind::Boolean, "check certificates"),
    Parameter::new("force_basic_auth", Kind::Boolean, "authenticate without being asked"),
    Parameter::new("client_cert", Kind::Path, "certificate of the client (PEM)"),
    Parameter::new("client_key", Kind::Path, "its key, if not in the same file"),
    Parameter::new("use_gssapi", Kind::Boolean, "not supported"),
    Parameter::new("headers", Kind::Mapping, "headers"),
    Parameter::new("unredirected_headers", Kind::TextList, "headers not sent on a redirect"),
    Parameter::new("timeout", Kind::Integer, "limit, in seconds"),
    Parameter::new("decompress", Kind::Boolean, "decode gzip"),
    Parameter::new("ciphers", Kind::TextList, "not supported"),
    Parameter::new("use_netrc", Kind::Boolean, "read ~/.netrc"),
];

pub(super) const GET_URL: ModuleSpec = ModuleSpec::new(
    "get_url",
    &[
        HTTP,
        &[
            Parameter::new("dest", Kind::Path, "file or folder").required(),
            Parameter::new("backup", Kind::Boolean, "keep the old file under another name"),
            Parameter::new("checksum", Kind::Text, "algorithm:digest, or algorithm:address"),
            Parameter::new("tmp_dest", Kind::Path, "folder for the download"),
            Parameter::new("url_username", Kind::Text, "user").aliases(&["username"]),
            Parameter::new("url_password", Kind::Text, "password").secret().aliases(&["password"]),
        ],
        FILE_COMMON,
    ],
    "downloads a file",
);

pub(super) const URI: ModuleSpec =
    prepared(skips(exclusive(
        ModuleSpec::new(
            "uri",
            &[
                HTTP,
                &[
                    Parameter::new("dest", Kind::Path, "file or folder for the answer"),
                    Parameter::new("url_username", Kind::Text, "user").aliases(&["user"]),
                    Parameter::new("url_password", Kind::Text, "password")
                        .secret()
                        .aliases(&["password"]),
                    Parameter::new("body", Kind::Raw, "body of the request"),
                    Parameter::new("body_format", Kind::Text, "how the body is encoded")
                        .choices(&["form-urlencoded", "json", "raw", "form-multipart"]),
                    Parameter::new("src", Kind::Path, "file with the body"),
                    Parameter::new("remote_src", Kind::Boolean, "src is a file of the host"),
                    Parameter::new("method", Kind::Text, "method"),
                    Parameter::new("return_content", Kind::Boolean, "return the answer's body"),
                    Parameter::new("follow_redirects", Kind::Text, "which redirects to follow")
                        .choices(&["all", "no", "none", "safe", "urllib2", "yes"]),
                    Parameter::new("creates", Kind::Path, "do nothing if this exists"),
                    Parameter::new("removes", Kind::Path, "do nothing unless this exists"),
                    Parameter::new("status_code", Kind::List, "codes that mean success"),
                    Parameter::new("unix_socket", Kind::Path, "socket to connect to"),
                    Parameter::new("ca_path", Kind::Path, "trusted certificates (PEM)"),
                ],
                FILE_COMMON,
            ],
            "talks to a web service",
        ),
        &[&["body", "src"]],
    )));

pub(super) const EXCHANGE: ModuleSpec = ModuleSpec::new(
    "exchange",
    &[&[
        Parameter::new("port", Kind::Integer, "port").required(),
        Parameter::new("address", Kind::Text, "an address of the host itself (default 127.0.0.1)"),
        Parameter::new("send", Kind::Text, "text to send"),
        Parameter::new("timeout", Kind::Integer, "limit of the whole exchange, in seconds"),
    ]],
    "sends a text to a port of the host itself and returns what it answers",
);

pub(super) const WAIT_FOR: ModuleSpec = skips(exclusive(
    ModuleSpec::new(
        "wait_for",
        &[&[
            Parameter::new("host", Kind::Text, "address to wait for"),
            Parameter::new("port", Kind::Integer, "port"),
            Parameter::new("path", Kind::Path, "file"),
            Parameter::new("search_regex", Kind::Text, "what must be found there"),
            Parameter::new("state", Kind::Text, "what to wait for")
                .choices(&["absent", "drained", "present", "started", "stopped"]),
            Parameter::new("timeout", Kind::Integer, "limit, in seconds"),
            Parameter::new("connect_timeout", Kind::Integer, "limit of one try, in seconds"),
            Parameter::new("delay", Kind::Integer, "seconds before the first try"),
            Parameter::new("sleep", Kind::Integer, "seconds between tries"),
            Parameter::new("active_connection_states", Kind::TextList, "TCP states that count"),
            Parameter::new("exclude_hosts", Kind::TextList, "peers that do not count"),
            Parameter::new("msg", Kind::Text, "message when it takes too long"),
        ]],
        "waits for a port, a file or a time",
    ),
    &[&["port", "path"]],
));

pub(super) const CONSUL_KV: ModuleSpec = needs(
    ModuleSpec::new(
        "consul_kv",
        &[&[
            Parameter::new("key", Kind::Text, "key").required(),
            Parameter::new("value", Kind::Text, "value; without it the key is only read"),
            Parameter::new("state", Kind::Text, "whether it exists, or who holds its lock")
                .choices(&["absent", "acquire", "present", "release"])
                .default("present"),
            Parameter::new("recurse", Kind::Boolean, "all keys that begin so"),
            Parameter::new("retrieve", Kind::Boolean, "read it afterwards").default("true"),
            Parameter::new("session", Kind::Text, "session that holds the lock"),
            Parameter::new("token", Kind::Text, "token").secret(),
            Parameter::new("cas", Kind::Text, "write only if this is its ModifyIndex"),
            Parameter::new("flags", Kind::Text, "number that is kept with it"),
            Parameter::new("host", Kind::Text, "agent of Consul").default("localhost"),
            Parameter::new("port", Kind::Integer, "its port").default("8500"),
            Parameter::new("scheme", Kind::Text, "http or https").default("http"),
            Parameter::new("validate_certs", Kind::Boolean, "check certificates").default("true"),
            Parameter::new("datacenter", Kind::Text, "datacenter"),
        ]],
        "manages keys of Consul",
    ),
    &[
        RequiredIf::all("state", "acquire", &["session"]),
        RequiredIf::all("state", "release", &["session"]),
    ],
);

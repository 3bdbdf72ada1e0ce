//! Entries: packages.

use super::{Kind, ModuleSpec, Parameter, RequiredIf, alias, exclusive, host, needs, open};
use crate::modules::FILE_COMMON;

const UPDATE_CACHE: &[Parameter] = &[
    Parameter::new("update_cache", Kind::Boolean, "run apt-get update first")
        .aliases(&["update-cache"]),
    Parameter::new("update_cache_retries", Kind::Integer, "how often to try"),
    Parameter::new("update_cache_retry_max_delay", Kind::Integer, "seconds between tries"),
];

pub(super) const APT: ModuleSpec = exclusive(
    ModuleSpec::new(
        "apt",
        &[
            UPDATE_CACHE,
            &[
                Parameter::new("package", Kind::TextList, "names, `name=version`, patterns")
                    .aliases(&["pkg", "name"]),
                Parameter::new("state", Kind::Text, "what to reach").choices(&[
                    "absent",
                    "build-dep",
                    "fixed",
                    "latest",
                    "present",
                ]),
                Parameter::new("cache_valid_time", Kind::Integer, "seconds it stays fresh"),
                Parameter::new("purge", Kind::Boolean, "remove configuration, too"),
                Parameter::new("deb", Kind::Path, "package file, or its address"),
                Parameter::new("default_release", Kind::Text, "release to prefer")
                    .aliases(&["default-release"]),
                Parameter::new("install_recommends", Kind::Boolean, "also recommended ones")
                    .aliases(&["install-recommends"]),
                Parameter::new("force", Kind::Boolean, "apt-get --force-yes"),
                Parameter::new("upgrade", Kind::Text, "upgrade everything")
                    .choices(&["dist", "full", "no", "safe", "yes"]),
                Parameter::new("dpkg_options", Kind::Text, "options of dpkg, by commas"),
                Parameter::new("autoremove", Kind::Boolean, "remove unneeded packages"),
                Parameter::new("autoclean", Kind::Boolean, "remove outdated downloads"),
                Parameter::new("fail_on_autoremove", Kind::Boolean, "fail if it would remove"),
                Parameter::new("policy_rc_d", Kind::Integer, "code of policy-rc.d meanwhile"),
                Parameter::new("only_upgrade", Kind::Boolean, "only if it is installed"),
                Parameter::new("force_apt_get", Kind::Boolean, "never use aptitude"),
                Parameter::new("clean", Kind::Boolean, "remove all downloads"),
                Parameter::new("allow_unauthenticated", Kind::Boolean, "skip signatures")
                    .aliases(&["allow-unauthenticated"]),
                Parameter::new("allow_downgrade", Kind::Boolean, "allow older versions")
                    .aliases(&["allow-downgrade", "allow_downgrades", "allow-downgrades"]),
                Parameter::new("allow_change_held_packages", Kind::Boolean, "ignore holds"),
                Parameter::new("lock_timeout", Kind::Integer, "seconds to wait for dpkg"),
            ],
        ],
        "manages packages of Debian and Ubuntu",
    ),
    &[&["deb", "package", "upgrade"]],
);

pub(super) const PACKAGE: ModuleSpec = open(ModuleSpec::new(
    "package",
    &[&[
        Parameter::new("name", Kind::TextList, "packages").required(),
        Parameter::new("state", Kind::Text, "what to reach (default present)"),
        Parameter::new("use", Kind::Text, "package manager; `auto` finds it"),
    ]],
    "manages packages with the host's package manager",
));

pub(super) const APT_REPOSITORY: ModuleSpec = ModuleSpec::new(
    "apt_repository",
    &[
        UPDATE_CACHE,
        &[
            Parameter::new("repo", Kind::Text, "source line, or ppa:user/name").required(),
            Parameter::new("state", Kind::Text, "whether it exists")
                .choices(&["absent", "present"]),
            Parameter::new("mode", Kind::Raw, "permission bits of the file"),
            Parameter::new("filename", Kind::Text, "name of the file, without .list"),
            Parameter::new("codename", Kind::Text, "release of a PPA"),
            Parameter::new("install_python_apt", Kind::Boolean, "has no meaning here"),
            Parameter::new("validate_certs", Kind::Boolean, "check certificates of a PPA's site"),
        ],
    ],
    "manages a source of packages",
);

pub(super) const DEB822_REPOSITORY: ModuleSpec = ModuleSpec::new(
    "deb822_repository",
    &[&[
        Parameter::new("name", Kind::Text, "name, also of the file").required(),
        Parameter::new("state", Kind::Text, "whether it exists").choices(&["absent", "present"]),
        Parameter::new("types", Kind::TextList, "deb, deb-src"),
        Parameter::new("uris", Kind::TextList, "addresses"),
        Parameter::new("suites", Kind::TextList, "suites, or a path that ends with /"),
        Parameter::new("components", Kind::TextList, "components"),
        Parameter::new("architectures", Kind::TextList, "architectures"),
        Parameter::new("languages", Kind::TextList, "languages of translations"),
        Parameter::new("targets", Kind::TextList, "kinds of downloads"),
        Parameter::new("signed_by", Kind::Text, "key: its file, its address, or itself"),
        Parameter::new("enabled", Kind::Boolean, "whether apt uses it"),
        Parameter::new("trusted", Kind::Boolean, "without authentication"),
        Parameter::new("check_date", Kind::Boolean, "refuse files from the future"),
        Parameter::new("check_valid_until", Kind::Boolean, "refuse files that are too old"),
        Parameter::new("date_max_future", Kind::Integer, "seconds that a clock may be wrong"),
        Parameter::new("allow_insecure", Kind::Boolean, "accept what isn't signed"),
        Parameter::new("allow_weak", Kind::Boolean, "accept weak digests"),
        Parameter::new("allow_downgrade_to_insecure", Kind::Boolean, "accept a lost signature"),
        Parameter::new("by_hash", Kind::Boolean, "fetch indexes by digest"),
        Parameter::new("pdiffs", Kind::Boolean, "fetch differences of indexes"),
        Parameter::new("inrelease_path", Kind::Text, "path of InRelease"),
        Parameter::new("mode", Kind::Raw, "permission bits of the file"),
        Parameter::new("install_python_debian", Kind::Boolean, "has no meaning here"),
    ]],
    "manages a source of packages in apt's newer format",
);

pub(super) const APT_KEY: ModuleSpec = exclusive(
    ModuleSpec::new(
        "apt_key",
        &[&[
            Parameter::new("id", Kind::Text, "key id or fingerprint"),
            Parameter::new("url", Kind::Text, "where to get it"),
            Parameter::new("data", Kind::Text, "the key itself"),
            Parameter::new("file", Kind::Path, "file on the host"),
            Parameter::new("keyring", Kind::Path, "keyring to put it in"),
            Parameter::new("validate_certs", Kind::Boolean, "check certificates"),
            Parameter::new("keyserver", Kind::Text, "server to get it from"),
            Parameter::new("state", Kind::Text, "whether it is trusted")
                .choices(&["absent", "present"]),
        ]],
        "manages keys that apt trusts",
    ),
    &[&["data", "file", "keyserver", "url"]],
);

pub(super) const DPKG_SELECTIONS: ModuleSpec = host(ModuleSpec::new(
    "dpkg_selections",
    &[&[
        Parameter::new("name", Kind::Text, "package").required(),
        Parameter::new("selection", Kind::Text, "what dpkg is to do with it")
            .required()
            .choices(&["install", "hold", "deinstall", "purge"]),
    ]],
    "sets what dpkg is to do with a package",
));

pub(super) const DEBCONF: ModuleSpec = host(ModuleSpec::new(
    "debconf",
    &[&[
        Parameter::new("name", Kind::Text, "package").required().aliases(&["pkg"]),
        Parameter::new("question", Kind::Text, "question").aliases(&["selection", "setting"]),
        Parameter::new("vtype", Kind::Text, "type of the answer").choices(&[
            "boolean",
            "error",
            "multiselect",
            "note",
            "password",
            "seen",
            "select",
            "string",
            "text",
            "title",
        ]),
        Parameter::new("value", Kind::Raw, "answer").aliases(&["answer"]),
        Parameter::new("unseen", Kind::Boolean, "do not mark it as seen"),
    ]],
    "sets answers to questions of packages",
));

pub(super) const YUM_REPOSITORY: ModuleSpec = host(needs(
    ModuleSpec::new(
        "yum_repository",
        &[YUM_REPOSITORY_PARAMETERS, FILE_COMMON],
        "manages a source of packages of Red Hat's systems",
    ),
    &[
        RequiredIf::any("state", "present", &["baseurl", "mirrorlist", "metalink"]),
        RequiredIf::all("state", "present", &["description"]),
    ],
));

const YUM_REPOSITORY_PARAMETERS: &[Parameter] =
    &[
        Parameter::new("name", Kind::Text, "id of the repository").required(),
        Parameter::new("state", Kind::Text, "whether it exists")
            .choices(&["absent", "present"])
            .default("present"),
        Parameter::new("description", Kind::Text, "name that people read"),
        Parameter::new("baseurl", Kind::TextList, "addresses"),
        Parameter::new("mirrorlist", Kind::Text, "address of a list of mirrors"),
        Parameter::new("metalink", Kind::Text, "address of a metalink"),
        Parameter::new(
            "file",
            Kind::Text,
            "name of the file, without .repo; else that of the repository",
        ),
        Parameter::new("reposdir", Kind::Path, "folder").default("/etc/yum.repos.d"),
        Parameter::new("enabled", Kind::Boolean, "whether it is used"),
        Parameter::new("gpgcheck", Kind::Boolean, "check signatures of packages"),
        Parameter::new("gpgkey", Kind::TextList, "addresses of keys"),
        Parameter::new("gpgcakey", Kind::Text, "address of the key that signs keys"),
        Parameter::new("repo_gpgcheck", Kind::Boolean, "check the signature of the index"),
        Parameter::new("async", Kind::Boolean, "download in parallel"),
        Parameter::new("bandwidth", Kind::Text, "bytes a second"),
        Parameter::new("cost", Kind::Text, "cost beside others"),
        Parameter::new("countme", Kind::Boolean, "let the host be counted"),
        Parameter::new("deltarpm_metadata_percentage", Kind::Text, "size of delta metadata"),
        Parameter::new("deltarpm_percentage", Kind::Text, "size of deltas"),
        Parameter::new("enablegroups", Kind::Boolean, "use its groups"),
        Parameter::new("exclude", Kind::TextList, "packages that aren't used")
            .aliases(&["excludepkgs"]),
        Parameter::new("failovermethod", Kind::Text, "order of addresses")
            .choices(&["roundrobin", "priority"]),
        Parameter::new("http_caching", Kind::Text, "what caches may keep")
            .choices(&["all", "packages", "none"]),
        Parameter::new("include", Kind::Text, "file to include"),
        Parameter::new("includepkgs", Kind::TextList, "only these packages"),
        Parameter::new("ip_resolve", Kind::Text, "version of IP")
            .choices(&["4", "6", "IPv4", "IPv6", "whatever"]),
        Parameter::new("keepalive", Kind::Boolean, "keep connections"),
        Parameter::new("keepcache", Kind::Text, "keep packages").choices(&["0", "1"]),
        Parameter::new("metadata_expire", Kind::Text, "how long the index is fresh"),
        Parameter::new("metadata_expire_filter", Kind::Text, "what asks for a fresh index")
            .choices(&["never", "read-only:past", "read-only:present", "read-only:future"]),
        Parameter::new("mirrorlist_expire", Kind::Text, "how long the list is fresh"),
        Parameter::new("module_hotfixes", Kind::Boolean, "packages win over modules"),
        Parameter::new("password", Kind::Text, "password").secret(),
        Parameter::new("priority", Kind::Text, "priority"),
        Parameter::new("protect", Kind::Boolean, "protect its packages"),
        Parameter::new("proxy", Kind::Text, "proxy"),
        Parameter::new("proxy_password", Kind::Text, "password of the proxy").secret(),
        Parameter::new("proxy_username", Kind::Text, "user of the proxy"),
        Parameter::new("retries", Kind::Text, "how often to try"),
        Parameter::new("s3_enabled", Kind::Boolean, "ask S3"),
        Parameter::new("skip_if_unavailable", Kind::Boolean, "go on without it"),
        Parameter::new(
            "ssl_check_cert_permissions",
            Kind::Boolean,
            "check permissions of certificates",
        ),
        Parameter::new("sslcacert", Kind::Text, "certificates to trust").aliases(&["ca_cert"]),
        Parameter::new("sslclientcert", Kind::Text, "own certificate").aliases(&["client_cert"]),
        Parameter::new("sslclientkey", Kind::Text, "its key").aliases(&["client_key"]),
        Parameter::new("sslverify", Kind::Boolean, "check certificates")
            .aliases(&["validate_certs"]),
        Parameter::new("throttle", Kind::Text, "limit of the rate"),
        Parameter::new("timeout", Kind::Text, "seconds to wait"),
        Parameter::new("ui_repoid_vars", Kind::Text, "variables that are shown"),
        Parameter::new("username", Kind::Text, "user"),
    ];

pub(super) const DNF: ModuleSpec = exclusive(
    alias(
        ModuleSpec::new(
            "dnf",
            &[DNF_WHAT, DNF_HOW],
            "manages packages of Red Hat's systems with the host's dnf5, dnf or yum",
        ),
        &["yum", "dnf5"],
    ),
    &[&["use", "use_backend"]],
);

const DNF_WHAT: &[Parameter] = &[
    Parameter::new("name", Kind::TextList, "names, with or without versions, files, @groups")
        .aliases(&["pkg"]),
    Parameter::new("state", Kind::Text, "what to reach").choices(&[
        "absent",
        "installed",
        "latest",
        "present",
        "removed",
    ]),
    Parameter::new("list", Kind::Text, "only list: installed, updates, available, repos, a name"),
    Parameter::new("autoremove", Kind::Boolean, "remove what nothing needs").default("false"),
    Parameter::new("update_cache", Kind::Boolean, "read the sources anew")
        .aliases(&["expire-cache"])
        .default("false"),
    Parameter::new("update_only", Kind::Boolean, "only what is installed").default("false"),
    Parameter::new("security", Kind::Boolean, "`latest`: only for security").default("false"),
    Parameter::new("bugfix", Kind::Boolean, "`latest`: only for bugs").default("false"),
    Parameter::new("download_only", Kind::Boolean, "install nothing").default("false"),
    Parameter::new("download_dir", Kind::Path, "folder of downloads"),
    Parameter::new("use_backend", Kind::Text, "program").choices(DNF_BACKENDS),
    Parameter::new("use", Kind::Text, "likewise").choices(DNF_BACKENDS),
];

const DNF_BACKENDS: &[&str] = &["auto", "yum", "yum4", "dnf", "dnf4", "dnf5"];

const DNF_HOW: &[Parameter] = &[
    Parameter::new("enablerepo", Kind::TextList, "sources to use besides"),
    Parameter::new("disablerepo", Kind::TextList, "sources not to use"),
    Parameter::new("exclude", Kind::TextList, "packages to leave alone"),
    Parameter::new("disable_excludes", Kind::Text, "ignore such lists: all, main or a source"),
    Parameter::new("enable_plugin", Kind::TextList, "plugins to use"),
    Parameter::new("disable_plugin", Kind::TextList, "plugins not to use"),
    Parameter::new("conf_file", Kind::Text, "configuration"),
    Parameter::new("installroot", Kind::Text, "root folder").default("/"),
    Parameter::new("releasever", Kind::Text, "release to take packages of"),
    Parameter::new("disable_gpg_check", Kind::Boolean, "skip signatures").default("false"),
    Parameter::new("validate_certs", Kind::Boolean, "check certificates").default("true"),
    Parameter::new("sslverify", Kind::Boolean, "check certificates of sources").default("true"),
    Parameter::new("allow_downgrade", Kind::Boolean, "allow older versions").default("false"),
    Parameter::new("allowerasing", Kind::Boolean, "remove what is in the way").default("false"),
    Parameter::new("best", Kind::Boolean, "only the newest will do"),
    Parameter::new("nobest", Kind::Boolean, "older ones will do"),
    Parameter::new("cacheonly", Kind::Boolean, "only what is downloaded").default("false"),
    Parameter::new("install_weak_deps", Kind::Boolean, "also recommended ones").default("true"),
    Parameter::new("install_repoquery", Kind::Boolean, "of old versions of yum; nothing to do")
        .default("true"),
    Parameter::new("skip_broken", Kind::Boolean, "leave out what can't be had").default("false"),
    Parameter::new("lock_timeout", Kind::Integer, "seconds to wait for another manager")
        .default("30"),
];

pub(super) const RPM_KEY: ModuleSpec = host(ModuleSpec::new(
    "rpm_key",
    &[&[
        Parameter::new("key", Kind::Text, "address, file, or an id to remove").required(),
        Parameter::new("state", Kind::Text, "whether it is trusted")
            .choices(&["absent", "present"])
            .default("present"),
        Parameter::new("fingerprint", Kind::TextList, "one of these it must have"),
        Parameter::new("validate_certs", Kind::Boolean, "check certificates").default("true"),
    ]],
    "manages keys that rpm trusts",
));

//! Entries: modules that work through a program of the host.

use super::{Kind, ModuleSpec, Parameter, RequiredIf, exclusive, host, needs, one_of, prepared};

const STATE: &[Parameter] = &[Parameter::new("state", Kind::Text, "whether it exists")
    .choices(&["absent", "present"])
    .default("present")];

// Others may lose their way to the host.
pub(super) const IPTABLES: ModuleSpec = needs(
    exclusive(
        ModuleSpec::new(
            "iptables",
            &[STATE, IPTABLES_WHERE, IPTABLES_RULE],
            "manages the packet filter with iptables",
        ),
        &[&["set_dscp_mark", "set_dscp_mark_class"], &["flush", "policy"]],
    ),
    &[
        RequiredIf::all("jump", "TEE", &["gateway"]),
        RequiredIf::all("jump", "tee", &["gateway"]),
        RequiredIf::all("flush", "false", &["chain"]),
    ],
);

const IPTABLES_WHERE: &[Parameter] = &[
    Parameter::new("table", Kind::Text, "table")
        .choices(&["filter", "nat", "mangle", "raw", "security"])
        .default("filter"),
    Parameter::new("action", Kind::Text, "where a new rule goes")
        .choices(&["append", "insert"])
        .default("append"),
    Parameter::new("ip_version", Kind::Text, "version of IP")
        .choices(&["ipv4", "ipv6"])
        .default("ipv4"),
    Parameter::new("chain", Kind::Text, "chain"),
    Parameter::new("rule_num", Kind::Text, "number of an inserted rule"),
    Parameter::new("flush", Kind::Boolean, "remove all rules").default("false"),
    Parameter::new("policy", Kind::Text, "what happens to other packets")
        .choices(&["ACCEPT", "DROP", "QUEUE", "RETURN"]),
    Parameter::new("chain_management", Kind::Boolean, "make or remove the chain itself")
        .default("false"),
    Parameter::new("numeric", Kind::Boolean, "look at chains without resolving names")
        .default("false"),
    Parameter::new("wait", Kind::Text, "seconds to wait for the lock of xtables"),
];

const IPTABLES_RULE: &[Parameter] = &[
    Parameter::new("protocol", Kind::Text, "protocol"),
    Parameter::new("source", Kind::Text, "source"),
    Parameter::new("destination", Kind::Text, "destination"),
    Parameter::new("match", Kind::TextList, "extensions"),
    Parameter::new("tcp_flags", Kind::Mapping, "`flags` that are looked at, `flags_set` of them"),
    Parameter::new("jump", Kind::Text, "target"),
    Parameter::new("gateway", Kind::Text, "where TEE sends copies"),
    Parameter::new("log_prefix", Kind::Text, "what stands before logged packets"),
    Parameter::new("log_level", Kind::Text, "level of logged packets").choices(&[
        "0", "1", "2", "3", "4", "5", "6", "7", "emerg", "alert", "crit", "error", "warning",
        "notice", "info", "debug",
    ]),
    Parameter::new("to_destination", Kind::Text, "new destination"),
    Parameter::new("destination_ports", Kind::TextList, "destination ports"),
    Parameter::new("to_source", Kind::Text, "new source"),
    Parameter::new("goto", Kind::Text, "chain that goes on"),
    Parameter::new("in_interface", Kind::Text, "where it comes in"),
    Parameter::new("out_interface", Kind::Text, "where it goes out"),
    Parameter::new("fragment", Kind::Text, "only later fragments"),
    Parameter::new("set_counters", Kind::Text, "counters of the rule"),
    Parameter::new("source_port", Kind::Text, "source port"),
    Parameter::new("destination_port", Kind::Text, "destination port"),
    Parameter::new("to_ports", Kind::Text, "new destination ports"),
    Parameter::new("set_dscp_mark", Kind::Text, "new DSCP"),
    Parameter::new("set_dscp_mark_class", Kind::Text, "new DSCP, as a class"),
    Parameter::new("syn", Kind::Text, "packets that open connections")
        .choices(&["ignore", "match", "negate"])
        .default("ignore"),
    Parameter::new("ctstate", Kind::TextList, "states of the connection"),
    Parameter::new("src_range", Kind::Text, "range of sources"),
    Parameter::new("dst_range", Kind::Text, "range of destinations"),
    Parameter::new("match_set", Kind::Text, "name of an ipset"),
    Parameter::new("match_set_flags", Kind::Text, "what is looked up in it")
        .choices(&["src", "dst", "src,dst", "dst,src", "src,src", "dst,dst"]),
    Parameter::new("limit", Kind::Text, "rate, such as 2/second"),
    Parameter::new("limit_burst", Kind::Text, "packets before the rate counts"),
    Parameter::new("uid_owner", Kind::Text, "user that sends"),
    Parameter::new("gid_owner", Kind::Text, "group that sends"),
    Parameter::new("reject_with", Kind::Text, "answer to rejected packets"),
    Parameter::new("icmp_type", Kind::Text, "type of ICMP"),
    Parameter::new("comment", Kind::Text, "comment of the rule"),
];

pub(super) const MODPROBE: ModuleSpec = host(ModuleSpec::new(
    "modprobe",
    &[
        STATE,
        &[
            Parameter::new("name", Kind::Text, "module of the kernel").required(),
            Parameter::new("params", Kind::Text, "its parameters").default(""),
            Parameter::new("persistent", Kind::Text, "whether it is loaded at the next start")
                .choices(&["disabled", "present", "absent"])
                .default("disabled"),
        ],
    ],
    "loads or unloads modules of the kernel",
));

pub(super) const ALTERNATIVES: ModuleSpec = host(one_of(
    ModuleSpec::new(
        "alternatives",
        &[&[
            Parameter::new("name", Kind::Text, "generic name").required(),
            Parameter::new("path", Kind::Path, "program that it is to stand for"),
            Parameter::new("family", Kind::Text, "family of the program, on Red Hat's systems"),
            Parameter::new("link", Kind::Path, "link of the generic name"),
            Parameter::new("priority", Kind::Integer, "priority; 50 for a new one"),
            Parameter::new("state", Kind::Text, "known, chosen, chosen by priority, or removed")
                .choices(&["present", "selected", "absent", "auto"])
                .default("selected"),
            Parameter::new("subcommands", Kind::List, "mappings of name, link and path")
                .aliases(&["slaves"]),
        ]],
        "manages which program a generic name stands for",
    ),
    &[&["path", "family"]],
));

pub(super) const PIP: ModuleSpec = exclusive(
    one_of(
        ModuleSpec::new(
            "pip",
            &[&[
                Parameter::new("name", Kind::TextList, "packages, with or without versions"),
                Parameter::new("state", Kind::Text, "what to reach")
                    .choices(&["present", "absent", "latest", "forcereinstall"])
                    .default("present"),
                Parameter::new("version", Kind::Text, "version of the only package"),
                Parameter::new("requirements", Kind::Text, "file with packages"),
                Parameter::new("virtualenv", Kind::Path, "environment to install into"),
                Parameter::new("virtualenv_site_packages", Kind::Boolean, "it sees the system's")
                    .default("false"),
                Parameter::new("virtualenv_command", Kind::Path, "what makes an environment")
                    .default("virtualenv"),
                Parameter::new("virtualenv_python", Kind::Text, "Python of a new environment"),
                Parameter::new("extra_args", Kind::Text, "more options of pip"),
                Parameter::new("editable", Kind::Boolean, "pip's -e").default("false"),
                Parameter::new("chdir", Kind::Path, "folder that pip runs in"),
                Parameter::new("executable", Kind::Path, "pip to use"),
                Parameter::new("umask", Kind::Text, "umask of installed files, octal"),
                Parameter::new("break_system_packages", Kind::Boolean, "into a managed system")
                    .default("false"),
            ]],
            "manages packages of Python",
        ),
        &[&["name", "requirements"]],
    ),
    &[&["name", "requirements"], &["executable", "virtualenv"]],
);

pub(super) const NPM: ModuleSpec = needs(
    ModuleSpec::new(
        "npm",
        &[&[
            Parameter::new("name", Kind::Text, "package; without it all that package.json names"),
            Parameter::new("path", Kind::Path, "folder of the project"),
            Parameter::new("version", Kind::Text, "version"),
            Parameter::new("global", Kind::Boolean, "for the whole system").default("false"),
            Parameter::new("production", Kind::Boolean, "without what developers need")
                .default("false"),
            Parameter::new("executable", Kind::Path, "npm to use"),
            Parameter::new("registry", Kind::Text, "registry"),
            Parameter::new("state", Kind::Text, "what to reach")
                .choices(&["present", "absent", "latest"])
                .default("present"),
            Parameter::new("ignore_scripts", Kind::Boolean, "run none").default("false"),
            Parameter::new("unsafe_perm", Kind::Boolean, "run scripts as root").default("false"),
            Parameter::new("ci", Kind::Boolean, "what package-lock.json names").default("false"),
            Parameter::new("no_optional", Kind::Boolean, "no optional packages").default("false"),
            Parameter::new("no_bin_links", Kind::Boolean, "no links to programs").default("false"),
            Parameter::new("force", Kind::Boolean, "npm's --force").default("false"),
        ]],
        "manages packages of Node.js",
    ),
    &[RequiredIf::all("state", "absent", &["name"])],
);

pub(super) const GEM: ModuleSpec = exclusive(
    ModuleSpec::new(
        "gem",
        &[&[
            Parameter::new("name", Kind::Text, "package").required(),
            Parameter::new("state", Kind::Text, "what to reach")
                .choices(&["present", "absent", "latest"])
                .default("present"),
            Parameter::new("version", Kind::Text, "version"),
            Parameter::new("executable", Kind::Path, "gem to use"),
            Parameter::new("gem_source", Kind::Path, "file of the package"),
            Parameter::new("repository", Kind::Text, "where packages come from")
                .aliases(&["source"]),
            Parameter::new("include_dependencies", Kind::Boolean, "with what it needs")
                .default("true"),
            Parameter::new("user_install", Kind::Boolean, "for the user only").default("true"),
            Parameter::new("install_dir", Kind::Path, "folder of packages"),
            Parameter::new("bindir", Kind::Path, "folder of programs"),
            Parameter::new("norc", Kind::Boolean, "ignore .gemrc").default("true"),
            Parameter::new("pre_release", Kind::Boolean, "also pre-releases").default("false"),
            Parameter::new("include_doc", Kind::Boolean, "with documentation").default("false"),
            Parameter::new("env_shebang", Kind::Boolean, "programs start with env")
                .default("false"),
            Parameter::new("build_flags", Kind::Text, "flags of the compiler"),
            Parameter::new("force", Kind::Boolean, "gem's --force").default("false"),
        ]],
        "manages packages of Ruby",
    ),
    &[&["gem_source", "repository"], &["gem_source", "version"]],
);

pub(super) const CAPABILITIES: ModuleSpec = host(ModuleSpec::new(
    "capabilities",
    &[
        STATE,
        &[
            Parameter::new("path", Kind::Text, "file").required().aliases(&["key"]),
            Parameter::new("capability", Kind::Text, "such as cap_net_bind_service=ep")
                .required()
                .aliases(&["cap"]),
        ],
    ],
    "manages capabilities of program files",
));

pub(super) const SELINUX: ModuleSpec = host(ModuleSpec::new(
    "selinux",
    &[&[
        Parameter::new("state", Kind::Text, "what SELinux does").required().choices(&[
            "enforcing",
            "permissive",
            "disabled",
        ]),
        Parameter::new("policy", Kind::Text, "policy; needed unless it is disabled"),
        Parameter::new("configfile", Kind::Text, "file")
            .aliases(&["conf", "file"])
            .default("/etc/selinux/config"),
        Parameter::new("update_kernel_param", Kind::Boolean, "also the kernel's command line")
            .default("false"),
    ]],
    "manages state and policy of SELinux",
));

pub(super) const SEBOOLEAN: ModuleSpec = host(ModuleSpec::new(
    "seboolean",
    &[&[
        Parameter::new("name", Kind::Text, "switch").required(),
        Parameter::new("state", Kind::Boolean, "its value").required(),
        Parameter::new("persistent", Kind::Boolean, "also after a restart").default("false"),
        Parameter::new("ignore_selinux_state", Kind::Boolean, "even where SELinux is off")
            .default("false"),
    ]],
    "manages switches of SELinux",
));

pub(super) const GIT: ModuleSpec = exclusive(
    ModuleSpec::new(
        "git",
        &[&[
            Parameter::new("repo", Kind::Text, "repository").required().aliases(&["name"]),
            Parameter::new("dest", Kind::Path, "copy; needed unless `clone` is off"),
            Parameter::new("version", Kind::Text, "branch, tag or revision").default("HEAD"),
            Parameter::new("remote", Kind::Text, "name of the remote").default("origin"),
            Parameter::new("refspec", Kind::Text, "what is fetched besides"),
            Parameter::new("reference", Kind::Text, "repository to take objects from"),
            Parameter::new("force", Kind::Boolean, "throw changes of the copy away")
                .default("false"),
            Parameter::new("depth", Kind::Integer, "revisions to get"),
            Parameter::new("clone", Kind::Boolean, "make a copy where there is none")
                .default("true"),
            Parameter::new("update", Kind::Boolean, "update a copy that is there").default("true"),
            Parameter::new("bare", Kind::Boolean, "without files").default("false"),
            Parameter::new("recursive", Kind::Boolean, "with submodules").default("true"),
            Parameter::new("track_submodules", Kind::Boolean, "submodules follow their branches")
                .default("false"),
            Parameter::new("single_branch", Kind::Boolean, "only one branch").default("false"),
            Parameter::new("accept_hostkey", Kind::Boolean, "trust any key of the server")
                .default("false"),
            Parameter::new("accept_newhostkey", Kind::Boolean, "trust a key of a new server")
                .default("false"),
            Parameter::new("key_file", Kind::Path, "private key of SSH"),
            Parameter::new("ssh_opts", Kind::Text, "options of ssh"),
            Parameter::new("executable", Kind::Path, "git to use"),
            Parameter::new("umask", Kind::Text, "umask of its files, octal"),
        ]],
        "manages a copy of a git repository",
    ),
    &[&["accept_hostkey", "accept_newhostkey"]],
);

pub(super) const FILESYSTEM: ModuleSpec = host(needs(
    ModuleSpec::new(
        "filesystem",
        &[
            STATE,
            &[
                Parameter::new("dev", Kind::Path, "device, or a file")
                    .required()
                    .aliases(&["device"]),
                Parameter::new("fstype", Kind::Text, "type").aliases(&["type"]).choices(&[
                    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "lvm", "ocfs2",
                    "reiserfs", "swap", "vfat", "xfs",
                ]),
                Parameter::new("opts", Kind::Text, "options of the program that makes it"),
                Parameter::new("force", Kind::Boolean, "overwrite what is there").default("false"),
                Parameter::new("resizefs", Kind::Boolean, "let it take the whole device")
                    .default("false"),
            ],
        ],
        "makes file systems",
    ),
    &[RequiredIf::all("state", "present", &["fstype"])],
));

pub(super) const PARTED: ModuleSpec = host(needs(
    ModuleSpec::new(
        "parted",
        &[&[
            Parameter::new("device", Kind::Text, "device").required(),
            Parameter::new("number", Kind::Integer, "number of the partition"),
            Parameter::new("state", Kind::Text, "what to reach; `info` only looks")
                .choices(&["info", "present", "absent"])
                .default("info"),
            Parameter::new(
                "label",
                Kind::Text,
                "kind of table; another one removes all partitions",
            )
            .choices(&["aix", "amiga", "bsd", "dvh", "gpt", "loop", "mac", "msdos", "pc98", "sun"]),
            Parameter::new("unit", Kind::Text, "unit of what is shown")
                .choices(&[
                    "s", "B", "KB", "KiB", "MB", "MiB", "GB", "GiB", "TB", "TiB", "%", "cyl",
                    "chs", "compact",
                ])
                .default("KiB"),
            Parameter::new("part_start", Kind::Text, "where it begins").default("0%"),
            Parameter::new("part_end", Kind::Text, "where it ends").default("100%"),
            Parameter::new("part_type", Kind::Text, "type in a table of msdos, name in others")
                .choices(&["primary", "extended", "logical"])
                .default("primary"),
            Parameter::new("fs_type", Kind::Text, "file system it is made for; none is made"),
            Parameter::new("name", Kind::Text, "its name"),
            Parameter::new("flags", Kind::TextList, "its flags"),
            Parameter::new("resize", Kind::Boolean, "move its end").default("false"),
            Parameter::new("align", Kind::Text, "alignment of new ones")
                .choices(&["none", "cylinder", "minimal", "optimal", "undefined"])
                .default("optimal"),
        ]],
        "manages partitions",
    ),
    &[
        RequiredIf::all("state", "present", &["number"]),
        RequiredIf::all("state", "absent", &["number"]),
    ],
));

pub(super) const SUBVERSION: ModuleSpec = ModuleSpec::new(
    "subversion",
    &[&[
        Parameter::new("repo", Kind::Text, "repository")
            .required()
            .aliases(&["name", "repository"]),
        Parameter::new("dest", Kind::Path, "copy"),
        Parameter::new("revision", Kind::Text, "revision")
            .aliases(&["rev", "version"])
            .default("HEAD"),
        Parameter::new("force", Kind::Boolean, "throw changes of the copy away").default("false"),
        Parameter::new("in_place", Kind::Boolean, "into a folder that is there").default("false"),
        Parameter::new("username", Kind::Text, "user"),
        Parameter::new("password", Kind::Text, "password").secret(),
        Parameter::new("executable", Kind::Path, "svn to use"),
        Parameter::new("checkout", Kind::Boolean, "make a copy where there is none")
            .default("true"),
        Parameter::new("update", Kind::Boolean, "update a copy that is there").default("true"),
        Parameter::new("export", Kind::Boolean, "files only").default("false"),
        Parameter::new("switch", Kind::Boolean, "follow another address").default("true"),
        Parameter::new("validate_certs", Kind::Boolean, "check certificates").default("false"),
    ]],
    "manages a copy of a repository of Subversion",
);

pub(super) const SYNCHRONIZE: ModuleSpec = prepared(ModuleSpec::new(
    "synchronize",
    &[&[
        Parameter::new("src", Kind::Text, "where from").required(),
        Parameter::new("dest", Kind::Text, "where to").required(),
        Parameter::new("mode", Kind::Text, "to the host, or from it")
            .choices(&["pull", "push"])
            .default("push"),
        Parameter::new("archive", Kind::Boolean, "all that keeps files as they are")
            .default("true"),
        Parameter::new("checksum", Kind::Boolean, "compare contents, not times and sizes"),
        Parameter::new("compress", Kind::Boolean, "compress on the way").default("true"),
        Parameter::new("existing_only", Kind::Boolean, "make no new files"),
        Parameter::new("delete", Kind::Boolean, "remove what src doesn't have"),
        Parameter::new("dirs", Kind::Boolean, "folders without what is in them"),
        Parameter::new("recursive", Kind::Boolean, "go into folders; as archive says"),
        Parameter::new("links", Kind::Boolean, "keep symlinks; as archive says"),
        Parameter::new("copy_links", Kind::Boolean, "what links lead to instead of them"),
        Parameter::new("perms", Kind::Boolean, "keep modes; as archive says"),
        Parameter::new("times", Kind::Boolean, "keep times; as archive says"),
        Parameter::new("owner", Kind::Boolean, "keep owners; as archive says"),
        Parameter::new("group", Kind::Boolean, "keep groups; as archive says"),
        Parameter::new("partial", Kind::Boolean, "keep files that came half"),
        Parameter::new("delay_updates", Kind::Boolean, "replace files at the end").default("true"),
        Parameter::new("link_dest", Kind::TextList, "hard links to equal files there"),
        Parameter::new("rsync_path", Kind::Text, "rsync on the other machine"),
        Parameter::new("rsync_timeout", Kind::Integer, "limit of silence, in seconds"),
        Parameter::new("rsync_opts", Kind::TextList, "more options of rsync"),
        Parameter::new("dest_port", Kind::Integer, "port of ssh"),
        Parameter::new("private_key", Kind::Path, "key of ssh"),
        Parameter::new("set_remote_user", Kind::Boolean, "log in as the connection does")
            .default("true"),
        Parameter::new("use_ssh_args", Kind::Boolean, "no effect: what matters of them is used"),
        Parameter::new("ssh_connection_multiplexing", Kind::Boolean, "use a shared connection"),
        Parameter::new("verify_host", Kind::Boolean, "a delegate checks the host's key"),
    ]],
    "copies files with rsync",
));

pub(super) const ACL: ModuleSpec = ModuleSpec::new(
    "acl",
    &[&[
        Parameter::new("path", Kind::Path, "file or folder").required().aliases(&["name"]),
        Parameter::new("state", Kind::Text, "whether the entry is there, or only what is")
            .choices(&["absent", "present", "query"])
            .default("query"),
        Parameter::new("entry", Kind::Text, "etype:entity:permissions in one"),
        Parameter::new("etype", Kind::Text, "whom the entry is about")
            .choices(&["group", "mask", "other", "user"]),
        Parameter::new("entity", Kind::Text, "name of the user or group"),
        Parameter::new("permissions", Kind::Text, "of r, w, x and X"),
        Parameter::new("default", Kind::Boolean, "for what is made in the folder"),
        Parameter::new("follow", Kind::Boolean, "what a symlink leads to").default("true"),
        Parameter::new("recursive", Kind::Boolean, "all below, too").aliases(&["recurse"]),
        Parameter::new("recalculate_mask", Kind::Text, "what becomes of the mask")
            .choices(&["default", "mask", "no_mask"])
            .default("default"),
        Parameter::new("use_nfsv4_acls", Kind::Boolean, "lists of NFSv4"),
    ]],
    "manages access control lists",
);

pub(super) const FIREWALLD: ModuleSpec = exclusive(
    ModuleSpec::new(
        "firewalld",
        &[&[
            Parameter::new(
                "state",
                Kind::Text,
                "whether it is in the zone; for zones present, absent",
            )
            .required()
            .choices(&["absent", "disabled", "enabled", "present"]),
            Parameter::new("zone", Kind::Text, "zone; the default one"),
            Parameter::new("permanent", Kind::Boolean, "in the files"),
            Parameter::new("immediate", Kind::Boolean, "in the daemon; so without permanent"),
            Parameter::new("offline", Kind::Boolean, "also while the daemon doesn't run"),
            Parameter::new("timeout", Kind::Integer, "for so long in the daemon, in seconds"),
            Parameter::new("service", Kind::Text, "service that passes"),
            Parameter::new("port", Kind::Text, "PORT/PROTOCOL or PORT-PORT/PROTOCOL that passes"),
            Parameter::new("protocol", Kind::Text, "protocol that passes"),
            Parameter::new("port_forward", Kind::List, "port, proto, toport and toaddr of one"),
            Parameter::new("rich_rule", Kind::Text, "rule in firewalld's language"),
            Parameter::new("source", Kind::Text, "network that belongs to the zone"),
            Parameter::new("interface", Kind::Text, "interface that belongs to the zone"),
            Parameter::new("icmp_block", Kind::Text, "message of ICMP that does not pass"),
            Parameter::new("icmp_block_inversion", Kind::Boolean, "only those of icmp_block pass"),
            Parameter::new("masquerade", Kind::Boolean, "hide addresses behind the host's"),
            Parameter::new("forward", Kind::Boolean, "pass packets within the zone"),
            Parameter::new("target", Kind::Text, "what becomes of the rest").choices(&[
                "default",
                "ACCEPT",
                "DROP",
                "%%REJECT%%",
            ]),
        ]],
        "manages zones of firewalld",
    ),
    &[&[
        "service",
        "port",
        "protocol",
        "port_forward",
        "rich_rule",
        "source",
        "interface",
        "icmp_block",
        "icmp_block_inversion",
        "masquerade",
        "forward",
        "target",
    ]],
);

pub(super) const LVG: ModuleSpec = ModuleSpec::new(
    "lvg",
    &[&[
        Parameter::new("vg", Kind::Text, "volume group").required().aliases(&["vgname"]),
        Parameter::new("pvs", Kind::TextList, "devices that it is made of"),
        Parameter::new("pesize", Kind::Text, "size of an extent, in MiB or with a unit")
            .default("4"),
        Parameter::new("pv_options", Kind::Text, "more options of pvcreate"),
        Parameter::new("vg_options", Kind::Text, "more options of vgcreate"),
        Parameter::new("pvresize", Kind::Boolean, "use all of devices that have grown"),
        Parameter::new("remove_extra_pvs", Kind::Boolean, "take out devices that pvs lacks")
            .default("true"),
        Parameter::new("state", Kind::Text, "whether it exists, or is active")
            .choices(&["absent", "active", "inactive", "present"])
            .default("present"),
        Parameter::new("force", Kind::Boolean, "remove it with its volumes"),
    ]],
    "manages volume groups of LVM",
);

pub(super) const LVOL: ModuleSpec = ModuleSpec::new(
    "lvol",
    &[
        &[
            Parameter::new("vg", Kind::Text, "volume group").required(),
            Parameter::new("lv", Kind::Text, "volume"),
            Parameter::new(
                "size",
                Kind::Text,
                "[+-]size with a unit (m), or with %VG, %PVS, %FREE",
            ),
            Parameter::new("opts", Kind::Text, "more options of lvcreate"),
            Parameter::new("pvs", Kind::TextList, "devices to take it from"),
            Parameter::new("snapshot", Kind::Text, "snapshot of lv"),
            Parameter::new("thinpool", Kind::Text, "pool, or pool of lv"),
            Parameter::new("active", Kind::Boolean, "whether there is a device").default("true"),
            Parameter::new("force", Kind::Boolean, "shrink or remove it"),
            Parameter::new("shrink", Kind::Boolean, "make it smaller if size says so")
                .default("true"),
            Parameter::new("resizefs", Kind::Boolean, "resize what is on it, too"),
        ],
        STATE,
    ],
    "manages logical volumes of LVM",
);

pub(super) const ZNODE: ModuleSpec = exclusive(
    one_of(
        ModuleSpec::new(
            "znode",
            &[&[
                Parameter::new("hosts", Kind::Text, "servers, HOST:PORT,HOST:PORT/ROOT").required(),
                Parameter::new("name", Kind::Text, "path of the node").required(),
                Parameter::new("value", Kind::Text, "value"),
                Parameter::new("op", Kind::Text, "what else is done")
                    .choices(&["get", "wait", "list"]),
                Parameter::new("state", Kind::Text, "whether it exists")
                    .choices(&["present", "absent"]),
                Parameter::new("timeout", Kind::Integer, "limit, in seconds").default("300"),
                Parameter::new("recursive", Kind::Boolean, "remove what is below it, too"),
                Parameter::new(
                    "auth_scheme",
                    Kind::Text,
                    "how to log in; only digest is supported",
                )
                .choices(&["digest", "sasl"])
                .default("digest"),
                Parameter::new("auth_credential", Kind::Text, "USER:PASSWORD").secret(),
                Parameter::new("use_tls", Kind::Boolean, "not supported"),
            ]],
            "manages nodes of ZooKeeper",
        ),
        &[&["op", "state"]],
    ),
    &[&["op", "state"]],
);

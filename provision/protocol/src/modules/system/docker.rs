//! Entries: Docker.

use super::{Kind, ModuleSpec, Parameter, RequiredIf, needs};

const DAEMON: &[Parameter] =
    &[Parameter::new("docker_host", Kind::Text, "address of the daemon").aliases(&["docker_url"])];

pub(super) const DOCKER_CONTAINER: ModuleSpec = ModuleSpec::new(
    "docker_container",
    &[DAEMON, CONTAINER_LIFE, CONTAINER_SETTINGS],
    "manages containers of Docker",
);

const CONTAINER_LIFE: &[Parameter] = &[
    Parameter::new("name", Kind::Text, "container").required(),
    Parameter::new("image", Kind::Text, "image; it is pulled if it isn't there"),
    Parameter::new("state", Kind::Text, "what it does")
        .choices(&["absent", "present", "stopped", "started"])
        .default("started"),
    Parameter::new(
        "pull",
        Kind::Text,
        "when the image is pulled; true is always, false is missing",
    )
    .choices(&["never", "missing", "always", "true", "false", "True", "False"])
    .default("missing"),
    Parameter::new("recreate", Kind::Boolean, "replace it in any case").default("false"),
    Parameter::new("restart", Kind::Boolean, "restart it in any case").default("false"),
    Parameter::new("restart_policy", Kind::Text, "what happens when it ends").choices(&[
        "no",
        "on-failure",
        "always",
        "unless-stopped",
    ]),
    Parameter::new("restart_retries", Kind::Integer, "how often, on-failure"),
    Parameter::new("force_kill", Kind::Boolean, "kill it instead of stopping it")
        .aliases(&["forcekill"])
        .default("false"),
    Parameter::new("keep_volumes", Kind::Boolean, "keep its unnamed volumes").default("true"),
    Parameter::new("networks", Kind::List, "mappings of name, aliases, ipv4_address, ipv6_address"),
    Parameter::new("published_ports", Kind::TextList, "[address:]host:container[/protocol]")
        .aliases(&["ports"]),
];

const CONTAINER_SETTINGS: &[Parameter] = &[
    Parameter::new("auto_remove", Kind::Boolean, "remove it when it ends"),
    Parameter::new("blkio_weight", Kind::Integer, "weight of block I/O"),
    Parameter::new("cap_drop", Kind::TextList, "capabilities that are taken away"),
    Parameter::new("capabilities", Kind::TextList, "capabilities that are added")
        .aliases(&["cap_add"]),
    Parameter::new("cgroup_parent", Kind::Text, "parent of its control group"),
    Parameter::new("command", Kind::Raw, "command line: a text or a list"),
    Parameter::new("cpu_period", Kind::Integer, "period of the scheduler, in microseconds"),
    Parameter::new("cpu_quota", Kind::Integer, "quota of the scheduler, in microseconds"),
    Parameter::new("cpu_shares", Kind::Integer, "weight of processors"),
    Parameter::new("cpus", Kind::Float, "processors"),
    Parameter::new("cpuset_cpus", Kind::Text, "processors it may use"),
    Parameter::new("cpuset_mems", Kind::Text, "memory nodes it may use"),
    Parameter::new("dns_opts", Kind::TextList, "options of the resolver"),
    Parameter::new("dns_search_domains", Kind::TextList, "domains that are searched"),
    Parameter::new("dns_servers", Kind::TextList, "name servers"),
    Parameter::new("domainname", Kind::Text, "its domain"),
    Parameter::new("entrypoint", Kind::TextList, "entry point"),
    Parameter::new("env", Kind::Mapping, "environment"),
    Parameter::new("etc_hosts", Kind::Mapping, "hosts and their addresses"),
    Parameter::new("exposed_ports", Kind::TextList, "ports that it listens on")
        .aliases(&["exposed", "expose"]),
    Parameter::new("groups", Kind::TextList, "more groups of its user"),
    Parameter::new("hostname", Kind::Text, "its host name"),
    Parameter::new("init", Kind::Boolean, "a first process that reaps others"),
    Parameter::new("interactive", Kind::Boolean, "keep its input open"),
    Parameter::new("ipc_mode", Kind::Text, "whose IPC it uses"),
    Parameter::new("labels", Kind::Mapping, "labels"),
    Parameter::new("log_driver", Kind::Text, "where its output goes"),
    Parameter::new("log_options", Kind::Mapping, "options of that").aliases(&["log_opt"]),
    Parameter::new("memory", Kind::Text, "limit of memory, such as 512M"),
    Parameter::new("memory_reservation", Kind::Text, "soft limit of memory"),
    Parameter::new("memory_swap", Kind::Text, "limit of memory and swap"),
    Parameter::new("memory_swappiness", Kind::Integer, "how gladly it swaps"),
    Parameter::new("network_mode", Kind::Text, "network; `networks` wins"),
    Parameter::new("oom_killer", Kind::Boolean, "whether the killer of processes is off for it"),
    Parameter::new("oom_score_adj", Kind::Integer, "score for that killer"),
    Parameter::new("pid_mode", Kind::Text, "whose processes it sees"),
    Parameter::new("pids_limit", Kind::Integer, "limit of processes"),
    Parameter::new("privileged", Kind::Boolean, "all rights of the host"),
    Parameter::new("read_only", Kind::Boolean, "its root can't be written"),
    Parameter::new("runtime", Kind::Text, "runtime"),
    Parameter::new("security_opts", Kind::TextList, "options of security"),
    Parameter::new("shm_size", Kind::Text, "size of /dev/shm"),
    Parameter::new("stop_signal", Kind::Text, "signal that ends it"),
    Parameter::new("stop_timeout", Kind::Integer, "seconds it has to end"),
    Parameter::new("sysctls", Kind::Mapping, "kernel parameters"),
    Parameter::new("tty", Kind::Boolean, "a terminal"),
    Parameter::new("user", Kind::Text, "user"),
    Parameter::new("userns_mode", Kind::Text, "user namespace"),
    Parameter::new("uts", Kind::Text, "UTS namespace"),
    Parameter::new("volumes", Kind::TextList, "folders: host:container[:mode]"),
    Parameter::new("working_dir", Kind::Text, "its folder"),
];

pub(super) const DOCKER_IMAGE: ModuleSpec = needs(
    ModuleSpec::new(
        "docker_image",
        &[
            DAEMON,
            &[
                Parameter::new("name", Kind::Text, "image, with or without a tag").required(),
                Parameter::new("tag", Kind::Text, "tag").default("latest"),
                Parameter::new("state", Kind::Text, "whether it exists")
                    .choices(&["absent", "present"])
                    .default("present"),
                Parameter::new("source", Kind::Text, "where it comes from; needed to get it")
                    .choices(&["build", "load", "pull", "local"]),
                Parameter::new("build", Kind::Mapping, "how it is built: path, dockerfile, args…"),
                Parameter::new("load_path", Kind::Path, "archive that holds it"),
                Parameter::new("archive_path", Kind::Path, "archive to save it in"),
                Parameter::new("repository", Kind::Text, "another name for it"),
                Parameter::new("push", Kind::Boolean, "push it").default("false"),
                Parameter::new("force_source", Kind::Boolean, "get it in any case")
                    .default("false"),
                Parameter::new("force_absent", Kind::Boolean, "remove it even if it is used")
                    .default("false"),
                Parameter::new("force_tag", Kind::Boolean, "take the other name from an image")
                    .default("false"),
            ],
        ],
        "manages images of Docker",
    ),
    &[
        RequiredIf::all("state", "present", &["source"]),
        RequiredIf::all("source", "build", &["build"]),
        RequiredIf::all("source", "load", &["load_path"]),
    ],
);

pub(super) const DOCKER_NETWORK: ModuleSpec = ModuleSpec::new(
    "docker_network",
    &[
        DAEMON,
        &[
            Parameter::new("name", Kind::Text, "network").required().aliases(&["network_name"]),
            Parameter::new("state", Kind::Text, "whether it exists")
                .choices(&["absent", "present"])
                .default("present"),
            Parameter::new("driver", Kind::Text, "driver").default("bridge"),
            Parameter::new("driver_options", Kind::Mapping, "options of the driver"),
            Parameter::new("labels", Kind::Mapping, "labels"),
            Parameter::new("internal", Kind::Boolean, "without a way out"),
            Parameter::new("attachable", Kind::Boolean, "containers may join by hand"),
            Parameter::new("ingress", Kind::Boolean, "the network of published ports of a swarm"),
            Parameter::new("scope", Kind::Text, "how far it reaches")
                .choices(&["local", "global", "swarm"]),
            Parameter::new("enable_ipv6", Kind::Boolean, "with IPv6"),
            Parameter::new("ipam_driver", Kind::Text, "driver of addresses"),
            Parameter::new("ipam_driver_options", Kind::Mapping, "options of that"),
            Parameter::new(
                "ipam_config",
                Kind::List,
                "mappings of subnet, iprange, gateway, aux_addresses",
            ),
            Parameter::new("connected", Kind::TextList, "containers in it")
                .aliases(&["containers"]),
            Parameter::new("appends", Kind::Boolean, "others may be in it, too")
                .aliases(&["incremental"])
                .default("false"),
            Parameter::new("force", Kind::Boolean, "replace it in any case").default("false"),
        ],
    ],
    "manages networks of Docker",
);

pub(super) const DOCKER_VOLUME: ModuleSpec = ModuleSpec::new(
    "docker_volume",
    &[
        DAEMON,
        &[
            Parameter::new("volume_name", Kind::Text, "volume").required().aliases(&["name"]),
            Parameter::new("state", Kind::Text, "whether it exists")
                .choices(&["absent", "present"])
                .default("present"),
            Parameter::new("driver", Kind::Text, "driver").default("local"),
            Parameter::new("driver_options", Kind::Mapping, "options of the driver"),
            Parameter::new("labels", Kind::Mapping, "labels"),
            Parameter::new("recreate", Kind::Text, "when it is replaced")
                .choices(&["always", "never", "options-changed"])
                .default("never"),
        ],
    ],
    "manages volumes of Docker",
);

pub(super) const DOCKER_LOGIN: ModuleSpec = needs(
    ModuleSpec::new(
        "docker_login",
        &[
            DAEMON,
            &[
                Parameter::new("registry_url", Kind::Text, "registry")
                    .aliases(&["registry", "url"])
                    .default("https://index.docker.io/v1/"),
                Parameter::new("username", Kind::Text, "user"),
                Parameter::new("password", Kind::Text, "password").secret(),
                Parameter::new("state", Kind::Text, "logged in or out")
                    .choices(&["absent", "present"])
                    .default("present"),
                Parameter::new("reauthorize", Kind::Boolean, "log in again in any case")
                    .aliases(&["reauth"])
                    .default("false"),
                Parameter::new("config_path", Kind::Path, "file of credentials")
                    .aliases(&["dockercfg_path"])
                    .default("~/.docker/config.json"),
            ],
        ],
        "logs in to a registry of images",
    ),
    &[RequiredIf::all("state", "present", &["username", "password"])],
);

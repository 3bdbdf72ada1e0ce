//! What the table of modules does not say: what each returns, what differs from Ansible, an example.
//! Tests load every example as a playbook, and look for every returned name in the modules' code.

/// What is said of a module besides its parameters.
#[derive(Debug, Clone, Copy)]
pub struct Notes {
    /// Its name.
    pub module: &'static str,
    /// What `register` gets besides `changed`, `failed` and `msg`.
    pub returns: &'static [&'static str],
    /// What differs from Ansible.
    pub differs: &'static [&'static str],
    /// A task, without its name.
    pub example: &'static str,
}

const fn notes(
    module: &'static str,
    returns: &'static [&'static str],
    differs: &'static [&'static str],
    example: &'static str,
) -> Notes {
    Notes { module, returns, differs, example }
}

const FILE: &[&str] = &["path", "mode", "owner", "group", "uid", "gid", "size", "state"];
const COMMAND: &[&str] =
    &["cmd", "rc", "stdout", "stdout_lines", "stderr", "stderr_lines", "start", "end", "delta"];

/// One entry a module.
pub const NOTES: &[Notes] = &[
    notes(
        "acl",
        &["acl"],
        &[],
        "acl:\n  path: /srv/app\n  etype: group\n  entity: adm\n  permissions: rX\n  state: present",
    ),
    notes(
        "add_host",
        &["add_host"],
        &[],
        "add_host:\n  name: web9\n  groups: [web]\n  ansible_host: 10.0.0.9",
    ),
    notes("alternatives", &[], &[], "alternatives:\n  name: editor\n  path: /usr/bin/vim.basic"),
    notes(
        "apt",
        &["cache_updated", "cache_update_time", "stdout", "stderr"],
        &["apt-get and dpkg are run; there is no python3-apt on hosts"],
        "apt:\n  name: [nginx, curl]\n  state: present\n  update_cache: true",
    ),
    notes(
        "apt_key",
        &[],
        &[],
        "apt_key:\n  url: https://example.org/key.asc\n  keyring: /etc/apt/trusted.gpg.d/example.gpg",
    ),
    notes(
        "apt_repository",
        &["repo", "state"],
        &["the codename is read from the host's os-release"],
        "apt_repository:\n  repo: deb https://example.org/debian bookworm main\n  filename: example",
    ),
    notes(
        "archive",
        &[
            "archived",
            "arcroot",
            "dest",
            "dest_state",
            "expanded_exclude_paths",
            "expanded_paths",
            "missing",
        ],
        &[
            "`xz` is done by the host's xz",
            "an archive that holds the same is not written anew",
            "members of tar archives have whole seconds",
        ],
        "archive:\n  path: /var/log/app\n  dest: /root/logs.tgz",
    ),
    notes(
        "assemble",
        &["checksum", "dest", "src"],
        &[],
        "assemble:\n  src: /etc/app/conf.d\n  dest: /etc/app/app.conf",
    ),
    notes(
        "assert",
        &["assertion", "evaluated_to"],
        &[],
        "assert:\n  that:\n    - ansible_facts.system == 'Linux'\n  fail_msg: only Linux",
    ),
    notes(
        "async_status",
        &["ansible_job_id", "started", "finished"],
        &[],
        "async_status:\n  jid: \"{{ job.ansible_job_id }}\"",
    ),
    notes(
        "authorized_key",
        &["key", "user"],
        &[],
        "authorized_key:\n  user: deploy\n  key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA deploy",
    ),
    notes(
        "blockinfile",
        &[],
        &[],
        "blockinfile:\n  path: /etc/hosts\n  block: |\n    10.0.0.1 a\n    10.0.0.2 b",
    ),
    notes(
        "capabilities",
        &["state", "stdout"],
        &[],
        "capabilities:\n  path: /opt/app/bin/server\n  capability: cap_net_bind_service=ep",
    ),
    notes(
        "command",
        COMMAND,
        &[],
        "command:\n  cmd: /opt/app/setup --fast\n  creates: /var/lib/app/ready",
    ),
    notes(
        "consul_kv",
        &["index", "key", "data"],
        &["the HTTP API is used: no python-consul on hosts"],
        "consul_kv:\n  key: app/limit\n  value: \"10\"",
    ),
    notes(
        "copy",
        &["dest", "checksum", "mode", "owner", "group", "size", "state"],
        &["contents go to a host only if it lacks them"],
        "copy:\n  content: \"hello\\n\"\n  dest: /etc/motd\n  mode: \"0644\"",
    ),
    notes(
        "cron",
        &["jobs", "envs"],
        &[],
        "cron:\n  name: backup\n  minute: \"5\"\n  hour: \"3\"\n  job: /usr/local/bin/backup",
    ),
    notes(
        "deb822_repository",
        &["repo", "dest", "key_filename"],
        &["needs no python3-debian"],
        "deb822_repository:\n  name: debian\n  uris: http://mirror.example.org/debian\n  suites: bookworm\n  components: main",
    ),
    notes(
        "debconf",
        &["question", "value"],
        &[],
        "debconf:\n  name: locales\n  question: locales/default_environment_locale\n  value: en_US.UTF-8\n  vtype: select",
    ),
    notes("debug", &[], &[], "debug:\n  msg: \"{{ inventory_hostname }} is up\""),
    notes(
        "dnf",
        &["rc", "results", "failures"],
        &[
            "the host's own program is run; what changed is what rpm lists differently",
            "`list` asks `repoquery`, which yum of Red Hat 7 lacks",
        ],
        "dnf:\n  name: [nginx, \"@Development tools\"]\n  state: present",
    ),
    notes(
        "docker_container",
        &["container"],
        &[
            "the host's docker is run: no Python, no SDK",
            "no `healthcheck`, `detach`, `comparisons`, `mounts`, `ulimits`, `devices`, `tmpfs`, `links`: they are refused before anything runs",
            "limits that change replace the container",
            "the host's docker stores capabilities, ports and folders in its own spelling: Ansible's module replaces such a container once",
        ],
        "docker_container:\n  name: web\n  image: nginx:1.27\n  published_ports: [80:80]\n  restart_policy: unless-stopped",
    ),
    notes(
        "docker_image",
        &["actions", "image", "stdout"],
        &[
            "the host's docker is run: no Python, no SDK",
            "`build` takes path, dockerfile, args, labels, etc_hosts, network, target, platform, nocache and pull",
        ],
        "docker_image:\n  name: nginx\n  tag: \"1.27\"\n  source: pull",
    ),
    notes(
        "docker_login",
        &["login_result"],
        &["the host's docker logs in, so `config_path` must end in /config.json"],
        "docker_login:\n  registry_url: registry.example.org\n  username: ada\n  password: \"{{ lookup('env', 'PASSWORD') }}\"",
    ),
    notes(
        "docker_network",
        &["actions", "network"],
        &["the host's docker is run: no Python, no SDK", "no `config_only` and `config_from`"],
        "docker_network:\n  name: inner\n  ipam_config: [{subnet: 10.9.0.0/24}]",
    ),
    notes(
        "docker_volume",
        &["actions", "volume"],
        &["the host's docker is run: no Python, no SDK"],
        "docker_volume:\n  name: data",
    ),
    notes(
        "dpkg_selections",
        &["before", "after"],
        &[],
        "dpkg_selections:\n  name: docker-ce\n  selection: hold",
    ),
    notes(
        "exchange",
        &["answer"],
        &["Ansible has no such module: roles guard it with `when`, or use `shell` there"],
        "exchange:\n  port: 2181\n  send: srvr",
    ),
    notes(
        "expect",
        &["cmd", "rc", "stdout", "stdout_lines", "start", "end", "delta"],
        &["needs no pexpect, but `setsid` of util-linux or busybox"],
        "expect:\n  command: passwd deploy\n  responses:\n    (?i)password: \"{{ lookup('env', 'PASSWORD') }}\"",
    ),
    notes("fail", &[], &[], "fail:\n  msg: this role needs Debian"),
    notes(
        "fetch",
        &["checksum", "dest", "remote_checksum"],
        &["the path on the controller comes from the task, never from the host"],
        "fetch:\n  src: /etc/hostname\n  dest: fetched/",
    ),
    notes(
        "file",
        FILE,
        &[],
        "file:\n  path: /srv/app\n  state: directory\n  owner: root\n  mode: \"0755\"",
    ),
    notes(
        "filesystem",
        &[],
        &["only ext2, ext3 and ext4 are resized", "`uuid` is not taken: give it in `opts`"],
        "filesystem:\n  dev: /dev/sdb1\n  fstype: ext4",
    ),
    notes(
        "find",
        &["files", "matched", "examined", "skipped_paths"],
        &[
            "patterns follow Python's rules, translated; look-around and backreferences are there",
            "behind a file that `contains` can't read in its encoding the search goes on",
        ],
        "find:\n  paths: /var/log\n  patterns: \"*.gz\"\n  age: 4w",
    ),
    notes(
        "firewalld",
        &[],
        &[
            "firewall-cmd is run, or firewall-offline-cmd: no Python bindings on hosts",
            "an interface or a network that is in another zone moves",
        ],
        "firewalld:\n  service: https\n  permanent: true\n  immediate: true\n  state: enabled",
    ),
    notes(
        "gem",
        &["name", "state", "version"],
        &["needs RubyGems 2.5.2 or newer"],
        "gem:\n  name: rake\n  user_install: false",
    ),
    notes(
        "get_url",
        &["url", "dest", "checksum_dest", "status_code", "size"],
        &["proxies come from the environment of the task; Kerberos (`use_gssapi`) is refused"],
        "get_url:\n  url: https://example.org/app.tar.gz\n  dest: /tmp/app.tar.gz\n  checksum: sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ),
    notes("getent", &["ansible_facts"], &[], "getent:\n  database: passwd\n  key: root"),
    notes(
        "git",
        &["after", "before", "remote_url_changed", "submodules_changed"],
        &[
            "no `archive`, `separate_git_dir`, `verify_commit` and `gpg_allowlist`",
            "the diff of revisions is not shown",
        ],
        "git:\n  repo: https://example.org/app.git\n  dest: /opt/app\n  version: v1.2",
    ),
    notes(
        "group",
        &["name", "gid", "state", "system"],
        &[],
        "group:\n  name: deploy\n  state: present",
    ),
    notes(
        "group_by",
        &["add_group"],
        &[],
        "group_by:\n  key: \"os_{{ ansible_facts.distribution }}\"",
    ),
    notes("hostname", &["name", "ansible_facts"], &[], "hostname:\n  name: web1"),
    notes(
        "htpasswd",
        &[],
        &[
            "passwords are stored as apr_md5_crypt, ldap_sha1 or plaintext; other schemes are refused",
        ],
        "htpasswd:\n  path: /etc/nginx/passwords\n  name: ada\n  password: \"{{ lookup('env', 'PASSWORD') }}\"",
    ),
    notes("import_playbook", &[], &[], ""),
    notes("import_role", &[], &[], "import_role:\n  name: app\n  tasks_from: main"),
    notes("import_tasks", &[], &[], "import_tasks: more.yml"),
    notes("include_role", &["include"], &[], "include_role:\n  name: app"),
    notes("include_tasks", &["include"], &[], "include_tasks: more.yml"),
    notes(
        "include_vars",
        &["ansible_facts", "ansible_included_var_files"],
        &[],
        "include_vars:\n  file: more_vars.yml",
    ),
    notes(
        "ini_file",
        &["path"],
        &[],
        "ini_file:\n  path: /etc/app.ini\n  section: main\n  option: port\n  value: \"8080\"",
    ),
    notes(
        "iptables",
        &["chain", "chain_management", "flush", "ip_version", "rule", "state", "table"],
        &["`wait` is always given to iptables: versions before 1.6 don't take it"],
        "iptables:\n  chain: INPUT\n  protocol: tcp\n  destination_port: 22\n  jump: ACCEPT",
    ),
    notes(
        "known_hosts",
        &["gid", "group", "mode", "owner", "path"],
        &["hosts that are hashed are found without ssh-keygen"],
        "known_hosts:\n  name: example.org\n  key: example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ),
    notes(
        "lineinfile",
        &["backup"],
        &["expressions follow Python's rules, translated"],
        "lineinfile:\n  path: /etc/ssh/sshd_config\n  regexp: ^#?PermitRootLogin\n  line: PermitRootLogin no",
    ),
    notes(
        "locale_gen",
        &[],
        &["only where /etc/locale.gen is: Debian and its kin"],
        "locale_gen:\n  name: de_CH.UTF-8",
    ),
    notes(
        "lvg",
        &[],
        &["no `reset_vg_uuid` and `reset_pv_uuid`: they are refused before anything runs"],
        "lvg:\n  vg: data\n  pvs: [/dev/sdb, /dev/sdc]",
    ),
    notes(
        "lvol",
        &["stdout"],
        &[
            "sizes are rounded to whole extents before they are compared",
            "a volume that is there takes N%FREE of what is free now in addition: a second run changes nothing, where Ansible wants to shrink it",
        ],
        "lvol:\n  vg: data\n  lv: postgres\n  size: 80%VG",
    ),
    notes(
        "meta",
        &[],
        &["with a local connection `reset_connection` does nothing"],
        "meta: flush_handlers",
    ),
    notes(
        "modprobe",
        &["name", "params", "state"],
        &["files that change show a diff"],
        "modprobe:\n  name: br_netfilter\n  persistent: present",
    ),
    notes(
        "mount",
        &["name", "src", "fstype", "opts", "dump", "passno", "boot", "fstab", "backup_file"],
        &[],
        "mount:\n  path: /srv/data\n  src: LABEL=data\n  fstype: ext4\n  state: mounted",
    ),
    notes(
        "mount_facts",
        &["ansible_facts"],
        &["tables of Solaris and AIX are not read"],
        "mount_facts:\n  fstypes: [\"nfs*\"]\n  timeout: 10\n  on_timeout: warn",
    ),
    notes("npm", &[], &[], "npm:\n  name: yarn\n  global: true"),
    notes(
        "package",
        &["stdout", "stderr"],
        &["the package manager is apt; others are refused"],
        "package:\n  name: curl\n  state: present",
    ),
    notes(
        "package_facts",
        &["ansible_facts"],
        &["packages of dpkg only"],
        "package_facts:\n  manager: auto",
    ),
    notes(
        "pam_limits",
        &["backup_file"],
        &[],
        "pam_limits:\n  domain: '*'\n  limit_type: hard\n  limit_item: nofile\n  value: 65536",
    ),
    notes(
        "parted",
        &["disk", "partitions", "script"],
        &["without `label` a table that is there stays; Ansible replaces it by one of msdos"],
        "parted:\n  device: /dev/sdb\n  number: 1\n  label: gpt\n  state: present",
    ),
    notes(
        "pause",
        &["delta", "echo", "rc", "stdout", "user_input"],
        &["where nobody can be asked it warns and goes on, as in Ansible"],
        "pause:\n  prompt: Go on with the other half?",
    ),
    notes("ping", &["ping"], &[], "ping:"),
    notes(
        "pip",
        &["cmd", "name", "requirements", "state", "stdout", "stderr", "version", "virtualenv"],
        &[
            "without `virtualenv` and `executable` it is the host's pip3, not that of Ansible's interpreter",
        ],
        "pip:\n  name: bottle>0.12\n  virtualenv: /opt/app/venv\n  virtualenv_command: python3 -m venv",
    ),
    notes("raw", &["rc", "stdout", "stdout_lines", "stderr", "stderr_lines"], &[], "raw: uptime"),
    notes(
        "reboot",
        &["elapsed", "rebooted", "last_failure"],
        &[
            "the host is asked once a second whether it is back, where Ansible waits longer each time",
        ],
        "reboot:\n  reboot_timeout: 900\n  test_command: systemctl is-system-running",
    ),
    notes(
        "replace",
        &[],
        &["expressions follow Python's rules, translated"],
        "replace:\n  path: /etc/app.conf\n  regexp: \"port = \\\\d+\"\n  replace: port = 8080",
    ),
    notes(
        "rpm_key",
        &[],
        &["the host's gpg reads keys, as with Ansible"],
        "rpm_key:\n  key: https://example.org/RPM-GPG-KEY",
    ),
    notes(
        "script",
        &["rc", "stdout", "stdout_lines", "stderr", "stderr_lines"],
        &[],
        "script:\n  cmd: setup.sh --fast",
    ),
    notes(
        "seboolean",
        &["name", "persistent", "state"],
        &["getsebool, setsebool and semanage are run; not tested on a host with SELinux"],
        "seboolean:\n  name: httpd_can_network_connect\n  state: true\n  persistent: true",
    ),
    notes(
        "selinux",
        &["configfile", "policy", "reboot_required", "state"],
        &[
            "the policy that runs is not compared with `policy`, only the configured one",
            "not tested on a host with SELinux",
        ],
        "selinux:\n  policy: targeted\n  state: permissive",
    ),
    notes(
        "service",
        &["name", "state", "enabled", "status"],
        &["systemd and SysV"],
        "service:\n  name: nginx\n  state: started\n  enabled: true",
    ),
    notes("service_facts", &["ansible_facts"], &[], "service_facts:"),
    notes(
        "set_fact",
        &["ansible_facts"],
        &["`cacheable` keeps the fact for this run: there is no cache"],
        "set_fact:\n  base: /srv/app",
    ),
    notes(
        "set_stats",
        &["ansible_stats"],
        &["the values stand in the journal, not in the recap"],
        "set_stats:\n  data:\n    deployed: 1",
    ),
    notes(
        "setup",
        &["ansible_facts"],
        &["facter and ohai are not asked"],
        "setup:\n  gather_subset: [min]",
    ),
    notes("shell", COMMAND, &[], "shell:\n  cmd: ps aux | wc -l"),
    notes("slurp", &["content", "encoding", "source"], &[], "slurp:\n  src: /etc/hostname"),
    notes("stat", &["stat"], &[], "stat:\n  path: /etc/hosts"),
    notes(
        "subversion",
        &["before", "after"],
        &[],
        "subversion:\n  repo: https://svn.example.org/app/trunk\n  dest: /srv/app",
    ),
    notes(
        "synchronize",
        &["cmd", "rc", "stdout_lines"],
        &[
            "this machine checks host keys as the connection does, whatever `verify_host` says",
            "a password of the connection is not handed on: ssh needs a key",
            "`become` is `sudo -n` on the host, which must not ask for a password",
        ],
        "synchronize:\n  src: site/\n  dest: /srv/www\n  delete: true",
    ),
    notes("sysctl", &[], &[], "sysctl:\n  name: vm.swappiness\n  value: \"10\""),
    notes(
        "systemd",
        &["name", "state", "enabled", "status"],
        &["systemctl is run, no D-Bus"],
        "systemd:\n  name: app\n  state: restarted\n  daemon_reload: true",
    ),
    notes(
        "sysvinit",
        &["name", "status"],
        &[
            "a script that holds its output open is not waited for longer than a second",
            "runlevels that are as they are to be are no change",
        ],
        "sysvinit:\n  name: cron\n  state: started\n  enabled: true",
    ),
    notes("tempfile", FILE, &[], "tempfile:\n  state: directory\n  suffix: .build"),
    notes(
        "template",
        &["dest", "checksum", "mode", "owner", "group", "size", "state"],
        &["see docs/ansible.md for what differs in templates"],
        "template:\n  src: app.conf.j2\n  dest: /etc/app.conf\n  mode: \"0644\"",
    ),
    notes(
        "timezone",
        &[],
        &["the hardware clock only where systemd runs"],
        "timezone:\n  name: Europe/Zurich",
    ),
    notes(
        "ufw",
        &["commands"],
        &["`insert_relative_to` only as `zero`"],
        "ufw:\n  rule: allow\n  to_port: 443\n  proto: tcp",
    ),
    notes(
        "unarchive",
        &["dest", "src", "handler", "mode", "owner", "group"],
        &[
            "archives are opened by the helper and confined to `dest`; a member that would leave it is an error",
            "`extra_opts`: options of tar that are not understood are errors",
        ],
        "unarchive:\n  src: app.tar.gz\n  dest: /opt/app",
    ),
    notes(
        "uri",
        &["status", "url", "content", "json", "elapsed", "redirected"],
        &["Kerberos (`use_gssapi`) is refused"],
        "uri:\n  url: http://127.0.0.1:8080/health\n  status_code: [200, 204]",
    ),
    notes(
        "user",
        &["name", "uid", "group", "home", "shell", "state", "append"],
        &[],
        "user:\n  name: deploy\n  shell: /bin/bash\n  groups: [sudo]\n  append: true",
    ),
    notes(
        "validate_argument_spec",
        &["argument_errors", "argument_spec_data", "validate_args_context"],
        &[],
        "validate_argument_spec:\n  argument_spec:\n    port: {type: int}\n  provided_arguments:\n    port: 80",
    ),
    notes("wait_for", &["elapsed", "state"], &[], "wait_for:\n  port: 8080\n  timeout: 30"),
    notes(
        "wait_for_connection",
        &["elapsed"],
        &[
            "a host that can't be reached when its play begins is unreachable only if another task needs it first",
        ],
        "wait_for_connection:\n  delay: 10\n  timeout: 300",
    ),
    notes(
        "xml",
        &["actions", "backup_file", "count", "matches", "xmlstring"],
        &[
            "needs no lxml; files look as lxml writes them",
            "XPath 1.0 without variables, the axes following, preceding and namespace, and the rarer functions",
            "entities that a document declares by itself are refused",
        ],
        "xml:\n  path: /opt/app/conf/server.xml\n  xpath: /Server/Service/Connector[@port='8080']\n  attribute: maxThreads\n  value: \"400\"",
    ),
    notes(
        "yum_repository",
        &["repo", "state"],
        &["only the file is written: comments in it are lost, as with Ansible"],
        "yum_repository:\n  name: epel\n  description: Extra packages\n  baseurl: https://example.org/epel/9/$basearch/",
    ),
    notes(
        "znode",
        &["count", "items", "stat", "timeout", "value", "znode"],
        &["needs no kazoo", "no TLS and no SASL: they are refused", "knows check mode"],
        "znode:\n  hosts: localhost:2181\n  name: /app/limit\n  value: \"10\"\n  state: present",
    ),
];

/// The notes on a module.
pub fn find(module: &str) -> Option<&'static Notes> {
    NOTES.iter().find(|notes| notes.module == module)
}

//! The keys of ansible.cfg, the variables that mean the same, and what becomes of each here.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.name` in the file, the usual one first.
    pub names: &'static [&'static str],
    /// Variables of the environment.
    pub variables: &'static [&'static str],
    /// What becomes of it.
    pub does: Does,
}

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It is honoured.
    Sets(Setting),
    /// It has no effect here, and why none is needed.
    Nothing(&'static str),
    /// One of these values is what happens anyway; any other is refused, and what to do instead.
    Only(&'static [&'static str], &'static str),
}

/// Settings that are honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called as in ansible.cfg")]
pub enum Setting {
    AllowBrokenConditionals,
    AnyErrorsFatal,
    AnyUnparsedIsFailed,
    AskPass,
    AskVaultPass,
    Become,
    BecomeAskPass,
    BecomePasswordFile,
    BecomeUser,
    CollectionsPath,
    ConnectionPasswordFile,
    DeprecationWarnings,
    DiffAlways,
    DisableBackportedInspections,
    DisplayFailedStderr,
    DisplayOkHosts,
    DisplaySkippedHosts,
    DuplicateDictKey,
    EnableInventoryPlugins,
    ErrorOnMissingHandler,
    FactCaching,
    FactCachingConnection,
    FactCachingPrefix,
    FactCachingTimeout,
    FactsModules,
    FilterPlugins,
    ForceColour,
    ForceHandlers,
    Forks,
    Gathering,
    HostKeyChecking,
    InjectFacts,
    Inventory,
    Library,
    LookupPlugins,
    ModuleUtils,
    NativeTypes,
    NoColour,
    NoLog,
    PlaybookVarsRoot,
    PrivateKeyFile,
    PrivateRoleVars,
    RemoteUser,
    RolesPath,
    RunTags,
    SkipTags,
    SshArguments,
    StdoutCallback,
    Strategy,
    TaskTimeout,
    TestPlugins,
    Timeout,
    Transport,
    UnparsedIsFailed,
    VaultIdentityList,
    VaultPasswordFile,
    Verbosity,
}

const fn key(
    names: &'static [&'static str],
    variables: &'static [&'static str],
    does: Does,
) -> Key {
    Key { names, variables, does }
}

const TRUE: &[&str] = &["true", "yes", "on", "1", "t", "y"];
const FALSE: &[&str] = &["false", "no", "off", "0", "f", "n"];

const PYTHON: Does = Does::Nothing("plugins in Python are not run");
const OWN_CONNECTION: Does =
    Does::Nothing("provision has its own SSH client: one connection a host for the whole run");
const HELPER: Does =
    Does::Nothing("a helper runs on the host; there are no temporary module files and no Python");
const GALAXY: Does = Does::Nothing("nothing is downloaded from Galaxy");
const NETWORK: Does = Does::Nothing("network devices are not managed");
const COWS: Does = Does::Nothing("there are no cows");
const COLOURS: Does = Does::Nothing("the colours are those of Ansible's defaults");
const RETRY_FILES: Does =
    Does::Nothing("no retry files are written; the journal knows what failed (`provision runs`)");
const WARNINGS: Does = Does::Nothing("warnings are always shown");
const DOCUMENTS: Does = Does::Nothing("it is about ansible-doc; see `provision doc`");
const CONSOLE: Does = Does::Nothing("it is about programs that provision has none of");

/// All that ansible-core 2.18 knows.
pub const KEYS: &[Key] = &[
    key(&["defaults.ask_pass"], &["ANSIBLE_ASK_PASS"], Does::Sets(Setting::AskPass)),
    key(
        &["defaults.ask_vault_pass"],
        &["ANSIBLE_ASK_VAULT_PASS"],
        Does::Sets(Setting::AskVaultPass),
    ),
    key(&["privilege_escalation.become"], &["ANSIBLE_BECOME"], Does::Sets(Setting::Become)),
    key(
        &["privilege_escalation.become_ask_pass"],
        &["ANSIBLE_BECOME_ASK_PASS"],
        Does::Sets(Setting::BecomeAskPass),
    ),
    key(
        &["defaults.become_password_file"],
        &["ANSIBLE_BECOME_PASSWORD_FILE"],
        Does::Sets(Setting::BecomePasswordFile),
    ),
    key(
        &["privilege_escalation.become_user", "sudo_become_plugin.user"],
        &["ANSIBLE_BECOME_USER", "ANSIBLE_SUDO_USER"],
        Does::Sets(Setting::BecomeUser),
    ),
    key(
        &["defaults.collections_path", "defaults.collections_paths"],
        &["ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_COLLECTIONS_PATHS"],
        Does::Sets(Setting::CollectionsPath),
    ),
    key(
        &["defaults.connection_password_file"],
        &["ANSIBLE_CONNECTION_PASSWORD_FILE"],
        Does::Sets(Setting::ConnectionPasswordFile),
    ),
    key(&["diff.always"], &["ANSIBLE_DIFF_ALWAYS"], Does::Sets(Setting::DiffAlways)),
    key(
        &["defaults.display_failed_stderr"],
        &["ANSIBLE_DISPLAY_FAILED_STDERR"],
        Does::Sets(Setting::DisplayFailedStderr),
    ),
    key(
        &["defaults.display_ok_hosts"],
        &["ANSIBLE_DISPLAY_OK_HOSTS"],
        Does::Sets(Setting::DisplayOkHosts),
    ),
    key(
        &["defaults.display_skipped_hosts"],
        &["ANSIBLE_DISPLAY_SKIPPED_HOSTS"],
        Does::Sets(Setting::DisplaySkippedHosts),
    ),
    key(&["defaults.force_color"], &["ANSIBLE_FORCE_COLOR"], Does::Sets(Setting::ForceColour)),
    key(
        &["defaults.force_handlers"],
        &["ANSIBLE_FORCE_HANDLERS"],
        Does::Sets(Setting::ForceHandlers),
    ),
    key(&["defaults.forks"], &["ANSIBLE_FORKS"], Does::Sets(Setting::Forks)),
    key(&["defaults.gathering"], &["ANSIBLE_GATHERING"], Does::Sets(Setting::Gathering)),
    key(
        &["defaults.host_key_checking", "ssh_connection.host_key_checking"],
        &["ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_SSH_HOST_KEY_CHECKING"],
        Does::Sets(Setting::HostKeyChecking),
    ),
    key(&["defaults.inventory"], &["ANSIBLE_INVENTORY"], Does::Sets(Setting::Inventory)),
    key(&["defaults.nocolor"], &["ANSIBLE_NOCOLOR"], Does::Sets(Setting::NoColour)),
    key(
        &["defaults.private_key_file"],
        &["ANSIBLE_PRIVATE_KEY_FILE"],
        Does::Sets(Setting::PrivateKeyFile),
    ),
    key(&["defaults.remote_user"], &["ANSIBLE_REMOTE_USER"], Does::Sets(Setting::RemoteUser)),
    key(&["defaults.roles_path"], &["ANSIBLE_ROLES_PATH"], Does::Sets(Setting::RolesPath)),
    key(&["tags.run"], &["ANSIBLE_RUN_TAGS"], Does::Sets(Setting::RunTags)),
    key(&["tags.skip"], &["ANSIBLE_SKIP_TAGS"], Does::Sets(Setting::SkipTags)),
    key(
        &[
            "ssh_connection.ssh_common_args",
            "ssh_connection.ssh_extra_args",
            "ssh_connection.ssh_args",
        ],
        &["ANSIBLE_SSH_COMMON_ARGS", "ANSIBLE_SSH_EXTRA_ARGS", "ANSIBLE_SSH_ARGS"],
        Does::Sets(Setting::SshArguments),
    ),
    key(
        &["defaults.timeout", "ssh_connection.timeout"],
        &["ANSIBLE_TIMEOUT", "ANSIBLE_SSH_TIMEOUT"],
        Does::Sets(Setting::Timeout),
    ),
    key(&["defaults.transport"], &["ANSIBLE_TRANSPORT"], Does::Sets(Setting::Transport)),
    key(
        &["defaults.vault_identity_list"],
        &["ANSIBLE_VAULT_IDENTITY_LIST"],
        Does::Sets(Setting::VaultIdentityList),
    ),
    key(
        &["defaults.vault_password_file"],
        &["ANSIBLE_VAULT_PASSWORD_FILE"],
        Does::Sets(Setting::VaultPasswordFile),
    ),
    key(&["defaults.verbosity"], &["ANSIBLE_VERBOSITY"], Does::Sets(Setting::Verbosity)),
    // What would change the meaning of playbooks, or what is safe, is refused rather than ignored.
    key(
        &["defaults.any_errors_fatal"],
        &["ANSIBLE_ANY_ERRORS_FATAL"],
        Does::Sets(Setting::AnyErrorsFatal),
    ),
    key(
        &["privilege_escalation.become_method"],
        &["ANSIBLE_BECOME_METHOD"],
        Does::Only(&["sudo", "ansible.builtin.sudo"], "provision becomes users with sudo"),
    ),
    key(
        &["privilege_escalation.become_exe", "sudo_become_plugin.executable"],
        &["ANSIBLE_BECOME_EXE", "ANSIBLE_SUDO_EXE"],
        Does::Only(&["sudo", "/usr/bin/sudo"], "sudo is looked up in the PATH of the host"),
    ),
    key(
        &["privilege_escalation.become_flags", "sudo_become_plugin.flags"],
        &["ANSIBLE_BECOME_FLAGS", "ANSIBLE_SUDO_FLAGS"],
        Does::Only(
            &["-h -s -n", "-h -s", "-h", "-n", ""],
            "set `ansible_become_flags` in the inventory, or `become_flags` in the play",
        ),
    ),
    key(
        &["sudo_become_plugin.password"],
        &["ANSIBLE_BECOME_PASS", "ANSIBLE_SUDO_PASS"],
        Does::Only(&[""], "give it with -K, --become-password-file or a vault"),
    ),
    key(
        &["defaults.error_on_missing_handler"],
        &["ANSIBLE_ERROR_ON_MISSING_HANDLER"],
        Does::Sets(Setting::ErrorOnMissingHandler),
    ),
    key(
        &["defaults.error_on_undefined_vars"],
        &["ANSIBLE_ERROR_ON_UNDEFINED_VARS"],
        Does::Only(TRUE, "use `default()` where a variable may be undefined"),
    ),
    key(
        &["defaults.hash_behaviour"],
        &["ANSIBLE_HASH_BEHAVIOUR"],
        Does::Only(
            &["replace"],
            "use the filter `combine(recursive=true)` where mappings are merged",
        ),
    ),
    key(
        &["defaults.inject_facts_as_vars"],
        &["ANSIBLE_INJECT_FACT_VARS"],
        Does::Sets(Setting::InjectFacts),
    ),
    key(&["defaults.jinja2_native"], &["ANSIBLE_JINJA2_NATIVE"], Does::Sets(Setting::NativeTypes)),
    key(
        &["defaults.jinja2_extensions"],
        &["ANSIBLE_JINJA2_EXTENSIONS"],
        Does::Only(&["", "[]"], "extensions of Jinja2 are in Python"),
    ),
    key(&["defaults.no_log"], &["ANSIBLE_NO_LOG"], Does::Sets(Setting::NoLog)),
    key(
        &["defaults.precedence"],
        &["ANSIBLE_PRECEDENCE"],
        Does::Only(&[""], "variables have the precedence that Ansible has by default"),
    ),
    key(
        &["defaults.private_role_vars"],
        &["ANSIBLE_PRIVATE_ROLE_VARS"],
        Does::Sets(Setting::PrivateRoleVars),
    ),
    key(
        &["defaults.playbook_vars_root"],
        &["ANSIBLE_PLAYBOOK_VARS_ROOT"],
        Does::Sets(Setting::PlaybookVarsRoot),
    ),
    key(&["defaults.strategy"], &["ANSIBLE_STRATEGY"], Does::Sets(Setting::Strategy)),
    key(&["defaults.task_timeout"], &["ANSIBLE_TASK_TIMEOUT"], Does::Sets(Setting::TaskTimeout)),
    key(
        &["defaults.remote_port"],
        &["ANSIBLE_REMOTE_PORT"],
        Does::Only(&["22"], "set `ansible_port` in the inventory, or Port in ~/.ssh/config"),
    ),
    key(
        &["defaults.enable_task_debugger"],
        &["ANSIBLE_ENABLE_TASK_DEBUGGER"],
        Does::Only(FALSE, "`--step` stops before each task"),
    ),
    key(
        &["defaults.vault_id_match"],
        &["ANSIBLE_VAULT_ID_MATCH"],
        Does::Only(FALSE, "all passwords are tried, those with the label of the vault first"),
    ),
    key(
        &["inventory.host_pattern_mismatch"],
        &["ANSIBLE_HOST_PATTERN_MISMATCH"],
        Does::Nothing("a pattern that matches nothing is a warning"),
    ),
    // What has no effect.
    key(
        &["defaults.stdout_callback"],
        &["ANSIBLE_STDOUT_CALLBACK"],
        Does::Sets(Setting::StdoutCallback),
    ),
    key(
        &["defaults.callback_result_format"],
        &["ANSIBLE_CALLBACK_RESULT_FORMAT"],
        Does::Nothing("results are shown as JSON"),
    ),
    key(
        &["defaults.callback_format_pretty"],
        &["ANSIBLE_CALLBACK_FORMAT_PRETTY"],
        Does::Nothing("results are shown on one line, with -vvv on several"),
    ),
    key(
        &["defaults.check_mode_markers"],
        &["ANSIBLE_CHECK_MODE_MARKERS"],
        Does::Nothing("check mode is not marked in Ansible's format"),
    ),
    key(
        &["defaults.show_per_host_start"],
        &["ANSIBLE_SHOW_PER_HOST_START"],
        Does::Nothing("the start of a task on a host is not shown"),
    ),
    key(
        &["defaults.show_task_path_on_failure"],
        &["ANSIBLE_SHOW_TASK_PATH_ON_FAILURE"],
        Does::Nothing("-vv shows the place of each task"),
    ),
    key(
        &["defaults.show_custom_stats"],
        &["ANSIBLE_SHOW_CUSTOM_STATS"],
        Does::Nothing("values of `set_stats` are not shown"),
    ),
    key(
        &["defaults.display_args_to_stdout"],
        &["ANSIBLE_DISPLAY_ARGS_TO_STDOUT"],
        Does::Nothing("arguments may hold secrets; they are not shown"),
    ),
    key(
        &["defaults.verbose_to_stderr"],
        &["ANSIBLE_VERBOSE_TO_STDERR"],
        Does::Nothing("what -v adds goes where the results go"),
    ),
    key(
        &["diff.context"],
        &["ANSIBLE_DIFF_CONTEXT"],
        Does::Nothing("three lines are shown around a change"),
    ),
    key(
        &["defaults.max_diff_size"],
        &["ANSIBLE_MAX_DIFF_SIZE"],
        Does::Nothing("the limit is that of the helper"),
    ),
    key(
        &["defaults.log_path"],
        &["ANSIBLE_LOG_PATH"],
        Does::Nothing("each run has a journal; `provision runs show` prints it"),
    ),
    key(
        &["defaults.log_filter", "defaults.log_verbosity"],
        &["ANSIBLE_LOG_FILTER", "ANSIBLE_LOG_VERBOSITY"],
        Does::Nothing("each run has a journal; `provision runs show` prints it"),
    ),
    key(&["defaults.interpreter_python"], &["ANSIBLE_PYTHON_INTERPRETER"], HELPER),
    key(
        &["defaults.pipelining", "connection.pipelining", "ssh_connection.pipelining"],
        &["ANSIBLE_PIPELINING", "ANSIBLE_SSH_PIPELINING"],
        OWN_CONNECTION,
    ),
    key(
        &["ssh_connection.control_path", "ssh_connection.control_path_dir"],
        &["ANSIBLE_SSH_CONTROL_PATH", "ANSIBLE_SSH_CONTROL_PATH_DIR"],
        OWN_CONNECTION,
    ),
    key(
        &["ssh_connection.retries", "connection.retries"],
        &["ANSIBLE_SSH_RETRIES"],
        Does::Nothing("a lost connection is made once more, and the running task is not repeated"),
    ),
    key(
        &[
            "ssh_connection.transfer_method",
            "ssh_connection.scp_if_ssh",
            "ssh_connection.sftp_batch_mode",
            "ssh_connection.scp_extra_args",
            "ssh_connection.sftp_extra_args",
            "ssh_connection.scp_executable",
            "ssh_connection.sftp_executable",
            "ssh_connection.ssh_executable",
            "ssh_connection.sshpass_prompt",
            "ssh_connection.usetty",
        ],
        &[
            "ANSIBLE_SSH_TRANSFER_METHOD",
            "ANSIBLE_SCP_IF_SSH",
            "ANSIBLE_SFTP_BATCH_MODE",
            "ANSIBLE_SCP_EXTRA_ARGS",
            "ANSIBLE_SFTP_EXTRA_ARGS",
            "ANSIBLE_SCP_EXECUTABLE",
            "ANSIBLE_SFTP_EXECUTABLE",
            "ANSIBLE_SSH_EXECUTABLE",
            "ANSIBLE_SSHPASS_PROMPT",
            "ANSIBLE_SSH_USETTY",
        ],
        OWN_CONNECTION,
    ),
    key(
        &["ssh_connection.pkcs11_provider"],
        &["ANSIBLE_PKCS11_PROVIDER"],
        Does::Only(&[""], "keys on tokens are used through ssh-agent"),
    ),
    key(
        &["paramiko_connection.host_key_auto_add", "paramiko_connection.look_for_keys"],
        &["ANSIBLE_PARAMIKO_HOST_KEY_AUTO_ADD", "ANSIBLE_PARAMIKO_LOOK_FOR_KEYS"],
        OWN_CONNECTION,
    ),
    key(
        &[
            "defaults.remote_tmp",
            "defaults.local_tmp",
            "defaults.system_tmpdirs",
            "defaults.async_dir",
            "defaults.admin_users",
            "defaults.common_remote_group",
            "defaults.allow_world_readable_tmpfiles",
            "defaults.keep_remote_files",
            "defaults.module_compression",
            "defaults.module_lang",
            "defaults.module_set_locale",
            "defaults.executable",
            "defaults.internal_poll_interval",
            "defaults.no_target_syslog",
            "defaults.syslog_facility",
            "defaults.target_log_info",
            "defaults.python_module_rlimit_nofile",
            "defaults.module_strict_utf8_response",
            "defaults.use_persistent_connections",
        ],
        &[
            "ANSIBLE_REMOTE_TEMP",
            "ANSIBLE_REMOTE_TMP",
            "ANSIBLE_LOCAL_TEMP",
            "ANSIBLE_SYSTEM_TMPDIRS",
            "ANSIBLE_ASYNC_DIR",
            "ANSIBLE_ADMIN_USERS",
            "ANSIBLE_COMMON_REMOTE_GROUP",
            "ANSIBLE_SHELL_ALLOW_WORLD_READABLE_TEMP",
            "ANSIBLE_KEEP_REMOTE_FILES",
            "ANSIBLE_EXECUTABLE",
            "ANSIBLE_NO_TARGET_SYSLOG",
            "ANSIBLE_SYSLOG_FACILITY",
            "ANSIBLE_TARGET_LOG_INFO",
            "ANSIBLE_PYTHON_MODULE_RLIMIT_NOFILE",
            "ANSIBLE_MODULE_STRICT_UTF8_RESPONSE",
            "ANSIBLE_USE_PERSISTENT_CONNECTIONS",
        ],
        HELPER,
    ),
    key(
        &[
            "privilege_escalation.agnostic_become_prompt",
            "privilege_escalation.become_allow_same_user",
        ],
        &["ANSIBLE_AGNOSTIC_BECOME_PROMPT", "ANSIBLE_BECOME_ALLOW_SAME_USER"],
        HELPER,
    ),
    key(
        &["selinux.libvirt_lxc_noseclabel", "selinux.special_context_filesystems"],
        &["ANSIBLE_LIBVIRT_LXC_NOSECLABEL", "ANSIBLE_SELINUX_SPECIAL_FS"],
        HELPER,
    ),
    key(
        &[
            "defaults.action_plugins",
            "defaults.become_plugins",
            "defaults.cache_plugins",
            "defaults.callback_plugins",
            "defaults.cliconf_plugins",
            "defaults.connection_plugins",
            "defaults.doc_fragment_plugins",
            "defaults.httpapi_plugins",
            "defaults.inventory_plugins",
            "defaults.netconf_plugins",
            "defaults.strategy_plugins",
            "defaults.terminal_plugins",
            "defaults.vars_plugins",
            "defaults.plugin_filters_cfg",
            "defaults.callbacks_enabled",
            "defaults.callback_whitelist",
            "defaults.bin_ansible_callbacks",
            "defaults.module_ignore_exts",
            "defaults.old_plugin_cache_clear",
            "defaults.vars_plugins_enabled",
            "defaults.run_vars_plugins",
            "defaults.module_name",
            "defaults.module_args",
            "defaults.network_group_modules",
        ],
        &[
            "ANSIBLE_ACTION_PLUGINS",
            "ANSIBLE_BECOME_PLUGINS",
            "ANSIBLE_CACHE_PLUGINS",
            "ANSIBLE_CALLBACK_PLUGINS",
            "ANSIBLE_CLICONF_PLUGINS",
            "ANSIBLE_CONNECTION_PLUGINS",
            "ANSIBLE_DOC_FRAGMENT_PLUGINS",
            "ANSIBLE_HTTPAPI_PLUGINS",
            "ANSIBLE_INVENTORY_PLUGINS",
            "ANSIBLE_NETCONF_PLUGINS",
            "ANSIBLE_STRATEGY_PLUGINS",
            "ANSIBLE_TERMINAL_PLUGINS",
            "ANSIBLE_VARS_PLUGINS",
            "ANSIBLE_CALLBACKS_ENABLED",
            "ANSIBLE_CALLBACK_WHITELIST",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS",
            "ANSIBLE_MODULE_IGNORE_EXTS",
            "ANSIBLE_OLD_PLUGIN_CACHE_CLEAR",
            "ANSIBLE_VARS_ENABLED",
            "ANSIBLE_RUN_VARS_PLUGINS",
            "ANSIBLE_MODULE_ARGS",
            "ANSIBLE_NETWORK_GROUP_MODULES",
        ],
        PYTHON,
    ),
    key(
        &["defaults.filter_plugins"],
        &["ANSIBLE_FILTER_PLUGINS"],
        Does::Sets(Setting::FilterPlugins),
    ),
    key(
        &["defaults.lookup_plugins"],
        &["ANSIBLE_LOOKUP_PLUGINS"],
        Does::Sets(Setting::LookupPlugins),
    ),
    key(&["defaults.test_plugins"], &["ANSIBLE_TEST_PLUGINS"], Does::Sets(Setting::TestPlugins)),
    key(&["defaults.library"], &["ANSIBLE_LIBRARY"], Does::Sets(Setting::Library)),
    key(&["defaults.module_utils"], &["ANSIBLE_MODULE_UTILS"], Does::Sets(Setting::ModuleUtils)),
    key(&["defaults.facts_modules"], &["ANSIBLE_FACTS_MODULES"], Does::Sets(Setting::FactsModules)),
    key(&["defaults.fact_caching"], &["ANSIBLE_CACHE_PLUGIN"], Does::Sets(Setting::FactCaching)),
    key(
        &["defaults.fact_caching_connection"],
        &["ANSIBLE_CACHE_PLUGIN_CONNECTION"],
        Does::Sets(Setting::FactCachingConnection),
    ),
    key(
        &["defaults.fact_caching_prefix"],
        &["ANSIBLE_CACHE_PLUGIN_PREFIX"],
        Does::Sets(Setting::FactCachingPrefix),
    ),
    key(
        &["defaults.fact_caching_timeout"],
        &["ANSIBLE_CACHE_PLUGIN_TIMEOUT"],
        Does::Sets(Setting::FactCachingTimeout),
    ),
    key(
        &[
            "inventory.cache",
            "inventory.cache_connection",
            "inventory.cache_plugin",
            "inventory.cache_prefix",
            "inventory.cache_timeout",
        ],
        &[
            "ANSIBLE_INVENTORY_CACHE",
            "ANSIBLE_INVENTORY_CACHE_CONNECTION",
            "ANSIBLE_INVENTORY_CACHE_PLUGIN",
            "ANSIBLE_INVENTORY_CACHE_PLUGIN_PREFIX",
            "ANSIBLE_INVENTORY_CACHE_TIMEOUT",
        ],
        Does::Nothing("inventories are read anew in each run"),
    ),
    key(
        &["inventory.enable_plugins"],
        &["ANSIBLE_INVENTORY_ENABLED"],
        Does::Sets(Setting::EnableInventoryPlugins),
    ),
    key(
        &["inventory.any_unparsed_is_failed"],
        &["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"],
        Does::Sets(Setting::AnyUnparsedIsFailed),
    ),
    key(
        &["inventory.unparsed_is_failed"],
        &["ANSIBLE_INVENTORY_UNPARSED_FAILED"],
        Does::Sets(Setting::UnparsedIsFailed),
    ),
    key(
        &["inventory.inventory_unparsed_warning", "inventory.export"],
        &["ANSIBLE_INVENTORY_UNPARSED_WARNING", "ANSIBLE_INVENTORY_EXPORT"],
        Does::Nothing("an inventory that can't be read is always an error"),
    ),
    key(
        &[
            "inventory.ignore_extensions",
            "defaults.inventory_ignore_extensions",
            "inventory.ignore_patterns",
            "defaults.inventory_ignore_patterns",
        ],
        &["ANSIBLE_INVENTORY_IGNORE", "ANSIBLE_INVENTORY_IGNORE_REGEX"],
        Does::Only(&[""], "move files that are no inventory out of the inventory folder"),
    ),
    key(
        &["defaults.force_valid_group_names"],
        &["ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS"],
        Does::Only(&["never", "ignore", "silently"], "names of groups stay as they are written"),
    ),
    key(
        &["defaults.duplicate_dict_key"],
        &["ANSIBLE_DUPLICATE_YAML_DICT_KEY"],
        Does::Sets(Setting::DuplicateDictKey),
    ),
    key(
        &["defaults.invalid_task_attribute_failed"],
        &["ANSIBLE_INVALID_TASK_ATTRIBUTE_FAILED"],
        Does::Nothing("an unknown keyword is always an error"),
    ),
    key(
        &["defaults.allow_broken_conditionals"],
        &["ANSIBLE_ALLOW_BROKEN_CONDITIONALS"],
        Does::Sets(Setting::AllowBrokenConditionals),
    ),
    key(
        &[
            "defaults.string_conversion_action",
            "jinja2.dont_type_filters",
            "defaults.null_representation",
            "defaults.allow_unsafe_lookups",
            "defaults.ansible_managed",
        ],
        &[
            "ANSIBLE_STRING_CONVERSION_ACTION",
            "ANSIBLE_STRING_TYPE_FILTERS",
            "ANSIBLE_NULL_REPRESENTATION",
        ],
        Does::Nothing("values of modules and templates are converted as Ansible does by default"),
    ),
    key(
        &["defaults.poll_interval", "defaults.win_async_startup_timeout"],
        &["ANSIBLE_POLL_INTERVAL", "ANSIBLE_WIN_ASYNC_STARTUP_TIMEOUT"],
        Does::Nothing("write `poll:` at the task"),
    ),
    key(
        &["defaults.retry_files_enabled", "defaults.retry_files_save_path"],
        &["ANSIBLE_RETRY_FILES_ENABLED", "ANSIBLE_RETRY_FILES_SAVE_PATH"],
        RETRY_FILES,
    ),
    key(
        &[
            "defaults.nocows",
            "defaults.cow_selection",
            "defaults.cowpath",
            "defaults.cowsay_enabled_stencils",
        ],
        &["ANSIBLE_NOCOWS", "ANSIBLE_COW_SELECTION", "ANSIBLE_COW_PATH", "ANSIBLE_COW_ACCEPTLIST"],
        COWS,
    ),
    key(
        &["defaults.deprecation_warnings"],
        &["ANSIBLE_DEPRECATION_WARNINGS"],
        Does::Sets(Setting::DeprecationWarnings),
    ),
    // Ansible's own switch for what its last releases of a line have learned to warn about.
    key(
        &[],
        &["_ANSIBLE_DISABLE_BACKPORTED_INSPECTIONS"],
        Does::Sets(Setting::DisableBackportedInspections),
    ),
    key(
        &[
            "defaults.system_warnings",
            "defaults.localhost_warning",
            "defaults.action_warnings",
            "defaults.command_warnings",
            "defaults.devel_warning",
            "galaxy.collections_path_warning",
        ],
        &[
            "ANSIBLE_SYSTEM_WARNINGS",
            "ANSIBLE_LOCALHOST_WARNING",
            "ANSIBLE_ACTION_WARNINGS",
            "ANSIBLE_COMMAND_WARNINGS",
            "ANSIBLE_DEVEL_WARNING",
            "ANSIBLE_GALAXY_COLLECTIONS_PATH_WARNING",
        ],
        WARNINGS,
    ),
    key(
        &[
            "defaults.home",
            "defaults.playbook_dir",
            "defaults.yaml_valid_extensions",
            "defaults.collections_scan_sys_path",
            "defaults.collections_on_ansible_version_mismatch",
            "defaults.validate_action_group_metadata",
            "defaults.debug",
            "defaults.task_debugger_ignore_errors",
            "defaults.su",
        ],
        &[
            "ANSIBLE_HOME",
            "ANSIBLE_PLAYBOOK_DIR",
            "ANSIBLE_YAML_FILENAME_EXT",
            "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH",
            "ANSIBLE_COLLECTIONS_ON_ANSIBLE_VERSION_MISMATCH",
            "ANSIBLE_VALIDATE_ACTION_GROUP_METADATA",
            "ANSIBLE_DEBUG",
            "ANSIBLE_TASK_DEBUGGER_IGNORE_ERRORS",
            "ANSIBLE_SU",
        ],
        CONSOLE,
    ),
    key(
        &[
            "defaults.vault_encrypt_identity",
            "defaults.vault_encrypt_salt",
            "defaults.vault_identity",
        ],
        &["ANSIBLE_VAULT_ENCRYPT_IDENTITY", "ANSIBLE_VAULT_ENCRYPT_SALT", "ANSIBLE_VAULT_IDENTITY"],
        Does::Nothing("`provision vault` has --encrypt-vault-id"),
    ),
    key(
        &["defaults.editor", "defaults.pager", "defaults.docsite_root_url"],
        &["ANSIBLE_EDITOR", "ANSIBLE_PAGER"],
        DOCUMENTS,
    ),
];

/// Sections of which nothing has an effect, and why.
pub const SECTIONS: &[(&str, Does)] = &[
    ("colors", COLOURS),
    ("galaxy", GALAXY),
    ("netconf_connection", NETWORK),
    ("persistent_connection", NETWORK),
];

/// Variables with these beginnings belong to sections of which nothing has an effect.
pub const VARIABLES: &[(&str, Does)] = &[
    ("ANSIBLE_COLOR_", COLOURS),
    ("ANSIBLE_GALAXY_", GALAXY),
    ("ANSIBLE_NETCONF_", NETWORK),
    ("ANSIBLE_PERSISTENT_", NETWORK),
    ("ANSIBLE_CONNECTION_PATH", NETWORK),
    ("ANSIBLE_WORKER_", CONSOLE),
];

/// The setting of a `section.name`.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.names.contains(&name))
}

/// The setting of a variable.
pub fn find_variable(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.variables.contains(&name))
}

//! Modules that manage the system: processes, users, packages, services, network.

mod accounts;
mod commands;
mod connection;
mod docker;
mod facts;
mod network;
mod packages;
mod services;
mod settings;
mod tools;

use super::{CheckMode, FreeForm, Kind, ModuleScope, ModuleSpec, Parameter, RequiredIf, Runs};

const fn host(mut spec: ModuleSpec) -> ModuleSpec {
    spec.scope = ModuleScope::Host;
    spec
}

const fn on_connection(mut spec: ModuleSpec) -> ModuleSpec {
    spec.runs = Runs::OnConnection;
    spec
}

const fn skips(mut spec: ModuleSpec) -> ModuleSpec {
    spec.check = CheckMode::Skips;
    spec
}

const fn prepared(mut spec: ModuleSpec) -> ModuleSpec {
    spec.runs = Runs::Prepared;
    spec
}

const fn free_form(mut spec: ModuleSpec, parameter: &'static str) -> ModuleSpec {
    spec.free_form = FreeForm::Into(parameter);
    spec
}

const fn alias(mut spec: ModuleSpec, aliases: &'static [&'static str]) -> ModuleSpec {
    spec.aliases = aliases;
    spec
}

const fn exclusive(mut spec: ModuleSpec, groups: &'static [&'static [&'static str]]) -> ModuleSpec {
    spec.mutually_exclusive = groups;
    spec
}

const fn one_of(mut spec: ModuleSpec, groups: &'static [&'static [&'static str]]) -> ModuleSpec {
    spec.required_one_of = groups;
    spec
}

const fn needs(mut spec: ModuleSpec, rules: &'static [RequiredIf]) -> ModuleSpec {
    spec.required_if = rules;
    spec
}

const fn open(mut spec: ModuleSpec) -> ModuleSpec {
    spec.open = true;
    spec
}

pub(super) const MODULES: &[ModuleSpec] = &[
    tools::ACL,
    tools::ALTERNATIVES,
    packages::APT,
    packages::APT_KEY,
    packages::APT_REPOSITORY,
    settings::AUTHORIZED_KEY,
    tools::CAPABILITIES,
    commands::COMMAND,
    network::CONSUL_KV,
    settings::CRON,
    packages::DEB822_REPOSITORY,
    packages::DEBCONF,
    packages::DNF,
    packages::DPKG_SELECTIONS,
    docker::DOCKER_CONTAINER,
    docker::DOCKER_IMAGE,
    docker::DOCKER_LOGIN,
    docker::DOCKER_NETWORK,
    docker::DOCKER_VOLUME,
    network::EXCHANGE,
    commands::EXPECT,
    tools::FILESYSTEM,
    tools::FIREWALLD,
    tools::GEM,
    network::GET_URL,
    facts::GETENT,
    tools::GIT,
    accounts::GROUP,
    settings::HOSTNAME,
    tools::IPTABLES,
    settings::KNOWN_HOSTS,
    settings::LOCALE_GEN,
    tools::LVG,
    tools::LVOL,
    tools::MODPROBE,
    settings::MOUNT,
    facts::MOUNT_FACTS,
    tools::NPM,
    packages::PACKAGE,
    facts::PACKAGE_FACTS,
    settings::PAM_LIMITS,
    tools::PARTED,
    commands::PING,
    tools::PIP,
    commands::RAW,
    connection::REBOOT,
    packages::RPM_KEY,
    commands::SCRIPT,
    tools::SEBOOLEAN,
    tools::SELINUX,
    services::SERVICE,
    facts::SERVICE_FACTS,
    facts::SETUP,
    commands::SHELL,
    tools::SUBVERSION,
    tools::SYNCHRONIZE,
    settings::SYSCTL,
    services::SYSVINIT,
    services::SYSTEMD,
    settings::TIMEZONE,
    settings::UFW,
    network::URI,
    accounts::USER,
    network::WAIT_FOR,
    connection::WAIT_FOR_CONNECTION,
    packages::YUM_REPOSITORY,
    tools::ZNODE,
];

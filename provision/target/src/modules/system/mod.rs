//! Modules that manage the system: processes, users, packages, services, network.

mod accounts;
pub(crate) mod clock;
mod command;
mod consul_kv;
mod docker;
mod exchange;
mod expect;
mod facts;
mod gather;
mod group;
mod http;
pub(crate) mod output;
mod own;
mod packages;
mod private;
pub(crate) mod process;
pub mod services;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
mod tools;
mod user;
mod wait;
mod wait_for;
pub(crate) mod wildcard;
pub(crate) mod words;
mod znode;

pub use gather::gather;
pub use own::own;

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[
        ("acl", tools::acl),
        ("alternatives", tools::alternatives),
        ("apt", packages::apt),
        ("apt_key", packages::apt_key),
        ("apt_repository", packages::apt_repository),
        ("authorized_key", settings::authorized_key),
        ("capabilities", tools::capabilities),
        ("command", command::command),
        ("consul_kv", consul_kv::consul_kv),
        ("cron", settings::cron),
        ("deb822_repository", packages::deb822_repository),
        ("debconf", packages::debconf),
        ("dnf", packages::dnf),
        ("docker_container", docker::docker_container),
        ("docker_image", docker::docker_image),
        ("docker_login", docker::docker_login),
        ("docker_network", docker::docker_network),
        ("docker_volume", docker::docker_volume),
        ("dpkg_selections", packages::dpkg_selections),
        ("exchange", exchange::exchange),
        ("filesystem", tools::filesystem),
        ("firewalld", tools::firewalld),
        ("gem", tools::gem),
        ("get_url", http::get_url),
        ("expect", expect::expect),
        ("getent", settings::getent),
        ("git", tools::git),
        ("group", group::group),
        ("hostname", settings::hostname),
        ("iptables", tools::iptables),
        ("known_hosts", settings::known_hosts),
        ("locale_gen", settings::locale_gen),
        ("lvg", tools::lvg),
        ("lvol", tools::lvol),
        ("modprobe", tools::modprobe),
        ("mount", settings::mount),
        ("mount_facts", facts::mount_facts),
        ("npm", tools::npm),
        ("package", packages::package),
        ("package_facts", packages::package_facts),
        ("pam_limits", settings::pam_limits),
        ("parted", tools::parted),
        ("ping", command::ping),
        ("pip", tools::pip),
        ("raw", command::raw),
        ("rpm_key", packages::rpm_key),
        ("script", command::script),
        ("seboolean", tools::seboolean),
        ("selinux", tools::selinux),
        ("service", services::service),
        ("service_facts", services::service_facts),
        ("setup", facts::setup),
        ("shell", command::shell),
        ("subversion", tools::subversion),
        ("synchronize", tools::synchronize),
        ("sysctl", settings::sysctl),
        ("sysvinit", services::sysvinit),
        ("systemd", services::systemd),
        ("timezone", settings::timezone),
        ("ufw", settings::ufw),
        ("uri", http::uri),
        ("user", user::user),
        ("wait_for", wait_for::wait_for),
        ("yum_repository", packages::yum_repository),
        ("znode", znode::znode),
    ]
}

#[cfg(test)]
mod tests {
    use provision_protocol::modules;

    /// What is here is what the protocol's table says, under the canonical names.
    #[test]
    fn the_tables_agree() {
        for (name, _) in super::table() {
            let spec = modules::find(name).unwrap();
            assert_eq!(spec.name, *name);
            assert_ne!(spec.runs, modules::Runs::OnController, "{name}");
        }
    }
}

//! `[io]` The tools that are compared, and how each is started on a lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::lab::Lab;
use crate::workspace;

/// What runs the deployment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Ours.
    Provision,
    /// ansible-core as it is installed.
    AnsibleDefault,
    /// ansible-core with pipelining, 50 forks and ControlPersist.
    AnsibleTuned,
    /// ansible-core with mitogen.
    Mitogen,
    /// pyinfra.
    Pyinfra,
}

/// Which playbook is applied.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Deployment {
    /// 50 tasks and two handlers, as it is typical
    #[default]
    Typical,
    /// 200 tasks with loops, templates and conditions
    Long,
}

impl Deployment {
    /// As it stands in tables and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Typical => "typical",
            Self::Long => "long",
        }
    }

    /// The playbook, in `xtask/bench`.
    fn playbook(self) -> &'static str {
        match self {
            Self::Typical => "site.yml",
            Self::Long => "long.yml",
        }
    }
}

impl Tool {
    /// As it stands in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::AnsibleDefault => "ansible-core, default",
            Self::AnsibleTuned => "ansible-core, tuned",
            Self::Mitogen => "ansible-core, mitogen",
            Self::Pyinfra => "pyinfra",
        }
    }
}

/// What all tools are installed into, and what they work on.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The hosts.
    pub lab: &'a Lab,
    /// Our program.
    pub provision: &'a Path,
    /// The virtual environment of the others.
    pub peers: Option<&'a Path>,
    /// A folder for inventories and homes.
    pub folder: PathBuf,
    /// Over the delayed way.
    pub is_delayed: bool,
    /// What is applied.
    pub deployment: Deployment,
}

impl Bench<'_> {
    /// Whether the tool is installed and the deployment is written for it.
    #[must_use]
    pub fn has(&self, tool: Tool) -> bool {
        match tool {
            Tool::Provision => true,
            Tool::Pyinfra if self.deployment != Deployment::Typical => false,
            Tool::Pyinfra => self.program("pyinfra").is_some(),
            Tool::Mitogen => self.mitogen().is_some(),
            Tool::AnsibleDefault | Tool::AnsibleTuned => self.program("ansible-playbook").is_some(),
        }
    }

    /// The command that deploys.
    ///
    /// # Errors
    /// An inventory can't be written.
    pub fn command(&self, tool: Tool) -> Result<Command, Error> {
        let bench = workspace::root().join("xtask/bench");
        let mut command = match tool {
            Tool::Provision => {
                let mut command = Command::new(self.provision);
                command.args(["apply", self.deployment.playbook(), "-i"]).arg(self.inventory()?);
                command
            }
            Tool::Pyinfra => {
                let mut command = Command::new(self.program("pyinfra").unwrap_or_default());
                command.arg("-y").arg(self.pyinfra_inventory()?).arg(bench.join("deploy.py"));
                command
            }
            Tool::AnsibleDefault | Tool::AnsibleTuned | Tool::Mitogen => self.ansible(tool)?,
        };
        command.current_dir(&bench).env("HOME", &self.folder).env("LC_ALL", "C.UTF-8");
        Ok(command)
    }

    fn ansible(&self, tool: Tool) -> Result<Command, Error> {
        let mut command = Command::new(self.program("ansible-playbook").unwrap_or_default());
        command.arg(self.deployment.playbook()).arg("-i").arg(self.inventory()?);
        command.env("ANSIBLE_HOME", self.folder.join("a"));
        command.env("ANSIBLE_NOCOLOR", "true").env("ANSIBLE_RETRY_FILES_ENABLED", "false");
        if tool != Tool::AnsibleDefault {
            command.env("ANSIBLE_FORKS", "50").env("ANSIBLE_PIPELINING", "true");
            command.env("ANSIBLE_SSH_ARGS", "-o ControlMaster=auto -o ControlPersist=60s");
        }
        if let (Tool::Mitogen, Some(folder)) = (tool, self.mitogen()) {
            command.env("ANSIBLE_STRATEGY_PLUGINS", folder);
            command.env("ANSIBLE_STRATEGY", "mitogen_linear");
        }
        Ok(command)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        Some(self.peers?.join("bin").join(name)).filter(|program| program.is_file())
    }

    fn mitogen(&self) -> Option<PathBuf> {
        let libraries = fs::read_dir(self.peers?.join("lib")).ok()?;
        let plugins = "site-packages/ansible_mitogen/plugins/strategy";
        libraries.flatten().map(|entry| entry.path().join(plugins)).find(|path| path.is_dir())
    }

    fn address(&self, host: &crate::lab::names::Host) -> (String, u16) {
        let subnet = self.lab.record().subnet;
        match self.is_delayed {
            true => (subnet.delayed_address(host).to_string(), crate::lab::latency::PORT),
            false => (subnet.address(host).to_string(), 22),
        }
    }

    /// A folder: hosts of ours, variables (keys, artifacts) of the lab's.
    fn inventory(&self) -> Result<PathBuf, Error> {
        let folder = self.folder.join("inventory");
        let variables = "group_vars/all/lab.generated.yml";
        let target = folder.join(variables);
        let action = || format!("write {}", folder.display());
        fs::create_dir_all(target.parent().unwrap_or(&folder)).doing(action)?;
        fs::copy(self.lab.directory().inventory().join(variables), &target).doing(action)?;
        let mut text = String::new();
        for host in self.lab.hosts() {
            let (address, port) = self.address(host);
            text.push_str(&format!("{} ansible_host={address} ansible_port={port}\n", host.name));
        }
        text.push_str(
            "\n[all:vars]\nansible_user=root\nansible_python_interpreter=/usr/bin/python3\n",
        );
        fs::write(folder.join("hosts"), text).doing(action)?;
        Ok(folder)
    }

    fn pyinfra_inventory(&self) -> Result<PathBuf, Error> {
        let artifacts = fs::read_to_string(
            self.lab.directory().inventory().join("group_vars/all/lab.generated.yml"),
        )
        .doing(|| "read the lab's variables".to_owned())?;
        let release = release_of(&artifacts).ok_or_else(|| {
            Error::refused("find the release of the deployment", "the lab has no zookeeper 3.9.3")
        })?;
        let names: Vec<&str> = self.lab.hosts().iter().map(|host| host.name.as_str()).collect();
        let directory = self.lab.directory();
        let mut text = format!(
            "common = {{'ssh_user': 'root', 'ssh_key': '{}', 'ssh_known_hosts_file': '{}', \
             'release': {release}, 'members': {names:?}}}\nhosts = [\n",
            directory.private_key().display(),
            directory.known_hosts().display()
        );
        for host in self.lab.hosts() {
            let (address, port) = self.address(host);
            text.push_str(&format!(
                "    ('{}', {{**common, 'ssh_hostname': '{address}', 'ssh_port': {port}}}),\n",
                host.name
            ));
        }
        text.push_str("]\n");
        let path = self.folder.join("inventory.py");
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// The block of ZooKeeper 3.9.3 in the lab's variables, as a Python dictionary.
fn release_of(variables: &str) -> Option<String> {
    let block = variables.split_once("\"3.9.3\":")?.1;
    let value = |key: &str| {
        block.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "))
    };
    let (url, sha256, root) = (value("url")?, value("sha256")?, value("root")?);
    Some(format!("{{'url': '{url}', 'sha256': '{sha256}', 'root': '{root}'}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_found() {
        let text = "artifacts:\n  zookeeper:\n    \"3.8.0\":\n      url: http://old\n    \"3.9.3\":\n      \
                    url: http://new\n      size: 1\n      sha256: ab\n      root: zookeeper-3.9.3\n";
        let release = release_of(text).unwrap();
        assert_eq!(release, "{'url': 'http://new', 'sha256': 'ab', 'root': 'zookeeper-3.9.3'}");
    }
}

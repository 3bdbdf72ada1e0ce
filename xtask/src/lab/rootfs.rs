//! `[io]` The hosts' root file system: built once per recipe, then only read.
//!
//! Layers are built in a temporary directory and renamed when complete: what has its final name is
//! whole. Nothing of one lab (keys, names, addresses) is in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::mount::{MntFlags, umount2};
use sha2::{Digest, Sha256};

use super::directories::Cache;
use super::mirror::{self, Site};
use super::process;
use crate::error::{self, Doing, Error};

/// Debian's release inside the hosts.
pub const SUITE: &str = "bookworm";

/// What a freshly installed server has. No python3: the product must not need it.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "ca-certificates",
    "iproute2",
    "iptables",
    "procps",
    "curl",
];
/// For the *reference engine* (ansible-core) in comparisons, and what its tests expect of a host,
/// as the images of ansible-test have it; a layer of its own.
const PYTHON_PACKAGES: &[&str] = &["python3", "python3-apt", "acl", "file"];

/// What the scripts among ansible-core's tests call; another layer above.
const CONTROLLER_PACKAGES: &[&str] = &["attr", "bsdextrautils", "locales", "unzip", "zip"];
/// The locale that ansible-test runs in.
const CONTROLLER_LOCALE: &str = "localedef -i en_US -f UTF-8 en_US.UTF-8";

/// Runs inside the new root file system. The users are those of the inventories: `admin` has to
/// give a password to sudo, `deploy` hasn't.
const CUSTOMISE: &str = r#"set -eu
useradd -m -u 1000 -s /bin/bash -G sudo admin
echo admin:lab | chpasswd
useradd -m -u 1001 -s /bin/bash deploy
echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy
chmod 440 /etc/sudoers.d/deploy
for home in /root /home/admin /home/deploy; do mkdir -p -m 700 $home/.ssh; done
chown admin:admin /home/admin/.ssh
chown deploy:deploy /home/deploy/.ssh
rm -f /etc/ssh/ssh_host_*
printf 'PasswordAuthentication yes\n' > /etc/ssh/sshd_config.d/lab.conf
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/hostname
# Nothing may run on its own in the hosts: it would hold dpkg's lock and eat processor time.
systemctl mask getty.target console-getty.service apt-daily.timer apt-daily-upgrade.timer \
  dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-networkd-wait-online.service
systemctl set-default multi-user.target
systemctl enable corral-lab-cgroups.service
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/bootstrap.log /var/log/apt /var/log/dpkg.log
"#;

/// nspawn mounts v1 hierarchies read-only; Docker creates groups in them (lab.md 1.5).
const CGROUPS_UNIT: &str = r#"[Unit]
Description=Writable control groups, as a real machine has them (lab only)
DefaultDependencies=no
Before=sysinit.target
After=systemd-remount-fs.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mount -o remount,rw /sys/fs/cgroup; for c in /sys/fs/cgroup/*; do mountpoint -q $c && mount -o remount,rw,bind $c; done; true'

[Install]
WantedBy=sysinit.target
"#;

/// The mirror may be a frozen snapshot; translations and diffs only cost time.
const APT_CONFIGURATION: &str = r#"Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
APT::Install-Recommends "false";
"#;

/// What is in the hosts besides a plain server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// Python, for comparisons with ansible-core.
    Python,
    /// Python, and what scripts call that run ansible-core on the same machine.
    Controller,
}

/// The layers of a variant, topmost first; builds what the cache lacks.
///
/// # Errors
/// Debian can't be had, or a step of the recipe fails.
pub fn layers(cache: &Cache, variant: Variant) -> Result<Vec<PathBuf>, Error> {
    let _only_one_builds = cache.lock("rootfs")?;
    let base = cache.path().join(format!("rootfs-{SUITE}-{}", digest(&base_recipe())));
    if !base.is_dir() {
        build(cache, &base, build_base)?;
    }
    match variant {
        Variant::Plain => Ok(vec![base]),
        Variant::Python => Ok(vec![python(cache, &base)?, base]),
        Variant::Controller => {
            let python = python(cache, &base)?;
            let below = vec![python, base];
            let recipe = [&python_recipe(), &CONTROLLER_PACKAGES.join(" "), CONTROLLER_LOCALE];
            let name = format!("controller-{SUITE}-{}", digest(&recipe.join("\n")));
            let layer = cache.path().join(name);
            if !layer.is_dir() {
                build(cache, &layer, |part, url| {
                    build_above(part, &below, url, CONTROLLER_PACKAGES, CONTROLLER_LOCALE)
                })?;
            }
            Ok([vec![layer], below].concat())
        }
    }
}

fn python(cache: &Cache, base: &Path) -> Result<PathBuf, Error> {
    let layer = cache.path().join(format!("python-{SUITE}-{}", digest(&python_recipe())));
    if !layer.is_dir() {
        let below = [base.to_owned()];
        build(cache, &layer, |part, url| build_above(part, &below, url, PYTHON_PACKAGES, ""))?;
    }
    Ok(layer)
}

fn python_recipe() -> String {
    format!("{}{}", base_recipe(), PYTHON_PACKAGES.join(" "))
}

fn base_recipe() -> String {
    [SUITE, &PACKAGES.join(" "), CUSTOMISE, CGROUPS_UNIT, APT_CONFIGURATION].join("\n")
}

fn digest(recipe: &str) -> String {
    hex::encode(Sha256::digest(recipe.as_bytes())).chars().take(12).collect()
}

/// Builds `target` beside its final place and renames it when it is complete.
fn build(
    cache: &Cache,
    target: &Path,
    step: impl FnOnce(&Path, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = cache.path().join(format!("building-{name}"));
    let start = Instant::now();
    eprintln!("lab: building the root file system {name} (once; about a minute)");
    let action = || format!("build {}", target.display());
    remove_building(&part).doing(action)?;
    fs::create_dir_all(&part).doing(action)?;
    fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).doing(action)?;
    let port = mirror::serve_locally(Site::of_machine(cache)?)?;
    step(&part, &format!("http://127.0.0.1:{port}/debian")).doing(action)?;
    fs::rename(&part, target).doing(action)?;
    eprintln!("lab: built {name} in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// A build that died may have left mounts (an overlay) in its directory.
fn remove_building(part: &Path) -> Result<(), Error> {
    super::mounts::unmount_below(part)?;
    match fs::remove_dir_all(part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", part.display()))
        }
        _ => Ok(()),
    }
}

fn build_base(root: &Path, url: &str) -> Result<(), Error> {
    let mut command = process::contained("debootstrap");
    command
        .arg("--variant=minbase")
        .arg("--keyring=/usr/share/keyrings/debian-archive-keyring.gpg")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([SUITE.as_ref(), root.as_os_str(), url.as_ref()])
        .env("LC_ALL", "C")
        .env_remove("http_proxy");
    error::capture(&mut command).doing(|| "install Debian's base system".to_owned()).map_err(
        |error| {
            error.with_hint(format!("its log is {}/debootstrap/debootstrap.log", root.display()))
        },
    )?;
    let write =
        |path: &str, text: &str| fs::write(root.join(path), text).doing(|| format!("write {path}"));
    write("etc/systemd/system/corral-lab-cgroups.service", CGROUPS_UNIT)?;
    write("etc/apt/apt.conf.d/90lab", APT_CONFIGURATION)?;
    in_chroot(root, CUSTOMISE).doing(|| "customise the base system".to_owned())
}

/// A layer with these packages above others, and what a last command makes.
fn build_above(
    part: &Path,
    below: &[PathBuf],
    url: &str,
    packages: &[&str],
    last: &str,
) -> Result<(), Error> {
    let work = part.with_extension("work");
    let root = part.with_extension("root");
    for directory in [&work, &root] {
        remove_building(directory)?;
        fs::create_dir_all(directory).doing(|| format!("create {}", directory.display()))?;
    }
    super::mounts::overlay("building", below, part, &work, &root)?;
    let sources = root.join("etc/apt/sources.list");
    let script = format!(
        "set -eu\nexport DEBIAN_FRONTEND=noninteractive\necho 'deb {url} {SUITE} main' > \
         /etc/apt/sources.list\napt-get update -q\napt-get install -q -y {}\napt-get clean\n\
         rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log\n{last}\n",
        packages.join(" ")
    );
    let outcome = in_chroot(&root, &script).doing(|| "install packages".to_owned());
    // The hosts get their own; a source that isn't there any more is of no use to them.
    let _ = fs::write(sources, "");
    umount2(&root, MntFlags::empty()).doing(|| format!("unmount {}", root.display()))?;
    remove_building(&work)?;
    remove_building(&root)?;
    outcome
}

/// Runs a shell script in a root file system. Package scripts need /proc and must not start
/// services.
fn in_chroot(root: &Path, script: &str) -> Result<(), Error> {
    let policy = root.join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 101\n")
        .and_then(|()| fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)))
        .doing(|| "forbid services to start".to_owned())?;
    let mut command = process::contained("/bin/sh");
    command
        .args([
            "-c",
            "mount -t proc proc \"$1/proc\" && exec chroot \"$1\" /bin/sh -c \"$2\"",
            "sh",
        ])
        .arg(root)
        .arg(script)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8");
    let outcome = error::capture(&mut command);
    fs::remove_file(&policy).doing(|| "allow services to start".to_owned())?;
    outcome.map(drop).doing(|| format!("run a script in {}", root.display()))
}

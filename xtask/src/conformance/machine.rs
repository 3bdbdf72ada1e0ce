//! `[io]` Runs one target with controller and host on one machine, as ansible-test does for
//! scripts: in a root file system of its own, with its own processes, network and name, and no
//! PID 1 but a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::driver::{self, Engine, Outcome};
use super::source::{self, Entry, Source, Target};
use super::summary;
use crate::error::{Doing, Error};
use crate::lab::directories::Cache;
use crate::lab::rootfs::{self, Variant};
use crate::lab::{isolate, mounts, process};
use crate::step;

/// Where the targets are inside.
const INTEGRATION: &str = "/root/ansible/test/integration";
/// What the engine and the tests may write.
const OUTPUT: &str = "/root/ansible/test/results/output";
/// What each call of `ansible-playbook` printed, a file a call.
const PRINTED: &str = "/var/lib/conformance";
/// Ansible's programs that a target may call.
const PROGRAMS: &[&str] = &[
    "ansible",
    "ansible-playbook",
    "ansible-inventory",
    "ansible-config",
    "ansible-vault",
    "ansible-doc",
];

/// Mounts what a machine has, then becomes the target. `$1` is the root, `$2` what to run.
const START: &str = r#"set -eu
root=$1
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/run/lock"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
  set -- $node "$root" "$2"
  mknod -m 666 "$4/dev/$1" c "$2" "$3"
  set -- "$4" "$5"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
ip link set lo up
hostname testhost
exec chroot "$root" /bin/bash -c "$2"
"#;

/// Runs the program and keeps what it printed: recaps are summed over all calls, also those whose
/// output the script takes for itself.
const RECORDER: &str = "#!/bin/bash\n\
    /opt/engine/${0##*/} \"$@\" | tee \"/var/lib/conformance/$BASHPID.$RANDOM\"\n\
    exit \"${PIPESTATUS[0]}\"\n";

/// Runs a target.
///
/// # Errors
/// The machine can't be made; not: that the target fails.
pub fn run(
    engine: &Engine,
    source: &Source,
    target: &Target,
    worker: usize,
    logs: &Path,
) -> Result<Outcome, Error> {
    let above = isolate::directory().unwrap_or_else(|| PathBuf::from("/var/tmp"));
    let folder = above.join(format!("machine-{worker}"));
    remove(&folder)?;
    let root = make(engine, source, target, &folder)?;
    let log = logs.join(format!("{}.log", target.name));
    let mut command = process::contained("unshare");
    command
        .args(["--uts", "--ipc", "--net", "/bin/sh", "-c", START, "sh"])
        .arg(&root)
        .arg(script(target))
        .env_clear()
        .envs(environment(target))
        .stdin(Stdio::null());
    let outcome = execute(engine, &mut command, &log, &root);
    remove(&folder)?;
    outcome
}

fn execute(
    engine: &Engine,
    command: &mut Command,
    log: &Path,
    root: &Path,
) -> Result<Outcome, Error> {
    let mut child = step::start(command, log)?;
    let ended = step::wait(&mut child, engine.limit())?;
    let printed = root.join(PRINTED.trim_start_matches('/'));
    let mut texts = Vec::new();
    for entry in fs::read_dir(&printed).doing(|| format!("list {}", printed.display()))? {
        let path = entry.doing(|| format!("list {}", printed.display()))?.path();
        texts.push(driver::read(&path));
    }
    Ok(Outcome {
        exit: ended.code(),
        // Some scripts call programs without recaps only: then there is nothing to count.
        counts: Some(summary::sum_of_recaps(&texts).unwrap_or_default()),
        seconds: ended.elapsed.as_secs_f64(),
        failure: summary::failure_of_script(
            &driver::read(log).replace(&format!("{INTEGRATION}/targets/"), ""),
        ),
    })
}

/// The root file system with targets and engine inside.
fn make(
    engine: &Engine,
    source: &Source,
    target: &Target,
    folder: &Path,
) -> Result<PathBuf, Error> {
    let layers = rootfs::layers(&Cache::of_environment(), Variant::Controller)?;
    let root = overlay(folder, "root", &layers, None)?;
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    for path in [INTEGRATION, OUTPUT, PRINTED, "/opt/bin", "/opt/engine", "/opt/python"] {
        fs::create_dir_all(inside(path)).doing(|| format!("create {path}"))?;
    }
    open_to_all(&inside(PRINTED), 0o1777)?;
    open_to_all(&inside("/root"), 0o755)?;
    let targets =
        overlay(folder, "targets", std::slice::from_ref(&source.integration), Some(INTEGRATION))?;
    write(&targets.join("inventory"), INVENTORY)?;
    write(&targets.join("integration.cfg"), "")?;
    if target.entry == Entry::Role {
        write(&targets.join("play.yml"), &driver::playbook_text(target, Path::new(OUTPUT)))?;
    }
    write(&inside("/root/.ssh/authorized_keys"), "")?;
    write(&inside("/etc/hosts"), "127.0.0.1 localhost testhost\n::1 localhost\n")?;
    install(engine, &root)?;
    Ok(root)
}

/// As `create_posix_inventory` of ansible-test writes it for the controller itself.
const INVENTORY: &str = "[testgroup]\ntesthost ansible_connection=\"local\" \
     ansible_pipelining=\"yes\" ansible_python_interpreter=\"/usr/bin/python3\"\n";

/// The programs in front of the path.
fn install(engine: &Engine, root: &Path) -> Result<(), Error> {
    let bin = root.join("opt/bin");
    let real = root.join("opt/engine");
    // Some targets ask Python on the host what its Jinja2 can do, whatever engine runs them.
    let python = source::reference_environment()?.join("lib/python3.11/site-packages");
    bind(&python, &root.join("opt/python"))?;
    match engine {
        Engine::Reference(_) => {
            for name in PROGRAMS {
                let module = name.strip_prefix("ansible-").unwrap_or("adhoc");
                let text = format!(
                    "#!/usr/bin/python3\nimport sys\n\
                     from ansible.cli.{module} import main\nsys.exit(main())\n"
                );
                program_file(&real.join(name), &text)?;
            }
        }
        Engine::Provision(program) => {
            let inside = real.join("provision");
            write(&inside, "")?;
            bind(program, &inside)?;
            for name in PROGRAMS {
                link("provision", &real.join(name))?;
            }
        }
    }
    for name in PROGRAMS.iter().filter(|name| **name != "ansible-playbook") {
        link(&format!("/opt/engine/{name}"), &bin.join(name))?;
    }
    link("/usr/bin/python3", &bin.join("python"))?;
    program_file(&bin.join("ansible-playbook"), RECORDER)
}

/// What runs inside.
fn script(target: &Target) -> String {
    match target.entry {
        Entry::Script => format!("cd {INTEGRATION}/targets/{} && exec ./runme.sh", target.name),
        Entry::Role => {
            format!("cd {INTEGRATION} && exec ansible-playbook play.yml -i {INTEGRATION}/inventory")
        }
    }
}

/// The environment that ansible-test makes (`ansible_environment`, `integration_environment`).
fn environment(target: &Target) -> Vec<(&'static str, String)> {
    let targets = format!("{INTEGRATION}/targets");
    let mut variables = vec![
        ("PATH", "/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ("HOME", "/root".into()),
        ("USER", "root".into()),
        ("LC_ALL", "en_US.UTF-8".into()),
        ("PAGER", "/bin/cat".into()),
        ("PYTHONPATH", "/opt/python".into()),
        ("ANSIBLE_CONFIG", format!("{INTEGRATION}/integration.cfg")),
        ("ANSIBLE_FORCE_COLOR", "false".into()),
        ("ANSIBLE_FORCE_HANDLERS", "true".into()),
        ("ANSIBLE_HOST_PATTERN_MISMATCH", "error".into()),
        ("ANSIBLE_INVENTORY", "/dev/null".into()),
        ("ANSIBLE_DEPRECATION_WARNINGS", "false".into()),
        ("ANSIBLE_HOST_KEY_CHECKING", "false".into()),
        ("ANSIBLE_RETRY_FILES_ENABLED", "false".into()),
        ("ANSIBLE_LIBRARY", "/dev/null".into()),
        ("ANSIBLE_DEVEL_WARNING", "false".into()),
        ("ANSIBLE_TEST_PYTHON_INTERPRETER", "/usr/bin/python3".into()),
        ("ANSIBLE_TEST_ANSIBLE_LIB_ROOT", "/opt/python/ansible".into()),
        ("OUTPUT_DIR", OUTPUT.into()),
        ("INVENTORY_PATH", format!("{INTEGRATION}/inventory")),
    ];
    match target.entry {
        Entry::Script => {
            variables.push(("ANSIBLE_PLAYBOOK_DIR", format!("{targets}/{}", target.name)));
        }
        Entry::Role => {
            variables.push(("ANSIBLE_PLAYBOOK_DIR", INTEGRATION.into()));
            variables.push(("ANSIBLE_ROLES_PATH", targets));
        }
    }
    variables
}

/// Mounts layers with a fresh one on top at `root`, or at a path inside of it.
fn overlay(
    folder: &Path,
    name: &str,
    layers: &[PathBuf],
    inside: Option<&str>,
) -> Result<PathBuf, Error> {
    let place = |kind: &str| folder.join(format!("{name}-{kind}"));
    let (upper, work) = (place("upper"), place("work"));
    let target = match inside {
        None => folder.join("root"),
        Some(path) => folder.join("root").join(path.trim_start_matches('/')),
    };
    for path in [&upper, &work, &target] {
        fs::create_dir_all(path).doing(|| format!("create {}", path.display()))?;
    }
    mounts::overlay("conformance", layers, &upper, &work, &target)?;
    Ok(target)
}

fn bind(from: &Path, to: &Path) -> Result<(), Error> {
    use nix::mount::{MsFlags, mount};
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .doing(|| format!("mount {} at {}", from.display(), to.display()))
}

fn link(to: &str, at: &Path) -> Result<(), Error> {
    std::os::unix::fs::symlink(to, at).doing(|| format!("make {}", at.display()))
}

fn program_file(path: &Path, text: &str) -> Result<(), Error> {
    write(path, text)?;
    open_to_all(path, 0o755)
}

fn open_to_all(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .doing(|| format!("open {} to all", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let action = || format!("write {}", path.display());
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).doing(action)?;
    }
    fs::write(path, text).doing(action)
}

fn remove(folder: &Path) -> Result<(), Error> {
    mounts::unmount_below(folder)?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

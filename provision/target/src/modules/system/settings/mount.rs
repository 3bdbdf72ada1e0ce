//! `mount`.

use std::fs;
use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde::Deserialize;

use super::super::process::Run;
use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Outcome, arguments};

const FSTAB: &str = "/etc/fstab";
const MOUNTED: &str = "/proc/self/mountinfo";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct MountArguments {
    path: String,
    state: String,
    src: Option<String>,
    fstype: Option<String>,
    opts: Option<String>,
    dump: Option<String>,
    passno: Option<String>,
    boot: Option<bool>,
    fstab: Option<String>,
    backup: bool,
}

/// `mount`: a line of fstab, and what is mounted.
///
/// # Errors
/// When a parameter is missing, the file can't be written, or mount refuses.
pub fn mount(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: MountArguments = arguments(given)?;
    if matches!(given.state.as_str(), "mounted" | "present" | "ephemeral") {
        for (name, value) in [("fstype", &given.fstype), ("src", &given.src)] {
            if value.is_none() {
                return Err(Failure::new(format!(
                    "state is {} but all of the following are missing: {name}",
                    given.state
                )));
            }
        }
    }
    let path = PathBuf::from(&given.path);
    let is_mounted = is_mount_point(&path)?;
    let mut outcome = Outcome::new(false);
    match given.state.as_str() {
        "present" => {
            write_fstab(&given, true, &mut outcome, context)?;
        }
        "mounted" => {
            make_folder(&path, &mut outcome, context)?;
            let is_new = write_fstab(&given, true, &mut outcome, context)?;
            match (is_mounted, is_new) {
                (false, _) => act(&["mount", &given.path], &mut outcome, context)?,
                (true, true) => remount(&given.path, &mut outcome, context)?,
                (true, false) => {}
            }
        }
        "ephemeral" => {
            make_folder(&path, &mut outcome, context)?;
            let (kind, source) = (text(given.fstype.as_ref()), text(given.src.as_ref()));
            let options = options(&given);
            if !is_mounted {
                let words = ["mount", "-t", &kind, "-o", &options, &source, &given.path];
                act(&words, &mut outcome, context)?;
            }
        }
        "remounted" => remount(&given.path, &mut outcome, context)?,
        "unmounted" => {
            if is_mounted {
                act(&["umount", &given.path], &mut outcome, context)?;
            }
        }
        "absent_from_fstab" => {
            write_fstab(&given, false, &mut outcome, context)?;
        }
        _ => {
            write_fstab(&given, false, &mut outcome, context)?;
            if is_mounted {
                act(&["umount", &given.path], &mut outcome, context)?;
            }
            if path.is_dir() && outcome.changed && !context.check {
                // What isn't empty stays, as with Ansible.
                let _ = fs::remove_dir(&path);
            }
        }
    }
    Ok(with_values(outcome, &given))
}

fn with_values(mut outcome: Outcome, given: &MountArguments) -> Outcome {
    for (name, value) in [("src", &given.src), ("fstype", &given.fstype)] {
        if let Some(value) = value {
            outcome = outcome.with(name, value.as_str());
        }
    }
    outcome
        .with("name", given.path.as_str())
        .with("opts", options(given))
        .with("dump", given.dump.as_deref().unwrap_or("0"))
        .with("passno", given.passno.as_deref().unwrap_or("0"))
        .with("boot", if given.boot == Some(false) { "no" } else { "yes" })
        .with("fstab", given.fstab.as_deref().unwrap_or(FSTAB))
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

/// `noauto` stands for what isn't mounted when the system starts.
fn options(given: &MountArguments) -> String {
    let options = given.opts.as_deref().unwrap_or("defaults");
    let has_noauto = options.split(',').any(|option| option == "noauto");
    match given.boot == Some(false) && !has_noauto {
        true => format!("{options},noauto"),
        false => options.to_owned(),
    }
}

fn act(words: &[&str], outcome: &mut Outcome, context: &mut Context<'_>) -> Result<(), Failure> {
    outcome.changed = true;
    if context.check {
        return Ok(());
    }
    context.about_to_change()?;
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    Run::tool(program)?.arguments(rest).succeed(context)?;
    Ok(())
}

fn remount(path: &str, outcome: &mut Outcome, context: &mut Context<'_>) -> Result<(), Failure> {
    act(&["mount", "-o", "remount", path], outcome, context)
}

fn make_folder(
    path: &Path,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    outcome.changed = true;
    if context.check {
        return Ok(());
    }
    context.about_to_change()?;
    fs::create_dir_all(path).map_err(|error| Failure::system("create", path, &error))
}

/// Whether something is mounted at this path.
fn is_mount_point(path: &Path) -> Result<bool, Failure> {
    let table = read(Path::new(MOUNTED))?;
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Ok(mounts(&table).any(|mounted| Path::new(&mounted) == path))
}

fn mounts(table: &str) -> impl Iterator<Item = String> + '_ {
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped)
}

/// Spaces and the like are octal numbers in these files (fstab(5)).
fn unescaped(field: &str) -> String {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    pairs.iter().fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

fn escaped(field: &str) -> String {
    let pairs = [("\\", "\\134"), (" ", "\\040"), ("\t", "\\011"), ("\n", "\\012")];
    pairs.iter().fold(field.to_owned(), |text, (plain, code)| text.replace(plain, code))
}

/// Gives fstab the line, or takes it out; whether that was needed.
fn write_fstab(
    given: &MountArguments,
    present: bool,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    let file = PathBuf::from(given.fstab.as_deref().unwrap_or(FSTAB));
    let before = read(&file)?;
    let after = edited(&before, given, present);
    if before == after {
        return Ok(false);
    }
    let wanted = Wanted::default();
    let backup = replace(&file, &before, &after, &wanted, given.backup, outcome, context)?;
    if let Some(backup) = backup {
        outcome.values.insert("backup_file".to_owned(), backup.display().to_string().into());
    }
    Ok(true)
}

fn edited(text: &str, given: &MountArguments, present: bool) -> String {
    let fields = [
        text_or(given.src.as_deref(), ""),
        given.path.clone(),
        text_or(given.fstype.as_deref(), ""),
        options(given),
        text_or(given.dump.as_deref(), "0"),
        text_or(given.passno.as_deref(), "0"),
    ];
    let wanted: Vec<String> = fields.iter().map(|field| escaped(field)).collect();
    let mut lines: Vec<String> = Vec::new();
    let mut is_there = false;
    for line in text.split_inclusive('\n') {
        let own: Vec<&str> = line.split_whitespace().collect();
        if !is_of(&own, given) {
            lines.push(line.to_owned());
            continue;
        }
        is_there = true;
        if !present {
            continue;
        }
        // Fields that are left out count as zero.
        let same = wanted
            .iter()
            .enumerate()
            .all(|(number, field)| own.get(number).copied().unwrap_or("0") == field);
        lines.push(if same { line.to_owned() } else { format!("{}\n", wanted.join(" ")) });
    }
    if present && !is_there {
        if lines.last().is_some_and(|line| !line.ends_with('\n')) {
            lines.push("\n".to_owned());
        }
        lines.push(format!("{}\n", wanted.join(" ")));
    }
    lines.concat()
}

fn text_or(value: Option<&str>, default: &str) -> String {
    value.unwrap_or(default).to_owned()
}

/// Swap has no path of its own: there the source counts, too.
fn is_of(fields: &[&str], given: &MountArguments) -> bool {
    let [source, path, kind, ..] = fields else { return false };
    if source.starts_with('#') || unescaped(path) != given.path {
        return false;
    }
    *kind != "swap" || given.src.as_deref().is_none_or(|wanted| unescaped(source) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments_of(path: &str) -> MountArguments {
        MountArguments {
            path: path.to_owned(),
            src: Some("/dev/sdb1".to_owned()),
            fstype: Some("ext4".to_owned()),
            ..MountArguments::default()
        }
    }

    #[test]
    fn lines_are_added_changed_kept_and_removed() {
        let given = arguments_of("/mnt/a b");
        let added = edited("# fstab", &given, true);
        assert_eq!(added, "# fstab\n/dev/sdb1 /mnt/a\\040b ext4 defaults 0 0\n");
        assert_eq!(edited(&added, &given, true), added);
        let other = MountArguments { boot: Some(false), ..given.clone() };
        let changed = edited(&added, &other, true);
        assert!(changed.contains("defaults,noauto 0 0"), "{changed}");
        assert_eq!(edited(&changed, &given, false), "# fstab\n");
        let short = "/dev/sdb1\t/mnt/a\\040b ext4 defaults\n#/dev/x /mnt/a\\040b x\n";
        assert_eq!(edited(short, &given, true), short);
    }

    #[test]
    fn swap_is_known_by_its_source() {
        let given = MountArguments {
            src: Some("/swap2".to_owned()),
            fstype: Some("swap".to_owned()),
            ..arguments_of("none")
        };
        let text = "/swap1 none swap sw 0 0\n";
        assert_eq!(
            edited(text, &given, true),
            "/swap1 none swap sw 0 0\n/swap2 none swap defaults 0 0\n"
        );
    }

    #[test]
    fn mounts_are_read() {
        let table = "22 1 0:21 / / rw - ext4 /dev/vda rw\n23 22 0:22 / /a\\040b rw - tmpfs t rw\n";
        assert_eq!(mounts(table).collect::<Vec<_>>(), ["/", "/a b"]);
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/proc/self")).unwrap());
    }
}

//! `dnf` (and `yum`): packages of Red Hat's systems, through the host's own dnf5, dnf or yum.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use provision_protocol::Object;
use serde_json::{Value, json};

use super::super::process::{Finished, Run, find_program};
use crate::module::{Context, Failure, Given, Outcome};

/// Managers in the order in which they are looked for.
const MANAGERS: &[&str] = &["dnf5", "dnf", "yum"];
/// Folders and names of the files that running managers hold.
const LOCKS: &[(&str, &str)] = &[("/var/cache/dnf", "_lock.pid"), ("/var/run", "yum.pid")];
const LOCK_CHECK: Duration = Duration::from_millis(500);
const NOTHING: &str = "Nothing to do";

/// `dnf`: installs, upgrades or removes packages.
///
/// # Errors
/// When there is no manager, it is locked, or it fails.
pub fn dnf(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let manager = Manager::new(Given(given))?;
    manager.wait_for_lock(context)?;
    if let Some(wanted) = manager.given.text("list") {
        return manager.list(wanted, context);
    }
    let names = manager.given.words("name");
    let names: Vec<&str> =
        names.into_iter().map(str::trim).filter(|name| !name.is_empty()).collect();
    let is_refreshed = manager.given.flag("update_cache");
    if is_refreshed {
        manager.run(&["clean", "expire-cache"], context)?;
        manager.succeed(manager.run(&["makecache"], context)?)?;
    }
    let removes_unneeded = manager.given.flag("autoremove");
    if names.is_empty() && !removes_unneeded {
        if is_refreshed {
            return Ok(Outcome::new(false).with("msg", "Cache updated").with("rc", 0));
        }
        return Ok(Outcome::new(false).with("msg", NOTHING).with("rc", 0));
    }
    let default = if removes_unneeded { "absent" } else { "present" };
    let steps = match manager.given.text("state").unwrap_or(default) {
        "absent" | "removed" => manager.removal(&names, context)?,
        "latest" => manager.upgrade(&names, context)?,
        _ => manager.installation(&names, context)?,
    };
    manager.perform(&steps, context)
}

/// A command of the manager with what it is about.
type Step<'a> = (&'static str, Vec<&'a str>);

struct Manager<'a> {
    given: Given<'a>,
    program: &'static str,
}

impl<'a> Manager<'a> {
    fn new(given: Given<'a>) -> Result<Self, Failure> {
        let wanted = match given.text("use_backend").unwrap_or(given.word("use")) {
            "dnf5" => "dnf5",
            "dnf" | "dnf4" | "yum4" => "dnf",
            "yum" => "yum",
            _ => "",
        };
        let program = MANAGERS
            .iter()
            .find(|name| (wanted.is_empty() || **name == wanted) && find_program(name).is_some());
        let Some(program) = program else {
            let all = if wanted.is_empty() { "dnf5, dnf or yum" } else { wanted };
            return Err(Failure::new(format!("Could not find {all} on this host")));
        };
        Ok(Manager { given, program })
    }

    /// Options that all commands have.
    fn options(&self) -> Vec<String> {
        let given = self.given;
        let mut options = vec!["-y".to_owned()];
        for (name, option) in [
            ("enablerepo", "--enablerepo"),
            ("disablerepo", "--disablerepo"),
            ("exclude", "--exclude"),
            ("enable_plugin", "--enableplugin"),
            ("disable_plugin", "--disableplugin"),
        ] {
            options.extend(given.words(name).iter().map(|word| format!("{option}={word}")));
        }
        for (name, option) in [
            ("conf_file", "--config"),
            ("releasever", "--releasever"),
            ("disable_excludes", "--disableexcludes"),
            ("download_dir", "--downloaddir"),
        ] {
            options.extend(given.text(name).map(|word| format!("{option}={word}")));
        }
        if self.root() != "/" {
            options.push(format!("--installroot={}", self.root()));
        }
        for (name, option) in [
            ("disable_gpg_check", "--nogpgcheck"),
            ("download_only", "--downloadonly"),
            ("allowerasing", "--allowerasing"),
            ("nobest", "--nobest"),
            ("best", "--best"),
            ("cacheonly", "--cacheonly"),
            ("skip_broken", "--skip-broken"),
        ] {
            if given.flag(name) {
                options.push(option.to_owned());
            }
        }
        if !given.choice("sslverify").unwrap_or(true)
            || !given.choice("validate_certs").unwrap_or(true)
        {
            options.push("--setopt=sslverify=0".to_owned());
        }
        if !given.choice("install_weak_deps").unwrap_or(true) {
            options.push("--setopt=install_weak_deps=False".to_owned());
        }
        options
    }

    fn root(&self) -> &'a str {
        self.given.text("installroot").unwrap_or("/")
    }

    fn run(&self, words: &[&str], context: &Context<'_>) -> Result<Finished, Failure> {
        let run = Run::tool(self.program)?.arguments(self.options()).arguments(words);
        Ok(run.parsable().run(context)?)
    }

    fn rpm(&self, words: &[&str], context: &Context<'_>) -> Result<Finished, Failure> {
        let run = Run::tool("rpm")?.arguments(["--root", self.root()]).arguments(words);
        Ok(run.parsable().run(context)?)
    }

    /// Who holds the lock is waited for, as long as the user says.
    fn wait_for_lock(&self, context: &Context<'_>) -> Result<(), Failure> {
        let limit_s = u64::try_from(self.given.integer("lock_timeout").unwrap_or(30)).unwrap_or(0);
        let start = Instant::now();
        while let Some(lock) = held_lock() {
            if start.elapsed() >= Duration::from_secs(limit_s) {
                return Err(Failure::new(format!(
                    "{} lockfile is held by another process ({lock})",
                    self.program
                )));
            }
            if (context.stopped)() {
                return Err(Failure::new("stopped while waiting for another package manager"));
            }
            thread::sleep(LOCK_CHECK);
        }
        Ok(())
    }

    /// Everything installed, one line each.
    fn installed(&self, context: &Context<'_>) -> Result<BTreeSet<String>, Failure> {
        let format = "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\\n";
        let finished = self.rpm(&["-qa", "--queryformat", format], context)?;
        if !finished.succeeded() {
            return Err(finished.failure("failed to list the installed packages"));
        }
        Ok(finished.stdout_text().lines().map(str::to_owned).collect())
    }

    /// Whether something installed answers to a name, with or without version, or provides it.
    fn has(&self, name: &str, context: &Context<'_>) -> Result<bool, Failure> {
        let by_name = self.rpm(&["-q", name], context)?;
        Ok(by_name.succeeded() || self.rpm(&["-q", "--whatprovides", name], context)?.succeeded())
    }

    fn installation<'n>(
        &self,
        names: &[&'n str],
        context: &Context<'_>,
    ) -> Result<Vec<Step<'n>>, Failure> {
        let mut missing = Vec::new();
        for name in names {
            let stays = is_plain(name)
                && (self.given.flag("update_only")
                    || self.has(name, context)?
                    || (!self.given.flag("allow_downgrade") && self.has_newer(name, context)?));
            if !stays {
                missing.push(*name);
            }
        }
        Ok(vec![("install", missing)])
    }

    /// Whether a name has a version, and a newer one is installed.
    fn has_newer(&self, name: &str, context: &Context<'_>) -> Result<bool, Failure> {
        for (dash, _) in name.rmatch_indices('-') {
            let (package, version) = (&name[..dash], &name[dash + 1..]);
            let has_digit = version.starts_with(|first: char| first.is_ascii_digit());
            if package.is_empty() || !has_digit {
                continue;
            }
            let format = "%{VERSION}-%{RELEASE}.%{ARCH}\\n";
            let finished = self.rpm(&["-q", "--queryformat", format, package], context)?;
            if !finished.succeeded() {
                continue;
            }
            let there = finished.stdout_text();
            let Some(there) = there.lines().last() else { continue };
            let compare = format!("%{{lua: print(rpm.vercmp(\"{there}\", \"{version}\"))}}");
            let said = self.rpm(&["--eval", &compare], context)?;
            return Ok(said.stdout_text().trim() == "1");
        }
        Ok(false)
    }

    fn upgrade<'n>(
        &self,
        names: &[&'n str],
        context: &Context<'_>,
    ) -> Result<Vec<Step<'n>>, Failure> {
        if names.contains(&"*") {
            return Ok(vec![("upgrade", vec!["*"])]);
        }
        let (mut known, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            if is_plain(name) && self.has(name, context)? {
                known.push(*name);
            } else if !(self.given.flag("update_only") && is_plain(name)) {
                missing.push(*name);
            }
        }
        Ok(vec![("install", missing), ("upgrade", known)])
    }

    fn removal<'n>(
        &self,
        names: &[&'n str],
        context: &Context<'_>,
    ) -> Result<Vec<Step<'n>>, Failure> {
        if names.is_empty() {
            return Ok(vec![("autoremove", vec![""])]);
        }
        let mut there = Vec::new();
        for name in names {
            if !is_plain(name) || self.has(name, context)? {
                there.push(*name);
            }
        }
        Ok(vec![("remove", there)])
    }

    /// Runs all steps that are about something; what changed is what `rpm` lists differently.
    fn perform(&self, steps: &[Step<'_>], context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let before = self.installed(context)?;
        let (mut would_change, mut has_begun) = (false, false);
        let only_downloads = self.given.flag("download_only");
        for (command, names) in steps.iter().filter(|(_, names)| !names.is_empty()) {
            let mut words = vec![*command];
            let keeps_unneeded = !self.given.flag("autoremove");
            if *command == "remove" && keeps_unneeded {
                words.push("--setopt=clean_requirements_on_remove=False");
            }
            if *command == "upgrade" {
                let kinds = [("security", "--security"), ("bugfix", "--bugfix")];
                words.extend(
                    kinds.iter().filter(|(name, _)| self.given.flag(name)).map(|(_, word)| word),
                );
            }
            if context.check {
                words.push("--assumeno");
            } else if !has_begun {
                context.about_to_change()?;
                has_begun = true;
            }
            words.extend(names.iter().filter(|name| !matches!(**name, "" | "*")));
            let finished = self.run(&words, context)?;
            let said = finished.stdout_text() + &finished.stderr_text();
            if context.check {
                let is_aborted =
                    said.contains("Operation aborted") || said.contains("Exiting on user command");
                would_change |= is_aborted;
                if is_aborted {
                    continue;
                }
            }
            self.succeed(finished)?;
            would_change |= only_downloads && !said.contains(NOTHING);
        }
        if context.check || only_downloads {
            return Ok(told(would_change, context.check));
        }
        let after = self.installed(context)?;
        let line = |word: &str, name: &String| format!("{word}: {name}");
        let added = after.difference(&before).map(|name| line("Installed", name));
        let results: Vec<String> =
            added.chain(before.difference(&after).map(|name| line("Removed", name))).collect();
        Ok(told(!results.is_empty(), false).with("results", results))
    }

    /// What the manager refuses is a failure with Ansible's words for the usual reason.
    fn succeed(&self, finished: Finished) -> Result<(), Failure> {
        if finished.succeeded() {
            return Ok(());
        }
        let said = finished.stdout_text() + &finished.stderr_text();
        let unknown = said.lines().filter_map(|line| {
            let (_, name) = line.split_once("No match for argument: ")?;
            Some(format!("No package {} available.", name.trim()))
        });
        let failures: Vec<String> = unknown.collect();
        if !failures.is_empty() {
            let message = "Failed to install some of the specified packages";
            return Err(finished.failure(message).with("failures", failures));
        }
        let reason = said.lines().rev().find(|line| line.starts_with("Error")).map(str::to_owned);
        let reason = reason.unwrap_or_else(|| said.trim().to_owned());
        Err(finished.failure(format!("{} failed: {reason}", self.program)))
    }

    /// `list`: packages that are installed, available or upgradable, or that fit a pattern.
    fn list(&self, wanted: &str, context: &Context<'_>) -> Result<Outcome, Failure> {
        if matches!(wanted, "repos" | "repositories") {
            let finished = self.run(&["repolist", "--enabled"], context)?;
            let text = finished.stdout_text();
            self.succeed(finished)?;
            let ids = text.lines().skip_while(|line| !line.starts_with("repo id")).skip(1);
            let ids = ids.filter_map(|line| line.split_whitespace().next());
            let results: Vec<Value> =
                ids.map(|id| json!({"repoid": id, "state": "enabled"})).collect();
            return Ok(Outcome::new(false).with("results", results).with("msg", ""));
        }
        let format = "--queryformat=%{name}|%{epoch}|%{version}|%{release}|%{arch}|%{repoid}\\n";
        let kinds: &[(&str, &str)] = match wanted {
            "installed" => &[("--installed", "")],
            "available" => &[("--available", "")],
            "updates" | "upgrades" => &[("--upgrades", "")],
            pattern => &[("--installed", pattern), ("--available", pattern)],
        };
        let mut results = Vec::new();
        for (kind, pattern) in kinds {
            let mut words = vec!["repoquery", "--quiet", kind, format];
            words.extend((!pattern.is_empty()).then_some(*pattern));
            let finished = self.run(&words, context)?;
            let text = finished.stdout_text();
            self.succeed(finished)?;
            let state = if *kind == "--installed" { "installed" } else { "available" };
            results.extend(text.lines().filter_map(|line| entry(line, state)));
        }
        Ok(Outcome::new(false).with("results", results).with("msg", ""))
    }
}

fn told(changed: bool, is_check: bool) -> Outcome {
    let message = match (changed, is_check) {
        (false, _) => NOTHING,
        (true, true) => "Check mode: No changes made, but would have if not in check mode",
        (true, false) => "",
    };
    Outcome::new(changed).with("msg", message).with("rc", 0)
}

/// Whether a specification is a name, perhaps with a version, and no file, address, group, pattern
/// or comparison.
fn is_plain(name: &str) -> bool {
    !name.starts_with('@') && !name.contains(['/', '*', '?', '[', '<', '>', '=', '(', ' '])
}

/// The file of a manager that runs now.
fn held_lock() -> Option<String> {
    LOCKS.iter().find_map(|(folder, end)| {
        fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
            let path = entry.path();
            let fits = path.to_str().is_some_and(|text| text.ends_with(end));
            let holder = fits.then(|| fs::read_to_string(&path).ok()).flatten()?;
            let holder: u32 = holder.trim().parse().ok()?;
            let lives = Path::new("/proc").join(holder.to_string()).exists();
            lives.then(|| path.display().to_string())
        })
    })
}

/// `name|epoch|version|release|arch|repository`
fn entry(line: &str, state: &str) -> Option<Value> {
    let mut parts = line.trim().split('|');
    let mut next = || parts.next();
    let (name, epoch, version) = (next()?, next()?, next()?);
    let (release, arch, repository) = (next()?, next()?, next()?);
    let epoch = if epoch == "(none)" { "0" } else { epoch };
    Some(json!({
        "name": name, "epoch": epoch, "version": version, "release": release, "arch": arch,
        "repo": repository, "yumstate": state,
        "nevra": format!("{name}-{epoch}:{version}-{release}.{arch}"),
        "envra": format!("{epoch}:{name}-{version}-{release}.{arch}"),
    }))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn names_are_told_from_files_groups_and_patterns() {
        assert!(is_plain("nginx") && is_plain("nginx-1.2-3.el9.x86_64"));
        for name in ["@tools", "/a.rpm", "https://a/b.rpm", "lib*", "a >= 1", "perl(X)"] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn lines_of_repoquery_are_read() {
        let one = entry("bash|(none)|5.2|1.el9|x86_64|base", "available").unwrap();
        assert_eq!(one["nevra"], "bash-0:5.2-1.el9.x86_64");
        assert_eq!((&one["repo"], &one["yumstate"]), (&json!("base"), &json!("available")));
        assert!(entry("Last metadata expiration check", "installed").is_none());
    }

    /// Builds packages `tool` 1 and 2 and a source of them, and a root folder to install into.
    const SOURCE: &str = r#"
        for version in 1 2; do
            cat >spec <<END
Name: tool
Version: $version
Release: 1
Summary: A tool
License: MIT
BuildArch: noarch
%description
It does nothing.
%files
END
            rpmbuild --quiet --define "_topdir $PWD/build" --define "_rpmdir $PWD/source" -bb spec
        done
        createrepo_c --quiet source
        mkdir root
        printf '[main]\nreposdir=/nowhere\ncachedir=%s/cache\nlogdir=%s/log\npersistdir=%s/kept\ngpgcheck=0\n[test]\nname=test\nbaseurl=file://%s/source\n' \
            "$PWD" "$PWD" "$PWD" "$PWD" >dnf.conf
    "#;

    /// With the real programs, in a folder.
    #[test]
    fn packages_are_installed_upgraded_and_removed() {
        let programs = ["dnf", "rpm", "rpmbuild", "createrepo_c"];
        if programs.iter().any(|name| find_program(name).is_none()) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("sh").args(["-ec", SOURCE]).current_dir(folder.path()).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{made:?}");
        let given = |more: Value| {
            let mut given = json!({
                "installroot": folder.path().join("root"), "conf_file": folder.path().join("dnf.conf"),
                "releasever": "1",
            });
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            given
        };
        let call = |more: Value| context().call_named("dnf", given(more)).unwrap();
        let check = |more: Value| context().checking().call_named("dnf", given(more)).unwrap();
        assert!(check(json!({"name": "tool-1"})).changed);
        let first = call(json!({"name": "tool-1"}));
        assert!(first.changed, "{first:?}");
        assert_eq!(first.values["results"], json!(["Installed: tool-1-1.noarch"]));
        assert!(!call(json!({"name": "tool"})).changed && !check(json!({"name": "tool"})).changed);
        assert!(check(json!({"name": "tool", "state": "latest"})).changed);
        let second = call(json!({"name": "tool", "state": "latest"}));
        let results = json!(["Installed: tool-2-1.noarch", "Removed: tool-1-1.noarch"]);
        assert_eq!(second.values["results"], results);
        assert!(!call(json!({"name": "tool", "state": "latest"})).changed);
        assert!(!call(json!({"name": "*", "state": "latest"})).changed);
        // A newer one is there.
        assert!(!call(json!({"name": "tool-1"})).changed);
        assert!(call(json!({"name": "tool-1", "allow_downgrade": true})).changed);
        let list = call(json!({"list": "tool"}));
        assert_eq!(list.values["results"][0]["version"], "1");
        let unknown = context().call_named("dnf", given(json!({"name": "nosuch"}))).unwrap_err();
        assert_eq!(unknown.values["failures"], json!(["No package nosuch available."]));
        assert!(check(json!({"name": "tool", "state": "absent"})).changed);
        assert!(call(json!({"name": "tool", "state": "absent"})).changed);
        assert!(!call(json!({"name": "tool", "state": "absent"})).changed);
        assert_eq!(call(json!({"update_cache": true})).values["msg"], "Cache updated");
    }
}

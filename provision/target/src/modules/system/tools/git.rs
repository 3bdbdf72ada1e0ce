//! `git`: a working copy of a repository.

use std::fs;
use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde_json::Value;

use super::super::process::{Finished, Run};
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// `git`: clones or updates a repository.
///
/// # Errors
/// When git fails, or the copy has changes of its own.
pub fn git(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let dest = given.text("dest").map(|dest| paths::expand(context, dest));
    let Some(dest) = dest.or_else(|| (!given.flag("clone")).then(PathBuf::new)) else {
        return Err(Failure::new("the destination directory must be specified unless clone=no"));
    };
    let git = Git::new(given, dest, context)?;
    if !git.is_there() {
        if context.check || !given.flag("clone") {
            let after = git.remote_revision(&git.repo, None, context)?;
            return Ok(Outcome::new(true).with("before", Value::Null).with("after", after));
        }
        context.about_to_change()?;
        git.clone(context)?;
        git.switch(context)?;
        if given.flag("recursive") && !git.bare {
            git.update_submodules(context)?;
        }
        let after = git.revision(context)?;
        return Ok(Outcome::new(true).with("before", Value::Null).with("after", after));
    }
    let before = git.revision(context)?;
    if !given.flag("update") {
        return Ok(Outcome::new(false).with("before", before.clone()).with("after", before));
    }
    git.update(before, context)
}

struct Git<'a> {
    given: Given<'a>,
    dest: PathBuf,
    /// As git is told: paths as `file://`.
    repo: String,
    version: &'a str,
    remote: &'a str,
    bare: bool,
    /// What git is to start instead of ssh.
    ssh: Option<String>,
}

impl<'a> Git<'a> {
    fn new(given: Given<'a>, dest: PathBuf, context: &Context<'_>) -> Result<Self, Failure> {
        let repo = given.word("repo");
        let expanded = match repo.starts_with(['/', '~']) {
            true => format!("file://{}", paths::expand(context, repo).display()),
            false => repo.to_owned(),
        };
        if let Some(umask) = given.text("umask")
            && u32::from_str_radix(umask, 8).is_err()
        {
            return Err(Failure::new("umask must be an octal integer"));
        }
        let mut options = given.word("ssh_opts").to_owned();
        let is_said = options.contains("StrictHostKeyChecking=no")
            || options.contains("StrictHostKeyChecking=accept-new");
        for (name, value) in [("accept_hostkey", "no"), ("accept_newhostkey", "accept-new")] {
            if given.flag(name) && !is_said {
                options.push_str(&format!(" -o StrictHostKeyChecking={value}"));
            }
        }
        if let Some(key) = given.text("key_file") {
            let key = paths::text(&paths::expand(context, key));
            let key = super::super::words::quote(&key);
            options.push_str(&format!(" -i {key} -o IdentitiesOnly=yes"));
        }
        let ssh = (!options.is_empty()).then(|| format!("ssh -o BatchMode=yes {}", options.trim()));
        Ok(Git {
            given,
            dest,
            repo: expanded,
            version: given.word("version"),
            remote: given.word("remote"),
            bare: given.flag("bare"),
            ssh,
        })
    }

    fn is_there(&self) -> bool {
        let place = if self.bare { self.dest.join("config") } else { self.dest.join(".git") };
        !self.dest.as_os_str().is_empty() && place.exists()
    }

    fn command(&self, folder: Option<&Path>, words: &[&str]) -> Result<Run, Failure> {
        let program = self.given.text("executable").unwrap_or("git");
        let mut run = match self.given.text("umask") {
            Some(umask) => Run::new("/bin/sh")
                .arguments(["-c", &format!("umask {umask}; exec \"$@\""), "sh"])
                .argument(program),
            None => Run::tool(program)?,
        };
        run = run.arguments(words).parsable().variable("GIT_TERMINAL_PROMPT", "0");
        if let Some(ssh) = &self.ssh {
            run = run.variable("GIT_SSH_COMMAND", ssh);
        }
        Ok(match folder {
            Some(folder) => run.directory(folder),
            None => run,
        })
    }

    /// Runs git in the copy and returns what it said; the failure begins with `label`.
    fn ask(&self, label: &str, words: &[&str], context: &Context<'_>) -> Result<String, Failure> {
        let finished: Finished = self.command(Some(&self.dest), words)?.run(context)?;
        if finished.succeeded() {
            return Ok(finished.stdout_text());
        }
        let said = (finished.stdout_text(), finished.stderr_text());
        let message = format!("Failed to {label}: {}{}", said.0, said.1);
        Err(finished.failure(message.trim_end()).with("cmd", format!("git {}", words.join(" "))))
    }

    fn revision(&self, context: &Context<'_>) -> Result<Value, Failure> {
        let finished = self.command(Some(&self.dest), &["rev-parse", "HEAD"])?.run(context)?;
        // A repository without commits has none.
        Ok(match finished.succeeded() {
            true => finished.stdout_text().trim().into(),
            false => Value::Null,
        })
    }

    /// What the remote has under a name: revision and whole name.
    fn remote_names(
        &self,
        place: &str,
        name: &str,
        context: &Context<'_>,
    ) -> Result<Vec<(String, String)>, Failure> {
        let folder = self.is_there().then_some(self.dest.as_path());
        let starred = format!("{name}^{{}}");
        let run = self.command(folder, &["ls-remote", place, name, &starred])?;
        let text = run.succeed(context)?.stdout_text();
        let pairs = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(pairs.map(|(revision, name)| (revision.to_owned(), name.to_owned())).collect())
    }

    fn is_remote_branch(&self, place: &str, context: &Context<'_>) -> Result<bool, Failure> {
        let name = format!("refs/heads/{}", self.version);
        Ok(!self.remote_names(place, &name, context)?.is_empty())
    }

    fn is_remote_tag(&self, place: &str, context: &Context<'_>) -> Result<bool, Failure> {
        let name = format!("refs/tags/{}", self.version);
        Ok(!self.remote_names(place, &name, context)?.is_empty())
    }

    /// The revision that the version stands for there; what is neither branch nor tag is one.
    fn remote_revision(
        &self,
        place: &str,
        head: Option<&str>,
        context: &Context<'_>,
    ) -> Result<String, Failure> {
        let names = match (self.version, head) {
            ("HEAD", None) => vec!["HEAD".to_owned()],
            ("HEAD", Some(branch)) => vec![format!("refs/heads/{branch}")],
            (version, _) => vec![format!("refs/heads/{version}"), format!("refs/tags/{version}")],
        };
        for name in names {
            let found = self.remote_names(place, &name, context)?;
            let peeled = found.iter().find(|(_, name)| name.ends_with("^{}"));
            if let Some((revision, _)) = peeled.or(found.first()) {
                return Ok(revision.clone());
            }
        }
        if self.version == "HEAD" {
            return Err(Failure::new("Could not determine remote revision for HEAD"));
        }
        Ok(self.version.to_owned())
    }

    /// The branch of the copy, or of its remote where none is checked out.
    fn head_branch(&self, context: &Context<'_>) -> Result<String, Failure> {
        let own =
            self.command(Some(&self.dest), &["symbolic-ref", "--short", "HEAD"])?.run(context)?;
        if own.succeeded() {
            return Ok(own.stdout_text().trim().to_owned());
        }
        let head = format!("refs/remotes/{}/HEAD", self.remote);
        let text = self.ask(
            "find the branch of the remote",
            &["symbolic-ref", "--short", &head],
            context,
        )?;
        let prefix = format!("{}/", self.remote);
        let text = text.trim();
        Ok(text.strip_prefix(&prefix).unwrap_or(text).to_owned())
    }

    fn clone(&self, context: &Context<'_>) -> Result<(), Failure> {
        let folder = paths::parent(&self.dest);
        fs::create_dir_all(&folder).map_err(|error| Failure::system("create", &folder, &error))?;
        let depth = self.given.integer("depth").map(|depth| depth.to_string());
        let refspec = self.given.text("refspec");
        let dest = paths::text(&self.dest);
        let mut words = vec!["clone"];
        if self.bare {
            words.push("--bare");
        } else {
            words.extend(["--origin", self.remote]);
        }
        let is_named = self.version != "HEAD"
            && (self.is_remote_branch(&self.repo, context)?
                || self.is_remote_tag(&self.repo, context)?);
        if let Some(depth) = &depth
            && (self.version == "HEAD" || refspec.is_some() || is_named)
        {
            words.extend(["--depth", depth]);
            if is_named && refspec.is_none() {
                words.extend(["--branch", self.version]);
            }
        }
        if let Some(reference) = self.given.text("reference") {
            words.extend(["--reference", reference]);
        }
        if self.given.flag("single_branch") {
            words.push("--single-branch");
            if is_named && !words.contains(&"--branch") {
                words.extend(["--branch", self.version]);
            }
        }
        words.extend(["--", &self.repo, &dest]);
        self.command(None, &words)?.succeed(context)?;
        if self.bare && self.remote != "origin" {
            self.ask("add the remote", &["remote", "add", self.remote, &self.repo], context)?;
        }
        if let Some(refspec) = refspec {
            let mut words = vec!["fetch"];
            words.extend(depth.iter().flat_map(|depth| ["--depth", depth.as_str()]));
            words.extend([self.remote, refspec]);
            self.ask("fetch the refspec", &words, context)?;
        }
        Ok(())
    }

    fn update(&self, before: Value, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::new(false).with("before", before.clone());
        let status = match self.bare {
            true => String::new(),
            false => self.ask("look at the copy", &["status", "--porcelain"], context)?,
        };
        let has_changes = status.lines().any(|line| !line.starts_with("??"));
        if has_changes {
            let dest = self.dest.display();
            if !self.given.flag("force") {
                let message =
                    format!("Local modifications exist in the destination: {dest} (force=no).");
                return Err(Failure::new(message).with("before", before));
            }
            let message = format!("Local modifications exist in the destination: {dest}");
            outcome = outcome.with("msg", message);
        }
        let url = self.ask("find the remote", &["ls-remote", "--get-url", self.remote], context)?;
        let other_url = url.trim_end() != self.repo && url.trim_end() != self.given.word("repo");
        outcome = outcome.with("remote_url_changed", other_url);
        if context.check {
            let place = if other_url { &self.repo } else { self.remote };
            let head = match self.version {
                "HEAD" => Some(self.head_branch(context)?),
                _ => None,
            };
            let after = self.remote_revision(place, head.as_deref(), context)?;
            outcome.changed = before != after.as_str() || other_url || has_changes;
            return Ok(outcome.with("after", after));
        }
        context.about_to_change()?;
        if has_changes {
            self.ask("reset", &["reset", "--hard", "HEAD", "--"], context)?;
        }
        if other_url {
            let words = ["remote", "set-url", self.remote, &self.repo];
            self.ask("set a new url", &words, context)?;
        }
        self.fetch(context)?;
        self.switch(context)?;
        let mut other_submodules = false;
        if self.given.flag("recursive") && !self.bare {
            other_submodules = self.update_submodules(context)?;
            if other_submodules {
                outcome = outcome.with("submodules_changed", true);
            }
        }
        let after = self.revision(context)?;
        outcome.changed = before != after || has_changes || other_url || other_submodules;
        Ok(outcome.with("after", after))
    }

    fn fetch(&self, context: &Context<'_>) -> Result<(), Failure> {
        let (version, remote) = (self.version, self.remote);
        let mut references: Vec<String> = Vec::new();
        let depth = self.given.integer("depth").map(|depth| depth.to_string());
        if depth.is_some() {
            if let Some(refspec) = self.given.text("refspec") {
                references.push(refspec.to_owned());
            } else if version == "HEAD" {
                references.push(self.head_branch(context)?);
            } else if self.is_remote_branch(&self.repo, context)? {
                references.push(format!("+refs/heads/{version}:refs/remotes/{remote}/{version}"));
            } else if self.is_remote_tag(&self.repo, context)? {
                references.push(format!("+refs/tags/{version}:refs/tags/{version}"));
            }
        }
        let mut words = vec!["fetch"];
        match &depth {
            Some(depth) if !references.is_empty() => words.extend(["--depth", depth]),
            _ => {
                if self.bare {
                    references.push("+refs/heads/*:refs/heads/*".to_owned());
                    references.push("+refs/tags/*:refs/tags/*".to_owned());
                } else {
                    words.push("--tags");
                }
                references.extend(self.given.text("refspec").map(str::to_owned));
            }
        }
        if self.given.flag("force") {
            words.push("--force");
        }
        words.push(remote);
        words.extend(references.iter().map(String::as_str));
        self.ask("download remote objects and refs", &words, context).map(drop)
    }

    /// Checks the version out.
    fn switch(&self, context: &Context<'_>) -> Result<(), Failure> {
        if self.bare {
            return Ok(());
        }
        let (version, remote) = (self.version, self.remote);
        let label = format!("checkout {version}");
        let branch = match version {
            "HEAD" => Some(self.head_branch(context)?),
            _ if self.is_remote_branch(remote, context)? => Some(version.to_owned()),
            _ => None,
        };
        let Some(branch) = branch else {
            return self.ask(&label, &["checkout", "--force", version], context).map(drop);
        };
        let there = format!("{remote}/{branch}");
        let own = format!("refs/heads/{branch}");
        let known = self.command(Some(&self.dest), &["show-ref", "--verify", "--quiet", &own])?;
        if known.run(context)?.succeeded() {
            self.ask(&label, &["checkout", "--force", &branch], context)?;
            self.ask(&label, &["reset", "--hard", &there, "--"], context)?;
        } else {
            if let Some(depth) = self.given.integer("depth") {
                // A shallow clone knows only the branch that it was made of.
                let reference = format!("+refs/heads/{branch}:refs/remotes/{there}");
                let depth = depth.to_string();
                self.ask(&label, &["fetch", "--depth", &depth, remote, &reference], context)?;
            }
            self.ask(&label, &["checkout", "--force", "-B", &branch, &there], context)?;
            let known = format!("--set-upstream-to={there}");
            // A clone of one branch may have no place for it: the checkout itself is done.
            let run = self.command(Some(&self.dest), &["branch", &known, &branch])?;
            run.run(context)?;
        }
        Ok(())
    }

    /// Whether submodules moved.
    fn update_submodules(&self, context: &Context<'_>) -> Result<bool, Failure> {
        if !self.dest.join(".gitmodules").exists() {
            return Ok(false);
        }
        let list = ["submodule", "status", "--recursive"];
        let before = self.ask("list submodules", &list, context)?;
        self.ask("sync submodules", &["submodule", "sync"], context)?;
        let mut words = vec!["submodule", "update", "--init", "--recursive"];
        if self.given.flag("track_submodules") {
            words.push("--remote");
        }
        if self.given.flag("force") {
            words.push("--force");
        }
        self.ask("update submodules", &words, context)?;
        Ok(before != self.ask("list submodules", &list, context)?)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::modules::system::process::find_program;
    use crate::modules::system::testing::context;

    fn shell(folder: &Path, script: &str) {
        let done = Command::new("sh")
            .args(["-ec", script])
            .current_dir(folder)
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
            .output()
            .unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// With the real git, on a repository of this machine.
    #[test]
    fn a_copy_is_made_and_follows() {
        if find_program("git").is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        shell(
            &source,
            "git init -q -b main; echo 1 > a; git add a; git commit -q -m 1; git tag v1; \
                        git branch side; echo 2 > a; git commit -q -am 2",
        );
        let dest = folder.path().join("copy");
        let call = |more: Value| {
            let mut given = json!({"repo": source, "dest": dest});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            context().call_named("git", given)
        };
        let text = || fs::read_to_string(dest.join("a")).unwrap();
        let first = call(json!({})).unwrap();
        assert!(first.changed && first.values["before"].is_null() && text() == "2\n");
        assert!(!call(json!({})).unwrap().changed);
        assert!(call(json!({"version": "v1"})).unwrap().changed && text() == "1\n");
        assert!(!call(json!({"version": "v1"})).unwrap().changed);
        assert!(call(json!({"version": "main"})).unwrap().changed && text() == "2\n");
        shell(&source, "echo 3 > a; git commit -q -am 3");
        let given = json!({"repo": source, "dest": dest, "version": "main"});
        let check = context().checking().call_named("git", given).unwrap();
        assert!(check.changed && text() == "2\n");
        let done = call(json!({"version": "main"})).unwrap();
        assert!(done.changed && done.values["after"] == check.values["after"] && text() == "3\n");
        fs::write(dest.join("a"), "own\n").unwrap();
        let refused = call(json!({"version": "main"})).unwrap_err().message;
        assert!(refused.contains("Local modifications exist"), "{refused}");
        assert!(
            call(json!({"version": "main", "force": true})).unwrap().changed && text() == "3\n"
        );
        assert!(call(json!({"version": "side"})).unwrap().changed && text() == "1\n");
        assert!(call(json!({"version": "no-such"})).unwrap_err().message.contains("no-such"));
        assert!(!call(json!({"update": false})).unwrap().changed);
    }

    #[test]
    fn shallow_and_bare_copies() {
        if find_program("git").is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        shell(
            &source,
            "git init -q -b main; echo 1 > a; git add a; git commit -q -m 1; \
                        git branch side; echo 2 > a; git commit -q -am 2",
        );
        let call = |dest: &str, more: Value| {
            let mut given = json!({"repo": source, "dest": folder.path().join(dest)});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            context().call_named("git", given).unwrap().changed
        };
        assert!(call("shallow", json!({"depth": 1})) && !call("shallow", json!({"depth": 1})));
        assert!(call("shallow", json!({"depth": 1, "version": "side"})));
        assert_eq!(fs::read_to_string(folder.path().join("shallow/a")).unwrap(), "1\n");
        assert!(call("bare", json!({"bare": true})) && !call("bare", json!({"bare": true})));
        assert!(folder.path().join("bare/config").exists());
    }
}

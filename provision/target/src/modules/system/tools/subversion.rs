//! `subversion`: a working copy of a repository.

use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde_json::Value;

use super::super::process::Run;
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// `subversion`: checks out, updates or exports a repository.
///
/// # Errors
/// When svn fails, the copy has changes of its own, or the folder holds something else.
pub fn subversion(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let dest = given.text("dest").map(|dest| paths::expand(context, dest));
    let exports = given.flag("export");
    let checks_out = given.choice("checkout").unwrap_or(true);
    let updates = given.choice("update").unwrap_or(true);
    let Some(dest) = dest.or_else(|| (!checks_out && !updates && !exports).then(PathBuf::new))
    else {
        return Err(Failure::new(
            "the destination directory must be specified unless checkout=no, update=no, and export=no",
        ));
    };
    let copy = Copy { given, dest };
    let is_copy = copy.is_there(context)?;
    if exports || !copy.dest.exists() {
        if context.check {
            return Ok(Outcome::new(true));
        }
        if !exports && !checks_out {
            return Ok(Outcome::new(false));
        }
        context.about_to_change()?;
        if exports {
            copy.get("export", given.flag("force"), context)?;
            return Ok(Outcome::new(true));
        }
        copy.get("checkout", given.flag("force"), context)?;
        return copy.told(true, Value::Null, context);
    }
    if is_copy {
        return match updates {
            true => copy.update(context),
            false => Ok(Outcome::new(false)),
        };
    }
    if !given.flag("in_place") {
        return Err(Failure::new(format!(
            "ERROR: {} folder already exists, but its not a subversion repository.",
            copy.dest.display()
        )));
    }
    if context.check {
        return Ok(Outcome::new(true));
    }
    context.about_to_change()?;
    copy.get("checkout", true, context)?;
    if given.flag("force") && copy.has_changes(context)? {
        copy.revert(context)?;
    }
    copy.told(true, Value::Null, context)
}

struct Copy<'a> {
    given: Given<'a>,
    dest: PathBuf,
}

impl Copy<'_> {
    /// svn with what the user says of logging in; nothing is asked and no password is kept.
    fn svn(&self, words: &[&str]) -> Result<Run, Failure> {
        let program = self.given.text("executable").unwrap_or("svn");
        let mut run =
            Run::tool(program)?.parsable().arguments(["--non-interactive", "--no-auth-cache"]);
        if !self.given.flag("validate_certs") {
            let failures = "unknown-ca,cn-mismatch,expired,not-yet-valid,other";
            run = run.argument(format!("--trust-server-cert-failures={failures}"));
        }
        if let Some(user) = self.given.text("username") {
            run = run.arguments(["--username", user]);
        }
        if let Some(password) = self.given.text("password") {
            run = run.argument("--password-from-stdin").input(password.as_bytes().to_vec());
        }
        Ok(run.arguments(words))
    }

    fn ask(&self, words: &[&str], context: &Context<'_>) -> Result<String, Failure> {
        let mut run = self.svn(words)?;
        if !self.dest.as_os_str().is_empty() {
            run = run.argument(&self.dest);
        }
        Ok(run.succeed(context)?.stdout_text())
    }

    fn is_there(&self, context: &Context<'_>) -> Result<bool, Failure> {
        let is_folder = Path::new(&self.dest).is_dir();
        Ok(is_folder && self.svn(&["info"])?.argument(&self.dest).run(context)?.succeeded())
    }

    fn revision_of_user(&self) -> &str {
        self.given.text("revision").unwrap_or("HEAD")
    }

    fn get(&self, how: &str, is_forced: bool, context: &Context<'_>) -> Result<(), Failure> {
        let mut words = vec![how];
        if is_forced {
            words.push("--force");
        }
        words.extend(["-r", self.revision_of_user(), "--", self.given.word("repo")]);
        self.ask(&words, context).map(drop)
    }

    /// `Revision: 3` and `URL: file:///…`.
    fn revision(&self, context: &Context<'_>) -> Result<Value, Failure> {
        Ok(head(&self.ask(&["info"], context)?).into())
    }

    fn has_changes(&self, context: &Context<'_>) -> Result<bool, Failure> {
        let said = self.ask(&["status", "--quiet", "--ignore-externals"], context)?;
        Ok(said.lines().any(|line| !line.is_empty() && !line.starts_with(['?', 'X'])))
    }

    fn revert(&self, context: &Context<'_>) -> Result<bool, Failure> {
        let said = self.ask(&["revert", "-R"], context)?;
        Ok(said.lines().any(|line| line.starts_with("Reverted ")))
    }

    fn update(&self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let before = self.revision(context)?;
        let has_changes = self.has_changes(context)?;
        let is_forced = self.given.flag("force");
        if has_changes && !is_forced {
            return Err(Failure::new("ERROR: modified files exist in the repository."));
        }
        if context.check {
            return self.preview(before, has_changes, context);
        }
        context.about_to_change()?;
        let revision = self.revision_of_user();
        let mut changed = false;
        if self.given.choice("switch").unwrap_or(true) {
            let said =
                self.ask(&["switch", "-r", revision, "--", self.given.word("repo")], context)?;
            changed |= tells_of_files(&said);
        }
        if has_changes {
            changed |= self.revert(context)?;
        }
        changed |= tells_of_files(&self.ask(&["update", "-r", revision], context)?);
        self.told(changed || has_changes, before, context)
    }

    /// What an update would bring.
    fn preview(
        &self,
        before: Value,
        has_changes: bool,
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        let run =
            self.svn(&["info", "-r", self.revision_of_user(), "--", self.given.word("repo")])?;
        let after = Value::from(head(&run.succeed(context)?.stdout_text()));
        Ok(Outcome::new(before != after || has_changes).with("before", before).with("after", after))
    }

    fn told(
        &self,
        changed: bool,
        before: Value,
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        let after = self.revision(context)?;
        Ok(Outcome::new(changed).with("before", before).with("after", after))
    }
}

/// The lines of `svn info` that say what is there.
fn head(info: &str) -> Vec<String> {
    let find = |name: &str| info.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    [find("Revision:"), find("URL:")].into_iter().flatten().collect()
}

/// Lines such as `U    file`: added, broken, deleted, updated, conflicting, merged, existing.
fn tells_of_files(said: &str) -> bool {
    said.lines().any(|line| {
        let mut letters = line.chars();
        letters.next().is_some_and(|first| "ABDUCGE".contains(first))
            && letters.next().is_some_and(char::is_whitespace)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::modules::system::process::find_program;
    use crate::modules::system::testing::context;

    #[test]
    fn lines_of_files_are_told_from_others() {
        assert!(tells_of_files("Updating '.':\nU    a\nUpdated to revision 2.\n"));
        assert!(tells_of_files("A  a\n"));
        assert!(!tells_of_files("Updating '.':\nAt revision 2.\nUpdated x\n"));
    }

    /// With the real programs.
    #[test]
    fn a_copy_is_made_updated_and_exported() {
        if ["svn", "svnadmin"].iter().any(|name| find_program(name).is_none()) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let shell = |script: &str| {
            let made = std::process::Command::new("sh")
                .args(["-ec", script])
                .current_dir(root)
                .output()
                .unwrap();
            assert!(made.status.success(), "{script}: {made:?}");
        };
        let commit = |text: &str| {
            shell(&format!(
                "rm -rf w; svn -q checkout file://$PWD/repo w; cd w; echo {text} >a; \
                 svn -q --force add a; svn -q commit -m {text}"
            ));
        };
        shell("svnadmin create repo");
        commit("one");
        let call = |dest: &str, more: Value| {
            let repo = format!("file://{}/repo", root.display());
            let mut given = json!({"repo": repo, "dest": root.join(dest)});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            context().call_named("subversion", given)
        };
        let first = call("copy", json!({})).unwrap();
        assert!(first.changed && first.values["before"].is_null());
        assert_eq!(first.values["after"][0], "Revision: 1");
        assert!(!call("copy", json!({})).unwrap().changed);
        commit("two");
        let second = call("copy", json!({})).unwrap();
        assert!(second.changed);
        assert_eq!(second.values["before"][0], "Revision: 1");
        assert_eq!(std::fs::read_to_string(root.join("copy/a")).unwrap(), "two\n");
        std::fs::write(root.join("copy/a"), "mine\n").unwrap();
        let refused = call("copy", json!({})).unwrap_err().message;
        assert!(refused.contains("modified files exist"), "{refused}");
        assert!(call("copy", json!({"force": true})).unwrap().changed);
        assert_eq!(std::fs::read_to_string(root.join("copy/a")).unwrap(), "two\n");
        assert!(call("copy", json!({"revision": "1"})).unwrap().changed);
        assert!(call("exported", json!({"export": true})).unwrap().changed);
        assert!(root.join("exported/a").exists() && !root.join("exported/.svn").exists());
        let refused = call("exported", json!({})).unwrap_err().message;
        assert!(refused.contains("not a subversion repository"), "{refused}");
    }
}

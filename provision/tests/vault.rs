//! The program with vaults: files in place, values for YAML, runs that use secrets and hide them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with a password file, in which the program runs.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("pw", "the password\n");
        folder.write("other", "another password\n");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn run_with(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_provision"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("ANSIBLE_VAULT_PASSWORD_FILE")
            .env_remove("ANSIBLE_VAULT_IDENTITY_LIST")
            .env("HOME", self.0.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    fn encrypt(&self, name: &str, text: &str) {
        self.write(name, text);
        let done = self.run(&["vault", "encrypt", "--vault-password-file", "pw", name]);
        assert!(done.status.success(), "{}", stderr(&done));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_are_encrypted_and_decrypted_in_place() {
    let folder = Folder::new();
    folder.write("secret.yml", "a: 1\n");
    std::os::unix::fs::symlink("secret.yml", folder.path("link.yml")).unwrap();
    std::fs::set_permissions(folder.path("secret.yml"), PermissionsExt::from_mode(0o640)).unwrap();
    let vault = |command: &str, more: &[&str]| {
        folder.run(&[&["vault", command], more, &["link.yml"]].concat())
    };
    assert!(vault("encrypt", &["--vault-id", "dev@pw"]).status.success());
    assert!(folder.read("secret.yml").starts_with("$ANSIBLE_VAULT;1.2;AES256;dev\n"));
    assert_eq!(mode(&folder.path("secret.yml")), 0o640);
    assert!(folder.path("link.yml").is_symlink());

    let again = vault("encrypt", &["--vault-id", "dev@pw"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(stderr(&again).contains("encrypted already"), "{}", stderr(&again));

    let before = folder.read("secret.yml");
    for command in ["decrypt", "view", "rekey"] {
        let more: &[&str] = if command == "rekey" {
            &["--vault-id", "prod@other", "--new-vault-id", "new@pw"]
        } else {
            &["--vault-id", "prod@other"]
        };
        let wrong = vault(command, more);
        assert_eq!(wrong.status.code(), Some(3), "{}", stderr(&wrong));
        let told = stderr(&wrong);
        assert!(told.contains("tried: prod") && told.contains("--vault-id dev@FILE"), "{told}");
        assert_eq!(folder.read("secret.yml"), before);
    }

    assert_eq!(stdout(&vault("view", &["--vault-password-file", "pw"])), "a: 1\n");
    let rekeyed =
        vault("rekey", &["--vault-password-file", "pw", "--new-vault-password-file", "other"]);
    assert!(rekeyed.status.success(), "{}", stderr(&rekeyed));
    assert!(folder.read("secret.yml").starts_with("$ANSIBLE_VAULT;1.1;AES256\n"));
    assert!(!vault("view", &["--vault-password-file", "pw"]).status.success());
    assert!(vault("decrypt", &["--vault-password-file", "other"]).status.success());
    assert_eq!(folder.read("secret.yml"), "a: 1\n");
    assert_eq!(mode(&folder.path("secret.yml")), 0o640);
}

#[test]
fn one_file_that_is_wrong_keeps_all_as_they_are() {
    let folder = Folder::new();
    folder.encrypt("a.yml", "a: 1\n");
    folder.write("b.yml", "b: 2\n");
    let before = folder.read("a.yml");
    let refused =
        folder.run(&["vault", "decrypt", "--vault-password-file", "pw", "a.yml", "b.yml"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("b.yml:1:1: it is not encrypted"), "{}", stderr(&refused));
    assert_eq!(folder.read("a.yml"), before);
}

/// Uses secrets in every way that shows them.
const SECRET_PLAY: &str = r#"- hosts: all
  connection: local
  gather_facts: false
  vars:
    TOKEN
    inner: "[{{ token }}]"
  tasks:
    - debug: msg="before its use {{ lookup('pipe', 'cat leftover') }}"
    - debug: msg="says {{ lookup('pipe', 'echo ' ~ password ~ ' | tee /dev/null') }}"
    - debug: msg="{{ inner }} {{ token | b64encode }} {{ password | urlencode }}"
    - debug: msg="{{ lookup('unvault', 'key') }} {{ [pin] | to_json }}"
    - assert:
        that:
          - "token == 's3cret {' ~ '{ not_a_template }' ~ '}'"
          - token is vault_encrypted
          - password is not vault_encrypted
          - "'files/key' is vaulted_file"
          - "'pw' is not vaulted_file"
    - set_fact:
        kept: "{{ token }}"
    - debug: var=kept
    - name: a task of {{ password }}
      fail: msg="failed with {{ password }}"
      ignore_errors: true
"#;

#[test]
fn values_are_encrypted_for_yaml_and_used_in_a_run_without_being_shown() {
    let folder = Folder::new();
    let made = folder.run_with(
        &["vault", "encrypt-string", "--name", "token", "--vault-password-file", "pw"],
        "s3cret {{ not_a_template }}",
    );
    assert!(made.status.success(), "{}", stderr(&made));
    let value = stdout(&made);
    assert!(value.starts_with("token: !vault |\n          $ANSIBLE_VAULT;1.1;AES256\n"), "{value}");
    folder.encrypt("group_vars/all.yml", "password: hunter2pass\npin: 123456\n");
    folder.encrypt("files/key", "-----KEY-----\nabcdefghijklmnop\n");
    let indented = value.trim_end().replace('\n', "\n    ");
    folder.write("leftover", "token=s3cret {{ not_a_template }};\n");
    folder.write("site.yml", &SECRET_PLAY.replace("TOKEN", &indented));
    for output in ["human", "ndjson"] {
        let done = folder.run(&[
            "apply",
            "site.yml",
            "-i",
            "localhost,",
            "-vvv",
            "-o",
            output,
            "--vault-password-file",
            "pw",
        ]);
        let told = format!("{}{}", stdout(&done), stderr(&done));
        assert!(done.status.success(), "{told}");
        assert!(told.contains("before its use token=‹secret›;"), "{told}");
        assert!(told.contains("says ‹secret›"), "{told}");
        assert_hidden(&told);
    }
    let journals: Vec<PathBuf> = walk(&folder.path("state"));
    assert!(!journals.is_empty());
    for journal in journals {
        let bytes = std::fs::read(&journal).unwrap();
        assert_hidden(&String::from_utf8_lossy(&bytes));
    }
}

fn assert_hidden(text: &str) {
    for secret in
        ["hunter2pass", "s3cret", "123456", "abcdefghijklmnop", "czNjcmV0", "the password"]
    {
        assert!(!text.contains(secret), "{secret} is shown in:\n{text}");
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_missing_or_wrong_password_is_told_before_anything_begins() {
    let folder = Folder::new();
    folder.encrypt("group_vars/all.yml", "password: hunter2pass\n");
    folder.write("site.yml", "- hosts: all\n  tasks:\n    - debug: var=password\n");
    let apply =
        |more: &[&str]| folder.run(&[&["apply", "site.yml", "-i", "host.invalid,"], more].concat());
    for (more, told) in [
        (&[][..], "no vault password was given"),
        (&["--vault-password-file", "other"][..], "no vault password that was given decrypts"),
        (&["--vault-id", "none@missing"][..], "vault password file missing: No such file"),
    ] {
        let refused = apply(more);
        assert_eq!(refused.status.code(), Some(3));
        let text = stderr(&refused);
        assert!(text.contains(told), "{text}");
        if more != ["--vault-id", "none@missing"] {
            assert!(text.contains("group_vars/all.yml:1:1"), "{text}");
            assert!(text.contains("no host was contacted"), "{text}");
        }
    }
}

#[test]
fn a_value_that_no_password_decrypts_fails_where_it_is_used() {
    let folder = Folder::new();
    let made = folder.run_with(
        &["vault", "encrypt-string", "-n", "token", "--vault-id", "prod@other"],
        "a value of prod",
    );
    let value = stdout(&made).trim_end().replace('\n', "\n    ");
    let play = |task: &str| {
        format!(
            "- hosts: all\n  connection: local\n  gather_facts: false\n  vars:\n    {value}\n  \
             tasks:\n    - {task}\n"
        )
    };
    folder.write("unused.yml", &play("debug: msg=fine"));
    folder.write("used.yml", &play("debug: msg=\"{{ token }}\""));
    let apply = |play: &str, source: &str| {
        folder.run(&["apply", play, "-i", "localhost,", "--vault-id", source])
    };
    let unused = apply("unused.yml", "dev@pw");
    assert!(unused.status.success(), "{}", stderr(&unused));
    assert!(stderr(&unused).contains("encrypted for vault id `prod`"), "{}", stderr(&unused));
    let used = apply("used.yml", "dev@pw");
    assert_eq!(used.status.code(), Some(10), "{}", stderr(&used));
    let told = stdout(&used);
    assert!(told.contains("encrypted for vault id `prod`; tried: dev"), "{told}");
    assert!(apply("used.yml", "prod@other").status.success());
}

#[test]
fn files_are_made_and_changed_in_an_editor() {
    let folder = Folder::new();
    folder.write("editor", "#!/bin/sh\nprintf 'a: 1\\n' >> \"$2\"\necho \"$1\" > said\n");
    folder.write("broken", "#!/bin/sh\nexit 3\n");
    for name in ["editor", "broken"] {
        std::fs::set_permissions(folder.path(name), PermissionsExt::from_mode(0o700)).unwrap();
    }
    let run = |editor: &str, words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_provision"))
            .arg("vault")
            .args(words)
            .args(["--vault-id", "team@pw"])
            .current_dir(folder.0.path())
            .env_remove("VISUAL")
            .env_remove("ANSIBLE_VAULT_PASSWORD_FILE")
            .env_remove("ANSIBLE_VAULT_IDENTITY_LIST")
            .env("EDITOR", editor)
            .output()
            .unwrap()
    };
    let done = run("./editor --wait", &["create", "secrets.yml"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(folder.read("said"), "--wait\n");
    assert!(folder.read("secrets.yml").starts_with("$ANSIBLE_VAULT;1.2;AES256;team\n"));
    let again = run("./editor --wait", &["create", "secrets.yml"]);
    assert!(stderr(&again).contains("exists already"), "{}", stderr(&again));
    let done = run("./editor --wait", &["edit", "secrets.yml"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let shown = run("true", &["view", "secrets.yml"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "a: 1\na: 1\n");
    assert!(folder.read("secrets.yml").starts_with("$ANSIBLE_VAULT;1.2;AES256;team\n"));
    let before = folder.read("secrets.yml");
    let same = run("true", &["edit", "secrets.yml"]);
    assert!(stderr(&same).contains("is as it was"), "{}", stderr(&same));
    let failed = run("./broken", &["edit", "secrets.yml"]);
    assert!(stderr(&failed).contains("nothing is changed"), "{}", stderr(&failed));
    assert_eq!(folder.read("secrets.yml"), before);
}

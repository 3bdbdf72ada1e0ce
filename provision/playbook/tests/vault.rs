//! Encrypted files and values: read with the right password, refused with their place without,
//! and never shown.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use diagnostics::{Diagnostic, Sources, Style, render_all};
use provision_playbook::files::{FileKind, Files, MapFiles};
use provision_playbook::inventory::{self, load_playbook_vars};
use provision_playbook::{LoadOptions, Loader};
use provision_vault::{Opened, Password, Vault, VaultError, seal};

fn sealed(plain: &str, id: &str) -> String {
    seal(plain.as_bytes(), &Password::new("right"), Some(id), b"salt").unwrap()
}

fn vault(password: &str) -> Vault {
    Vault::new(vec![("dev".to_owned(), Password::new(password))])
}

/// Files in memory that remember what is secret.
#[derive(Default)]
struct Watched {
    files: MapFiles,
    secrets: Mutex<RefCell<Vec<String>>>,
}

impl Watched {
    fn new(texts: &[(&str, &str)], vault: Vault) -> Arc<Self> {
        let texts: BTreeMap<PathBuf, String> =
            texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        Arc::new(Watched { files: MapFiles::new(texts).with_vault(vault), ..Watched::default() })
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap().borrow().clone()
    }
}

impl Files for Watched {
    fn kind(&self, path: &Path) -> Option<FileKind> {
        self.files.kind(path)
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        self.files.read(path)
    }

    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        self.files.list(folder)
    }

    fn open_vault(&self, text: &str) -> Result<Opened, VaultError> {
        self.files.open_vault(text)
    }

    fn keep_secret(&self, value: &str) {
        self.secrets.lock().unwrap().borrow_mut().push(value.to_owned());
    }
}

fn shown(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    render_all(diagnostics, sources, Style::Plain)
}

#[test]
fn everything_may_be_encrypted() {
    let play = "- hosts: all\n  vars_files: [secret.yml]\n  roles: [r]\n  tasks:\n    \
                - include_vars: more.yml\n    - import_tasks: tasks.yml\n    \
                - debug: msg=\"{{ a }} {{ b }} {{ c }} {{ d }}\"\n";
    let texts = [
        ("site.yml", sealed(play, "dev")),
        ("secret.yml", sealed("a: from vars files\n", "dev")),
        ("more.yml", sealed("b: from include_vars\nn: {x: [12345, '{{ a }}', true]}\n", "dev")),
        ("tasks.yml", sealed("- debug: msg=hello\n", "dev")),
        ("roles/r/vars/main.yml", sealed("c: from role vars\n", "dev")),
        ("roles/r/defaults/main.yml", sealed("d: from role defaults\n", "dev")),
        ("roles/r/tasks/main.yml", sealed("- debug: msg=role\n", "dev")),
    ];
    let texts: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (*path, &**text)).collect();
    let files = Watched::new(&texts, vault("right"));
    let mut loader = Loader::new(files.clone(), LoadOptions::default());
    let (playbook, mut found) = loader.playbook(Path::new("site.yml"));
    found.extend(loader.undefined(&playbook, &provision_playbook::KnownNames::default()));
    assert_eq!(found, [], "{}", shown(&found, loader.sources()));
    assert_eq!(playbook.plays.len(), 1);
    let secrets = files.secrets();
    for secret in ["from vars files", "from include_vars", "from role vars", "12345"] {
        assert!(secrets.iter().any(|known| known == secret), "{secret}: {secrets:?}");
    }
    assert!(!secrets.iter().any(|known| known.contains("{{") || known == "hello"), "{secrets:?}");
}

#[test]
fn the_inventory_may_be_encrypted() {
    let ini = sealed("[web]\nw1 ansible_host=10.1.2.3 token=abcdef\n", "dev");
    let group = sealed("password: 'hunter two'\n", "dev");
    let files = Watched::new(
        &[("i/hosts", &ini), ("i/group_vars/web.yml", &group), ("p/host_vars/w1", &group)],
        vault("right"),
    );
    let mut sources = Sources::default();
    let source = inventory::Source::Path("i/hosts".into());
    let mut loaded = inventory::load(&[source], files.as_ref(), &mut sources);
    let found =
        load_playbook_vars(&mut loaded.inventory, &["p".into()], files.as_ref(), &mut sources);
    assert_eq!((loaded.diagnostics, found), (vec![], vec![]));
    let secrets = files.secrets();
    assert_eq!(secrets, ["10.1.2.3", "abcdef", "hunter two", "hunter two"]);
}

#[test]
fn without_the_right_password_the_place_is_told() {
    let secret = sealed("a: 1\n", "prod");
    let damaged = secret.replacen("\n3", "\nx", 1);
    let play = "- hosts: all\n  vars_files: [secret.yml]\n";
    let told = |text: &str, vault: Vault| {
        let files = Watched::new(&[("site.yml", play), ("secret.yml", text)], vault);
        let mut loader = Loader::new(files, LoadOptions::default());
        let (_, found) = loader.playbook(Path::new("site.yml"));
        shown(&found, loader.sources())
    };
    insta::assert_snapshot!(told(&secret, Vault::default()), @r"
    error[vault]: `secret.yml` is encrypted, and no vault password was given
     --> secret.yml:1:1
      |
    1 | $ANSIBLE_VAULT;1.2;AES256;prod
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ encrypted with Ansible Vault
      |
      = hint: give its password with --vault-password-file FILE, --vault-id LABEL@FILE or --ask-vault-pass
    ");
    insta::assert_snapshot!(told(&secret, vault("wrong")), @r"
    error[vault]: no vault password that was given decrypts `secret.yml`
     --> secret.yml:1:1
      |
    1 | $ANSIBLE_VAULT;1.2;AES256;prod
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ encrypted for vault id `prod`
      |
      = note: vault ids of the passwords tried: dev
      = hint: give the password of this vault id: --vault-id prod@FILE
    ");
    insta::assert_snapshot!(told(&damaged, vault("right")), @r"
    error[vault]: the encrypted text of `secret.yml` is damaged
     --> secret.yml:2:1
      |
    2 | x7333631366337340a62333566323662366636383437313564386563333236666365343838333461
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ a character that is no hexadecimal digit
      |
      = hint: restore it from the version control system, or encrypt it again
    ");
}

#[test]
fn only_passwords_of_hosts_that_take_part_are_needed() {
    let group = sealed("a: 1\n", "prod");
    let files = Watched::new(
        &[
            ("i/hosts", "[dev]\nd1\n[prod]\np1\n"),
            ("i/group_vars/prod.yml", &group),
            ("i/host_vars/p1.yml", &group),
            ("i/group_vars/nobody.yml", &group),
        ],
        vault("wrong"),
    );
    let mut sources = Sources::default();
    let source = inventory::Source::Path("i/hosts".into());
    let loaded = inventory::load(&[source], files.as_ref(), &mut sources);
    assert_eq!(loaded.diagnostics, []);
    let told = |host: &str| {
        let found = loaded.inventory.sealed(|name| name == host);
        assert_eq!(found.len(), 2);
        found.iter().filter(|found| found.is_error()).count()
    };
    assert_eq!((told("d1"), told("p1")), (0, 2));
}

#[test]
fn errors_in_encrypted_files_do_not_show_them() {
    let secret = sealed("a: 1\npassword: [hunter2\n", "dev");
    let files = Watched::new(
        &[("site.yml", "- hosts: all\n  vars_files: [s.yml]\n"), ("s.yml", &secret)],
        vault("right"),
    );
    let mut loader = Loader::new(files, LoadOptions::default());
    let (_, found) = loader.playbook(Path::new("site.yml"));
    let text = shown(&found, loader.sources());
    assert!(text.contains("s.yml:") && text.contains("(encrypted)"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("password"), "{text}");
}

#[test]
fn files_to_send_are_tried_before_any_connection() {
    let key = sealed("a key", "dev");
    let told = |task: &str, vault: Vault| {
        let play = format!("- hosts: all\n  tasks:\n    - {task}\n");
        let files = Watched::new(&[("site.yml", &play), ("files/key", &key)], vault);
        let mut loader = Loader::new(files.clone(), LoadOptions::default());
        let (_, found) = loader.playbook(Path::new("site.yml"));
        let is_known = files.secrets().iter().any(|secret| secret == "a key");
        assert_eq!(is_known, found.is_empty() && !task.contains("decrypt=no"));
        found.iter().map(|found| found.code).collect::<Vec<_>>()
    };
    assert_eq!(told("copy: src=key dest=/etc/key", Vault::default()), ["vault"]);
    assert_eq!(told("copy: src=key dest=/etc/key", vault("wrong")), ["vault"]);
    assert_eq!(told("script: key", vault("wrong")), ["vault"]);
    assert!(told("copy: src=key dest=/etc/key", vault("right")).is_empty());
    assert!(told("copy: src=key dest=/etc/key decrypt=no", Vault::default()).is_empty());
}

#[test]
fn encrypted_values_are_data_wherever_they_stand() {
    let value = sealed("{{ undefined_name }}", "dev").replace('\n', "\n        ");
    let play = format!(
        "- hosts: all\n  vars:\n    a: !vault |\n        {value}\n    b: !vault-encrypted |\n        \
         {value}\n  tasks:\n    - user:\n        name: x\n        state: !vault |\n            {}\n    \
         - debug: msg=\"{{{{ a }}}}{{{{ b }}}}\"\n",
        value.replace("\n        ", "\n            "),
    );
    let files = Watched::new(&[("site.yml", &play)], Vault::default());
    let mut loader = Loader::new(files, LoadOptions::default());
    let (playbook, mut found) = loader.playbook(Path::new("site.yml"));
    found.extend(loader.undefined(&playbook, &provision_playbook::KnownNames::default()));
    assert_eq!(found, [], "{}", shown(&found, loader.sources()));
}

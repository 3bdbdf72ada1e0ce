use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::keys::{Does, KEYS};
use super::{Configuration, Customs, DuplicateKeys, Environment, Strategy};

fn environment(folder: &Path, variables: &[(&str, &str)]) -> Environment {
    let mut all: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.entry("HOME".to_owned()).or_insert_with(|| folder.join("home").display().to_string());
    Environment { variables: all, folder: folder.join("here"), system: folder.join("etc") }
}

/// A folder with the current folder, the home folder and that of the system.
fn folders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["here", "home", "etc"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

fn read(text: &str, variables: &[(&str, &str)]) -> (tempfile::TempDir, Configuration) {
    let folder = folders();
    std::fs::write(folder.path().join("here/ansible.cfg"), text).unwrap();
    let configuration = Configuration::read(&environment(folder.path(), variables));
    (folder, configuration)
}

#[test]
fn the_first_file_counts() {
    let folder = folders();
    let path = |name: &str| folder.path().join(name);
    let found = |variables: &[(&str, &str)]| {
        Configuration::read(&environment(folder.path(), variables)).file
    };
    assert_eq!(found(&[]), None);
    for name in ["etc/ansible.cfg", "home/.ansible.cfg", "here/ansible.cfg"] {
        std::fs::write(path(name), "").unwrap();
        assert_eq!(found(&[]), Some(path(name)));
    }
    std::fs::write(path("own.cfg"), "").unwrap();
    let own = path("own.cfg").display().to_string();
    assert_eq!(found(&[("ANSIBLE_CONFIG", &own)]), Some(path("own.cfg")));
    let etc = path("etc").display().to_string();
    assert_eq!(found(&[("ANSIBLE_CONFIG", &etc)]), Some(path("etc/ansible.cfg")));
}

#[test]
fn a_file_that_anybody_could_write_is_not_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folders();
    let here = folder.path().join("here");
    std::fs::write(here.join("ansible.cfg"), "[defaults]\nforks = 3\n").unwrap();
    std::fs::set_permissions(&here, PermissionsExt::from_mode(0o777)).unwrap();
    let configuration = Configuration::read(&environment(folder.path(), &[]));
    assert_eq!((configuration.file, configuration.settings.forks), (None, None));
    assert!(configuration.notes[0].contains("everybody may write"), "{:?}", configuration.notes);
}

#[test]
fn settings_are_honoured_and_variables_win() {
    let (folder, configuration) = read(
        "[defaults]\n# a comment\ninventory = hosts.ini ; another\nroles_path = roles:~/more\n\
         forks=7\nremote_user: deploy\nhost_key_checking = False\ngathering = explicit\n\
         [privilege_escalation]\nbecome = yes\n[ssh_connection]\nssh_args = -o A=b\n  -o C=d\n",
        &[("ANSIBLE_FORKS", "9"), ("ANSIBLE_ROLES_PATH", "x")],
    );
    let settings = configuration.settings;
    let here = folder.path().join("here");
    assert_eq!(settings.inventory, [here.join("hosts.ini").display().to_string()]);
    assert_eq!(settings.roles_path, Some(vec![here.join("x")]));
    assert_eq!((settings.forks, settings.remote_user.as_deref()), (Some(9), Some("deploy")));
    assert!(settings.accepts_new_host_keys && settings.gathers_only_if_asked && settings.r#become);
    assert_eq!(settings.ssh_arguments, ["-o A=b\n-o C=d"]);
    assert!(configuration.notes.is_empty() && configuration.refusals.is_empty());
}

#[test]
fn nothing_is_ignored_silently() {
    let (folder, configuration) = read(
        "[defaults]\nforkz = 7\npipelining = True\nhash_behaviour = merge\nstrategy = linear\n\
         nonsense\nforks = many\n[colors]\nok = blue\n",
        &[("ANSIBLE_LIBRARY", "x"), ("ANSIBLE_FORKZ", "1"), ("ANSIBLE_NOCOWS", "1")],
    );
    let file = folder.path().join("here/ansible.cfg").display().to_string();
    let notes: Vec<String> =
        configuration.notes.iter().map(|note| note.replace(&file, "F")).collect();
    assert_eq!(notes.len(), 5, "{notes:#?}");
    assert_eq!(
        notes[0],
        "F:2: Ansible has no setting [defaults] forkz; did you mean [defaults] forks?"
    );
    assert!(notes[1].starts_with("F:3: pipelining has no effect: "), "{}", notes[1]);
    assert!(notes[2].starts_with("F:9: [colors] ok has no effect: "), "{}", notes[2]);
    assert_eq!(
        notes[3],
        "ANSIBLE_FORKZ: Ansible has no such variable; did you mean ANSIBLE_FORKS?"
    );
    let refusals: Vec<String> =
        configuration.refusals.iter().map(|text| text.replace(&file, "F")).collect();
    assert_eq!(refusals.len(), 3, "{refusals:#?}");
    assert!(refusals[0].starts_with("F:4: hash_behaviour: `merge` is not supported: "));
    assert_eq!(refusals[1], "F:6: `nonsense` is not `name = value`");
    assert!(refusals[2].starts_with("F:7: forks: `many` is not a number"));
}

#[test]
fn each_name_is_in_the_table_once() {
    let mut names: Vec<&str> =
        KEYS.iter().flat_map(|key| key.names.iter().chain(key.variables)).copied().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for key in KEYS {
        if let Does::Only(values, _) = key.does {
            assert!(values.iter().all(|value| *value == value.to_lowercase()), "{:?}", key.names);
        }
    }
}

#[test]
fn what_is_typed_counts_more_than_what_is_configured() {
    use clap::Parser as _;

    use crate::arguments::{Arguments, Command};

    let (_folder, configuration) = read("[defaults]\nforks = 7\n", &[]);
    for (words, connections) in
        [(&["provision", "apply"][..], 7), (&["provision", "apply", "-f", "64"], 64)]
    {
        let Command::Apply(mut apply) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("it is apply");
        };
        configuration.complete(&mut apply);
        assert_eq!(apply.reach.connections(), connections);
    }
}

#[test]
fn what_changes_the_language_is_honoured() {
    let text = "[defaults]\nstrategy = ansible.builtin.free\njinja2_native = True\n\
                inject_facts_as_vars = no\nno_log = 1\nprivate_role_vars = yes\n\
                error_on_missing_handler = False\nany_errors_fatal = yes\ngathering = smart\n\
                duplicate_dict_key = error\ntask_timeout = 9\nplaybook_vars_root = all\n\
                allow_broken_conditionals = False\ndeprecation_warnings = False\n[inventory]\n\
                enable_plugins = host_list, advanced_host_list\n";
    let (_folder, configuration) = read(text, &[("ANSIBLE_STRATEGY", "host_pinned")]);
    let expected = Customs {
        has_native_types: true,
        strategy: Strategy::HostPinned,
        forgives_missing_handlers: true,
        misses_handlers_late: false,
        any_errors_fatal: true,
        no_log: true,
        hides_facts: true,
        gathers_once: true,
        keeps_role_variables: true,
        shares_included_roles: false,
        expands_host_ranges: true,
        reads_vars_of_imported: true,
        task_timeout_s: 9,
        duplicate_keys: DuplicateKeys::Error,
        refuses_broken_conditions: true,
        hides_deprecations: true,
    };
    assert_eq!(configuration.settings.customs, expected);
    assert_eq!(configuration.refusals, Vec::<String>::new());
    let (_folder, configuration) = read("[defaults]\nstrategy = debug\n", &[]);
    assert_eq!(configuration.refusals.len(), 1);
}

#[test]
fn who_hides_odd_conditions() {
    let hides = |text: &str, variables: &[(&str, &str)]| {
        read(text, variables).1.settings.customs.hides_deprecations
    };
    let (quiet, loud) = ("[defaults]\ndeprecation_warnings = False\n", "[defaults]\n");
    assert!(!hides(loud, &[]) && hides(quiet, &[]));
    assert!(!hides(quiet, &[("ANSIBLE_DEPRECATION_WARNINGS", "1")]));
    assert!(hides(loud, &[("_ANSIBLE_DISABLE_BACKPORTED_INSPECTIONS", "1")]));
    let (_folder, configuration) = read(loud, &[("_ANSIBLE_NO_SUCH", "1")]);
    assert!(configuration.notes.is_empty(), "{:?}", configuration.notes);
}

#[test]
fn facts_are_cached_in_files_or_not_at_all() {
    use clap::Parser as _;

    use crate::arguments::{Apply, Arguments, Command};

    let completed = |configuration: &Configuration| -> Apply {
        let words = ["provision", "apply", "--flush-cache"];
        let Command::Apply(mut apply) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("it is apply");
        };
        configuration.complete(&mut apply);
        *apply
    };
    let text = "[defaults]\nfact_caching = ansible.builtin.jsonfile\n\
                fact_caching_connection = facts\nfact_caching_timeout = 90\n";
    let (folder, configuration) = read(text, &[("ANSIBLE_CACHE_PLUGIN_PREFIX", "p_")]);
    let cache = completed(&configuration).reach.fact_cache.unwrap();
    assert_eq!((cache.prefix.as_str(), cache.timeout_s, cache.is_flushed), ("p_", 90, true));
    assert_eq!(cache.folder, folder.path().join("here/facts"));
    assert!(configuration.refusals.is_empty() && configuration.notes.is_empty());
    let (_folder, configuration) = read("[defaults]\nfact_caching = memory\n", &[]);
    assert_eq!(completed(&configuration).reach.fact_cache, None);
    assert!(configuration.refusals.is_empty());
    for plugin in ["redis", "jsonfile"] {
        let (_folder, configuration) = read(&format!("[defaults]\nfact_caching = {plugin}\n"), &[]);
        assert_eq!(configuration.refusals.len(), 1, "{plugin}");
    }
}

/// Settings by their names, as `lookup('config', …)` and `ansible-config` have them.
#[test]
fn settings_have_values_of_their_types_and_origins() {
    let text =
        "[defaults]\nforks = 9\nroles_path = x:/y\nprivate_role_vars = yes\n[tags]\nrun = a, b\n";
    let (folder, configuration) = read(text, &[("ANSIBLE_TIMEOUT", "7")]);
    let environment = environment(folder.path(), &[]);
    let all = configuration.configured(&environment);
    let of = |name: &str| {
        let found = all.iter().find(|one| one.name == name).expect("it has a name");
        (found.value.clone(), found.origin.clone())
    };
    let here = folder.path().join("here");
    let file = here.join("ansible.cfg").display().to_string();
    assert_eq!(of("DEFAULT_FORKS"), (json!(9), file));
    let x = here.join("x").display().to_string();
    assert_eq!(of("DEFAULT_ROLES_PATH").0, json!([x, "/y"]));
    assert_eq!(of("DEFAULT_PRIVATE_ROLE_VARS").0, json!(true));
    assert_eq!(of("TAGS_RUN").0, json!(["a", "b"]));
    assert_eq!(of("DEFAULT_TIMEOUT"), (json!(7), "env: ANSIBLE_TIMEOUT".to_owned()));
    assert_eq!(of("DEFAULT_PRIVATE_KEY_FILE"), (json!(null), "default".to_owned()));
    assert_eq!(of("DEFAULT_BECOME"), (json!(false), "default".to_owned()));
}

#[test]
fn each_name_is_that_of_a_key() {
    for named in super::names::NAMED {
        assert!(super::keys::find(named.key).is_some(), "{}", named.name);
    }
}

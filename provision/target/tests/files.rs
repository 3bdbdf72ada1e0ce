//! Modules that manage files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod support {
    pub mod bench;
}

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::bench::{Bench, apply};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn fails(module: &str, arguments: Value) -> String {
    Bench::default().call(module, arguments).unwrap_err().message
}

#[test]
fn directories_and_modes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c");
    let outcome = apply("file", &json!({ "path": path, "state": "directory", "mode": "0750" }));
    assert!(outcome.changed);
    assert_eq!(outcome.values["mode"], "0750");
    assert_eq!((mode(&path), mode(&folder.path().join("a"))), (0o750, 0o750));
    fs::write(path.join("x"), "").unwrap();
    symlink("/etc/passwd", path.join("l")).unwrap();
    let recursive = json!({ "path": folder.path().join("a"), "state": "directory", "recurse": true,
        "mode": "u=rwX,go=", "follow": false });
    let before = mode(Path::new("/etc/passwd"));
    assert!(apply("file", &recursive).changed);
    assert_eq!((mode(&path.join("x")), mode(&path)), (0o600, 0o700));
    assert_eq!(mode(Path::new("/etc/passwd")), before);
}

#[test]
fn a_peek_says_whether_content_looks_binary() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, is_binary) in [("t", "text", false), ("b", "a\0b", true)] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let outcome = apply("file", &json!({ "path": path, "_diff_peek": true, "mode": "0600" }));
        assert!(!outcome.changed);
        assert_eq!(outcome.values["appears_binary"], is_binary, "{name}");
        assert_ne!(mode(&path), 0o600);
    }
}

#[test]
fn links() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("target"), "x").unwrap();
    let link = json!({ "path": at("l"), "src": at("target"), "state": "link" });
    let outcome = apply("file", &link);
    assert_eq!((outcome.changed, &outcome.values["state"]), (true, &json!("link")));
    let message = fails("file", json!({ "path": at("m"), "src": "nothing", "state": "link" }));
    assert!(message.contains("force"), "{message}");
    let dangling = json!({ "path": at("m"), "src": "nothing", "state": "link", "force": true });
    assert!(apply("file", &dangling).changed);
    fs::create_dir_all(at("full/x")).unwrap();
    let message = fails(
        "file",
        json!({ "path": at("full"), "src": "target", "state": "link", "force": true }),
    );
    assert!(message.contains("not empty"), "{message}");
    let hard = json!({ "path": at("h"), "src": at("target"), "state": "hard" });
    assert_eq!(apply("file", &hard).values["state"], "hard");
    // Modes through a link belong to its target, without following to nothing at all.
    apply("file", &json!({ "path": at("l"), "mode": "0600", "state": "file" }));
    assert_eq!(mode(&at("target")), 0o600);
    assert!(apply("file", &json!({ "path": at("l"), "state": "absent" })).changed);
    assert!(at("target").exists());
}

#[test]
fn touching() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let touch = json!({ "path": path, "state": "touch", "mode": "0644",
        "modification_time": "202001020304.05", "access_time": "preserve" });
    let outcome = apply("file", &touch);
    assert_eq!(outcome.values["dest"], json!(path));
    let again = Bench::default().call("file", json!({ "path": path, "state": "touch" })).unwrap();
    assert!(again.changed);
}

#[test]
fn removal_does_not_follow() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("keep")).unwrap();
    fs::write(folder.path().join("keep/x"), "").unwrap();
    fs::create_dir_all(folder.path().join("gone/deep")).unwrap();
    symlink("../../keep", folder.path().join("gone/deep/l")).unwrap();
    let outcome = apply("file", &json!({ "path": folder.path().join("gone"), "state": "absent" }));
    assert_eq!(outcome.values["state"], "absent");
    assert!(outcome.diff[0].before.contains("path_content"));
    assert!(folder.path().join("keep/x").exists());
}

#[test]
fn owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o");
    fs::write(&path, "").unwrap();
    let outcome = apply("file", &json!({ "path": path, "owner": "nobody", "group": "0" }));
    assert_eq!(
        (&outcome.values["owner"], &outcome.values["uid"]),
        (&json!("nobody"), &json!(65534))
    );
    let unknown = json!({ "path": path, "owner": "no-such-user" });
    assert!(fails("file", unknown.clone()).contains("no-such-user"));
    let checked = Bench::checking().call("file", unknown).unwrap();
    assert!(checked.changed && checked.values.contains_key("warnings"));
}

#[test]
fn copies_on_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("src/sub")).unwrap();
    fs::write(at("src/a"), "a").unwrap();
    fs::write(at("src/sub/b"), "b").unwrap();
    fs::set_permissions(at("src/a"), PermissionsExt::from_mode(0o755)).unwrap();
    let file =
        json!({ "src": at("src/a"), "dest": at("copy"), "remote_src": true, "mode": "preserve" });
    let outcome = apply("copy", &file);
    assert_eq!(outcome.values["checksum"], "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8");
    assert_eq!(mode(&at("copy")), 0o755);
    fs::write(at("copy"), "other").unwrap();
    let backup =
        json!({ "src": at("src/a"), "dest": at("copy"), "remote_src": true, "backup": true });
    let outcome = Bench::default().call("copy", backup).unwrap();
    assert_eq!(
        fs::read_to_string(outcome.values["backup_file"].as_str().unwrap()).unwrap(),
        "other"
    );
    let tree = json!({ "src": at("src"), "dest": at("tree"), "remote_src": true });
    assert!(apply("copy", &tree).changed);
    assert_eq!(fs::read_to_string(at("tree/src/sub/b")).unwrap(), "b");
    assert_eq!(mode(&at("tree/src/a")), 0o755);
    let inside = json!({ "src": format!("{}/", at("src").display()), "dest": at("flat"), "remote_src": true });
    assert!(apply("copy", &inside).changed);
    assert!(at("flat/a").exists());
    let failing = json!({ "src": at("src/a"), "dest": at("copy2"), "remote_src": true, "validate": "false %s" });
    assert_eq!(fails("copy", failing), "failed to validate");
    assert!(!at("copy2").exists());
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".prov"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn links_at_the_destination() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("src"), "new").unwrap();
    for (name, follow) in [("followed", true), ("replaced", false)] {
        let target = at(&format!("{name}-target"));
        fs::write(&target, "old").unwrap();
        symlink(&target, at(name)).unwrap();
        let call =
            json!({ "src": at("src"), "dest": at(name), "remote_src": true, "follow": follow });
        assert!(apply("copy", &call).changed);
        assert_eq!(fs::symlink_metadata(at(name)).unwrap().is_symlink(), follow);
        assert_eq!(fs::read_to_string(target).unwrap(), if follow { "new" } else { "old" });
    }
}

#[test]
fn lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf");
    fs::write(&path, b"#PermitRootLogin yes\nPort 22\n\xff\xfe binary\nlast").unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let line = |extra: Value| {
        let mut call = json!({ "path": path });
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        call
    };
    let call = line(json!({ "regexp": "^#?PermitRootLogin", "line": "PermitRootLogin no" }));
    assert_eq!(apply("lineinfile", &call).values["msg"], "line replaced");
    let call = line(json!({ "line": "added" }));
    assert_eq!(apply("lineinfile", &call).values["msg"], "line added");
    let call = line(json!({ "regexp": r"^Port (\d+)$", "line": r"Port \g<1>2", "backrefs": true }));
    assert!(Bench::default().call("lineinfile", call).unwrap().changed);
    apply("lineinfile", &line(json!({ "line": "inserted", "insertbefore": "^Port" })));
    let call = line(json!({ "search_string": "binary", "state": "absent" }));
    assert_eq!(apply("lineinfile", &call).values["found"], 1);
    assert_eq!(fs::read(&path).unwrap(), b"PermitRootLogin no\ninserted\nPort 222\nlast\nadded\n");
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn blocks_and_replacements() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    let block = json!({ "path": path, "block": "1.2.3.4 a\n5.6.7.8 b", "create": true });
    assert_eq!(apply("blockinfile", &block).values["msg"], "File created");
    let text = "# BEGIN ANSIBLE MANAGED BLOCK\n1.2.3.4 a\n5.6.7.8 b\n# END ANSIBLE MANAGED BLOCK\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let replace = json!({ "path": path, "regexp": r"(\d+)\.(\d+)", "replace": r"\2.\1", "after": "1.2.3.4", "before": "# END" });
    let outcome = Bench::default().call("replace", replace).unwrap();
    assert_eq!(outcome.values["msg"], "2 replacements made");
    assert!(fs::read_to_string(&path).unwrap().contains("1.2.3.4 a\n6.5.8.7 b\n"));
    fs::write(&path, b"name=\xc4\xe3\n").unwrap();
    let mut replace = json!({ "path": path, "regexp": "你", "replace": "好", "encoding": "gbk" });
    Bench::default().call("replace", replace.clone()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"name=\xba\xc3\n");
    replace["replace"] = "한".into();
    replace["regexp"] = "好".into();
    assert!(fails("replace", replace).contains("can't be written as gbk"));
    fs::write(&path, text).unwrap();
    let gone = json!({ "path": path, "block": "" });
    assert_eq!(apply("blockinfile", &gone).values["msg"], "Block removed");
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn looking() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("a.log"), "x".repeat(3000)).unwrap();
    fs::write(at("d/b.log"), "needle here\n").unwrap();
    fs::write(at("d/.hidden.log"), "").unwrap();
    let find = |extra: Value| {
        let mut call = json!({ "paths": [folder.path()] });
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let outcome = Bench::default().call("find", call).unwrap();
        let files = outcome.values["files"].as_array().unwrap();
        files
            .iter()
            .map(|file| file["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(find(json!({ "patterns": ["*.log"] })), ["a.log"]);
    assert_eq!(find(json!({ "patterns": ["*.log"], "recurse": true, "hidden": true })).len(), 3);
    assert_eq!(find(json!({ "recurse": true, "size": "2k" })), ["a.log"]);
    assert_eq!(find(json!({ "recurse": true, "contains": ".*dle" })), ["b.log"]);
    assert_eq!(find(json!({ "recurse": true, "use_regex": true, "patterns": ["^b"] })), ["b.log"]);
    assert_eq!(find(json!({ "file_type": "directory" })), ["d"]);
    assert_eq!(find(json!({ "recurse": true, "limit": 1 })).len(), 1);
    assert!(find(json!({ "age": "1d" })).is_empty());
    // "你好" in GBK: no UTF-8.
    fs::write(at("c.gbk"), b"\xc4\xe3\xba\xc3\n").unwrap();
    assert_eq!(find(json!({ "encoding": "gbk", "contains": "你好" })), ["c.gbk"]);
    let find = |encoding: &str| {
        let call = json!({ "paths": [folder.path()], "encoding": encoding, "contains": ".*dle" });
        let outcome = Bench::default().call("find", call).unwrap();
        let reason = outcome.values["skipped_paths"][folder.path().to_str().unwrap()].clone();
        (outcome.values["msg"].clone(), reason.as_str().unwrap().to_owned())
    };
    let (message, reason) = find("utf-8");
    assert_eq!(message, "Not all paths examined, check warnings for details");
    assert!(
        reason.ends_with("c.gbk due to an encoding error. current encoding: utf-8"),
        "{reason}"
    );
    assert_eq!(find("idontexist").1, "unknown encoding: idontexist");
    let stat = Bench::default().call("stat", json!({ "path": at("a.log") })).unwrap();
    assert_eq!(
        (&stat.values["stat"]["size"], &stat.values["stat"]["isreg"]),
        (&json!(3000), &json!(true))
    );
    let slurp = Bench::default().call("slurp", json!({ "src": at("d/b.log") })).unwrap();
    assert_eq!(slurp.values["content"], "bmVlZGxlIGhlcmUK");
    assert!(fails("slurp", json!({ "src": at("nothing") })).contains("file not found"));
    let temporary = json!({ "path": folder.path(), "suffix": ".x", "state": "directory" });
    let made = Bench::default().call("tempfile", temporary).unwrap();
    assert!(Path::new(made.values["path"].as_str().unwrap()).is_dir());
}

#[test]
fn assembling() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).unwrap();
    for (name, text) in [("2", "two"), ("1", "one\n"), (".0", "zero"), ("3.bak", "no")] {
        fs::write(at("d").join(name), text).unwrap();
    }
    let call = json!({ "src": at("d"), "dest": at("out"), "delimiter": "--\\n--", "regexp": r"^\.?\d$", "ignore_hidden": true });
    assert!(apply("assemble", &call).changed);
    assert_eq!(fs::read_to_string(at("out")).unwrap(), "one\n--\n--\ntwo");
}

fn shell(folder: &Path, script: &str) -> bool {
    Command::new("sh").args(["-ec", script]).current_dir(folder).status().unwrap().success()
}

#[test]
fn archives_of_all_formats() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(shell(
        folder.path(),
        "umask 022; mkdir -p src/top/bin src/top/lib; echo run >src/top/bin/tool; chmod 755 src/top/bin/tool; \
         echo lib >src/top/lib/a.so; head -c 300000 /dev/urandom >src/top/lib/big; \
         ln -s ../lib/a.so src/top/bin/link; ln src/top/lib/a.so src/top/lib/hard; \
         chown -R nobody src/top/lib; touch -d 2020-02-02 src/top/bin/tool; cd src; \
         tar cf ../a.tar top; tar czf ../a.tgz top; tar cjf ../a.tbz top 2>/dev/null || :; \
         tar cJf ../a.txz top; tar --zstd -cf ../a.tzst top; tar --format=pax -czf ../p.tgz top"
    ));
    for (name, handler) in [
        ("a.tar", "TarArchive"),
        ("a.tgz", "TgzArchive"),
        ("p.tgz", "TgzArchive"),
        ("a.tbz", "TarBzipArchive"),
        ("a.txz", "TarXzArchive"),
        ("a.tzst", "TarZstdArchive"),
    ] {
        if fs::metadata(at(name)).map_or(0, |data| data.len()) == 0 {
            continue;
        }
        let dest = at(&format!("{name}.out"));
        fs::create_dir(&dest).unwrap();
        let call = json!({ "src": at(name), "dest": dest, "remote_src": true, "list_files": true });
        let outcome = apply("unarchive", &call);
        assert_eq!(outcome.values["handler"], handler);
        assert_eq!(outcome.values["files"].as_array().unwrap().len(), 8, "{name}");
        // The oracle: tar finds no difference either.
        assert!(shell(&at("src"), &format!("diff -r top {}/top", dest.display())));
        assert!(shell(folder.path(), &format!("tar -df {name} -C {}", dest.display())), "{name}");
        // A change on the disk is repaired, and only that.
        fs::write(dest.join("top/lib/a.so"), "liX\n").unwrap();
        let outcome = apply("unarchive", &call);
        assert!(outcome.changed && outcome.diff[0].after.contains("a.so"), "{:?}", outcome.diff);
        assert!(shell(folder.path(), &format!("tar -df {name} -C {}", dest.display())), "{name}");
    }
    let dest = at("options");
    fs::create_dir(&dest).unwrap();
    let call = json!({ "src": at("a.tgz"), "dest": dest, "remote_src": true, "owner": "daemon", "mode": "u=rwX,go=",
        "extra_opts": ["--strip-components=1"], "exclude": ["*.so", "hard"] });
    apply("unarchive", &call);
    assert_eq!(mode(&dest.join("bin/tool")), 0o700);
    assert!(!dest.join("lib/a.so").exists() && dest.join("lib/big").exists());
    assert_eq!(fs::metadata(dest.join("lib")).unwrap().uid(), 1);
    let creates = json!({ "src": at("a.tgz"), "dest": dest, "remote_src": true, "creates": dest });
    assert!(Bench::default().call("unarchive", creates).unwrap().skipped.is_some());
}

#[test]
fn zip_archives() {
    let folder = tempfile::tempdir().unwrap();
    let script = "import zipfile,os\nz=zipfile.ZipFile('a.zip','w',zipfile.ZIP_DEFLATED)\n\
        i=zipfile.ZipInfo('top/tool',(2020,2,2,3,4,6)); i.external_attr=0o100755<<16\nz.writestr(i,'run')\n\
        z.writestr('top/text.md','x'*100000)\nz.close()\n";
    if !Command::new("python3")
        .args(["-c", script])
        .current_dir(&folder)
        .status()
        .is_ok_and(|s| s.success())
    {
        return;
    }
    let dest = folder.path().join("out");
    fs::create_dir(&dest).unwrap();
    let call = json!({ "src": folder.path().join("a.zip"), "dest": dest, "remote_src": true });
    assert_eq!(apply("unarchive", &call).values["handler"], "ZipArchive");
    assert_eq!(mode(&dest.join("top/tool")), 0o755);
    assert_eq!(fs::read(dest.join("top/text.md")).unwrap().len(), 100_000);
    if Command::new("unzip").arg("-v").output().is_ok() {
        assert!(shell(
            folder.path(),
            "mkdir u; unzip -q a.zip -d u; diff -r u out; test out/top/tool -nt u/top/tool -o ! u/top/tool -nt out/top/tool"
        ));
    }
}

/// A tar archive of raw entries: name, kind, link target.
fn hostile(entries: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, target) in entries {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(b"00000000000\0");
        header[136..148].copy_from_slice(b"00000000000\0");
        header[156] = *kind;
        header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&header);
    }
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

#[test]
fn hostile_archives_touch_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, dest) = (folder.path().join("a.tar"), folder.path().join("dest"));
    fs::create_dir_all(folder.path().join("outside")).unwrap();
    let cases: &[&[(&str, u8, &str)]] = &[
        &[("ok", b'0', ""), ("../outside/x", b'0', "")],
        &[("a/../../outside/x", b'0', "")],
        &[("ok", b'0', ""), ("l", b'2', "/etc")],
        &[("a/l", b'2', "../../outside")],
        &[("ok", b'0', ""), ("l", b'1', "../outside/x")],
        &[("ok", b'0', ""), ("d", b'3', "")],
        &[("ok", b'0', ""), ("f", b'6', "")],
    ];
    for case in cases {
        fs::create_dir(&dest).unwrap();
        fs::write(&archive, hostile(case)).unwrap();
        let message =
            fails("unarchive", json!({ "src": archive, "dest": dest, "remote_src": true }));
        assert!(!message.is_empty());
        assert_eq!(fs::read_dir(&dest).unwrap().count(), 0, "{case:?} {message}");
        fs::remove_dir_all(&dest).unwrap();
    }
    // A link that lies there already leads out: nothing is written through it.
    fs::create_dir(&dest).unwrap();
    symlink(folder.path().join("outside"), dest.join("l")).unwrap();
    fs::write(&archive, hostile(&[("l/x", b'0', "")])).unwrap();
    fails("unarchive", json!({ "src": archive, "dest": dest, "remote_src": true }));
    assert_eq!(fs::read_dir(folder.path().join("outside")).unwrap().count(), 0);
    // Links made by the archive can't be used to get out by two steps.
    fs::write(&archive, hostile(&[("a", b'2', "b/.."), ("b", b'2', "."), ("a/../x", b'0', "")]))
        .unwrap();
    fails("unarchive", json!({ "src": archive, "dest": dest, "remote_src": true }));
    // Rubbish.
    for bytes in [
        &b""[..],
        b"garbage",
        b"\x1f\x8bgarbage",
        b"PK\x03\x04garbage",
        b"BZhgarbage",
        b"\xfd7zXZ\0xx",
        b"\x28\xb5\x2f\xfd",
    ] {
        fs::write(&archive, bytes).unwrap();
        fails("unarchive", json!({ "src": archive, "dest": dest, "remote_src": true }));
    }
}

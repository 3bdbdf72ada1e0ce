//! Changing an account that exists.

use std::collections::BTreeSet;

use super::super::accounts::{self, Shadow};
use super::super::process::Run;
use super::{Progress, UserArguments, date, set_password};
use crate::module::{Context, Failure};
use crate::names::User;

/// How groups are to change.
#[derive(Debug, Default, PartialEq, Eq)]
struct GroupChange {
    wanted: BTreeSet<String>,
    added: Vec<String>,
    removed: Vec<String>,
}

pub(super) fn modify(
    given: &UserArguments,
    user: &User,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let shadow = Shadow::of(&given.name);
    let has_shadow = shadow.is_some();
    let shadow = shadow.unwrap_or_default();
    let mut options: Vec<String> = identity(given, user, progress)?;
    let groups = groups(given)?;
    if let Some(groups) = &groups {
        let before = accounts::memberships(&given.name);
        let after: Vec<String> = if given.append {
            before.iter().chain(&groups.added).cloned().collect()
        } else {
            groups.wanted.iter().cloned().collect()
        };
        progress.change.note("groups", before, after);
        if !given.local {
            if given.append {
                options.push("-a".to_owned());
            }
            let list: Vec<&str> = groups.wanted.iter().map(String::as_str).collect();
            options.extend(["-G".to_owned(), list.join(",")]);
        }
    }
    let expiry = expiry(given, &shadow, has_shadow, progress)?;
    if let (Some(day), false) = (expiry, given.local) {
        options.extend(["-e".to_owned(), day.map_or_else(String::new, date)]);
    }
    let inactive = given.password_expire_account_disable;
    if let Some(days) = inactive.filter(|days| *days != shadow.inactive.unwrap_or(-1)) {
        progress.change.note("password_expire_account_disable", shadow.inactive, days);
        options.extend(["-f".to_owned(), days.to_string()]);
    }
    let password = given.password.as_deref().filter(|password| {
        given.update_password.as_deref() != Some("on_create")
            && password.trim_start_matches('!') != shadow.password.trim_start_matches('!')
    });
    // A new password brings its own lock along.
    if password.is_none()
        && let Some(option) = lock(given.password_lock, &shadow.password)
    {
        progress.change.note("password_lock", option == "-U", option == "-L");
        options.push(option.to_owned());
    }
    if !options.is_empty() {
        let tool = if given.local { "lusermod" } else { "usermod" };
        let run = Run::tool(tool)?.arguments(options).argument(&given.name);
        progress.run(run, given, context)?;
    }
    if let Some(password) = password {
        progress.change.note("password", "VALUE_HIDDEN", "NEW_VALUE_HIDDEN");
        set_password(password, given, context, progress)?;
    }
    if given.local {
        modify_local(given, expiry, groups.unwrap_or_default(), context, progress)?;
    }
    Ok(())
}

/// Options for what stands in `/etc/passwd`.
fn identity(
    given: &UserArguments,
    user: &User,
    progress: &mut Progress,
) -> Result<Vec<String>, Failure> {
    let mut options = Vec::new();
    if let Some(uid) = given.uid.filter(|uid| *uid != user.uid) {
        progress.change.note("uid", user.uid, uid);
        options.extend(["-u".to_owned(), uid.to_string()]);
        if given.non_unique {
            options.push("-o".to_owned());
        }
    }
    if let Some(group) = &given.group {
        let group = accounts::group(group)?;
        if group.gid != user.gid {
            progress.change.note("group", user.gid, group.gid);
            options.extend(["-g".to_owned(), group.gid.to_string()]);
        }
    }
    let home = user.home.to_string_lossy();
    let shell = user.shell.to_string_lossy();
    for (name, option, wanted, now) in [
        ("comment", "-c", &given.comment, user.gecos.as_str()),
        ("home", "-d", &given.home, &*home),
        ("shell", "-s", &given.shell, &*shell),
    ] {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != now) {
            progress.change.note(name, now, wanted.as_str());
            options.extend([option.to_owned(), wanted.clone()]);
            if name == "home" && given.move_home {
                options.push("-m".to_owned());
            }
        }
    }
    Ok(options)
}

/// The change of supplementary groups, if any.
fn groups(given: &UserArguments) -> Result<Option<GroupChange>, Failure> {
    let Some(names) = &given.groups else { return Ok(None) };
    let mut wanted = BTreeSet::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        wanted.insert(accounts::group(name)?.name);
    }
    let current: BTreeSet<String> = accounts::memberships(&given.name).into_iter().collect();
    Ok(group_change(wanted, &current, given.append))
}

fn group_change(
    wanted: BTreeSet<String>,
    current: &BTreeSet<String>,
    append: bool,
) -> Option<GroupChange> {
    let added: Vec<String> = wanted.difference(current).cloned().collect();
    let removed: Vec<String> =
        if append { Vec::new() } else { current.difference(&wanted).cloned().collect() };
    if added.is_empty() && removed.is_empty() {
        return None;
    }
    Some(GroupChange { wanted, added, removed })
}

/// The new day of expiry, if it changes; `Some(None)`: never.
fn expiry(
    given: &UserArguments,
    shadow: &Shadow,
    has_shadow: bool,
    progress: &mut Progress,
) -> Result<Option<Option<i64>>, Failure> {
    let Some(wanted) = given.expiry_day()? else { return Ok(None) };
    let now = shadow.expires.filter(|day| *day >= 0);
    // That an account without a line of its own never expires has yet to be written down.
    if wanted == now && (has_shadow || wanted.is_some()) {
        return Ok(None);
    }
    progress.change.note("expires", now.map(date), wanted.map(date));
    Ok(Some(wanted))
}

/// Locks an unlocked password, unlocks a locked one.
fn lock(wanted: Option<bool>, password: &str) -> Option<&'static str> {
    match (wanted, password.starts_with('!')) {
        (Some(true), false) => Some("-L"),
        (Some(false), true) => Some("-U"),
        _ => None,
    }
}

fn modify_local(
    given: &UserArguments,
    expiry: Option<Option<i64>>,
    groups: GroupChange,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if let Some(day) = expiry {
        let day = day.unwrap_or(-1).to_string();
        let run = Run::tool("lchage")?.arguments(["-E", &day, &given.name]);
        progress.run(run, given, context)?;
    }
    for (option, names) in [("-M", groups.added), ("-m", groups.removed)] {
        for group in names {
            let run = Run::tool("lgroupmod")?.arguments([option, &given.name, &group]);
            progress.run(run, given, context)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn groups_are_replaced_or_added() {
        let current = set(&["a", "b"]);
        assert_eq!(group_change(set(&["a", "b"]), &current, false), None);
        assert_eq!(group_change(set(&["a"]), &current, true), None);
        let replaced = group_change(set(&["a", "c"]), &current, false).unwrap();
        assert_eq!((replaced.added, replaced.removed), (vec!["c".into()], vec!["b".into()]));
        let added = group_change(set(&["c"]), &current, true).unwrap();
        assert!(added.removed.is_empty());
        assert_eq!(group_change(set(&[]), &current, false).unwrap().removed.len(), 2);
        assert_eq!(group_change(set(&[]), &current, true), None);
    }

    #[test]
    fn locks() {
        assert_eq!(lock(Some(true), "$6$x"), Some("-L"));
        assert_eq!(lock(Some(true), "!$6$x"), None);
        assert_eq!(lock(Some(false), "!$6$x"), Some("-U"));
        assert_eq!(lock(Some(false), "$6$x"), None);
        assert_eq!(lock(None, "!"), None);
    }
}

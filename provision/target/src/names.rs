//! Users and groups by name and by number.
//!
//! The helper is linked statically, so libc's name service switch is out of reach: `/etc/passwd`
//! and `/etc/group` are read here, and `getent` is asked only when `/etc/nsswitch.conf` names
//! another source. Nothing is cached between calls, since a call may add a user.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Full name and other remarks.
    pub gecos: String,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Names of its members, without those who have it as their primary group.
    pub members: Vec<String>,
}

/// The user of this name.
///
/// # Errors
/// When the user database can't be read.
pub fn user_by_name(name: &str) -> io::Result<Option<User>> {
    find(&USERS, name, parse_user, |user| user.name == name)
}

/// The user with this id.
///
/// # Errors
/// When the user database can't be read.
pub fn user_by_id(uid: u32) -> io::Result<Option<User>> {
    find(&USERS, &uid.to_string(), parse_user, |user| user.uid == uid)
}

/// The group of this name.
///
/// # Errors
/// When the group database can't be read.
pub fn group_by_name(name: &str) -> io::Result<Option<Group>> {
    find(&GROUPS, name, parse_group, |group| group.name == name)
}

/// The group with this id.
///
/// # Errors
/// When the group database can't be read.
pub fn group_by_id(gid: u32) -> io::Result<Option<Group>> {
    find(&GROUPS, &gid.to_string(), parse_group, |group| group.gid == gid)
}

/// All groups a user is in, the primary one first.
///
/// # Errors
/// When the group database can't be read.
pub fn groups_of(user: &User) -> io::Result<Vec<u32>> {
    let mut groups = vec![user.gid];
    let members = read_lines(GROUPS.path)?
        .iter()
        .filter_map(|line| parse_group(line))
        .filter_map(|group| group.members.contains(&user.name).then_some(group.gid))
        .collect::<Vec<u32>>();
    let foreign = if asks_getent(GROUPS.name)? {
        // `getent initgroups NAME` prints the name and then the ids.
        getent("initgroups", &user.name)?
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|id| id.parse().ok())
            .collect()
    } else {
        Vec::new()
    };
    for gid in members.into_iter().chain(foreign) {
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    Ok(groups)
}

/// Names of users and groups by id, remembered for the length of one call: a listing of many
/// files asks for the same few ids again and again.
#[derive(Debug, Default)]
pub struct NamesById {
    users: BTreeMap<u32, Option<String>>,
    groups: BTreeMap<u32, Option<String>>,
}

impl NamesById {
    /// The user's name; `None` if nobody has this id.
    pub fn user(&mut self, uid: u32) -> Option<&str> {
        self.users
            .entry(uid)
            .or_insert_with(|| user_by_id(uid).ok().flatten().map(|user| user.name))
            .as_deref()
    }

    /// The group's name; `None` if no group has this id.
    pub fn group(&mut self, gid: u32) -> Option<&str> {
        self.groups
            .entry(gid)
            .or_insert_with(|| group_by_id(gid).ok().flatten().map(|group| group.name))
            .as_deref()
    }
}

struct Database {
    /// As `getent` and `nsswitch.conf` call it.
    name: &'static str,
    path: &'static str,
}

const USERS: Database = Database { name: "passwd", path: "/etc/passwd" };
const GROUPS: Database = Database { name: "group", path: "/etc/group" };

fn find<T>(
    database: &Database,
    key: &str,
    parse: fn(&str) -> Option<T>,
    wanted: impl Fn(&T) -> bool,
) -> io::Result<Option<T>> {
    if let Some(found) =
        read_lines(database.path)?.iter().filter_map(|line| parse(line)).find(&wanted)
    {
        return Ok(Some(found));
    }
    if !asks_getent(database.name)? {
        return Ok(None);
    }
    let line = getent(database.name, key)?;
    // getent takes digits for an id, so the answer may be someone else.
    Ok(line.as_deref().and_then(|line| parse(line.trim_end())).filter(wanted))
}

/// Lines that are not UTF-8 can't be named by a call anyway: broken characters are replaced.
fn read_lines(path: &str) -> io::Result<Vec<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether a source other than the files is configured.
fn asks_getent(database: &str) -> io::Result<bool> {
    let lines = read_lines("/etc/nsswitch.conf")?;
    Ok(lines.iter().any(|line| names_foreign_source(line, database)))
}

fn names_foreign_source(line: &str, database: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    let Some((name, sources)) = line.split_once(':') else { return false };
    name.trim() == database
        && sources
            .split_whitespace()
            .any(|source| !source.starts_with('[') && !matches!(source, "files" | "compat"))
}

fn getent(database: &str, key: &str) -> io::Result<Option<String>> {
    const PLACES: &[&str] = &["/usr/bin/getent", "/bin/getent"];
    let Some(program) = PLACES.iter().find(|place| Path::new(place).exists()) else {
        return Ok(None);
    };
    let output = Command::new(program)
        .args([database, "--", key])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(if output.status.success() { text.lines().next().map(str::to_owned) } else { None })
}

fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| is_name(name))?;
    let _password = fields.next()?;
    Some(User {
        name: name.to_owned(),
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
        gecos: fields.next()?.to_owned(),
        home: PathBuf::from(fields.next()?),
        shell: PathBuf::from(fields.next().unwrap_or_default()),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| is_name(name))?;
    let _password = fields.next()?;
    Some(Group {
        name: name.to_owned(),
        gid: fields.next()?.parse().ok()?,
        members: fields
            .next()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|member| !member.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

/// Comments and the `+`/`-` lines of `compat` are not users.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '+', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_its_names() {
        let root = user_by_name("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(user_by_id(0).unwrap().unwrap().name, "root");
        assert_eq!(group_by_id(0).unwrap().unwrap().name, "root");
        assert_eq!(group_by_name("root").unwrap().unwrap().gid, 0);
        assert!(groups_of(&root).unwrap().contains(&0));
        assert_eq!(user_by_name("no-such-user").unwrap(), None);
        assert_eq!(user_by_name("0").unwrap(), None);
    }

    #[test]
    fn odd_lines_are_nobody() {
        assert_eq!(parse_user(""), None);
        assert_eq!(parse_user("# root:x:0:0:::"), None);
        assert_eq!(parse_user("+::::::"), None);
        assert_eq!(parse_user("a:x:-1:0:::"), None);
        assert_eq!(parse_user("a:x:1:2::/home").unwrap().shell, PathBuf::new());
        assert_eq!(parse_group("g:x:7:a, b,").unwrap().members, ["a", "b"]);
    }

    #[test]
    fn only_foreign_sources_ask_getent() {
        assert!(!names_foreign_source("passwd: files", "passwd"));
        assert!(!names_foreign_source("passwd:compat # ldap", "passwd"));
        assert!(!names_foreign_source("group: files ldap", "passwd"));
        assert!(names_foreign_source("passwd:  files [NOTFOUND=return] ldap", "passwd"));
    }
}

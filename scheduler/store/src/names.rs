//! Names of records as texts: `cluster`, `machine/m1`, `app/web`, `instance/web.3`,
//! `volume/web.3`. They sort by
//! kind, and no name of a machine has a slash.

use scheduler_core::command::Key;

const CLUSTER: &str = "cluster";

/// The text of a name.
#[must_use]
pub fn name_of(key: &Key) -> String {
    match key {
        Key::Cluster => CLUSTER.to_owned(),
        Key::Machine(name) => format!("machine/{name}"),
        Key::App(name) => format!("app/{name}"),
        Key::Instance(id) => format!("instance/{id}"),
        Key::Volume(id) => format!("volume/{id}"),
    }
}

/// The name from its text, if it is one.
#[must_use]
pub fn key_of(name: &str) -> Option<Key> {
    if name == CLUSTER {
        return Some(Key::Cluster);
    }
    let (kind, rest) = name.split_once('/')?;
    match kind {
        "machine" => rest.parse().ok().map(Key::Machine),
        "app" => rest.parse().ok().map(Key::App),
        "instance" => rest.parse().ok().map(Key::Instance),
        "volume" => rest.parse().ok().map(Key::Volume),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["cluster", "machine/10.0.0.1", "app/web", "instance/web.17", "volume/web.17"] {
            let key = key_of(name).unwrap();
            assert_eq!(name_of(&key), name);
        }
        for wrong in ["", "clusters", "machine/", "machine/a/b", "app/Web", "instance/web", "x/web"]
        {
            assert_eq!(key_of(wrong), None, "{wrong}");
        }
    }
}

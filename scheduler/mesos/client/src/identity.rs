//! Where the framework's id is kept.

use std::io;
use std::path::PathBuf;

use mesos::FrameworkId;

/// Where the framework's id is kept. Without it, all tasks would be lost to the next start.
pub trait Identity: Send {
    /// The id, if there is one.
    ///
    /// # Errors
    /// When it can't be read.
    fn load(&self) -> io::Result<Option<FrameworkId>>;

    /// Keeps it, durably.
    ///
    /// # Errors
    /// When it isn't durable.
    fn save(&mut self, id: &FrameworkId) -> io::Result<()>;
}

/// A file of this machine.
#[derive(Debug, Clone)]
pub struct FileIdentity(pub PathBuf);

impl Identity for FileIdentity {
    fn load(&self) -> io::Result<Option<FrameworkId>> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => {
                let id = text.trim();
                mesos::name::check_id(id)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                Ok(Some(FrameworkId::new(id)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&mut self, id: &FrameworkId) -> io::Result<()> {
        durable::write(&self.0, format!("{id}\n").as_bytes(), 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut identity = FileIdentity(folder.path().join("framework"));
        assert_eq!(identity.load().unwrap(), None);
        let id = FrameworkId::new("0363abfa-0000");
        identity.save(&id).unwrap();
        assert_eq!(identity.load().unwrap(), Some(id));
        std::fs::write(&identity.0, "\n").unwrap();
        assert!(identity.load().is_err(), "an empty file is no id, and no reason for a new one");
    }
}

//! `[io]` The certificate of a lab's services: one for all hosts, that vouches for itself. It is made
//! once, so that a second `lab up` changes nothing on the hosts.

use std::fs;
use std::path::Path;

use super::directories::{Record, StateDirectory, write_file};
use crate::error::{Doing, Error};

/// A certificate and its key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What is shown, and what vouches for it.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The one of a lab; made if there is none yet.
///
/// # Errors
/// It can't be made, read or written.
pub fn ensure(directory: &StateDirectory, record: &Record) -> Result<Certificate, Error> {
    let (file, key_file) = (directory.certificate(), directory.certificate_key());
    if file.is_file() && key_file.is_file() {
        return Ok(Certificate { certificate: read(&file)?, key: read(&key_file)? });
    }
    let made = make(&names(record))?;
    write_file(&key_file, made.key.as_bytes())?;
    write_file(&file, made.certificate.as_bytes())?;
    Ok(made)
}

/// Everything that a host of the lab is called, on the direct way and on the delayed one.
fn names(record: &Record) -> Vec<String> {
    let of_host = |host| {
        let subnet = record.subnet;
        [subnet.address(host).to_string(), subnet.delayed_address(host).to_string()]
    };
    let addresses = record.hosts.iter().flat_map(of_host);
    let names = record.hosts.iter().map(|host| host.name.clone());
    names.chain(addresses).chain(["localhost".to_owned()]).collect()
}

fn make(names: &[String]) -> Result<Certificate, Error> {
    let action = || "make a certificate for the lab".to_owned();
    let made = rcgen::generate_simple_self_signed(names);
    let made = made.map_err(|error| Error::refused(action(), error.to_string()))?;
    Ok(Certificate { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).doing(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::names::{LabName, Layout, Subnet};

    #[test]
    fn it_is_made_once_and_has_all_names() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDirectory::at(folder.path().to_owned());
        fs::create_dir_all(folder.path().join("keys")).unwrap();
        let name = LabName::parse("demo").unwrap();
        let hosts = Layout::demo().hosts().unwrap();
        let record = Record::new(name, Subnet::DEMO, hosts, Vec::new());
        let first = ensure(&directory, &record).unwrap();
        assert!(first.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(first.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(ensure(&directory, &record).unwrap(), first);
        let names = names(&record);
        for name in ["zk3", "10.77.0.13", "worker2", "localhost"] {
            assert!(names.iter().any(|one| one == name), "{names:?}");
        }
    }
}

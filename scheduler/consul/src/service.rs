//! An instance as a service of Consul.

use std::collections::BTreeMap;

use consul::Status;
use consul::agent::{Registration, ServiceCheck, WEIGHT_MOST, Weights};
use policy::Nanoseconds;
use scheduler_core::app::{DiscoveryCheck, Probe, Specification};
use scheduler_core::ids::{InstanceId, Version};
use sha2::{Digest, Sha256};

/// Whose service it is: the name of a scheduler.
pub const OWNER_KEY: &str = "corral-scheduler";

/// What it was registered as, without its weight: what can't be read back, such as a check, is
/// compared by this.
pub const DIGEST_KEY: &str = "corral-registration";

/// What its maker calls the version.
pub const LABEL_KEY: &str = "version";

/// The number of the version.
pub const VERSION_KEY: &str = "corral-version";

/// The longest value of a service's meta that Consul takes, in bytes.
const META_MOST_BYTES: usize = 512;

/// The shortest interval that Consul takes.
const INTERVAL_LEAST: Nanoseconds = Nanoseconds::from_seconds(1);

/// Hexadecimal digits of the digest: what is compared are versions of one service, not enemies.
const DIGEST_DIGITS: usize = 16;

/// What a service that warns gets: next to nothing.
const WARNING_WEIGHT: u32 = 1;

/// Within which time the scheduler says that an instance is healthy, if Consul waits for that.
#[must_use]
pub fn ttl(specification: &Specification) -> Option<Nanoseconds> {
    match specification.discovery.check {
        DiscoveryCheck::Ttl(length) => Some(length),
        DiscoveryCheck::AsHealth
        | DiscoveryCheck::Nothing
        | DiscoveryCheck::Script(_)
        | DiscoveryCheck::Docker(_) => None,
    }
}

/// Whether it is registered only when the name of its container is known.
#[must_use]
pub const fn needs_container(specification: &Specification) -> bool {
    matches!(specification.discovery.check, DiscoveryCheck::Docker(_))
}

/// Whether Consul doesn't see that an instance is healthy: while it isn't, it isn't registered.
#[must_use]
pub fn is_watched(specification: &Specification) -> bool {
    let is_command =
        specification.check.as_ref().is_some_and(|check| matches!(check.probe, Probe::Command(_)));
    specification.discovery.check == DiscoveryCheck::AsHealth && is_command
}

/// An instance as a service, with any weight. `host` is where its agent reaches it, `container` how the
/// engine of containers there names it.
#[must_use]
pub fn registration(
    owner: &str,
    id: &InstanceId,
    version: Version,
    specification: &Specification,
    ports: &[u16],
    host: &str,
    container: Option<&str>,
) -> Registration {
    let port = |number: u32| {
        usize::try_from(number).ok().and_then(|number| ports.get(number)).copied().unwrap_or(0)
    };
    let discovery = &specification.discovery;
    let check = check(id, specification, host, container, &port);
    let mut registration = Registration {
        id: id.to_string(),
        name: id.app.to_string(),
        tags: discovery.tags.clone(),
        address: String::new(),
        port: port(discovery.port),
        meta: BTreeMap::from([
            (OWNER_KEY.to_owned(), owner.to_owned()),
            (LABEL_KEY.to_owned(), shortened(&specification.label)),
            (VERSION_KEY.to_owned(), version.0.to_string()),
        ]),
        weights: weights(0),
        check,
    };
    let digest = digest(&registration);
    registration.meta.insert(DIGEST_KEY.to_owned(), digest);
    registration
}

/// Weights of Consul: the thousandths themselves, but 1 at least.
#[must_use]
pub fn weights(thousandths: u32) -> Weights {
    Weights { passing: thousandths.clamp(1, WEIGHT_MOST), warning: WARNING_WEIGHT }
}

fn check(
    id: &InstanceId,
    specification: &Specification,
    host: &str,
    container: Option<&str>,
    port: &dyn Fn(u32) -> u16,
) -> Option<ServiceCheck> {
    let health = specification.check.as_ref();
    // It was healthy when it came here, so it is found at once.
    let plain = ServiceCheck {
        id: format!("service:{id}"),
        status: Some(Status::Passing),
        ..ServiceCheck::default()
    };
    let interval = health.map_or(INTERVAL_LEAST, |check| check.interval.max(INTERVAL_LEAST));
    let timed = ServiceCheck {
        interval: Some(go_length(interval)),
        timeout: health.map(|check| go_length(check.timeout)),
        failures: health.map(|check| check.failures),
        ..plain.clone()
    };
    match &specification.discovery.check {
        DiscoveryCheck::Nothing => None,
        DiscoveryCheck::Ttl(length) => {
            Some(ServiceCheck { ttl: Some(go_length(*length)), ..plain })
        }
        DiscoveryCheck::Script(words) => Some(ServiceCheck { args: Some(words.clone()), ..timed }),
        DiscoveryCheck::Docker(words) => {
            let (args, container) = (Some(words.clone()), Some(container?.to_owned()));
            Some(ServiceCheck { args, container, ..timed })
        }
        DiscoveryCheck::AsHealth => match health.map(|check| &check.probe)? {
            Probe::Http { path, port: number } => {
                let url = format!("http://{host}:{}{path}", port(*number));
                Some(ServiceCheck { http: Some(url), ..timed })
            }
            Probe::Tcp { port: number } => {
                let address = format!("{host}:{}", port(*number));
                Some(ServiceCheck { tcp: Some(address), ..timed })
            }
            Probe::Command(_) => None,
        },
    }
}

/// A length as Go reads it.
fn go_length(length: Nanoseconds) -> String {
    format!("{}ms", length.0.div_ceil(1_000_000))
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(META_MOST_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn digest(registration: &Registration) -> String {
    let text = serde_json::to_vec(registration).unwrap_or_default();
    let mut digest = hex::encode(Sha256::digest(text));
    digest.truncate(DIGEST_DIGITS);
    digest
}

#[cfg(test)]
mod tests {
    use scheduler_core::app::{Check, Discovery, Need, Run};

    use super::*;

    fn specification(check: Option<Probe>, discovery: DiscoveryCheck) -> Specification {
        Specification {
            label: "2.1".to_owned(),
            run: Run::Command(vec!["a".to_owned()]),
            need: Need { ports: 2, ..Need::default() },
            environment: BTreeMap::new(),
            health_grace: None,
            kill_grace: Nanoseconds::ZERO,
            warm_up: None,
            cool_down: None,
            constraints: Vec::new(),
            check: check.map(|probe| Check {
                probe,
                interval: Nanoseconds::from_milliseconds(100),
                timeout: Nanoseconds::from_seconds(2),
                failures: 3,
            }),
            inner_ports: Vec::new(),
            discovery: Discovery { port: 1, tags: vec!["t".to_owned()], check: discovery },
            metrics: None,
            volumes: Vec::new(),
            reserves: scheduler_core::volume::Reserves::All,
        }
    }

    fn made(check: Option<Probe>, discovery: DiscoveryCheck) -> (Registration, Specification) {
        let specification = specification(check, discovery);
        let id = "web.7".parse().unwrap();
        let ports = [31_000, 31_001];
        let container = Some("mesos-7f");
        let made =
            registration("us", &id, Version(3), &specification, &ports, "10.0.0.1", container);
        (made, specification)
    }

    #[test]
    fn a_service_has_the_name_of_its_app_and_the_check_of_its_file() {
        let http = || Some(Probe::Http { path: "/h".to_owned(), port: 0 });
        let (service, made_of) = made(http(), DiscoveryCheck::AsHealth);
        assert_eq!((service.id.as_str(), service.name.as_str()), ("web.7", "web"));
        assert_eq!((service.port, service.tags.as_slice()), (31_001, &["t".to_owned()][..]));
        assert_eq!(service.meta[OWNER_KEY], "us");
        assert_eq!(
            (service.meta[LABEL_KEY].as_str(), service.meta[VERSION_KEY].as_str()),
            ("2.1", "3")
        );
        let check = service.check.clone().unwrap();
        assert_eq!(check.http.as_deref(), Some("http://10.0.0.1:31000/h"));
        assert_eq!(check.interval.as_deref(), Some("1000ms"), "Consul takes no shorter one");
        assert_eq!((check.timeout.as_deref(), check.failures), (Some("2000ms"), Some(3)));
        assert!(!is_watched(&made_of) && ttl(&made_of).is_none());

        let (tcp, _) = made(Some(Probe::Tcp { port: 1 }), DiscoveryCheck::AsHealth);
        let check = tcp.check.clone().unwrap();
        assert_eq!(check.tcp.as_deref(), Some("10.0.0.1:31001"));
        let (timed, made_of) = made(http(), DiscoveryCheck::Ttl(Nanoseconds::from_seconds(30)));
        assert_eq!(timed.check.clone().unwrap().ttl.as_deref(), Some("30000ms"));
        assert_eq!(ttl(&made_of), Some(Nanoseconds::from_seconds(30)));
        let (script, _) = made(http(), DiscoveryCheck::Script(vec!["/bin/true".to_owned()]));
        let check = script.check.clone().unwrap();
        assert_eq!((check.args, check.http), (Some(vec!["/bin/true".to_owned()]), None));
        assert_eq!(made(http(), DiscoveryCheck::Nothing).0.check, None);
        let command = Some(Probe::Command(vec!["c".to_owned()]));
        let (command, made_of) = made(command, DiscoveryCheck::AsHealth);
        assert!(is_watched(&made_of) && command.check.is_none());
        let (docker, _) = made(http(), DiscoveryCheck::Docker(vec!["/alive".to_owned()]));
        let digests = [&service, &tcp, &timed, &script, &docker, &command]
            .map(|service| service.meta[DIGEST_KEY].clone());
        for (number, digest) in digests.iter().enumerate() {
            assert_eq!(digests.iter().position(|one| one == digest), Some(number), "{digests:?}");
        }
    }

    /// As Consul's reference has it (api/agent/check/register, `DockerContainerID`).
    #[test]
    fn a_docker_check_names_its_container() {
        let http = Some(Probe::Http { path: "/h".to_owned(), port: 0 });
        let words = vec!["/alive".to_owned(), "--quick".to_owned()];
        let (service, made_of) = made(http, DiscoveryCheck::Docker(words));
        let text = serde_json::to_string_pretty(&service).unwrap() + "\n";
        assert_eq!(text, include_str!("../tests/docker-check.json"));
        assert!(needs_container(&made_of) && !is_watched(&made_of) && ttl(&made_of).is_none());
    }

    #[test]
    fn weights_are_those_that_consul_takes() {
        assert_eq!(
            [0, 1, 100, 1000, 100_000].map(|one| weights(one).passing),
            [1, 1, 100, 1000, 65_535]
        );
        assert_eq!(shortened(&"ä".repeat(300)).len(), META_MOST_BYTES);
    }
}

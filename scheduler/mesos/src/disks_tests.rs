//! Disk of offers, before and after operations.

use std::collections::BTreeMap;

use mesos::AllocationInfo;
use policy::Nanoseconds;
use scheduler_core::app::{Discovery, Need};

use super::*;

fn framework() -> Framework {
    Framework {
        name: "corral".to_owned(),
        user: "root".to_owned(),
        role: "r".to_owned(),
        principal: Some("p".to_owned()),
        hostname: None,
        webui_url: None,
        failover_timeout_seconds: 0,
    }
}

fn specification(run: Run) -> Specification {
    let mount = |name: &str, path: &str, size_mib| Mount {
        name: name.parse().unwrap(),
        path: path.to_owned(),
        size_mib,
    };
    Specification {
        label: "1".to_owned(),
        run,
        need: Need::default(),
        environment: BTreeMap::new(),
        health_grace: None,
        kill_grace: Nanoseconds::ZERO,
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: Discovery::default(),
        metrics: None,
        volumes: vec![mount("data", "/var/lib/db", 100), mount("log", "/log", 50)],
        reserves: scheduler_core::volume::Reserves::All,
    }
}

fn offer(resources: Vec<Resource>) -> Offer {
    let allocation_info = Some(AllocationInfo { role: Some("r".to_owned()) });
    let allocated =
        |resource: Resource| Resource { allocation_info: allocation_info.clone(), ..resource };
    Offer { resources: resources.into_iter().map(allocated).collect(), ..Offer::default() }
}

fn disk(mib: i64) -> Resource {
    Resource::scalar("disk", Milli(mib * 1000))
}

fn ids(resources: &[Resource]) -> Vec<String> {
    let told = |one: &Resource| {
        let disk = one.disk.clone().unwrap_or_default();
        let id = disk.persistence.map(|one| one.id).unwrap_or_default();
        let path = disk.volume.map(|one| one.container_path).unwrap_or_default();
        format!("{id} {path} {} {}", one.amount().unwrap(), one.reservations.len())
    };
    resources.iter().map(told).collect()
}

#[test]
fn a_volume_is_made_once_and_found_again() {
    let (own_framework, id) = (framework(), FrameworkId::new("F"));
    let framework = (&own_framework, &id);
    let specification = specification(Run::Command(vec!["x".to_owned()]));
    let own = |is_new| OwnVolume {
        id: "db.7".parse().unwrap(),
        parts: specification.parts(),
        is_new,
        reserved: scheduler_core::volume::Reserved::default(),
    };
    let mut small = Disks::of([&offer(vec![disk(120)])], Some(&id));
    assert!(small.take(&own(true), &specification, framework).is_none(), "not enough for both");
    let mut plain = Disks::of([&offer(vec![disk(1000)])], Some(&id));
    let missing = plain.clone().take(&own(false), &specification, framework);
    assert!(missing.is_none(), "what was there isn't replaced");
    let taken = plain.take(&own(true), &specification, framework).unwrap();
    assert_eq!(ids(&taken.reserve), ["  100 1", "  50 1"]);
    assert_eq!(ids(&taken.create), ["db.7.data var/lib/db 100 1", "db.7.log log 50 1"]);
    assert_eq!(taken.resources, taken.create);
    let names: Vec<OperationType> = Taken::operations(taken.reserve.clone(), taken.create.clone())
        .iter()
        .map(Operation::r#type)
        .collect();
    assert_eq!(names, [OperationType::Reserve, OperationType::Create]);

    let later = offer([vec![disk(850)], taken.create.clone()].concat());
    let found = Disks::of([&later], Some(&id));
    assert_eq!(found.amount(), Milli(1_000_000));
    assert_eq!(found.volumes()[&"db.7".parse().unwrap()], specification.parts());
    let again = found.clone().take(&own(false), &specification, framework).unwrap();
    assert_eq!((again.reserve.len(), again.create.len()), (0, 0));
    assert_eq!(ids(&again.resources), ids(&taken.resources));
    let other = FrameworkId::new("G");
    assert!(Disks::of([&later], Some(&other)).volumes().is_empty(), "another framework's");

    // It was reserved, and not created.
    let half = offer([vec![disk(850)], taken.reserve].concat());
    let mut half = Disks::of([&half], Some(&id));
    let rest = half.clone().take(&own(true), &specification, framework).unwrap();
    assert_eq!((rest.reserve.len(), rest.create.len()), (0, 2));
    let ended = half.end(&"db.7".parse().unwrap()).unwrap().operations(&own(true).id);
    let kinds: Vec<OperationType> = ended.iter().map(Operation::r#type).collect();
    assert_eq!(kinds, [OperationType::Unreserve]);

    let mut found = found;
    assert!(found.end(&"db.8".parse().unwrap()).is_none());
    let ended = found.end(&"db.7".parse().unwrap()).unwrap().operations(&own(true).id);
    let kinds: Vec<OperationType> = ended.iter().map(Operation::r#type).collect();
    assert_eq!(kinds, [OperationType::Destroy, OperationType::Unreserve]);
    let name = ended[1].id.as_ref().and_then(ended_volume);
    assert_eq!(name, Some("db.7".parse().unwrap()));
    assert_eq!(found.amount(), Milli(850_000));
}

#[test]
fn what_is_reserved_in_one_piece_is_divided() {
    let (own_framework, id) = (framework(), FrameworkId::new("F"));
    let framework = (&own_framework, &id);
    let specification = specification(Run::Command(vec!["x".to_owned()]));
    let own = OwnVolume {
        id: "db.7".parse().unwrap(),
        parts: specification.parts(),
        is_new: true,
        reserved: scheduler_core::volume::Reserved::default(),
    };
    let reserved = |mib: i64| {
        let reservations = vec![reservation(&own.id, framework)];
        Resource { reservations, ..disk(mib) }
    };
    // RESERVE of 100 and 50 MiB came, CREATE didn't; the master has made one resource of both.
    let mut disks = Disks::of([&offer(vec![disk(850), reserved(150)])], Some(&id));
    let taken = disks.take(&own, &specification, framework).unwrap();
    assert_eq!(ids(&taken.reserve), Vec::<String>::new(), "nothing is reserved twice");
    assert_eq!(ids(&taken.create), ["db.7.data var/lib/db 100 1", "db.7.log log 50 1"]);
    assert_eq!(disks.amount(), Milli(850_000), "nothing is left over");
    assert!(!disks.has(&own.id));

    // What is too small for a part is left, and given back with the volume.
    let mut disks = Disks::of([&offer(vec![disk(850), reserved(120)])], Some(&id));
    let taken = disks.take(&own, &specification, framework).unwrap();
    assert_eq!(ids(&taken.reserve), ["  50 1"]);
    let ended = disks.end(&own.id).unwrap();
    assert_eq!(ids(&ended.unreserve), ["  20 1"]);
}

#[test]
fn containers_find_volumes_by_others_that_lead_there() {
    let command = specification(Run::Command(vec!["x".to_owned()]));
    let image = Run::Image { image: "db:1".to_owned(), arguments: Vec::new() };
    let image = specification(image);
    let told = |specification: &Specification| -> Vec<String> {
        let paths = container_volumes(specification).into_iter();
        let paths = paths.map(|one| format!("{}:{}", one.host_path(), one.container_path));
        let variables = variables(specification).into_iter();
        paths.chain(variables.map(|(name, value)| format!("{name}={value}"))).collect()
    };
    assert_eq!(
        told(&image),
        [
            "data:/var/lib/db",
            "log:/log",
            "CORRAL_VOLUME_DATA=/var/lib/db",
            "CORRAL_VOLUME_LOG=/log"
        ]
    );
    assert_eq!(told(&command)[2..], ["CORRAL_VOLUME_DATA=var/lib/db", "CORRAL_VOLUME_LOG=log"]);
}

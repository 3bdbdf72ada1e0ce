//! Whose resources are, and which volume: what keeps amounts of the same name apart.

use std::fmt;

use mesos::{DiskInfo, ReservationInfo, ReservationType, Resource};

/// Whose something is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark {
    /// One within the other, the last one inmost.
    pub(crate) reservations: Vec<ReservationInfo>,
    /// A volume.
    pub(crate) disk: Option<DiskInfo>,
}

// Where a volume is put is not part of what it is (common/resources.cpp).
impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        let persistence = |mark: &Mark| mark.disk.as_ref().map(|disk| disk.persistence.clone());
        self.reservations == other.reservations && persistence(self) == persistence(other)
    }
}

impl Eq for Mark {}

impl Mark {
    /// The mark of a resource, in either format; none if it is nobody's and no volume.
    pub(crate) fn of(resource: &Resource) -> Option<Mark> {
        let mut reservations = resource.reservations.clone();
        let old = resource.role.as_deref().filter(|role| *role != "*");
        if let (true, Some(role)) = (reservations.is_empty(), old) {
            let kind = match resource.reservation {
                Some(_) => ReservationType::Dynamic,
                None => ReservationType::Static,
            };
            reservations.push(ReservationInfo {
                r#type: Some(kind.into()),
                role: Some(role.to_owned()),
                ..resource.reservation.clone().unwrap_or_default()
            });
        }
        let mark = Mark { reservations, disk: resource.disk.clone() };
        (mark != Mark::default()).then_some(mark)
    }

    /// Writes the old format beside the new one, as far as it can say it.
    pub(crate) fn write_old(resource: &mut Resource) {
        resource.role = Some("*".to_owned());
        if let [only] = resource.reservations.as_slice() {
            resource.role.clone_from(&only.role);
            let is_dynamic = only.r#type() == ReservationType::Dynamic;
            resource.reservation = is_dynamic.then(|| ReservationInfo {
                principal: only.principal.clone(),
                labels: only.labels.clone(),
                ..ReservationInfo::default()
            });
        }
    }

    /// The role that it is reserved for.
    pub(crate) fn role(&self) -> Option<&str> {
        self.reservations.last()?.role.as_deref()
    }

    /// The name of the volume that it is.
    pub(crate) fn volume(&self) -> Option<&str> {
        let persistence = self.disk.as_ref()?.persistence.as_ref()?;
        Some(persistence.id.as_str())
    }

    /// Without the inmost reservation; none if there is none that could be ended.
    pub(crate) fn without_reservation(&self) -> Option<Option<Mark>> {
        let mut mark = self.clone();
        let last = mark.reservations.pop()?;
        let is_dynamic = last.r#type() == ReservationType::Dynamic;
        (is_dynamic && mark.disk.is_none()).then(|| mark.or_none())
    }

    /// Without the volume; none if it is none.
    pub(crate) fn without_volume(&self) -> Option<Option<Mark>> {
        self.volume()?;
        Some(Mark { disk: None, ..self.clone() }.or_none())
    }

    fn or_none(self) -> Option<Mark> {
        (self != Mark::default()).then_some(self)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reservations.is_empty() {
            let told: Vec<String> = self.reservations.iter().map(told).collect();
            write!(f, "(reservations: [{}])", told.join(","))?;
        }
        let Some(volume) = self.volume() else { return Ok(()) };
        let path = self.disk.as_ref().and_then(|disk| disk.volume.as_ref());
        match path {
            Some(path) => write!(f, "[{volume}:{}]", path.container_path),
            None => write!(f, "[{volume}]"),
        }
    }
}

fn told(one: &ReservationInfo) -> String {
    let kind = match one.r#type() {
        ReservationType::Static => "STATIC",
        ReservationType::Dynamic => "DYNAMIC",
        ReservationType::Unknown => "UNKNOWN",
    };
    let mut text = format!("({kind},{}", one.role());
    if let Some(principal) = &one.principal {
        text.push(',');
        text.push_str(principal);
    }
    if let Some(labels) = &one.labels {
        let label = |label: &mesos::Label| match &label.value {
            Some(value) => format!("{}: {value}", label.key),
            None => label.key.clone(),
        };
        let labels: Vec<String> = labels.labels.iter().map(label).collect();
        text.push_str(&format!(",{{{}}}", labels.join(", ")));
    }
    text.push(')');
    text
}

//! Whose what is reserved is: a reservation for a volume has labels that say of which framework, app
//! and volume it is. Other frameworks of the role are offered it, too; the labels tell them.

use mesos::{FrameworkId, Label, Labels, ReservationInfo, ReservationType, Resource};
use scheduler_core::volume::VolumeId;

use crate::settings::Framework;

const FRAMEWORK_LABEL: &str = "corral.framework";
const APP_LABEL: &str = "corral.app";
const VOLUME_LABEL: &str = "corral.volume";

/// Whose a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Everybody's in the role.
    Nobody,
    /// That of a volume of ours.
    Volume(VolumeId),
    /// That of a volume of another framework, or one that can't be read.
    Other,
}

/// Whose a resource is in the eyes of a framework.
pub(crate) fn owner(resource: &Resource, framework: Option<&FrameworkId>) -> Owner {
    let labels = resource.reservations.last().and_then(|last| last.labels.as_ref());
    let value = |key: &str| {
        let mut found = labels.into_iter().flat_map(|labels| &labels.labels);
        found.find(|label| label.key == key).and_then(|label| label.value.as_deref())
    };
    let Some(volume) = value(VOLUME_LABEL) else { return Owner::Nobody };
    let own = framework.map(|id| id.value.as_str());
    let is_ours = own.is_some() && value(FRAMEWORK_LABEL) == own;
    volume.parse().ok().filter(|_| is_ours).map_or(Owner::Other, Owner::Volume)
}

/// The reservation of what a volume has.
pub(crate) fn reservation(
    volume: &VolumeId,
    framework: (&Framework, &FrameworkId),
) -> ReservationInfo {
    let label = |key: &str, value: String| Label { key: key.to_owned(), value: Some(value) };
    ReservationInfo {
        r#type: Some(ReservationType::Dynamic.into()),
        role: Some(framework.0.role.clone()),
        principal: framework.0.principal.clone(),
        labels: Some(Labels {
            labels: vec![
                label(FRAMEWORK_LABEL, framework.1.value.clone()),
                label(APP_LABEL, volume.0.app.to_string()),
                label(VOLUME_LABEL, volume.to_string()),
            ],
        }),
    }
}

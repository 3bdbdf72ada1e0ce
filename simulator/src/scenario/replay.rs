//! How requests of a trace become requests of a scenario: its section `replay`.

use super::check::Check;
use super::file::{self, File};

/// Where service times come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTimes {
    /// From the trace; from the laws of the scenario where it has none.
    #[default]
    Trace,
    /// From the laws of the scenario.
    Law,
}

/// What commands of traces mean. Commands of the scenario mean themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// Names in traces, and commands as places in the model.
    pub cmds: Vec<(String, usize)>,
    /// What all other names mean; if nothing, they are errors.
    pub others: Option<usize>,
    /// Where service times come from.
    pub service: ServiceTimes,
}

impl Replay {
    /// The command that a name of a trace means.
    pub fn cmd(&self, name: &str, known: &[simulator_model::Cmd]) -> Option<usize> {
        let given = self.cmds.iter().find(|(given, _)| given == name).map(|(_, cmd)| *cmd);
        given.or_else(|| known.iter().position(|cmd| cmd.name == name)).or(self.others)
    }
}

impl Check<'_> {
    /// The section of a file.
    pub fn replay(&mut self, file: &File) -> Replay {
        let Some(section) = &file.replay else { return Replay::default() };
        let file::Replay { cmds, others, service } = section;
        let named = cmds.iter().flat_map(|named| &named.0);
        let cmds = named.filter_map(|(name, cmd)| {
            Some((name.value.clone(), self.reference(cmd, &file.cmds, "cmd")?))
        });
        Replay {
            cmds: cmds.collect(),
            others: others.as_ref().and_then(|cmd| self.reference(cmd, &file.cmds, "cmd")),
            service: service.unwrap_or_default(),
        }
    }
}

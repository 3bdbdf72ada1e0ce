//! Notes of a run on its members, beside the releases: an operator who has no journal of it finds
//! them, and can go on with it. They say what the run is for; where the cluster is, is looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provision_lifecycle::{Definition, Note};
use serde_json::{Value, json};

use super::{PlayKind, Releases};
use crate::variables::Layer;

/// The variable with the text of the note that is written; each play has it without a text.
pub(super) const TEXT: &str = "provision_note";
/// The name under which one that was found is registered.
const FOUND: &str = "provision_note_found";

fn path(definition: &Definition) -> String {
    format!("{}/.run.json", definition.release.folder)
}

/// Tasks that read it.
pub(super) fn read(definition: &Definition) -> Vec<Value> {
    vec![json!({
        "name": "note",
        "slurp": {"src": path(definition)},
        "register": FOUND,
        "ignore_errors": true,
        "check_mode": false,
    })]
}

/// Tasks that write it.
pub(super) fn write(definition: &Definition) -> Vec<Value> {
    let folder = definition.release.folder.as_str();
    vec![
        json!({"name": "folder", "file": {"path": folder, "state": "directory"}}),
        json!({
            "name": "note",
            "copy": {
                "content": format!("{{{{ {TEXT} }}}}"), "dest": path(definition), "mode": "0600",
            },
        }),
    ]
}

/// Tasks that remove it.
pub(super) fn forget(definition: &Definition) -> Vec<Value> {
    vec![json!({"name": "note", "file": {"path": path(definition), "state": "absent"}})]
}

impl Releases {
    /// What a run that did not reach its end has left on these members; the latest.
    pub async fn read_note(&mut self, component: usize, hosts: &[String]) -> Option<Note> {
        if hosts.is_empty() {
            return None;
        }
        self.play(component, PlayKind::ReadNote, hosts, Layer::default()).await;
        let note = |host: &String| {
            let content = self.run.registered(host, FOUND)?;
            let bytes = STANDARD.decode(content.get("content")?.as_str()?).ok()?;
            Note::parse(std::str::from_utf8(&bytes).ok()?)
        };
        hosts.iter().filter_map(note).max_by_key(|note| note.at_ms)
    }

    /// A member that can't keep it is met by the step itself.
    pub(super) async fn write_note(&mut self, component: usize, hosts: &[String], note: &Note) {
        let mut layer = Layer::default();
        layer.set_data(TEXT, note.to_text().into());
        self.play(component, PlayKind::WriteNote, hosts, layer).await;
    }

    pub(super) async fn forget_note(&mut self, component: usize, hosts: &[String]) {
        self.play(component, PlayKind::ForgetNote, hosts, Layer::default()).await;
    }
}

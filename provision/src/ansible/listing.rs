//! `--list-hosts`, `--list-tasks`, `--list-tags` and `--syntax-check`, as Ansible lays them out.

use std::collections::BTreeSet;

use provision_engine::load::{Loaded, hosts_of};
use provision_playbook::list::{tags_of, tasks_of};
use provision_playbook::model::Play;

use super::arguments::PlaybookArguments;
use crate::paint::harmless;

/// Whether something is listed instead of run.
pub fn is_asked(arguments: &PlaybookArguments) -> bool {
    arguments.common.list_hosts
        || arguments.list_tasks
        || arguments.list_tags
        || arguments.syntax_check
}

/// The listing.
pub fn text(arguments: &PlaybookArguments, loaded: &Loaded) -> String {
    let mut text = String::new();
    for playbook in &loaded.playbooks {
        text.push_str(&format!("\nplaybook: {}\n", playbook.path.display()));
        if arguments.syntax_check {
            continue;
        }
        for (number, play) in playbook.plays.iter().enumerate() {
            text.push_str(&of_play(arguments, loaded, number + 1, play));
        }
    }
    harmless(&text)
}

fn of_play(arguments: &PlaybookArguments, loaded: &Loaded, number: usize, play: &Play) -> String {
    let patterns = patterns(play);
    let joined = patterns.join(",");
    let name = play.name.as_ref().and_then(|name| name.as_str()).unwrap_or(&joined);
    let own = &play.context.directives.tags;
    let mut text = format!("\n  play #{number} ({joined}): {name}\tTAGS: [{}]", own.join(","));
    if arguments.common.list_hosts {
        let hosts = hosts_of(&loaded.world, &loaded.inventory, play).unwrap_or_default();
        let quoted: Vec<String> = patterns.iter().map(|pattern| format!("'{pattern}'")).collect();
        text.push_str(&format!("\n    pattern: [{}]", quoted.join(", ")));
        text.push_str(&format!("\n    hosts ({}):", hosts.len()));
        hosts.iter().for_each(|host| text.push_str(&format!("\n      {host}")));
    }
    text.push('\n');
    let settings = &loaded.world.settings;
    if arguments.list_tasks {
        text.push_str("    tasks:\n");
        for task in tasks_of(play, &settings.tags, &settings.skip_tags) {
            // As Ansible writes it, a task without a name has no role either.
            let title = if task.is_named { &task.title } else { &task.action };
            text.push_str(&format!("      {title}\tTAGS: [{}]\n", task.tags.join(", ")));
        }
    }
    if arguments.list_tags {
        let tags: BTreeSet<String> = tags_of(play, &settings.tags, &settings.skip_tags)
            .into_iter()
            .chain(own.iter().cloned())
            .collect();
        let tags: Vec<String> = tags.into_iter().collect();
        text.push_str(&format!("      TASK TAGS: [{}]\n", tags.join(", ")));
    }
    text
}

/// The host patterns as written.
fn patterns(play: &Play) -> Vec<String> {
    let text = |node: &yaml::Node| node.as_str().unwrap_or_default().to_owned();
    match play.hosts.as_sequence() {
        Some(several) => several.iter().map(text).collect(),
        None => vec![text(&play.hosts)],
    }
}

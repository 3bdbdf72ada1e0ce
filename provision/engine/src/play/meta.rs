//! `meta`: what steers the run itself.

use std::sync::Arc;

use provision_plan::{HostIndex, Position};
use provision_playbook::model::Task;

use super::PlayRun;
use super::local::text;
use crate::evaluate::{ItemStep, Plan, Stop};
use crate::report::Steering;

/// What Ansible does once for all hosts, not on each of them.
const FOR_ALL: &[&str] =
    &["clear_facts", "clear_host_errors", "end_batch", "end_play", "refresh_inventory"];

/// The action that a task names, as it is written.
fn action_of(task: &Task) -> &str {
    let action = task.arguments.parameters.get("free_form").and_then(yaml::Node::as_str);
    action.unwrap_or_default().trim()
}

/// The role that a task belongs to.
fn role_of(task: &Task) -> &str {
    task.context.role().map_or("", |role| &role.role.name)
}

impl PlayRun<'_> {
    /// Does what a task of `meta` asks for.
    pub(super) fn meta(
        &mut self,
        index: HostIndex,
        position: &Position,
        task: &Arc<Task>,
        plan: &Plan,
    ) -> Result<bool, Stop> {
        let action = plan.items.first().and_then(|item| match &item.step {
            ItemStep::Local { arguments } => text(arguments, "free_form"),
            _ => None,
        });
        let action = action.unwrap_or_default();
        let action = action.trim();
        let Some(host) = self.host(index) else { return Ok(false) };
        let variables = host.variables.clone();
        let name = &variables.name;
        let done = match action {
            "end_play" => {
                self.pass_silently(index);
                self.end_all();
                self.shared.play_is_ended = true;
                "ending play".to_owned()
            }
            "end_batch" => {
                self.pass_silently(index);
                self.end_all();
                "ending batch".to_owned()
            }
            "end_host" => {
                self.pass_silently(index);
                if let Some(host) = self.hosts.get_mut(index.0) {
                    host.cursor.end();
                }
                format!("ending play for {name}")
            }
            "end_role" => {
                self.pass_silently(index);
                if let Some(host) = self.hosts.get_mut(index.0) {
                    host.cursor.end_role();
                }
                format!("ending role {} for {name}", role_of(task))
            }
            "clear_facts" => {
                variables.learned.forget_facts();
                self.pass_silently(index);
                "facts cleared".to_owned()
            }
            "clear_host_errors" => {
                self.forgive_all();
                self.pass_silently(index);
                "cleared host errors".to_owned()
            }
            "flush_handlers" => {
                let Some(ahead) = self.host(index).and_then(|host| host.ahead.clone()) else {
                    return Ok(false);
                };
                return Ok(self.flush(index, &ahead.position));
            }
            "refresh_inventory" => {
                if self.refreshed.insert(position.clone()) {
                    self.refresh_inventory()?;
                }
                self.pass_silently(index);
                "inventory successfully refreshed".to_owned()
            }
            "reset_connection" => {
                if let Some(session) = self.host(index).map(|host| host.session.clone()) {
                    self.shared.pool.hang_up(&session);
                }
                self.pass_silently(index);
                "reset connection".to_owned()
            }
            "noop" => {
                self.pass_silently(index);
                "noop".to_owned()
            }
            other => return Err(Stop::failed(format!("meta has no action `{other}`"))),
        };
        self.steered(position, name, action, done, false);
        Ok(true)
    }

    /// A task of `meta` whose condition doesn't hold.
    pub(super) fn skip_meta(&mut self, index: HostIndex, position: &Position, task: &Task) {
        self.handler_runs(index, position, false);
        let Some(name) = self.host(index).map(|host| host.variables.name.clone()) else { return };
        let action = action_of(task);
        let goes_on = match action {
            "end_play" => "continuing play".to_owned(),
            "end_batch" => "continuing current batch".to_owned(),
            "end_host" => format!("continuing execution for {name}"),
            "end_role" => format!("continuing role {} for {name}", role_of(task)),
            "clear_facts" => format!("not clearing facts and fact cache for {name}"),
            "clear_host_errors" => format!("not clearing host error state for {name}"),
            "flush_handlers" => format!("not running handlers for {name}"),
            _ => format!("doing nothing for {name}"),
        };
        let message = format!("{action} conditional evaluated to False, {goes_on}");
        self.pass_silently(index);
        self.steered(position, &name, action, message, true);
    }

    fn steered(
        &mut self,
        position: &Position,
        host: &str,
        action: &str,
        message: String,
        is_skipped: bool,
    ) {
        let is_for_all = !is_skipped && FOR_ALL.contains(&action);
        let steering = Steering { host: host.to_owned(), message, is_skipped, is_for_all };
        self.shared.report.steered(position, steering);
    }

    /// Hosts that failed or were lost take part again.
    fn forgive_all(&mut self) {
        self.shared.failed.clear();
        // They are connected again where a later play names them.
        for host in std::mem::take(&mut self.shared.unreachable) {
            let variables = self.shared.world.host_or_new(&host);
            let key = self.shared.pool.key_of(&variables);
            self.shared.pool.forget_lost(&key);
        }
        for host in &mut self.hosts {
            host.cursor.forgive();
        }
    }

    /// Reads the inventory again: later plays see its hosts as they are now, with what the run has
    /// added; this play goes on with the hosts that it has.
    fn refresh_inventory(&mut self) -> Result<(), Stop> {
        let loader = self.shared.loader.clone();
        let mut loader = loader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let world = &self.shared.world;
        match self.shared.again.inventory(&world.files, &mut loader) {
            Ok(inventory) => {
                inventory.all_variables().for_each(|all| self.shared.reaches.define(all));
                world.take_inventory(&inventory);
                self.shared.refreshed = Some(inventory);
                Ok(())
            }
            Err(diagnostics) => Err(Stop::failed(format!(
                "the inventory can't be read again:\n{}",
                diagnostics::render_all(&diagnostics, loader.sources(), diagnostics::Style::Plain)
            ))),
        }
    }
}

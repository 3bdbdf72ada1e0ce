//! Keywords of a task, evaluated.

use provision_protocol::modules::ModuleSpec;

use super::{Evaluator, Keywords, Stop};

impl Evaluator<'_> {
    pub(super) fn keywords_or_default(&self) -> Result<Keywords, Stop> {
        match self.keywords() {
            Ok(keywords) => Ok(keywords),
            Err(Stop::Pending(token)) => Err(Stop::Pending(token)),
            Err(Stop::Failed(_)) => Ok(Keywords::default()),
        }
    }

    pub(super) fn keywords(&self) -> Result<Keywords, Stop> {
        let whole = |number: f64| format!("{:.0}", number.max(0.0)).parse().unwrap_or(0);
        let customs = &self.view.world.settings.customs;
        Ok(Keywords {
            ignore_errors: self.flag(self.keyword(|d| d.ignore_errors.as_ref()), false)?,
            ignore_unreachable: self
                .flag(self.keyword(|d| d.ignore_unreachable.as_ref()), false)?,
            no_log: self.flag(self.keyword(|d| d.no_log.as_ref()), customs.no_log)?,
            delegate_facts: self.flag(self.keyword(|d| d.delegate_facts.as_ref()), false)?,
            any_errors_fatal: self
                .flag(self.keyword(|d| d.any_errors_fatal.as_ref()), customs.any_errors_fatal)?,
            throttle: whole(self.number(self.keyword(|d| d.throttle.as_ref()), 0.0)?),
            retries: whole(self.number(self.keyword(|d| d.retries.as_ref()), 3.0)?),
            delay_s: self.number(self.keyword(|d| d.delay.as_ref()), 5.0)?,
            async_s: whole(self.number(self.task.asynchronous.as_ref(), 0.0)?),
            poll_s: self.number(self.task.poll.as_ref(), 15.0)?,
        })
    }

    /// `run_once`.
    ///
    /// # Errors
    /// When it can't be evaluated (yet) or isn't a boolean.
    pub fn runs_once(&self) -> Result<bool, Stop> {
        self.flag(self.keyword(|d| d.run_once.as_ref()), false)
    }

    /// `ignore_unreachable`; one that can't be evaluated ignores nothing.
    #[must_use]
    pub fn ignores_unreachable(&self) -> bool {
        let node = self.keyword(|d| d.ignore_unreachable.as_ref());
        self.flag(node, false).unwrap_or(false)
    }

    /// Refuses `async` where Ansible does.
    pub(super) fn check_async(&self, module: &ModuleSpec) -> Result<(), Stop> {
        let is_awaited = ONLY_AWAITED.contains(&module.name);
        if !is_awaited || self.number(self.task.asynchronous.as_ref(), 0.0)? <= 0.0 {
            return Ok(());
        }
        let name = &self.task.module_written;
        Err(Stop::failed(format!("This action ({name}) does not support async.")))
    }
}

/// Modules that part of Ansible's own work on the controller belongs to: with `async` they fail, as
/// they do there.
const ONLY_AWAITED: &[&str] = &[
    "add_host",
    "assemble",
    "assert",
    "async_status",
    "copy",
    "debug",
    "fail",
    "fetch",
    "group_by",
    "include_vars",
    "pause",
    "raw",
    "reboot",
    "script",
    "set_fact",
    "set_stats",
    "template",
    "unarchive",
    "validate_argument_spec",
    "wait_for_connection",
];

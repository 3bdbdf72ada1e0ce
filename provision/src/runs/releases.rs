//! A run over releases, shown again.

use std::path::Path;

use provision_engine::release::{Happening, Journals, Listener, Record, Request, Told};
use provision_lifecycle::{Observed, Outcome, Purpose};

use super::filter::Filter;
use super::pace::Pace;
use crate::arguments::Output;
use crate::exit::Exit;
use crate::paint;
use crate::release::screen::{self, Screen};
use crate::release::view;

/// What a run was for, for a list: `upgrade zookeeper 3.9.3`.
pub fn title(request: &Request) -> String {
    let goal = &request.goal;
    let to = match goal.purpose {
        Purpose::Upgrade | Purpose::Rollback => format!(" {}", goal.version),
        Purpose::Restart => String::new(),
        Purpose::Join | Purpose::Leave => format!(": {}", view::names(&goal.members)),
    };
    format!("{} {}{to}", goal.purpose.word(), request.component)
}

/// Shows what is wanted of it.
pub fn replay(path: &Path, filter: &Filter, mut pace: Pace, output: Output) -> Exit {
    let story = match Journals::story(path) {
        Ok(story) => story,
        Err(error) => {
            paint::error(&error, None);
            return Exit::Environment;
        }
    };
    let Some((request, shown)) = story.iter().find_map(|told| match &told.record {
        Record::Begun { request, shown, after, .. } => {
            Some((request.as_ref(), (shown.as_deref(), after.as_deref())))
        }
        Record::Happens { .. } | Record::Ended { .. } => None,
    }) else {
        return Exit::Environment;
    };
    let members: Vec<&str> = request.goal.members.iter().map(String::as_str).collect();
    if let Err(exit) = super::expect_hosts(filter, &members) {
        return exit;
    }
    let is_human = output == Output::Human;
    let observed = shown.0.map(|shown| shown.observed.clone()).unwrap_or_else(|| first(&story));
    if is_human {
        match shown {
            (Some(shown), _) => screen::show_steps(request, &shown.observed, &shown.steps),
            (None, Some(after)) => say!("going on with run {after}"),
            (None, None) => say!("{}", view::heading(&request.component, &request.goal, &observed)),
        }
    }
    let mut screen = Screen::new(request, output);
    let mut is_shown = true;
    for (number, told) in story.iter().enumerate() {
        if let Record::Happens { happening: Happening::StepBegins { step, observed, .. } } =
            &told.record
        {
            let rest = story.get(number + 1..).unwrap_or_default();
            let title = view::step(step, &request.goal, observed);
            is_shown = step.members().iter().any(|member| filter.has_host(member))
                && filter.has_title(&title)
                && (!filter.failed || fails(rest));
            if !is_shown {
                screen.pass();
            }
        }
        if is_shown {
            pace.wait(told.at_ms);
            screen.stored(&told.record);
        }
    }
    match story.last().map(|told| &told.record) {
        Some(Record::Ended { how, message, duration_ms, written }) if is_human => {
            if how == "done" {
                screen::show_done(request, &observed, duration_ms.unwrap_or_else(|| since(&story)));
                written.iter().for_each(screen::show_written);
            } else {
                paint::note(message);
            }
        }
        Some(Record::Ended { .. }) => {}
        _ => paint::warning(None, super::CUT_OFF),
    }
    Exit::Done
}

/// What was observed first.
fn first(story: &[Told]) -> Observed {
    let found = story.iter().find_map(|told| match &told.record {
        Record::Happens { happening: Happening::StepBegins { observed, .. } } => {
            Some(observed.clone())
        }
        _ => None,
    });
    found.unwrap_or(Observed::default())
}

fn since(story: &[Told]) -> u64 {
    let moments = || story.iter().filter_map(|told| told.at_ms);
    moments().next_back().unwrap_or(0).saturating_sub(moments().next().unwrap_or(0))
}

/// Whether the step that these records follow fails.
fn fails(rest: &[Told]) -> bool {
    let ended = rest.iter().find_map(|told| match &told.record {
        Record::Happens { happening: Happening::StepEnded { outcomes, .. } } => Some(outcomes),
        _ => None,
    });
    // One without an end was cut off.
    ended.is_none_or(|outcomes| outcomes.values().any(|outcome| *outcome != Outcome::Done))
}

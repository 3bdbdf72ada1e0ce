//! Several requests at a time on one instance: from the shape of a file to a model.

use simulator_model::{Crowd, Slowdown};
use yaml::Spanned;

use super::apps::MAX_CORES;
use super::check::Check;
use super::file::{self, Named};

impl Check<'_> {
    /// How instances of an app work on several requests at a time; none if each works on one, and
    /// nothing else is said of it.
    pub(super) fn crowd(&mut self, app: &file::App, cores: u32) -> Option<Crowd> {
        let is_plain = app.cores_per_request.is_none() && app.slowdown.is_none();
        let concurrency = app.concurrency.unwrap_or(Spanned::nowhere(1));
        let concurrency = self.within(concurrency, 1, Crowd::MOST, "requests at a time");
        if is_plain && concurrency == 1 {
            return None;
        }
        let wanted = app.cores_per_request.unwrap_or(Spanned::nowhere(1));
        let wanted = self.within(wanted, 1, MAX_CORES, "cores for a request");
        let slowdown = match &app.slowdown {
            None => Slowdown::NONE,
            Some(given) => self.slowdown(given)?,
        };
        Some(Crowd::new(concurrency, cores, wanted, &slowdown))
    }

    fn slowdown(&mut self, given: &Spanned<Named<f64>>) -> Option<Slowdown> {
        let points = points(&given.value);
        let law = points.and_then(|points| {
            let reason = "tasks for each core must ascend, and all numbers be more than 0";
            Slowdown::new(points).ok_or(reason)
        });
        law.map_err(|reason| {
            self.wrong(given.span, "this is no slowdown".to_owned(), reason);
        })
        .ok()
    }
}

/// Points from `x2: 1.15` and its like.
fn points(named: &Named<f64>) -> Result<Vec<(f64, f64)>, &'static str> {
    let mut points = Vec::new();
    for (name, times) in &named.0 {
        let tasks = name.value.strip_prefix('x').and_then(|number| number.parse::<f64>().ok());
        let reason = "tasks for each core are named x1, x2, x2.5, such as {x1: 1, x2: 1.15}";
        points.push((tasks.ok_or(reason)?, *times));
    }
    Ok(points)
}

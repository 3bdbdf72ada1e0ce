//! All of these tests in one program: each of them as its own would compile the engines once more, optimised.

mod agreement;
mod closed_forms;
mod deserted;
mod look;
mod outside;
mod scheduler;
mod strategies;
mod tally;
mod windows;

use simulator_model::{Model, Record, engine};

/// Runs a model by the one engine that all records of these tests share.
fn run(model: &Model, mut record: &mut dyn Record) {
    engine::run(model, &mut record);
}

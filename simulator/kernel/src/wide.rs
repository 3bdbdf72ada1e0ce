//! The same code compiled for several generations of processors, chosen when it runs. Only what is
//! inlined into a task profits; results don't depend on the choice, because integers and the four
//! operations of IEEE doubles are the same in vectors of any width; `cargo xtask kernels` looks whether
//! they are.

use pulp::{Arch, NullaryFnOnce};

/// Something to run. Mark [`Task::run`] and what it calls `#[inline(always)]`.
pub trait Task {
    /// What it answers.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

/// Runs a task with the widest vectors that this processor has.
#[inline]
pub fn run<T: Task>(task: T) -> T::Output {
    Arch::new().dispatch(Adapter(task))
}

/// Which of them is run here, for people: counts of instructions depend on it.
#[must_use]
pub fn processor() -> &'static str {
    match Arch::new() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => "x86-64-v4",
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => "x86-64-v3",
        _ => "plain",
    }
}

struct Adapter<T>(T);

impl<T: Task> NullaryFnOnce for Adapter<T> {
    type Output = T::Output;

    #[inline(always)]
    fn call(self) -> T::Output {
        self.0.run()
    }
}

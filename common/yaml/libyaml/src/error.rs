//! What is wrong with a text, and where.

pub type Result<T, E = Error> = core::result::Result<T, E>;

/// The pointer position.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The position in bytes.
    pub index: u64,
    /// The position line.
    pub line: u64,
    /// The position column in characters.
    pub column: u64,
}

/// An error of the scanner or parser.
#[derive(Debug)]
pub struct Error {
    problem: &'static str,
    problem_mark: Mark,
    context: &'static str,
    context_mark: Mark,
}

impl Error {
    pub(crate) fn scanner(
        context: &'static str,
        context_mark: Mark,
        problem: &'static str,
        problem_mark: Mark,
    ) -> Self {
        Self { problem, problem_mark, context, context_mark }
    }

    pub(crate) fn parser(
        context: &'static str,
        context_mark: Mark,
        problem: &'static str,
        problem_mark: Mark,
    ) -> Self {
        Self { problem, problem_mark, context, context_mark }
    }

    /// Where it was noticed.
    pub fn problem_mark(&self) -> Mark {
        self.problem_mark
    }

    /// Where what was being read began.
    pub fn context_mark(&self) -> Option<Mark> {
        (!self.context.is_empty()).then_some(self.context_mark)
    }

    /// What is wrong.
    pub fn problem(&self) -> &'static str {
        self.problem
    }

    /// What was being read.
    pub fn context(&self) -> Option<&'static str> {
        (!self.context.is_empty()).then_some(self.context)
    }
}

//! `[pure]` Source files, spans and diagnostics that show the place, what was expected and a hint.

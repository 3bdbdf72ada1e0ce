//! `[pure]` What may be sent to which host now: dependencies, scopes and fences.

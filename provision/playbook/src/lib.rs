//! `[pure]` Inventories and playbooks: text to typed plays with spans.

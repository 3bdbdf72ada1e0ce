//! `[pure]` Jinja2 as Ansible means it, on minijinja.

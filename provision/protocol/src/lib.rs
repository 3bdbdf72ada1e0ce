//! `[pure]` What controller and helper say to each other, and the table of modules.

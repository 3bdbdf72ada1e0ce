//! `[io]` The controller: sessions, evaluation, fences, events and journal.

pub mod channel;
pub mod connection;
pub mod contents;
pub mod cursor;
pub mod digest;
pub mod disk;
pub mod evaluate;
pub mod event;
pub mod helper;
pub mod horizon;
pub mod keyring;
pub mod load;
pub mod magic;
pub mod outside;
pub mod password;
pub mod play;
pub mod prepare;
pub mod reach;
pub mod redact;
pub mod release;
pub mod report;
pub mod run;
mod sealed;
pub mod session;
pub mod variables;
pub mod words;
pub mod world;

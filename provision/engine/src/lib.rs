//! `[io]` The controller: sessions, evaluation, fences, events and journal.

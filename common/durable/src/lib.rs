//! `[io]` Durable files: atomic replacement and checksummed append logs.

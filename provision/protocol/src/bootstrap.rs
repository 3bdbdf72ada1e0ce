//! How a helper comes to life on a host: one command line that starts it if it is there, and
//! otherwise takes it from the channel, stores it under its own digest, and starts it.
//!
//! The command needs a POSIX `sh`, `head -c`, `mkdir`, `chmod`, `mv`, `rm`, `id` and (for
//! [`Packing::Gzip`]) `gzip`. It is quoted so that any login shell passes it on unchanged.
//!
//! The conversation, seen from the controller:
//!
//! 1. Open a channel with [`Installation::command`] and write [`Installation::early_bytes`] bytes
//!    at once (the `Hello` frame), nothing more.
//! 2. Read until [`answer`] is certain. Text of chatty login scripts before the answer is skipped.
//! 3. [`Answer::Present`]: the helper runs and has got the early bytes; frames follow. One round
//!    trip in all.
//! 4. [`Answer::Absent`]: the early bytes were thrown away. Write the packed program (exactly
//!    [`Installation::packed_bytes`]), then the same early bytes again, and read until the next
//!    answer is `Present`.
//! 5. The channel ends with one of the `EXIT_` codes when the program can't be installed; stderr
//!    says why.
//!
//! The program is verified by its digest before it is used, also when it is already there; a
//! damaged one is replaced. Folders on file systems without execution are passed over.

/// Marks the beginning of an answer; no login script prints this by chance.
const MARK: &str = "provision-bootstrap-1 ";

/// What can come before the answer, in bytes; more is not a shell that greets but something else.
pub const NOISE_LIMIT_BYTES: usize = 256 << 10;

/// No folder can hold the program: all are read-only, forbid execution or belong to others.
pub const EXIT_NO_FOLDER: u8 = 70;
/// The program did not arrive whole, could not be stored (a full disk), or does not run here.
pub const EXIT_NOT_INSTALLED: u8 = 71;

/// How the program travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Compressed with gzip, the one packer that is on every Debian.
    Gzip,
    /// As it is.
    Plain,
}

/// What to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The helper that speaks with a controller.
    Serve,
    /// The helper of another user, that speaks with its parent.
    Child,
}

/// A program to start, to install if needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Digest of the unpacked program, in lowercase hexadecimal.
    pub sha256: String,
    /// Size of what is sent when the program is absent.
    pub packed_bytes: u64,
    /// How it is packed.
    pub packing: Packing,
    /// Number of bytes that are written before the answer is read.
    pub early_bytes: u64,
    /// What the program is to do.
    pub role: Role,
}

impl Installation {
    /// The command line for a login shell.
    #[must_use]
    pub fn command(&self) -> String {
        // The script contains neither single quotes nor backslashes nor exclamation marks, so
        // that sh, csh and fish agree on what the quoted text is.
        format!("exec /bin/sh -c '{}'", self.script())
    }

    /// The script for `sh -c`.
    #[must_use]
    pub fn script(&self) -> String {
        let Installation { sha256, packed_bytes, early_bytes, .. } = self;
        let role = match self.role {
            Role::Serve => "--serve",
            Role::Child => "--child",
        };
        let unpack = match self.packing {
            Packing::Gzip => "gzip -dc",
            Packing::Plain => "cat",
        };
        let mark = MARK.trim_end();
        format!(
            "h={sha256}; u=`id -u`; m=`umask`; \
             start() {{ umask $m; echo {mark} present; exec \"$f\" {role}; }}; \
             set -- \"/var/tmp/provision-$u\" \"/tmp/provision-$u\"; \
             if [ -d \"$HOME\" ]; then set -- \"$HOME/.cache/provision\" \"$@\"; fi; \
             for d; do f=$d/$h; \
             if [ -L \"$d\" ]; then continue; fi; \
             if [ -O \"$d\" ] && [ -O \"$f\" ]; then v=`\"$f\" --verify $h 2>/dev/null`; \
             if [ \"$v\" = $h ]; then start; fi; fi; done; \
             umask 077; ok=; \
             for d; do \
             if [ -L \"$d\" ]; then continue; fi; \
             mkdir -p \"$d\" && [ -O \"$d\" ] && chmod 700 \"$d\" || continue; \
             t=$d/.try-$$; rm -f \"$t\"; \
             echo : >\"$t\" && chmod 700 \"$t\" && \"$t\" && ok=1; rm -f \"$t\"; \
             if [ \"$ok\" ]; then break; fi; \
             done 2>/dev/null; \
             if [ -z \"$ok\" ]; then \
             echo provision: no folder for programs: tried \"$@\" >&2; exit {EXIT_NO_FOLDER}; fi; \
             f=$d/$h; t=$d/.new-$$; \
             head -c {early_bytes} >/dev/null; \
             echo {mark} absent; \
             rm -f \"$t\"; \
             if head -c {packed_bytes} | {unpack} >\"$t\" && chmod 700 \"$t\" && \
             v=`\"$t\" --verify $h` && [ \"$v\" = $h ] && {{ sync \"$t\" 2>/dev/null || :; }} && mv -f \"$t\" \"$f\"; \
             then start; fi; \
             rm -f \"$t\"; \
             echo provision: the helper could not be installed in \"$d\" >&2; \
             exit {EXIT_NOT_INSTALLED}"
        )
    }
}

/// What the host answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The helper runs. Frames begin at this offset.
    Present {
        /// Bytes of the answer and everything before it.
        length: usize,
    },
    /// The program must be sent.
    Absent {
        /// Bytes of the answer and everything before it.
        length: usize,
    },
    /// Not certain yet: read more.
    Incomplete,
    /// Too much text without an answer.
    Noise,
}

/// Looks for the answer in what was read so far.
#[must_use]
pub fn answer(read: &[u8]) -> Answer {
    let mark = MARK.as_bytes();
    let mut start = 0;
    while let Some(found) = find(read.get(start..).unwrap_or_default(), mark) {
        let word = start + found + mark.len();
        let rest = read.get(word..).unwrap_or_default();
        let Some(end) = rest.iter().take(16).position(|byte| *byte == b'\n') else {
            if rest.len() < 16 {
                return Answer::Incomplete;
            }
            start = word;
            continue;
        };
        let length = word + end + 1;
        match rest.get(..end).unwrap_or_default() {
            b"present" => return Answer::Present { length },
            b"absent" => return Answer::Absent { length },
            _ => start = word,
        }
    }
    if read.len() > NOISE_LIMIT_BYTES { Answer::Noise } else { Answer::Incomplete }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_needs_no_further_quoting() {
        let installation = Installation {
            sha256: "ab".repeat(32),
            packed_bytes: 5,
            packing: Packing::Gzip,
            early_bytes: 7,
            role: Role::Serve,
        };
        let script = installation.script();
        assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
    }

    #[test]
    fn answers_are_found_behind_noise() {
        let whole = b"Welcome!\r\nprovision-bootstrap-1 present\n\0\0";
        for cut in 0..39 {
            assert_eq!(answer(&whole[..cut]), Answer::Incomplete, "{cut}");
        }
        assert_eq!(answer(whole), Answer::Present { length: 40 });
        assert_eq!(answer(b"provision-bootstrap-1 absent\n"), Answer::Absent { length: 29 });
        assert_eq!(answer(b"provision-bootstrap-1 what\n"), Answer::Incomplete);
        assert_eq!(answer(&vec![b'x'; NOISE_LIMIT_BYTES + 1]), Answer::Noise);
    }
}

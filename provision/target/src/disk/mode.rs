//! Permission bits, in octal or symbolic form (chmod(1), as Ansible reads it).

use rustix::fs::Mode as Bits;
use serde_json::Value;

use crate::module::Failure;

/// All permission bits.
pub const PERMISSION_BITS: u32 = 0o7777;

/// Wanted permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// These.
    Exactly(u32),
    /// A change of what is there, such as `u=rw,g-w`.
    Change(Vec<Clause>),
}

/// One comma-separated part of a symbolic mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    users: Vec<char>,
    /// No users were named: bits of the umask stay untouched.
    respects_umask: bool,
    steps: Vec<(char, String)>,
}

impl Mode {
    /// Reads a mode as it stands in a playbook: a number, octal digits, or symbols.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(value: &Value) -> Result<Mode, Failure> {
        let bits = match value {
            Value::Number(number) => number.as_u64().and_then(|bits| u32::try_from(bits).ok()),
            Value::String(text) => match octal(text.trim()) {
                Some(bits) => Some(bits),
                None => return symbolic(text.trim()).map(Mode::Change),
            },
            _ => None,
        };
        match bits {
            Some(bits) if bits <= PERMISSION_BITS => Ok(Mode::Exactly(bits)),
            Some(bits) => {
                Err(Failure::new("Invalid mode supplied, only permission info is allowed")
                    .with("details", bits))
            }
            None => Err(bad(&value.to_string())),
        }
    }

    /// The bits that something with these bits gets.
    #[must_use]
    pub fn resolve(&self, current: u32, is_directory: bool, umask: u32) -> u32 {
        match self {
            Mode::Exactly(bits) => *bits,
            Mode::Change(clauses) => {
                clauses.iter().fold(current & PERMISSION_BITS, |bits, clause| {
                    clause.apply(bits, is_directory, umask)
                })
            }
        }
    }
}

impl Clause {
    fn apply(&self, mut bits: u32, is_directory: bool, umask: u32) -> u32 {
        for (operator, permissions) in &self.steps {
            for user in &self.users {
                let mask = if self.respects_umask { !umask } else { u32::MAX };
                let named = permissions.chars().fold(0, |named, letter| {
                    named | meaning(*user, letter, bits, is_directory, mask)
                });
                bits = match operator {
                    '+' => bits | named,
                    '-' => bits & !named,
                    _ => (bits & !all_of(*user)) | named,
                };
            }
        }
        bits
    }
}

/// The bits that a letter means for `u`, `g` or `o`.
fn meaning(user: char, letter: char, bits: u32, is_directory: bool, mask: u32) -> u32 {
    let shift = match user {
        'u' => 6,
        'g' => 3,
        _ => 0,
    };
    match letter {
        'r' => (0o4 << shift) & mask,
        'w' => (0o2 << shift) & mask,
        'x' => (0o1 << shift) & mask,
        'X' if is_directory || bits & 0o111 != 0 => 0o1 << shift,
        's' if user == 'u' => 0o4000,
        's' if user == 'g' => 0o2000,
        't' if user == 'o' => 0o1000,
        'u' => ((bits >> 6) & 0o7) << shift,
        'g' => ((bits >> 3) & 0o7) << shift,
        'o' => (bits & 0o7) << shift,
        _ => 0,
    }
}

fn all_of(user: char) -> u32 {
    match user {
        'u' => 0o4700,
        'g' => 0o2070,
        _ => 0o1007,
    }
}

/// What Python's `int(text, 8)` takes.
fn octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").or_else(|| text.strip_prefix("0O")).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    u32::from_str_radix(digits, 8).ok()
}

fn symbolic(text: &str) -> Result<Vec<Clause>, Failure> {
    text.split(',').map(|part| clause(part).ok_or_else(|| bad(text))).collect()
}

fn clause(text: &str) -> Option<Clause> {
    let first = text.find(['+', '-', '='])?;
    let (users, mut rest) = text.split_at_checked(first)?;
    if !users.chars().all(|user| "ugoa".contains(user)) {
        return None;
    }
    let mut steps = Vec::new();
    while let Some(operator) = rest.chars().next() {
        let behind = rest.get(1..)?;
        let end = behind.find(['+', '-', '=']).unwrap_or(behind.len());
        let (permissions, next) = behind.split_at_checked(end)?;
        if !permissions.chars().all(|letter| "rwxXstugo".contains(letter)) {
            return None;
        }
        steps.push((operator, permissions.to_owned()));
        rest = next;
    }
    let everybody = users.is_empty() || users.contains('a');
    Some(Clause {
        users: if everybody { vec!['u', 'g', 'o'] } else { users.chars().collect() },
        respects_umask: users.is_empty(),
        steps,
    })
}

fn bad(mode: &str) -> Failure {
    Failure::new("mode must be in octal or symbolic form")
        .with("details", format!("bad symbolic permission for mode: {mode}"))
}

/// As Ansible shows a mode in results.
#[must_use]
pub fn show(bits: u32) -> String {
    format!("0{:03o}", bits & PERMISSION_BITS)
}

/// This process's file creation mask.
#[must_use]
pub fn umask() -> u32 {
    let told = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    });
    told.unwrap_or_else(|| {
        // Without /proc reading it means setting it; calls run one at a time, and nobody else
        // creates files meanwhile whose bits are not given explicitly.
        let mask = rustix::process::umask(Bits::from_raw_mode(0o077));
        rustix::process::umask(mask);
        mask.as_raw_mode()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn parse(text: &str) -> Mode {
        Mode::parse(&Value::from(text)).unwrap()
    }

    #[test]
    fn numbers() {
        for text in ["0644", "644", "0o644"] {
            assert_eq!(parse(text), Mode::Exactly(0o644));
        }
        assert_eq!(Mode::parse(&Value::from(420)).unwrap(), Mode::Exactly(0o644));
        for value in [Value::from(99_999), "0888".into(), "u+q".into(), "z=r".into(), "".into()] {
            Mode::parse(&value).unwrap_err();
        }
        assert_eq!(show(0o644), "0644");
        assert_eq!(show(0o4755), "04755");
        assert_eq!(show(0), "0000");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        /// Oracle: chmod(1). Ansible and chmod agree where users are named; copies of other
        /// users' bits and `X` are looked at before the operator in Ansible, after it in chmod.
        #[test]
        fn symbols_mean_what_chmod_means(
            bits in 0u32..0o1000,
            directory in any::<bool>(),
            clauses in proptest::collection::vec("[ugo]{1}[-+=][rwxst]{0,3}", 1..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            if directory {
                std::fs::create_dir(&path).unwrap();
            } else {
                std::fs::write(&path, "").unwrap();
            }
            std::fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
            let text = clauses.join(",");
            let run = std::process::Command::new("chmod").arg(&text).arg(&path).status().unwrap();
            prop_assert!(run.success());
            let expected = std::fs::metadata(&path).unwrap().permissions().mode() & PERMISSION_BITS;
            let found = parse(&text).resolve(bits, directory, 0o022);
            // chmod(1) keeps setuid and setgid of directories unless they are named.
            let compared = if directory { 0o1777 } else { PERMISSION_BITS };
            prop_assert_eq!(found & compared, expected & compared, "{}", text);
        }
    }

    #[test]
    fn x_and_the_umask() {
        assert_eq!(parse("u=rwX,go=rX").resolve(0o600, false, 0o022), 0o644);
        assert_eq!(parse("u=rwX,go=rX").resolve(0o700, true, 0o022), 0o755);
        assert_eq!(parse("+w").resolve(0o444, false, 0o022), 0o644);
        assert_eq!(parse("g=u,o=g").resolve(0o640, false, 0o022), 0o666);
    }
}

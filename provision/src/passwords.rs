//! Vault passwords: from files, programs and the terminal. They never stand in arguments, in the
//! environment or in anything that is written.

use std::io::{IsTerminal, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use provision_ssh::Secret;
use provision_vault::{DEFAULT_ID, Password, Vault, is_encrypted};

use crate::arguments::VaultPasswords;
use crate::exit::Exit;
use crate::paint;
use crate::prompt;

/// Largest password that is read, in bytes: a slip such as `--vault-password-file disk.img` ends
/// with an error.
const PASSWORD_LIMIT_BYTES: u64 = 64 << 10;

/// Why there is no password, and what to do.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure with what to do about it.
    pub fn new(message: impl Into<String>, hint: Option<&str>) -> Self {
        Failure { message: message.into(), hint: hint.map(str::to_owned) }
    }

    /// Tells the operator.
    pub fn show(&self) -> Exit {
        paint::error(&self.message, self.hint.as_deref());
        Exit::InvalidInput
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// All passwords of a command line, in the order in which Ansible tries them.
pub fn vault(arguments: &VaultPasswords) -> Result<Vault, Failure> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let listed = variable("ANSIBLE_VAULT_IDENTITY_LIST").unwrap_or_default();
    let listed = listed.split(',').map(str::trim).filter(|source| !source.is_empty());
    let mut sources: Vec<String> = listed.map(str::to_owned).collect();
    sources.extend(arguments.vault_id.iter().cloned());
    let files = arguments.vault_password_file.iter().cloned();
    for file in files.chain(variable("ANSIBLE_VAULT_PASSWORD_FILE")) {
        sources.push(format!("{DEFAULT_ID}@{file}"));
    }
    if arguments.ask_vault_pass {
        sources.push(format!("{DEFAULT_ID}@prompt"));
    }
    let mut passwords: Vec<(String, Password)> = Vec::new();
    for source in sources {
        // A password file may be encrypted with a password given before it.
        let earlier = Vault::new(passwords.clone());
        passwords.push(labelled(&source, &earlier)?);
    }
    Ok(Vault::new(passwords))
}

/// The label and password of one `[LABEL@]SOURCE`.
pub fn labelled(source: &str, earlier: &Vault) -> Result<(String, Password), Failure> {
    let (label, source) = source.split_once('@').unwrap_or(("", source));
    let label = if label.is_empty() { DEFAULT_ID } else { label };
    let password = match source {
        "prompt" | "prompt_ask_vault_pass" => asked(label)?,
        path => of_file(path, label, earlier)?,
    };
    Ok((label.to_owned(), password))
}

/// The password in a file, or that a program prints: for logins and sudo.
pub fn secret_of_file(path: &str) -> Result<Secret, Failure> {
    let password = of_file(path, DEFAULT_ID, &Vault::default())?;
    let text = String::from_utf8(password.expose().to_vec());
    let text = text.map_err(|_| Failure::new(format!("password file {path}: not UTF-8"), None))?;
    Ok(Secret::new(text))
}

fn asked(label: &str) -> Result<Password, Failure> {
    let question = match label {
        DEFAULT_ID => "Vault password".to_owned(),
        label => format!("Vault password ({label})"),
    };
    let answer = prompt::secret(&question);
    let password = answer.map(|answer| answer.expose().trim().as_bytes().to_vec());
    password.filter(|password| !password.is_empty()).map(Password::new).ok_or_else(|| {
        Failure::new("no vault password was typed", Some("use --vault-password-file in scripts"))
    })
}

/// Asks for a new password, twice on a terminal.
pub fn new_password() -> Result<Password, Failure> {
    let first = asked_as("New vault password")?;
    if std::io::stdin().is_terminal() && asked_as("Confirm new vault password")? != first {
        return Err(Failure::new("the passwords do not match", None));
    }
    Ok(first)
}

fn asked_as(question: &str) -> Result<Password, Failure> {
    let answer = prompt::secret(question).map(|answer| answer.expose().trim().as_bytes().to_vec());
    let password = answer.filter(|password| !password.is_empty()).map(Password::new);
    password.ok_or_else(|| {
        Failure::new(
            "no vault password was given",
            Some("use --vault-password-file FILE or --vault-id LABEL@FILE"),
        )
    })
}

/// The password in a file; one that may be executed is run, and prints it.
fn of_file(path: &str, label: &str, earlier: &Vault) -> Result<Password, Failure> {
    let shown = path;
    let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    };
    let failed =
        |reason: &str| Failure::new(format!("vault password file {shown}: {reason}"), None);
    let metadata = std::fs::metadata(&path).map_err(|error| failed(&error.to_string()))?;
    if metadata.is_dir() {
        return Err(failed("it is a folder"));
    }
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return of_program(&path, label).map_err(|reason| {
            Failure::new(
                format!("vault password program {shown}: {reason}"),
                Some("a file that may be executed is run; if it is the password: chmod -x"),
            )
        });
    }
    let file = std::fs::File::open(&path).map_err(|error| failed(&error.to_string()))?;
    let bytes = limited(file).map_err(|reason| failed(&reason))?;
    let mut password = Password::new(bytes.expose().trim_ascii());
    if is_encrypted(password.expose()) {
        let opened = earlier.open(password.expose());
        let opened = opened.map_err(|error| failed(&format!("it is encrypted: {error}")))?;
        password = Password::new(trimmed_lines(opened.expose()));
    }
    if password.expose().is_empty() {
        return Err(failed("it is empty"));
    }
    Ok(password)
}

/// Runs a program for its password. Its questions go to the terminal; a name that ends with
/// `-client` says that it wants to know the label.
fn of_program(path: &Path, label: &str) -> Result<Password, String> {
    let is_client =
        path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-client"));
    let absolute = std::path::absolute(path).map_err(|error| error.to_string())?;
    let mut command = Command::new(absolute);
    if is_client {
        command.args(["--vault-id", label]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let output = child.stdout.take().ok_or("it has no output")?;
    let bytes = limited(output);
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("it failed ({status})"));
    }
    let password = Password::new(trimmed_lines(bytes?.expose()));
    if password.expose().is_empty() {
        return Err("it printed nothing".to_owned());
    }
    Ok(password)
}

/// Without line ends around it.
fn trimmed_lines(bytes: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = bytes.iter().position(|byte| !is_end(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_end(byte)).map_or(start, |at| at + 1);
    bytes.get(start..end).unwrap_or_default()
}

fn limited(stream: impl Read) -> Result<Password, String> {
    let mut bytes = Vec::new();
    let read = stream.take(PASSWORD_LIMIT_BYTES + 1).read_to_end(&mut bytes);
    let password = Password::new(bytes);
    read.map_err(|error| error.to_string())?;
    if password.expose().len() as u64 > PASSWORD_LIMIT_BYTES {
        return Err(format!("it is longer than {PASSWORD_LIMIT_BYTES} bytes"));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use provision_vault::{Password, Vault, seal};

    use super::labelled;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> String {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("mode");
        path.display().to_string()
    }

    #[test]
    fn passwords_come_from_files_and_programs() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path();
        let plain = file(folder, "plain", " a b \r\n", 0o600);
        let program = file(folder, "program", "#!/bin/sh\necho ' from program '\n", 0o700);
        let client = file(folder, "my-client.sh", "#!/bin/sh\necho \"$1 $2\"\n", 0o700);
        let table = [
            (plain.clone(), "default", "a b"),
            (format!("dev@{plain}"), "dev", "a b"),
            (program, "default", " from program "),
            (format!("dev@{client}"), "dev", "--vault-id dev"),
        ];
        for (source, label, password) in table {
            let found = labelled(&source, &Vault::default()).expect("a password");
            assert_eq!((found.0.as_str(), found.1.expose()), (label, password.as_bytes()));
        }
        let earlier = Vault::new(vec![("x".into(), Password::new("a b"))]);
        let text = seal(b"inner\n", &Password::new("a b"), None, b"salt").expect("sealed");
        let encrypted = file(folder, "encrypted", &text, 0o600);
        assert_eq!(labelled(&encrypted, &earlier).expect("opened").1.expose(), b"inner");
        assert!(labelled(&encrypted, &Vault::default()).is_err());
    }

    #[test]
    fn what_gives_no_password_says_why() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path();
        for (source, reason) in [
            (file(folder, "empty", " \n", 0o600), "it is empty"),
            (file(folder, "fails", "#!/bin/sh\nexit 3\n", 0o700), "it failed (exit status: 3)"),
            (file(folder, "silent", "#!/bin/sh\n", 0o700), "it printed nothing"),
            (folder.display().to_string(), "it is a folder"),
            (folder.join("none").display().to_string(), "No such file or directory"),
        ] {
            let failure = labelled(&source, &Vault::default()).expect_err("no password");
            assert!(failure.message().contains(reason), "{}", failure.message());
        }
    }
}

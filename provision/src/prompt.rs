//! Questions to the operator.

use std::io::{BufRead, IsTerminal, Write};

use provision_ssh::Secret;

/// Asks for a secret; `None` when there is nobody to ask or nothing was typed.
pub fn secret(question: &str) -> Option<Secret> {
    let _quiet = crate::live::quiet();
    let answer = if std::io::stdin().is_terminal() {
        rpassword::prompt_password(format!("{question}: ")).ok()?
    } else {
        // For scripts that pipe the password in.
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).ok()?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    (!answer.is_empty()).then(|| Secret::new(answer))
}

/// Asks for a line of text.
pub fn line(question: &str, hidden: bool) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let _quiet = crate::live::quiet();
    if hidden {
        return rpassword::prompt_password(format!("{question}: ")).ok();
    }
    eprint!("{question}: ");
    std::io::stderr().flush().ok()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).ok()?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A line from standard input, be it a terminal or not; `None` at its end.
pub fn any_line() -> Option<String> {
    let mut line = String::new();
    let count = std::io::stdin().lock().read_line(&mut line).ok()?;
    (count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks for yes or no; no when there is nobody to ask.
pub fn confirm(question: &str) -> bool {
    line(&format!("{question} [y/N]"), false)
        .is_some_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

//! `scheduler token`: tokens of the API for users on other machines.

use std::path::Path;

use diagnostics::Sources;

use crate::arguments::TokenCommand;
use crate::exit::Exit;
use crate::serve::users::{Role, TOKEN_BYTES, User, Users};
use crate::{input, paint};

/// `scheduler token`.
pub fn token(command: &TokenCommand) -> Exit {
    let done = match command {
        TokenCommand::New { name, role, tokens } => new(name, *role, tokens),
        TokenCommand::List { tokens } => list(tokens),
        TokenCommand::Remove { name, tokens } => remove(name, tokens),
    };
    done.unwrap_or_else(|exit| exit)
}

/// The file of tokens; what is wrong has been told when this fails.
pub fn users(path: &Path) -> Result<Users, Exit> {
    parse(path, &read(path)?)
}

fn read(path: &Path) -> Result<String, Exit> {
    input::text(path).map_err(|error| {
        paint::error(&error, Some("make one: scheduler token new NAME --role ROLE --tokens FILE"));
        Exit::Environment
    })
}

fn parse(path: &Path, text: &str) -> Result<Users, Exit> {
    let mut sources = Sources::default();
    let source = sources.add(path.display().to_string(), text);
    Users::read(text, source).map_err(|wrong| {
        paint::diagnostics(&wrong, &sources);
        paint::error(&format!("{} can't be used", path.display()), None);
        Exit::InvalidInput
    })
}

fn write(path: &Path, text: &str) -> Result<(), Exit> {
    durable::write(path, text.as_bytes(), 0o600).map_err(|error| {
        paint::error(&format!("failed to write {}: {error}", path.display()), None);
        Exit::Environment
    })
}

fn new(name: &str, role: Role, path: &Path) -> Result<Exit, Exit> {
    let is_word = |character: char| character.is_ascii_graphic() && character != '#';
    if name.is_empty() || !name.chars().all(is_word) {
        paint::error(&format!("`{name}` is no name"), Some("a word of ASCII, without `#`"));
        return Err(Exit::Usage);
    }
    let mut text = if path.exists() { read(path)? } else { String::new() };
    if parse(path, &text)?.iter().any(|user| user.name == name) {
        paint::error(
            &format!("{name} has a token in {}", path.display()),
            Some("`scheduler token remove` takes it away"),
        );
        return Err(Exit::Refused);
    }
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        paint::error(&format!("there are no random numbers: {error}"), None);
        Exit::Environment
    })?;
    let token = hex::encode(bytes);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{}\n", User::new(name, role, &token).line()));
    write(path, &text)?;
    say!("{token}");
    tell!("this is the token of {name} ({}); it is shown only now", role.name());
    tell!("use it: export SCHEDULER_SERVER=https://HOST:PORT SCHEDULER_TOKEN=…");
    Ok(Exit::Done)
}

fn list(path: &Path) -> Result<Exit, Exit> {
    let mut table = crate::table::Table::new(&["NAME", "ROLE"]);
    for user in users(path)?.iter() {
        table.row(vec![user.name.clone(), user.role.name().to_owned()]);
    }
    say!("{}", table.text());
    Ok(Exit::Done)
}

fn remove(name: &str, path: &Path) -> Result<Exit, Exit> {
    let text = read(path)?;
    if !parse(path, &text)?.iter().any(|user| user.name == name) {
        paint::error(
            &format!("{name} has no token in {}", path.display()),
            Some("`scheduler token list` shows who has"),
        );
        return Err(Exit::Refused);
    }
    let others = text.lines().filter(|line| line.split_whitespace().next() != Some(name));
    let rest: String = others.map(|line| format!("{line}\n")).collect();
    write(path, &rest)?;
    say!("the token of {name} is removed");
    Ok(Exit::Done)
}

//! Creating an account.

use std::path::Path;

use super::super::accounts;
use super::super::process::Run;
use super::{Progress, UserArguments, date, home, set_password};
use crate::module::{Context, Failure};

pub(super) fn create(
    given: &UserArguments,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    progress.change.note("state", "absent", "present");
    let run = if given.local { addition_local(given)? } else { addition(given)? };
    // useradd makes the last folder of the home's path only.
    let lacks_parents = given.create_home
        && given
            .home
            .as_ref()
            .is_some_and(|home| Path::new(home).parent().is_some_and(|parent| !parent.is_dir()));
    if let (Some(path), true, false) = (&given.home, lacks_parents, context.check) {
        context.about_to_change()?;
        home::create(Path::new(path), given.skeleton.as_deref())?;
    }
    progress.run(run, given, context)?;
    if context.check {
        return Ok(());
    }
    if let Some(password) = &given.password {
        set_password(password, given, context, progress)?;
    }
    if given.local {
        complete_local(given, context, progress)?;
    }
    if let (Some(path), true, Some(user)) = (&given.home, lacks_parents, given.find()?) {
        home::give(Path::new(path), user.uid, user.gid)?;
    }
    progress.set("system", given.system);
    progress.set("create_home", given.create_home);
    Ok(())
}

fn addition(given: &UserArguments) -> Result<Run, Failure> {
    let mut run = common(given, Run::tool("useradd")?, "-N")?;
    let groups = groups(given)?;
    if !groups.is_empty() {
        run = run.arguments(["-G", &groups.join(",")]);
    }
    if let Some(day) = given.expiry_day()? {
        run = run.arguments(["-e", &day.map_or_else(String::new, date)]);
    }
    if given.create_home {
        run = run.argument("-m");
        if let Some(skeleton) = &given.skeleton {
            run = run.arguments(["-k", skeleton]);
        }
        if let Some(umask) = &given.umask {
            run = run.arguments(["-K", &format!("UMASK={umask}")]);
        }
    } else {
        run = run.argument("-M");
    }
    if given.system {
        run = run.argument("-r");
    }
    for (name, value) in [("UID_MIN", given.uid_min), ("UID_MAX", given.uid_max)] {
        if let Some(value) = value {
            run = run.arguments(["-K", &format!("{name}={value}")]);
        }
    }
    Ok(run.argument(&given.name))
}

/// With libuser: `luseradd` creates homes by itself and knows fewer options.
fn addition_local(given: &UserArguments) -> Result<Run, Failure> {
    groups(given)?;
    let mut run = common(given, Run::tool("luseradd")?, "-n")?;
    if given.create_home {
        if let Some(skeleton) = &given.skeleton {
            run = run.arguments(["-k", skeleton]);
        }
    } else {
        run = run.argument("-M");
    }
    if given.system {
        run = run.argument("-r");
    }
    Ok(run.argument(&given.name))
}

fn complete_local(
    given: &UserArguments,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if let Some(day) = given.expiry_day()? {
        let day = day.unwrap_or(-1).to_string();
        progress.run(Run::tool("lchage")?.arguments(["-E", &day, &given.name]), given, context)?;
    }
    for group in groups(given)? {
        let run = Run::tool("lgroupmod")?.arguments(["-M", &given.name, &group]);
        progress.run(run, given, context)?;
    }
    Ok(())
}

fn common(given: &UserArguments, mut run: Run, no_own_group: &str) -> Result<Run, Failure> {
    if let Some(uid) = given.uid {
        run = run.arguments(["-u", &uid.to_string()]);
        if given.non_unique {
            run = run.argument("-o");
        }
    }
    if let Some(seuser) = &given.seuser {
        run = run.arguments(["-Z", seuser]);
    }
    if let Some(group) = &given.group {
        accounts::group(group)?;
        run = run.arguments(["-g", group]);
    } else if accounts::group_by_name(&given.name)?.is_some() {
        // A group of the user's name exists: the program would fail to create it.
        run = run.argument(no_own_group);
    }
    if let Some(comment) = &given.comment {
        run = run.arguments(["-c", comment]);
    }
    if let Some(home) = &given.home {
        run = run.arguments(["-d", home]);
    }
    if let Some(shell) = &given.shell {
        run = run.arguments(["-s", shell]);
    }
    if let Some(days) = given.password_expire_account_disable {
        run = run.arguments(["-f", &days.to_string()]);
    }
    Ok(run)
}

/// Supplementary groups as given; they all exist.
fn groups(given: &UserArguments) -> Result<Vec<String>, Failure> {
    let names = given.groups.iter().flatten().map(|name| name.trim());
    let names: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    for name in &names {
        accounts::group(name)?;
    }
    Ok(names)
}

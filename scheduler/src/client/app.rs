//! `scheduler app`.

use std::path::Path;

use scheduler::wire::{
    Answer, AppDetail, AppRow, EndedRow, History, InstanceRow, Rollback, Scale, Upgrade, VersionRow,
};

use super::http::{Client, Trouble};
use super::{Done, ago, answered, part, show, wait};
use crate::arguments::{self, AppCommand, OneApp, Output, Reach, Wait};
use crate::exit::Exit;
use crate::input;
use crate::table::Table;

pub fn app(command: AppCommand) -> Done {
    match command {
        AppCommand::Deploy { file, wait } => deploy(&file, &wait),
        AppCommand::List { reach } => list(&reach),
        AppCommand::Show { one } => show_one(&one),
        AppCommand::Scale { app, instances, keep_volumes, reach } => {
            let path = format!("/v1/apps/{}/scale", part(&app));
            let answer: Answer = Client::open(&reach.place)?.post(
                &path,
                &Scale { instances, keep_volumes },
                None,
            )?;
            Ok(show(reach.output, &answer, answered))
        }
        AppCommand::Upgrade(upgrade) => bring(upgrade),
        AppCommand::Rollback { app, to, wait } => {
            let client = Client::open(&wait.reach.place)?;
            let path = format!("/v1/apps/{}/rollback", part(&app));
            let key = wait.idempotency_key.as_deref();
            let answer = client.post(&path, &Rollback { version: to }, key)?;
            follow(&client, &app, &answer, &wait)
        }
        AppCommand::History { one } => history(&one),
        AppCommand::Delete { app, keep_volumes, wait } => delete(&app, keep_volumes, &wait),
    }
}

fn deploy(file: &Path, arguments: &Wait) -> Done {
    let (app, text) = match input::app(file) {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    let name = app.app.to_string();
    let client = Client::open(&arguments.reach.place)?;
    let path = format!("/v1/apps/{}", part(&name));
    let answer = client.put(&path, &text, arguments.idempotency_key.as_deref())?;
    follow(&client, &name, &answer, arguments)
}

fn bring(upgrade: arguments::Upgrade) -> Done {
    let arguments::Upgrade { app, version, image, shell, instances: step, wait, command } = upgrade;
    let client = Client::open(&wait.reach.place)?;
    let path = format!("/v1/apps/{}/upgrade", part(&app));
    let command = (!command.is_empty()).then_some(command);
    let version = version.or_else(|| Some(tag(image.as_deref()?)?.to_owned()));
    let Some(version) = version else {
        return Err(Trouble {
            exit: Exit::Usage,
            message: "the image has no tag that could name the version".to_owned(),
            hint: Some("say `--version NAME`".to_owned()),
        });
    };
    let body = Upgrade { version, command, shell, image, step };
    let answer = client.post(&path, &body, wait.idempotency_key.as_deref())?;
    follow(&client, &app, &answer, &wait)
}

/// The tag of an image: what is behind the last colon, unless that is the port of its registry. A digest
/// is no name that people would call a version.
fn tag(image: &str) -> Option<&str> {
    let (name, _) = image.split_once('@').unwrap_or((image, ""));
    let (_, tag) = name.rsplit_once(':')?;
    (!tag.is_empty() && !tag.contains('/')).then_some(tag)
}

/// Waits for the deployment that a call has begun, if there is one and it is wanted.
fn follow(client: &Client, app: &str, answer: &Answer, arguments: &Wait) -> Done {
    let output = arguments.reach.output;
    let Some(number) = answer.deployment.filter(|_| !arguments.detach) else {
        return Ok(show(output, answer, answered));
    };
    let text = format!("{app}: {}", answered(answer));
    let ended = wait::for_deployment(client, app, number, &text)?;
    Ok(match ended {
        wait::Ended::Done(row) => show(output, &row, |row| ending(app, row)),
        wait::Ended::Not(row) => {
            show(output, &row, |row| ending(app, row));
            hint(app);
            Exit::Failed
        }
        wait::Ended::Stalled(why) => {
            crate::paint::error(&format!("{app}: deployment {number} stands still: {why}"), None);
            hint(app);
            Exit::Failed
        }
    })
}

fn ending(app: &str, row: &EndedRow) -> String {
    format!("{app}: deployment {} to v{}: {}", row.number, row.to, row.outcome)
}

fn hint(app: &str) {
    tell!("hint: `scheduler app history {app}` says how its instances ended");
}

fn delete(app: &str, keeps_volumes: bool, arguments: &Wait) -> Done {
    let client = Client::open(&arguments.reach.place)?;
    let query = if keeps_volumes { "?keep_volumes=true" } else { "" };
    let path = format!("/v1/apps/{}{query}", part(app));
    let answer: Answer = match client.delete(&path, arguments.idempotency_key.as_deref()) {
        Err(Trouble { exit: Exit::Refused, message, hint })
            if message.contains("being deleted") =>
        {
            if arguments.detach {
                return Err(Trouble { exit: Exit::Refused, message, hint });
            }
            Answer {
                result: "unchanged".to_owned(),
                deployment: None,
                version: None,
                wanted: None,
                moves: None,
            }
        }
        other => other?,
    };
    if arguments.detach {
        return Ok(show(arguments.reach.output, &answer, answered));
    }
    wait::for_end(&client, app)?;
    if arguments.reach.output == Output::Human {
        say!("{app}: nothing of it is left");
    }
    Ok(Exit::Done)
}

fn list(reach: &Reach) -> Done {
    let rows: Vec<AppRow> = Client::open(&reach.place)?.get("/v1/apps")?;
    Ok(show(reach.output, &rows, |rows| match rows.as_slice() {
        [] => "there is no app yet; `scheduler app deploy app.yml` brings one".to_owned(),
        rows => app_table(rows),
    }))
}

/// Apps as a table.
pub fn app_table(rows: &[AppRow]) -> String {
    let headings =
        ["APP", "VERSION", "STATE", ">WANTED", ">SERVING", ">STARTING", ">STOPPING", "WAITS FOR"];
    let mut table = Table::new(&headings);
    for row in rows {
        let wanted = match (row.min, row.max) {
            (min, max) if min == max => row.wanted.to_string(),
            (min, max) => format!("{} ({min} to {max})", row.wanted),
        };
        table.row(vec![
            row.app.clone(),
            format!("v{} {}", row.version, row.label),
            row.state.clone(),
            wanted,
            row.serving.to_string(),
            row.starting.to_string(),
            row.stopping.to_string(),
            row.hold.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}

fn show_one(one: &OneApp) -> Done {
    let path = format!("/v1/apps/{}", part(&one.app));
    let detail: AppDetail = Client::open(&one.reach.place)?.get(&path)?;
    Ok(show(one.reach.output, &detail, app_text))
}

fn app_text(detail: &AppDetail) -> String {
    let mut text = app_table(std::slice::from_ref(&detail.summary));
    if let Some(deployment) = &detail.deployment {
        let (number, to) = (deployment.number, deployment.to);
        let since = ago(&deployment.begun);
        text.push_str(&format!(
            "\n\ndeployment {number} to v{to} for {since}: {}",
            deployment.cause
        ));
        if let Some(why) = &deployment.stalled {
            text.push_str(&format!("\nit stands still: {why}"));
        }
    } else if let Some(last) = &detail.last {
        let (number, to, since) = (last.number, last.to, ago(&last.at));
        text.push_str(&format!(
            "\n\nlast deployment {number} to v{to} {since} ago: {}",
            last.outcome
        ));
    }
    if !detail.instances.is_empty() {
        text.push_str(&format!("\n\n{}", instance_table(&detail.instances)));
    }
    text
}

/// Instances as a table.
pub fn instance_table(rows: &[InstanceRow]) -> String {
    let headings =
        ["INSTANCE", "VERSION", "STATE", ">WEIGHT", "MACHINE", "PORTS", ">SINCE", "ENDS BECAUSE"];
    let mut table = Table::new(&headings);
    for row in rows {
        let weight = match row.weight_thousandths {
            0 => String::new(),
            weight => format!("{} %", f64::from(weight) / 10.0),
        };
        let life =
            if row.is_unhealthy { format!("{}, not healthy", row.life) } else { row.life.clone() };
        let ports: Vec<String> = row.ports.iter().map(ToString::to_string).collect();
        table.row(vec![
            row.instance.clone(),
            format!("v{} {}", row.version, row.label),
            life,
            weight,
            row.machine.clone().unwrap_or_default(),
            ports.join(" "),
            ago(&row.since),
            row.ends.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}

fn history(one: &OneApp) -> Done {
    let path = format!("/v1/apps/{}/history", part(&one.app));
    let history: History = Client::open(&one.reach.place)?.get(&path)?;
    Ok(show(one.reach.output, &history, history_text))
}

fn history_text(history: &History) -> String {
    let History { deployments, instances, versions } = history;
    let mut table = Table::new(&[">VERSION", "NAME", ">INSTANCES", ""]);
    for VersionRow { version, label, is_target, is_stable, instances } in versions {
        let mark = match (is_target, is_stable) {
            (true, _) => "wanted",
            (false, true) => "good",
            (false, false) => "",
        };
        let cells = [format!("v{version}"), label.clone(), instances.to_string(), mark.to_owned()];
        table.row(cells.to_vec());
    }
    let mut text = table.text();
    let mut table = Table::new(&[">DEPLOYMENT", ">FROM", ">TO", ">AGO", "ENDED"]);
    for EndedRow { number, from, to, at, outcome, .. } in deployments {
        let from = from.map(|from| format!("v{from}")).unwrap_or_default();
        table.row(vec![number.to_string(), from, format!("v{to}"), ago(at), outcome.clone()]);
    }
    if !deployments.is_empty() {
        text.push_str(&format!("\n\n{}", table.text()));
    }
    let mut table = Table::new(&["INSTANCE", ">VERSION", "MACHINE", ">AGO", "ENDED BECAUSE"]);
    for gone in instances {
        let machine = gone.machine.clone().unwrap_or_default();
        let version = format!("v{}", gone.version);
        table.row(vec![gone.instance.clone(), version, machine, ago(&gone.at), gone.why.clone()]);
    }
    if !instances.is_empty() {
        text.push_str(&format!("\n\n{}", table.text()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn tags_name_versions() {
        for (image, expected) in [
            ("web:2.1", Some("2.1")),
            ("reg.example:5000/a/web:2.1", Some("2.1")),
            ("reg.example:5000/a/web", None),
            ("web", None),
            ("web:", None),
            ("web@sha256:0123", None),
            ("web:3@sha256:0123", Some("3")),
        ] {
            assert_eq!(tag(image), expected, "{image}");
        }
    }
}

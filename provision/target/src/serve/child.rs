//! A helper that another helper started to work as another user. It has no lock and no journal:
//! those belong to the helper that speaks with the controller.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};
use provision_protocol::{Call, Frame, FrameReader};

use super::channel::{self, Output};
use super::execute::{Upstream, execute};
use super::inbox::{Arrival, Inbox, Next};
use super::link::{FromChild, ToChild};
use super::session::{EXIT_UNUSABLE, ignore_hangup};
use super::{detach, state};
use crate::module::Failure;
use crate::names;

/// Works for the parent until it says good-bye or is gone. With `user`, drops to that user first.
pub fn serve(user: Option<&str>) -> ExitCode {
    ignore_hangup();
    let (mut input, output) = match channel::take_over() {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("provision: failed to set up the channel: {error}");
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    if let Some(user) = user
        && let Err(reason) = drop_to(user)
    {
        let _ = output.message(&FromChild::Refused { reason });
        return ExitCode::from(EXIT_UNUSABLE);
    }
    enter_readable_folder();
    let inbox = Arc::new(Inbox::new(state::spill_folders(None)));
    let filling = Arc::clone(&inbox);
    thread::spawn(move || filling.fill(&mut input, FrameReader::default(), interpret));
    let parent = Parent { output, inbox: &inbox };
    if parent.say(&FromChild::Ready { uid: geteuid().as_raw() }).is_err() {
        return ExitCode::from(EXIT_UNUSABLE);
    }
    loop {
        match inbox.next() {
            Next::Call(call) => {
                let result = match &call.asynchronous {
                    Some(job) => detach::start(&call, job, &inbox, &parent),
                    None => execute(&call, &inbox, &parent),
                };
                inbox.end();
                if parent.say(&FromChild::Result(Box::new(result))).is_err() {
                    return ExitCode::from(EXIT_UNUSABLE);
                }
            }
            Next::Dropped(_) => {}
            Next::Finished | Next::Lost(_) => return ExitCode::SUCCESS,
        }
    }
}

/// Gives up root for good: groups first, the user id last.
fn drop_to(name: &str) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to become {name}: {error}");
    let user = names::user_by_name(name)
        .map_err(|error| failed(&error))?
        .ok_or_else(|| failed(&"there is no such user"))?;
    let groups: Vec<Gid> = names::groups_of(&user)
        .map_err(|error| failed(&error))?
        .into_iter()
        .map(Gid::from_raw)
        .collect();
    setgroups(&groups).map_err(|error| failed(&error))?;
    setgid(Gid::from_raw(user.gid)).map_err(|error| failed(&error))?;
    setuid(Uid::from_raw(user.uid)).map_err(|error| failed(&error))?;
    if user.uid != 0 && setuid(Uid::from_raw(0)).is_ok() {
        return Err(failed(&"root could be regained"));
    }
    Ok(())
}

/// Programs fail in odd ways in a folder that their user can't read; Ansible goes home then too.
fn enter_readable_folder() {
    let readable = std::env::current_dir().is_ok_and(|folder| folder.read_dir().is_ok());
    if readable {
        return;
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    if home.is_empty() || std::env::set_current_dir(Path::new(&home)).is_err() {
        // The root directory can always be entered.
        let _ = std::env::set_current_dir("/");
    }
}

fn interpret(payload: &[u8]) -> Arrival {
    match Frame::parse(payload) {
        Ok(ToChild::Call(call)) => Arrival::Call(call),
        Ok(ToChild::ContentRefused { sha256, reason }) => Arrival::Refused { sha256, reason },
        Ok(ToChild::IntentRecorded { failure }) => Arrival::Intent(match failure {
            None => Ok(()),
            Some(reason) => Err(reason),
        }),
        Ok(ToChild::Cancel) => Arrival::Cancel,
        Ok(ToChild::Bye) => Arrival::Bye,
        Err(error) => Arrival::Unusable(format!("a message can't be understood: {error}")),
    }
}

struct Parent<'a> {
    output: Output,
    inbox: &'a Inbox,
}

impl Parent<'_> {
    fn say(&self, message: &FromChild) -> Result<(), Failure> {
        self.output
            .message(message)
            .map_err(|error| Failure::new(format!("the helper's parent is gone: {error}")))
    }
}

impl Upstream for Parent<'_> {
    fn need_content(&self, _id: u64, sha256: &str) -> Result<(), Failure> {
        self.say(&FromChild::NeedContent { sha256: sha256.to_owned() })
    }

    fn record_intent(&self, call: &Call) -> Result<(), Failure> {
        if call.notify.is_empty() {
            return Ok(());
        }
        self.say(&FromChild::Intent)?;
        self.inbox.intent()
    }
}

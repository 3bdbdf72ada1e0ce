//! `provision apply`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diagnostics::{Diagnostic, Style, render_all};
use provision_engine::channel::{Dial, Network};
use provision_engine::connection::ConnectionDefaults;
use provision_engine::discovery::{self, Discovery, Purpose};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadFailure, LoadRequest, Loaded, hosts_of, load};
use provision_engine::report::{Sink, TaskTitle};
use provision_engine::run::{AskStep, RunOptions, StepAnswer, run};
use provision_engine::world::Settings;
use provision_playbook::Dialect;
use provision_playbook::inventory::Source;
use provision_playbook::own::OwnPaths;
use provision_ssh::{ClientOptions, Destination, TerminalPrompter};
use tokio::sync::{Semaphore, mpsc};

use crate::ansible::config::{Configuration, Environment};
use crate::arguments::{Apply, DialectName, Output, Reach, SshTransport, Transport};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::ndjson::Ndjson;
use crate::paint;
use crate::passwords;
use crate::printer::{Printer, Verbosity};
use crate::prompt;
use crate::release;

/// The playbook that runs when none is named.
pub const DEFAULT_PLAYBOOK: &str = "playbooks/main.yml";

/// Runs playbooks.
pub async fn apply(mut arguments: Apply) -> Exit {
    paint::choose(arguments.color);
    let configuration = Configuration::read(&Environment::of_process());
    if let Err(exit) = configured(&configuration) {
        return exit;
    }
    configuration.complete(&mut arguments);
    if arguments.reach.inventory.is_empty() {
        return no_inventory();
    }
    let keyring = match passwords::vault(&arguments.passwords) {
        Ok(vault) => Arc::new(Keyring::new(vault)),
        Err(failure) => return failure.show(),
    };
    let request = match request(&arguments, keyring) {
        Ok(request) => request,
        Err((message, hint)) => {
            paint::error(&message, hint.as_deref());
            return Exit::InvalidInput;
        }
    };
    let folder = request.settings.playbook_folder.clone();
    let mut loaded = match load(&request) {
        Ok(loaded) => loaded,
        Err(failure) => return refuse(&failure),
    };
    if let Some(name) = &arguments.start_at_task
        && let Err((message, hint)) = start_at(&mut loaded, name)
    {
        paint::error(&message, hint.as_deref());
        return Exit::InvalidInput;
    }
    if configuration.settings.gathers_only_if_asked {
        provision_playbook::begin::gather_only_if_asked(&mut loaded.playbooks);
    }
    if arguments.syntax_check || arguments.list_hosts || arguments.list_tasks || arguments.list_tags
    {
        return list(&arguments, &loaded);
    }
    let options =
        match options(&arguments.reach, arguments.ask_become_pass, arguments.lock_wait, true) {
            Ok(mut options) => {
                if let Err(exit) = become_password(&arguments, &mut options) {
                    return exit;
                }
                RunOptions {
                    strict_order: arguments.strict_order || arguments.step,
                    step: arguments.step.then(|| Box::new(ask_step) as Box<AskStep>),
                    prompt: Some(Box::new(|prompt, question| {
                        prompt::line(question, prompt.private)
                    })),
                    pause: Some(Box::new(|question, echo| prompt::line(question, !echo))),
                    ..options
                }
            }
            Err(exit) => return exit,
        };
    let interrupts = interrupts("finishing the running step; press Ctrl-C again to stop at once");
    let sink = sink(&arguments);
    let summary = run(loaded, options, sink, interrupts).await;
    let would_change = summary.recap.iter().any(|host| host.changed > 0);
    let exit = restart_due(Exit::from(summary.outcome), &arguments, &folder, summary.restarts_due);
    match exit.await {
        Exit::Done if arguments.exit_code && would_change => Exit::WouldChange,
        exit => exit,
    }
}

/// Leaves out what stands before a task.
pub fn start_at(loaded: &mut Loaded, name: &str) -> Result<(), Refusal> {
    let settings = &loaded.world.settings;
    let begun = provision_playbook::begin::start_at(
        &mut loaded.playbooks,
        name,
        &settings.tags,
        &settings.skip_tags,
    );
    begun.map_err(|names| {
        let closest = diagnostics::closest(name, names.iter().map(String::as_str));
        let hint = match closest {
            Some(closest) => format!("did you mean `{closest}`?"),
            None => "`--list-tasks` shows the names; what a dynamic include brings in can't be \
                     found before it runs"
                .to_owned(),
        };
        (format!("no task is called `{name}`"), Some(hint))
    })
}

/// Asks whether a task runs. Without an answer nothing more runs unasked.
fn ask_step(title: &TaskTitle) -> StepAnswer {
    let title = crate::printer::title_of(title.handler, title.role.as_deref(), &title.name);
    let question = format!("run `{title}`? [y]es, [N]o, [c]ontinue without asking");
    step_answer(prompt::line(&question, false).as_deref())
}

/// What an answer means, as Ansible reads it: nothing is no.
pub fn step_answer(answer: Option<&str>) -> StepAnswer {
    match answer.map(|answer| answer.trim().to_lowercase()).as_deref() {
        Some("y" | "yes") => StepAnswer::Run,
        Some("c" | "continue") => StepAnswer::RunAll,
        _ => StepAnswer::LeaveOut,
    }
}

/// The password of sudo from a file.
fn become_password(arguments: &Apply, options: &mut RunOptions) -> Result<(), Exit> {
    if let Some(file) = &arguments.become_password_file {
        let password = passwords::secret_of_file(file).map_err(|failure| failure.show())?;
        options.connection.become_password = Some(password);
    }
    Ok(())
}

/// Tells what of the configuration has no effect; an error if it asks for what can't be done.
pub fn configured(configuration: &Configuration) -> Result<(), Exit> {
    configuration.notes.iter().for_each(|note| paint::warning(None, note));
    configuration.refusals.iter().for_each(|refusal| paint::error(refusal, None));
    match configuration.refusals.is_empty() {
        true => Ok(()),
        false => Err(Exit::InvalidInput),
    }
}

/// Lets the planner restart what the roles left to it, if the plays came out well.
async fn restart_due(
    exit: Exit,
    arguments: &Apply,
    folder: &Path,
    components: Vec<String>,
) -> Exit {
    if exit == Exit::Done {
        return release::restart_due(arguments, folder, components).await;
    }
    for component in components {
        let hint = format!("`provision reconfigure {component}` does it, one at a time");
        let message = format!("members of {component} are still to be restarted");
        paint::error(&message, Some(&hint));
    }
    exit
}

/// Tells a run of each Ctrl-C, and the operator what that does.
pub fn interrupts(what_it_does: &'static str) -> mpsc::UnboundedReceiver<()> {
    let (stop, interrupts) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if stop.send(()).is_err() {
                return;
            }
            tell!("\n{what_it_does}");
        }
    });
    interrupts
}

fn sink(arguments: &Apply) -> Box<dyn Sink> {
    let shown: Box<dyn Sink> = match arguments.output {
        Output::Ndjson => Box::new(Ndjson::new(std::io::stdout())),
        Output::Human => Box::new(Printer::new(Verbosity {
            level: arguments.verbose,
            quiet: arguments.quiet,
            diff: arguments.diff,
        })),
    };
    Box::new(Journal::new(crate::runs::plays_folder(), shown))
}

/// Who asks Consul about hosts that are changed, or only looked at.
pub fn discovery(changes: bool, reach: &Reach) -> Arc<Discovery> {
    let purpose = match changes {
        true => Purpose::Change { with_old_snapshot: reach.inventory_snapshot_ok },
        false => Purpose::Look,
    };
    Arc::new(Discovery::new(purpose, &snapshot_folder()))
}

/// Where the last answers of Consul are kept.
pub fn snapshot_folder() -> PathBuf {
    provision_engine::channel::state_folder().join("inventories")
}

/// What to do about a name that is no file.
pub const LIST_HINT: &str = "a list of hosts needs a comma: -i web1,";

/// The first source that is neither there nor a list of hosts.
pub fn missing_inventory(sources: &[String]) -> Option<&str> {
    let is_missing = |source: &&String| {
        !source.contains(',') && !Source::is_consul(source) && !Path::new(source).exists()
    };
    sources.iter().find(is_missing).map(String::as_str)
}

/// Whether nothing is changed.
fn is_look(arguments: &Apply) -> bool {
    let lists = arguments.list_hosts || arguments.list_tasks || arguments.list_tags;
    arguments.check || arguments.syntax_check || lists
}

/// What is wrong, and what to do.
pub type Refusal = (String, Option<String>);

/// What a command line asks to be loaded.
pub fn request(arguments: &Apply, keyring: Arc<Keyring>) -> Result<LoadRequest, Refusal> {
    let playbooks = if arguments.playbooks.is_empty() {
        vec![PathBuf::from(DEFAULT_PLAYBOOK)]
    } else {
        arguments.playbooks.clone()
    };
    for path in &playbooks {
        if !path.exists() {
            let hint = match arguments.playbooks.is_empty() {
                true => "name a playbook, or run this in a folder that has playbooks/main.yml",
                false => "the path is relative to the current folder",
            };
            return Err((format!("playbook {} does not exist", path.display()), Some(hint.into())));
        }
    }
    if let Some(source) = missing_inventory(&arguments.reach.inventory) {
        return Err((format!("inventory {source} does not exist"), Some(LIST_HINT.to_owned())));
    }
    let folder = playbooks
        .first()
        .and_then(|path| path.parent())
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let absolute = std::path::absolute(&folder).unwrap_or(folder);
    Ok(LoadRequest {
        settings: Settings {
            check: arguments.check,
            diff: arguments.diff,
            verbosity: arguments.verbose,
            forks: arguments.reach.connections(),
            playbook_folder: absolute,
            inventory_sources: arguments.reach.inventory.iter().map(PathBuf::from).collect(),
            limit: arguments.reach.limit.clone(),
            r#become: arguments.r#become,
            become_user: arguments.become_user.clone(),
            tags: arguments.tags.clone(),
            skip_tags: arguments.skip_tags.clone(),
            rolls_restarts: !arguments.check,
            customs: arguments.reach.customs,
            fact_cache: arguments.reach.fact_cache.clone(),
            own: OwnPaths {
                collections: arguments.collections_path.clone(),
                ..arguments.reach.own.clone()
            },
            facts_modules: arguments.reach.facts_modules.clone(),
            configured: arguments.reach.configured.clone(),
        },
        playbooks,
        inventories: arguments.reach.inventory.clone(),
        extra_variables: arguments.reach.extra_vars.clone(),
        dialect: match arguments.dialect {
            DialectName::Classic => Dialect::Classic,
            DialectName::Strict => Dialect::Strict,
        },
        roles_path: arguments.roles_path.clone(),
        collections_path: arguments.collections_path.clone(),
        unknown_variables_are_right: false,
        lists_differences: false,
        discovery: discovery(!is_look(arguments), &arguments.reach),
        keyring,
        force_handlers: arguments.force_handlers,
        texts: std::collections::BTreeMap::new(),
    })
}

/// Nothing says which hosts.
pub fn no_inventory() -> Exit {
    let hint = "-i inventories/lab, or a list of hosts with a comma: -i web1,";
    paint::error("no inventory is given", Some(hint));
    Exit::Usage
}

/// Things to know about what was read.
pub fn show_warnings(loaded: &Loaded, warnings: &[Diagnostic]) {
    use std::io::IsTerminal;
    let style = if std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
    if !warnings.is_empty() {
        tell!("{}\n", render_all(warnings, loaded.loader.sources(), style));
    }
}

/// Everything that is wrong, before anything was touched.
pub fn refuse(failure: &LoadFailure) -> Exit {
    use std::io::IsTerminal;
    let style = if std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
    tell!("{}", render_all(&failure.diagnostics, &failure.sources, style));
    let errors = failure.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let noun = if errors == 1 { "error" } else { "errors" };
    tell!("\n{errors} {noun}; no host was contacted");
    let has = |code: &str| failure.diagnostics.iter().any(|one| one.is_error() && one.code == code);
    // What is written may be right; it is Consul that can't be had.
    match () {
        () if errors == 1 && has(discovery::TOO_OLD) => Exit::Refused,
        () if errors == 1 && has(discovery::UNREACHABLE) => Exit::Environment,
        () => Exit::InvalidInput,
    }
}

/// How a run is carried out, as far as the command line says; the operator is told what is in the
/// way.
pub fn options(
    reach: &Reach,
    ask_become_pass: bool,
    lock_wait_s: u64,
    exclusive: bool,
) -> Result<RunOptions, Exit> {
    if !provision_engine::helper::is_embedded() {
        paint::error(NO_HELPER, Some("build it with `cargo xtask build`"));
        return Err(Exit::Environment);
    }
    let connection = connection(reach, ask_become_pass).map_err(|message| {
        paint::error(&message, None);
        Exit::Usage
    })?;
    let dial = network(reach).map_err(|message| {
        paint::error(&message, None);
        Exit::Environment
    })?;
    Ok(RunOptions {
        connection,
        dial,
        strict_order: false,
        lock_wait_ms: lock_wait_s.saturating_mul(1000),
        exclusive,
        prompt: None,
        pause: None,
        command: None,
        step: None,
    })
}

/// Said by a program that can't work on hosts.
const NO_HELPER: &str = "this `provision` was built without the helper that it runs on hosts";

/// The way to hosts over the network.
pub fn network(reach: &Reach) -> Result<Arc<dyn Dial>, String> {
    if !provision_engine::helper::is_embedded() {
        return Err(NO_HELPER.to_owned());
    }
    Ok(Arc::new(Network::new(client(reach))?))
}

/// What the command line says about connections.
pub fn connection(reach: &Reach, ask_become_pass: bool) -> Result<ConnectionDefaults, String> {
    let jump = reach
        .jump
        .iter()
        .map(|hop| {
            hop.parse::<Destination>().map_err(|_| format!("--jump {hop}: not [user@]host[:port]"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let password = match &reach.connection_password_file {
        Some(file) => {
            let password = passwords::secret_of_file(file);
            Some(password.map_err(|failure| failure.message().to_owned())?)
        }
        None if reach.ask_pass => prompt::secret("login password"),
        None => None,
    };
    let become_password = if ask_become_pass { prompt::secret("sudo password") } else { None };
    Ok(ConnectionDefaults {
        user: reach.user.clone(),
        private_key: reach.private_key.clone(),
        password,
        become_password,
        connect_timeout: reach.timeout.map(Duration::from_secs),
        jump,
        accept_new: reach.accept_new_host_keys,
        local: reach.connection == Transport::Local,
        ssh_arguments: reach.ssh_common_args.clone(),
        openssh: (reach.transport == SshTransport::Openssh)
            .then(|| Arc::new(Semaphore::new(reach.connections().max(1)))),
    })
}

/// How the SSH client is set up.
pub fn client(reach: &Reach) -> ClientOptions {
    ClientOptions {
        prompter: Some(Arc::new(TerminalPrompter)),
        connect_limit: reach.connections().max(1),
        ..ClientOptions::default()
    }
}

/// `--list-hosts`, `--list-tasks`, `--list-tags`, `--syntax-check`.
fn list(arguments: &Apply, loaded: &Loaded) -> Exit {
    show_warnings(loaded, &loaded.warnings);
    for play in loaded.playbooks.iter().flat_map(|playbook| &playbook.plays) {
        let name = play.name.as_ref().unwrap_or(&play.hosts);
        say!("play: {}", name.as_str().unwrap_or("(unnamed)"));
        if arguments.list_hosts {
            let hosts = hosts_of(&loaded.world, &loaded.inventory, play).unwrap_or_default();
            say!("  hosts ({}):", hosts.len());
            hosts.iter().for_each(|host| say!("    {host}"));
        }
        if arguments.list_tasks {
            say!("  tasks:");
            for task in
                provision_playbook::list::tasks_of(play, &arguments.tags, &arguments.skip_tags)
            {
                say!("    {}  [{}]", task.title, task.tags.join(", "));
            }
        }
        if arguments.list_tags {
            let tags =
                provision_playbook::list::tags_of(play, &arguments.tags, &arguments.skip_tags);
            say!("  tags: {}", tags.join(", "));
        }
    }
    if arguments.syntax_check {
        say!("everything that can be checked without a connection is right");
    }
    Exit::Done
}

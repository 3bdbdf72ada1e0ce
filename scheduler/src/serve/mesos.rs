//! Mesos as the place where instances run: commands of the core go to the client of the master, and
//! what it says becomes facts.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use mesos::Encoding;
use policy::rollout::FULL_THOUSANDTHS;
use scheduler_core::event::InstanceFact;
use scheduler_core::instance::Life;
use scheduler_core::{Command, Event};
use scheduler_mesos::{Fatal, Framework, Settings, held, offer_constraints};
use scheduler_mesos_client::{Address, Client, Credential, Identity, Options, Told};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::paint;
use crate::serve::cycle::{Input, Shared};
use crate::serve::registrar::Registrar;

/// From one look whether instances wait for a machine to the next.
const WANTED_EVERY: Duration = Duration::from_secs(5);

/// How the scheduler is a framework of Mesos.
#[derive(Debug, clap::Args)]
pub struct Mesos {
    /// Where Mesos' masters are: zk://HOST,HOST/mesos, or HOST:5050,HOST:5050.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["local", "machines", "ports"])]
    pub master: Option<Address>,
    /// The user that instances run as, on Mesos.
    #[arg(long, value_name = "USER", default_value = "root", requires = "master")]
    pub user: String,
    /// The role whose offers are taken, on Mesos.
    #[arg(long, value_name = "ROLE", default_value = "corral", requires = "master")]
    pub role: String,
    /// The name that it logs in with at masters that want one.
    #[arg(long, value_name = "NAME", requires = "secret_file")]
    pub principal: Option<String>,
    /// The file with the password for that.
    #[arg(long, value_name = "FILE", requires = "principal")]
    pub secret_file: Option<PathBuf>,
    /// Ask masters (1.11 or later) only for offers that constraints of some app allow. Of other
    /// machines nothing is known then.
    #[arg(long, requires = "master")]
    pub offer_constraints: bool,
    /// `TZ` of instances on Mesos that don't set it, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", requires = "master")]
    pub timezone: Option<String>,
}

/// Whether the client has come to an end that a user has to do something about.
pub type IsOver = Arc<AtomicBool>;

/// Starts the client of the masters.
pub fn start(
    (arguments, address, identity, is_one_of_several): (&Mesos, &Address, Box<dyn Identity>, bool),
    shared: &Shared,
    inputs: Sender<Input>,
) -> Result<(Arc<Client>, IsOver), String> {
    let credential = match (&arguments.principal, &arguments.secret_file) {
        (Some(principal), Some(file)) => {
            let secret = fs::read_to_string(file)
                .map_err(|error| format!("failed to read {}: {error}", file.display()))?;
            let secret = secret.trim_end_matches(['\r', '\n']).to_owned();
            Some(Credential { principal: principal.clone(), secret })
        }
        _ => None,
    };
    let framework = Framework {
        name: "corral".to_owned(),
        user: arguments.user.clone(),
        role: arguments.role.clone(),
        principal: arguments.principal.clone(),
        hostname: None,
        webui_url: None,
        // At least a week in any case.
        failover_timeout_seconds: 0,
    };
    let timezone = arguments.timezone.clone();
    let settings = Settings { framework, timezone, declares_limits: false };
    let encoding = Encoding::Protobuf;
    let options = Options { address: address.clone(), settings, credential, encoding };
    let is_over = IsOver::default();
    let over = Arc::clone(&is_over);
    let backlog = Arc::clone(&shared.backlog);
    let client = Client::start(options, held(&shared.state()), identity, move |told| match told {
        Told::Event(event) => {
            backlog.enter();
            // The loop may have ended.
            let _ = inputs.send(Input::Fact(event));
        }
        Told::Notice(notice) => tell!("{notice}"),
        // Then it leads, and this one is about to hear so from Consul, too.
        Told::Fatal(fatal @ Fatal::FailedOver(_)) if is_one_of_several => {
            drop(inputs.send(Input::Lost(fatal.to_string())));
        }
        Told::Fatal(fatal) => {
            paint::error(&fatal.to_string(), Some(fatal.hint()));
            over.store(true, Ordering::SeqCst);
            drop(inputs.send(Input::Stop));
        }
    });
    let client = client.map_err(|error| format!("the framework's id can't be read: {error}"))?;
    Ok((Arc::new(client), is_over))
}

/// Carries out commands, one after the other, until there are no more.
pub async fn carry_out(
    mut commands: UnboundedReceiver<Vec<Command>>,
    client: Arc<Client>,
    shared: Arc<Shared>,
    inputs: Sender<Input>,
    registrar: Option<Arc<Registrar>>,
    // The role, if offers are to be constrained.
    role: Option<String>,
) {
    let mut look = tokio::time::interval(WANTED_EVERY);
    loop {
        let together = tokio::select! {
            together = commands.recv() => together,
            _ = look.tick() => {
                client.wanted(is_wanted(&shared));
                if let Some(role) = &role {
                    client.constrain(offer_constraints(&shared.state(), role));
                }
                continue;
            }
        };
        let Some(together) = together else { return };
        let mut others = Vec::new();
        for command in together {
            if registrar.as_ref().is_some_and(|registrar| registrar.command(&command)) {
                continue;
            }
            let (instance, machine, fact) = match command {
                // Without Consul, who looks for instances asks this scheduler, which knows from its
                // own state.
                Command::Register { instance, machine, weight_thousandths, .. } => {
                    let weight_thousandths = weight_thousandths.min(FULL_THOUSANDTHS);
                    (instance, machine, InstanceFact::Registered { weight_thousandths })
                }
                Command::Deregister { instance, machine, .. } => {
                    (instance, machine, InstanceFact::Deregistered)
                }
                other => {
                    others.push(other);
                    continue;
                }
            };
            let at = shared.now();
            // The loop ends after this.
            let _ = inputs.send(Input::Event(Event::Instance { instance, machine, at, fact }));
        }
        if !others.is_empty() {
            client.commands(others);
        }
    }
}

/// Whether instances wait for a machine: offers are wanted then.
fn is_wanted(shared: &Shared) -> bool {
    let state = shared.state();
    let mut instances = state.apps().values().flat_map(|app| app.instances.values());
    instances.any(|instance| instance.life == Life::Waiting)
}

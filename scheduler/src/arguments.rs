//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client::discovery::Discovery;
use crate::client::volume::VolumeCommand;
use crate::client::{policy, rebalance};
use crate::folder::{Home, Place};
use crate::serve::users::Role;
use crate::serve::{ReachConsul, Serve};

/// The hidden command that supervises a task.
pub const SUPERVISE: &str = "supervise-task";

/// Deploys, scales, upgrades, repairs and explains apps.
#[derive(Debug, Parser)]
#[command(name = "scheduler", version, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    scheduler serve --local                    run apps on this machine, until Ctrl-C\n  \
    scheduler app deploy app.yml               deploy, and wait until it serves\n  \
    scheduler app upgrade web --version 2 --shell 'exec worker2 --port $PORT'\n  \
    scheduler app rollback web                 back to the last good version\n  \
    scheduler explain web                      why it is as it is\n  \
    scheduler instance logs web.3 -f           what it writes\n  \
    scheduler drain m2                         move everything off a machine\n  \
    scheduler rebalance --dry-run              what would move to be spread evenly again\n  \
    scheduler events -f                        what happens")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the scheduler
    Serve(Box<Serve>),
    /// Deploy, list, scale, upgrade, roll back and delete apps
    #[command(subcommand)]
    App(AppCommand),
    /// List instances, read their output, replace, add and remove them
    #[command(subcommand)]
    Instance(InstanceCommand),
    /// List machines
    #[command(subcommand)]
    Machine(MachineCommand),
    /// List volumes, and give them up
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Tell why an app or an instance is as it is
    Explain(Explain),
    /// Move everything off a machine, and start nothing there
    Drain(OneMachine),
    /// Use a drained machine again
    Undrain(OneMachine),
    /// End a freeze: replace what ran on silent machines, although these are many
    Thaw(Reach),
    /// Show where an app is found, and how that changes
    Discovery(Discovery),
    /// Spread apps evenly again, after machines came or went
    Rebalance(rebalance::Rebalance),
    /// Show what has happened
    Events(Events),
    /// Show apps and machines, again and again
    Top(Top),
    /// Check this machine and the daemon, and say what to do
    Doctor(Doctor),
    /// Save all records, or put saved ones back
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Make, list and remove tokens of the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Compare, apply and try policies, and make logged decisions again
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print a schema, for editors and other programs
    Schema {
        /// Of what.
        format: Format,
    },
    /// Print the table of exit codes
    ExitCodes,
    #[command(hide = true, name = SUPERVISE)]
    SuperviseTask { folder: PathBuf, docker: String },
}

/// Of what there is a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// app.yml, as JSON Schema.
    App,
    /// The API, as OpenAPI 3.1.
    Api,
}

/// How to show an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// As the API says it.
    Json,
}

/// Where the daemon is, and how to show what it says.
#[derive(Debug, Clone, Args)]
pub struct Reach {
    #[command(flatten)]
    pub place: Place,
    /// How to show an answer.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub output: Output,
}

/// `scheduler app`.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Deploy an app, or change it to what its file says, and wait until it is so
    Deploy {
        /// The app's file.
        file: PathBuf,
        #[command(flatten)]
        wait: Wait,
    },
    /// List apps
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Show an app with its instances
    Show {
        #[command(flatten)]
        one: OneApp,
    },
    /// Say how many instances there should be, within the bounds of the app
    Scale {
        /// The app.
        app: String,
        /// How many.
        instances: u32,
        /// Keep the volumes of those that end.
        #[arg(long)]
        keep_volumes: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Bring another version, a few instances at a time, and wait until all have it
    Upgrade(Upgrade),
    /// Go back to an earlier version, and wait until all instances have it
    Rollback {
        /// The app.
        app: String,
        /// The number of the version, as `history` shows it; the last good one if absent.
        #[arg(long, value_name = "NUMBER")]
        to: Option<u32>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show earlier deployments, versions, and instances that have ended
    History {
        #[command(flatten)]
        one: OneApp,
    },
    /// End an app, and wait until nothing of it is left
    Delete {
        /// The app.
        app: String,
        /// Keep its volumes; a later app of its name takes them.
        #[arg(long)]
        keep_volumes: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

/// `scheduler app upgrade`.
#[derive(Debug, Args)]
pub struct Upgrade {
    /// The app.
    pub app: String,
    /// What its maker calls the new version; if absent, the tag of the image.
    #[arg(long, value_name = "NAME", required_unless_present = "image")]
    pub version: Option<String>,
    /// Another image.
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["shell", "command"])]
    pub image: Option<String>,
    /// Another text for /bin/sh.
    #[arg(long, value_name = "TEXT", conflicts_with = "command")]
    pub shell: Option<String>,
    /// Replace at most so many at a time, instead of what the policy says.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub instances: Option<u32>,
    #[command(flatten)]
    pub wait: Wait,
    /// Another program and its arguments. Without image, text and program the new version runs what
    /// the old one runs, and sees its name in $CORRAL_VERSION.
    #[arg(last = true, value_name = "PROGRAM")]
    pub command: Vec<String>,
}

/// Whether to wait.
#[derive(Debug, Clone, Args)]
pub struct Wait {
    /// Don't wait.
    #[arg(long)]
    pub detach: bool,
    /// A key: a request with the key of an earlier one does nothing again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub reach: Reach,
}

/// An app.
#[derive(Debug, Args)]
pub struct OneApp {
    /// The app.
    pub app: String,
    #[command(flatten)]
    pub reach: Reach,
}

/// A machine.
#[derive(Debug, Args)]
pub struct OneMachine {
    /// The machine.
    pub machine: String,
    #[command(flatten)]
    pub reach: Reach,
}

/// `scheduler instance`.
#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// List instances
    List {
        /// Only those of this app.
        app: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show what an instance has written
    Logs {
        /// The instance.
        instance: String,
        /// Go on until it ends.
        #[arg(short, long)]
        follow: bool,
        /// What it wrote to standard error, instead of standard output.
        #[arg(long)]
        stderr: bool,
        /// Begin with so many lines.
        #[arg(
            short = 'n',
            long,
            visible_alias = "tail",
            value_name = "COUNT",
            default_value_t = 100
        )]
        lines: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Start another instance in the place of this one, and end it then
    Kill {
        /// The instance.
        instance: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// One more instance, on a machine
    Add {
        /// The app.
        app: String,
        /// The machine.
        #[arg(long, value_name = "MACHINE")]
        on: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// One instance fewer, on a machine
    Remove {
        /// The app.
        app: String,
        /// The machine.
        #[arg(long, value_name = "MACHINE")]
        on: String,
        /// Keep its volumes.
        #[arg(long)]
        keep_volumes: bool,
        #[command(flatten)]
        reach: Reach,
    },
}

/// `scheduler machine`.
#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// List machines
    List {
        #[command(flatten)]
        reach: Reach,
    },
}

/// `scheduler explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// An app, or an instance such as web.3.
    pub subject: String,
    #[command(flatten)]
    pub reach: Reach,
}

/// `scheduler events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on until Ctrl-C. Without anything else that says where to begin, with the last ten.
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the last so many.
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with_all = ["all", "after"])]
    pub lines: Option<u64>,
    /// Begin with all that are kept; without --follow that is so anyhow.
    #[arg(long)]
    pub all: bool,
    /// Begin after the event with this number.
    #[arg(long, value_name = "NUMBER", conflicts_with = "all")]
    pub after: Option<u64>,
    /// Begin with what happened so long ago: 10min, 2h.
    #[arg(long, value_name = "LENGTH", value_parser = policy::seconds)]
    pub since: Option<u64>,
    #[command(flatten)]
    pub reach: Reach,
}

/// `scheduler top`.
#[derive(Debug, Args)]
pub struct Top {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    #[command(flatten)]
    pub place: Place,
}

/// `scheduler doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The command of Docker.
    #[arg(long, value_name = "COMMAND", default_value = "docker")]
    pub docker: String,
    #[command(flatten)]
    pub place: Place,
}

/// `scheduler snapshot`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save all records of the running daemon
    Save {
        /// The snapshot.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Put saved records in the place of all others: in the daemon's folder, or with --consul in
    /// Consul; no scheduler of them must run
    Restore {
        /// The snapshot.
        file: PathBuf,
        /// Yes, the records that there are can go.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        home: Home,
        #[command(flatten)]
        reach: Box<ReachConsul>,
    },
}

/// `scheduler token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, print it once, and add who has it to the file of tokens
    New {
        /// Whose it is.
        name: String,
        /// What it may do.
        #[arg(long)]
        role: Role,
        /// The file of tokens, for `scheduler serve --tokens`.
        #[arg(long, value_name = "FILE")]
        tokens: PathBuf,
    },
    /// List who has tokens
    List {
        /// The file of tokens.
        #[arg(long, value_name = "FILE")]
        tokens: PathBuf,
    },
    /// Remove somebody's token: within two seconds the daemon knows it no more
    Remove {
        /// Whose it is.
        name: String,
        /// The file of tokens.
        #[arg(long, value_name = "FILE")]
        tokens: PathBuf,
    },
}

/// `scheduler policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List the policies that there were, and which one is live
    List(policy::List),
    /// Say how a file differs from the live policy, key by key
    Diff(policy::OneFile),
    /// Have the policy of a file decide from now on
    Apply(policy::OneFile),
    /// Go back to an earlier policy
    Rollback(policy::Back),
    /// Ask a policy beside the live one what it would decide, and note what differs
    Shadow(policy::Beside),
    /// Make each decision of a log again, and say which come out otherwise
    Replay {
        /// The log: decisions.log in the daemon's folder.
        log: PathBuf,
        /// The policy that made them; if absent, those that are kept beside the log.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
}

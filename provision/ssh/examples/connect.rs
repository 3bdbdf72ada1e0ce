//! Connects as a user would and says what it costs: `connect HOST [COUNT] [COMMAND]`.
//!
//! `PASSWORD`, `KEY`, `CONFIG`, `KNOWN_HOSTS` and `JUMP` in the environment set the options.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use provision_ssh::{Client, ClientOptions, ConnectOptions, Destination, Secret, TerminalPrompter};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// Processor time of this process so far, in milliseconds.
fn processor_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let main: f64 = text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let all: f64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
        .sum();
    all.max(main) / 1e6
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let destination: Destination = arguments.next().unwrap_or_default().parse()?;
    let count: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let command = arguments.next().unwrap_or_else(|| "id -un".to_owned());
    let variable = |name: &str| std::env::var(name).ok();
    let client = Client::new(ClientOptions {
        config_files: variable("CONFIG").map(|path| vec![path.into()]),
        prompter: Some(std::sync::Arc::new(TerminalPrompter)),
        ..ClientOptions::default()
    })?;
    let options = ConnectOptions {
        password: variable("PASSWORD").map(Secret::new),
        identity_files: variable("KEY").into_iter().map(Into::into).collect(),
        known_hosts_files: variable("KNOWN_HOSTS").into_iter().map(Into::into).collect(),
        jump: variable("JUMP")
            .map(|list| list.split(',').map(str::parse).collect::<Result<_, _>>())
            .transpose()?,
        ..ConnectOptions::default()
    };
    for ignored in client.ignored_settings(&destination)? {
        eprintln!("ignored: {} at {}", ignored.keyword, ignored.location);
    }
    for _ in 0..count {
        let (started, processor) = (Instant::now(), processor_ms());
        let session = match client.connect(&destination, &options).await {
            Ok(session) => session,
            Err(error) => {
                eprintln!("failed to {error}");
                let mut cause = error.source();
                while let Some(error) = cause {
                    eprintln!("  because: {error}");
                    cause = error.source();
                }
                eprintln!("  hint ({:?}): {}", error.kind(), error.hint());
                return Err("no connection".into());
            }
        };
        let (wall, processor) = (started.elapsed(), processor_ms() - processor);
        let started = Instant::now();
        let output = session.exec(&command).await?.collect(1 << 20).await?;
        std::io::stdout().write_all(&output.stdout)?;
        std::io::stderr().write_all(&output.stderr)?;
        eprintln!(
            "connect {wall:.1?} ({processor:.1} ms of processor time), command {:.1?}, {:?}",
            started.elapsed(),
            output.status
        );
        if count == 1 {
            eprintln!("{:#?}", session.description());
        }
        session.close().await;
    }
    Ok(())
}

//! Containers, by the command line of Docker. It is what the user's own commands talk to (contexts,
//! logins at registries, podman's stand-in), it passes signals and ends through, and it adds no
//! library: for one machine a process a container is nothing. A daemon for many machines would speak
//! to the engine itself.

use std::process::{Command, Stdio};

use crate::task::{Program, Task};

/// The name of a task's container; empty if it runs in none.
pub fn container(task: &Task) -> String {
    task.container_name().unwrap_or_default()
}

/// Whether there is an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// There is, with this version.
    There(String),
    /// There isn't, or it can't be used, because of this.
    Absent(String),
}

/// Asks the engine for its version.
#[must_use]
pub fn engine(docker: &str) -> Engine {
    let asked = Command::new(docker)
        .args(["version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            Engine::There(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Engine::Absent(said.lines().last().unwrap_or("it says nothing").trim().to_owned())
        }
        Err(error) => Engine::Absent(format!("`{docker}` can't be run: {error}")),
    }
}

/// The words that run a task: its own, or those that run its container in the foreground.
pub fn words(task: &Task, docker: &str) -> Vec<String> {
    let (image, arguments, inner_ports) = match &task.program {
        Program::Command(words) => return words.clone(),
        Program::Image { image, arguments, inner_ports } => (image, arguments, inner_ports),
    };
    let mut words: Vec<String> =
        [docker, "run", "--init", "--name"].iter().map(|word| (*word).to_owned()).collect();
    words.push(container(task));
    for (number, port) in task.ports.iter().enumerate() {
        let inner = inner_ports.get(number).unwrap_or(port);
        words.extend(["--publish".to_owned(), format!("127.0.0.1:{port}:{inner}")]);
    }
    // The values come from the environment of the command line itself: they are in no list of
    // processes.
    for name in task.environment.keys() {
        words.extend(["--env".to_owned(), name.clone()]);
    }
    for mount in &task.mounts {
        words.extend(["--volume".to_owned(), format!("{}:{}", mount.folder.display(), mount.path)]);
    }
    if let Some(most) = task.memory_most_mib {
        words.extend(["--memory".to_owned(), format!("{most}m")]);
    }
    if let Some(millicores) = task.millicores.filter(|cores| *cores > 0) {
        words.extend(["--cpus".to_owned(), format!("{:.3}", f64::from(millicores) / 1000.0)]);
    }
    words.push("--".to_owned());
    words.push(image.clone());
    words.extend(arguments.iter().cloned());
    words
}

/// Whether the container was ended for its memory. It must not be removed yet.
pub fn is_out_of_memory(task: &Task, docker: &str) -> bool {
    let asked = Command::new(docker)
        .args(["inspect", "--format", "{{.State.OOMKilled}}", &container(task)])
        .stdin(Stdio::null())
        .output();
    asked.is_ok_and(|output| output.stdout.starts_with(b"true"))
}

/// Ends the container, if it is there, and removes it.
pub fn remove(task: &Task, docker: &str) {
    // It may not be there.
    let _ = Command::new(docker)
        .args(["rm", "--force", "--volumes", &container(task)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_container_gets_what_its_task_says() {
        let task = Task {
            id: "web.1".parse().unwrap(),
            owner: "m1".to_owned(),
            program: Program::Image {
                image: "web:2".to_owned(),
                arguments: vec!["--fast".to_owned()],
                inner_ports: vec![80],
            },
            environment: BTreeMap::from([("KEY".to_owned(), "secret".to_owned())]),
            ports: vec![31_000, 31_001],
            memory_most_mib: Some(64),
            millicores: Some(500),
            check: None,
            kill_grace: Duration::from_secs(1),
            mounts: vec![crate::volumes::Mount {
                folder: "/srv/volumes/data".into(),
                path: "/data".to_owned(),
            }],
            container: None,
        };
        assert_eq!(
            words(&task, "docker").join(" "),
            "docker run --init --name corral-web.1 --publish 127.0.0.1:31000:80 \
             --publish 127.0.0.1:31001:31001 --env KEY \
             --volume /srv/volumes/data:/data --memory 64m --cpus 0.500 -- web:2 --fast"
        );
        assert!(
            matches!(engine("/nowhere/docker"), Engine::Absent(why) if why.contains("nowhere"))
        );
    }
}

//! `[pure]` What a script target's output says: the sum of its recaps, and where it failed.

use super::driver::clip;
use super::reference::Counts;

/// The sum over all hosts of all recaps of all calls; none if there was no recap.
#[must_use]
pub fn sum_of_recaps(texts: &[String]) -> Option<Counts> {
    let mut sum = None;
    for text in texts {
        let text = without_colours(text);
        let mut is_recap = false;
        for line in text.lines() {
            if line.starts_with("PLAY RECAP") {
                is_recap = true;
            } else if is_recap && let Some(counts) = counts_of(line) {
                let sum: &mut Counts = sum.get_or_insert_default();
                sum.ok += counts.ok;
                sum.changed += counts.changed;
                sum.skipped += counts.skipped;
                sum.failed += counts.failed;
                sum.rescued += counts.rescued;
                sum.ignored += counts.ignored;
            } else {
                is_recap = false;
            }
        }
    }
    sum
}

/// A line of a recap: `host : ok=1 changed=0 …`.
#[must_use]
pub fn counts_of(line: &str) -> Option<Counts> {
    let (_, words) = line.rsplit_once(" : ")?;
    let count = |name: &str| {
        words
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    Some(Counts {
        ok: count("ok")?,
        changed: count("changed")?,
        skipped: count("skipped").unwrap_or_default(),
        failed: count("failed").unwrap_or_default(),
        rescued: count("rescued").unwrap_or_default(),
        ignored: count("ignored").unwrap_or_default(),
    })
}

fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';');
        rest = rest.strip_prefix('m').unwrap_or(rest);
    }
    plain.push_str(rest);
    plain
}

/// The last call of a script that traces its commands, its last task, and what failed there.
#[must_use]
pub fn failure_of_script(log: &str) -> Option<String> {
    let log = without_colours(log);
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let call = lines.iter().rposition(|line| line.starts_with('+') && line.contains("ansible"));
    let shown = lines.get(call.unwrap_or_default()..).unwrap_or_default();
    let last = |is_wanted: fn(&str) -> bool| shown.iter().rposition(|line| is_wanted(line));
    let task = last(|line| line.starts_with("TASK [") || line.starts_with("RUNNING HANDLER ["));
    let fatal = last(|line| {
        let begins = ["fatal:", "failed:", "ERROR!", "error"];
        begins.iter().any(|begin| line.starts_with(begin)) && !line.contains("...ignoring")
    });
    let mut parts = Vec::new();
    if let Some(call) = call {
        parts.extend(lines.get(call).map(|line| line.trim_start_matches(['+', ' '])));
    }
    if let Some(place) = task
        && fatal.is_some_and(|fatal| fatal > place)
    {
        parts.extend(shown.get(place).map(|line| line.trim_end_matches([' ', '*'])));
    }
    match fatal {
        // What an error of ours is about stands in the lines below it.
        Some(fatal) => parts.extend(shown.iter().skip(fatal).take(2)),
        None => parts.extend(lines.last()),
    }
    (!parts.is_empty()).then(|| clip(&parts.join(" | ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recaps_are_summed_over_hosts_and_calls() {
        let texts = [
            "PLAY RECAP ***\na   : ok=3 changed=1 unreachable=0 failed=0 skipped=2 rescued=0 \
             ignored=0\nb : ok=1 changed=0 unreachable=0 failed=1 skipped=0 rescued=0 ignored=1\n\n\
             c : ok=100 changed=0\n"
                .to_owned(),
            "no recap\n".to_owned(),
            "PLAY RECAP ***\n\u{1b}[0;32ma\u{1b}[0m : \u{1b}[0;32mok=5\u{1b}[0m changed=0\n"
                .to_owned(),
        ];
        let expected = Counts { ok: 9, changed: 1, skipped: 2, failed: 1, rescued: 0, ignored: 1 };
        assert_eq!(sum_of_recaps(&texts), Some(expected));
        assert_eq!(sum_of_recaps(&["no recap\n".to_owned()]), None);
    }

    #[test]
    fn the_failure_of_a_script_names_call_task_and_message() {
        let log = "+ ansible-playbook one.yml\nfatal: [a]: early\n+ ansible-playbook two.yml -v\n\
                   \nTASK [check] *****\nfatal: [a]: FAILED! => {}\n+ exit 1\n";
        let failure = failure_of_script(log).unwrap();
        assert_eq!(
            failure,
            "ansible-playbook two.yml -v | TASK [check] | fatal: [a]: FAILED! => {} + exit 1"
                .replace("{} + exit", "{} | + exit")
        );
        assert_eq!(failure_of_script("+ grep x\n").unwrap(), "+ grep x");
        assert_eq!(failure_of_script(""), None);
    }
}

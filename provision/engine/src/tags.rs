//! Which tasks `--tags` and `--skip-tags` select.

/// Whether a task with these tags runs. `always` runs unless skipped, `never` only when asked
/// for; `all`, `tagged` and `untagged` are the special selections of Ansible.
#[must_use]
pub fn selected(tags: &[String], only: &[String], skip: &[String]) -> bool {
    let has = |list: &[String], name: &str| list.iter().any(|tag| tag == name);
    let tagged = !tags.is_empty();
    let common = |list: &[String]| tags.iter().any(|tag| list.contains(tag));
    let mut run = if only.is_empty() || has(only, "all") {
        !has(tags, "never") || common(only)
    } else {
        has(tags, "always")
            || common(only)
            || (has(only, "tagged") && tagged && !has(tags, "never"))
            || (has(only, "untagged") && !tagged)
    };
    if run && !skip.is_empty() {
        let skipped = if has(skip, "all") {
            !(has(tags, "always") && !has(skip, "always"))
        } else {
            common(skip) || (has(skip, "tagged") && tagged) || (has(skip, "untagged") && !tagged)
        };
        run = !skipped;
    }
    run
}

#[cfg(test)]
mod tests {
    use super::selected;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn follows_the_rules_of_ansible() {
        let table = [
            // tags, only, skip, runs
            ("", "", "", true),
            ("a", "", "", true),
            ("a", "a", "", true),
            ("a", "b", "", false),
            ("", "b", "", false),
            ("always", "b", "", true),
            ("always", "b", "always", false),
            ("never", "", "", false),
            ("never a", "a", "", true),
            ("never", "never", "", true),
            ("a", "tagged", "", true),
            ("", "tagged", "", false),
            ("", "untagged", "", true),
            ("a", "", "a", false),
            ("a b", "a", "b", false),
            ("always", "", "all", true),
            ("a", "", "all", false),
            ("", "", "untagged", false),
        ];
        for (tags, only, skip, runs) in table {
            assert_eq!(selected(&list(tags), &list(only), &list(skip)), runs, "{tags}|{only}|{skip}");
        }
    }
}

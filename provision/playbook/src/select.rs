//! Which tasks `--tags` and `--skip-tags` choose.

/// Whether a task runs. `tags` are all it has, inherited ones too; `only` is what `--tags` says
/// (nothing: `all`), `skip` what `--skip-tags` says (Ansible's `Taggable.evaluate_tags`).
#[must_use]
pub fn selected<T: AsRef<str>>(tags: &[T], only: &[String], skip: &[String]) -> bool {
    let has = |wanted: &str| tags.iter().any(|tag| tag.as_ref() == wanted);
    let tagged = !tags.is_empty() && !tags.iter().all(|tag| tag.as_ref() == "untagged");
    let named = |list: &[String]| {
        list.iter().any(|name| has(name)) || (!tagged && list.iter().any(|name| name == "untagged"))
    };
    let says = |list: &[String], word: &str| list.iter().any(|name| name == word);

    let all = only.is_empty() || says(only, "all");
    let chosen = has("always")
        || (all && !has("never"))
        || named(only)
        || (says(only, "tagged") && tagged && !has("never"));
    if !chosen || skip.is_empty() {
        return chosen;
    }
    if says(skip, "all") {
        return has("always") && !says(skip, "always");
    }
    !(named(skip) || (says(skip, "tagged") && tagged))
}

#[cfg(test)]
mod tests {
    use super::selected;

    /// The same rules, written as Ansible writes them, branch by branch.
    #[allow(clippy::if_same_then_else, reason = "as in Ansible")]
    fn oracle(tags: &[&str], only: &[&str], skip: &[&str]) -> bool {
        let untagged = vec!["untagged"];
        let tags: Vec<&str> = if tags.is_empty() { untagged } else { tags.to_vec() };
        let is_untagged = tags.iter().all(|tag| *tag == "untagged");
        let only: Vec<&str> = if only.is_empty() { vec!["all"] } else { only.to_vec() };
        let joint = |list: &[&str]| tags.iter().any(|tag| list.contains(tag));
        let mut run = if tags.contains(&"always") {
            true
        } else if only.contains(&"all") && !tags.contains(&"never") {
            true
        } else if joint(&only) {
            true
        } else {
            only.contains(&"tagged") && !is_untagged && !tags.contains(&"never")
        };
        if run && !skip.is_empty() {
            if skip.contains(&"all") {
                if !tags.contains(&"always") || skip.contains(&"always") {
                    run = false;
                }
            } else if joint(skip) {
                run = false;
            } else if skip.contains(&"tagged") && !is_untagged {
                run = false;
            }
        }
        run
    }

    fn subsets<'a>(words: &[&'a str]) -> Vec<Vec<&'a str>> {
        (0..1_usize << words.len())
            .map(|bits| {
                let chosen = words.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
                chosen.map(|(_, word)| *word).collect()
            })
            .collect()
    }

    #[test]
    fn agrees_with_ansible_on_all_combinations() {
        let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let task_tags = subsets(&["a", "b", "always", "never"]);
        let options = subsets(&["a", "always", "never", "all", "tagged", "untagged"]);
        for tags in &task_tags {
            for only in &options {
                for skip in &options {
                    assert_eq!(
                        selected(tags, &owned(only), &owned(skip)),
                        oracle(tags, only, skip),
                        "{tags:?} only {only:?} skip {skip:?}"
                    );
                }
            }
        }
    }
}

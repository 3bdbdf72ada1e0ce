//! `--start-at-task`: what of the playbooks is left when everything before a task is left out; and
//! which plays gather facts.
//!
//! As in Ansible, plays before the one that has the task gather no facts either, the play that has
//! it does, handlers stay, and what a dynamic include brings in can't be found.

use std::sync::Arc;

use yaml::{Node, NodeValue};

use crate::list::title;
use crate::model::{Block, Item, Play, Playbook, Task};
use crate::select::selected;

/// Leaves out everything before the first selected task whose name or title is `name`, or is like
/// it where it has `*`, `?` or `[…]`.
///
/// # Errors
/// The names of all tasks, if none is like it.
pub fn start_at(
    playbooks: &mut [Playbook],
    name: &str,
    only: &[String],
    skip: &[String],
) -> Result<(), Vec<String>> {
    let mut names = Vec::new();
    let mut found = false;
    let mut is_meant = |task: &Task| {
        if !selected(&task.context.tags(), only, skip) {
            return false;
        }
        let title = title(task);
        let own = task.name.as_ref().and_then(Node::as_str);
        let is_like = own.is_some_and(|own| matches(name, own)) || matches(name, &title);
        names.push(title);
        is_like
    };
    for play in playbooks.iter_mut().flat_map(|playbook| &mut playbook.plays) {
        if found {
            break;
        }
        let items = rest(&play.items, &mut is_meant);
        found = items.is_some();
        *play = Arc::new(match items {
            Some(items) => Play { items, ..Play::clone(play) },
            None => empty(play),
        });
    }
    if found { Ok(()) } else { Err(names) }
}

/// `gathering: explicit`: plays gather facts only if they say so.
pub fn gather_only_if_asked(playbooks: &mut [Playbook]) {
    for play in playbooks.iter_mut().flat_map(|playbook| &mut playbook.plays) {
        if play.gather_facts.is_none() {
            let off = Node::new(play.span, NodeValue::Bool(false));
            *play = Arc::new(Play { gather_facts: Some(off), ..Play::clone(play) });
        }
    }
}

/// A play of which nothing is left: it is still announced.
fn empty(play: &Play) -> Play {
    let off = Node::new(play.span, NodeValue::Bool(false));
    Play { items: Vec::new(), gather_facts: Some(off), ..play.clone() }
}

/// The items from the task that is meant on; `None` if it isn't among them.
fn rest(items: &[Item], is_meant: &mut impl FnMut(&Task) -> bool) -> Option<Vec<Item>> {
    let mut left: Option<Vec<Item>> = None;
    for item in items {
        if let Some(left) = &mut left {
            left.push(item.clone());
            continue;
        }
        match item {
            Item::Task(task) if is_meant(task) => left = Some(vec![item.clone()]),
            Item::Task(_) | Item::Flush | Item::RoleEnd(_) => {}
            Item::Block(block) => left = rest_of_block(block, is_meant).map(|item| vec![item]),
        }
    }
    left
}

/// A block from the task on. What rescues is no place to begin at: nothing has failed there.
fn rest_of_block(block: &Block, is_meant: &mut impl FnMut(&Task) -> bool) -> Option<Item> {
    let block = match rest(&block.items, is_meant) {
        Some(items) => Block { items, ..block.clone() },
        None => {
            let always = rest(&block.always, is_meant)?;
            Block { items: Vec::new(), rescue: Vec::new(), always, ..block.clone() }
        }
    };
    Some(Item::Block(Arc::new(block)))
}

/// Whether a text is like a pattern as shells read it: `*`, `?`, `[a-z]`, `[!a-z]`.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    if pattern == text {
        return true;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    is_like(&pattern, &text)
}

fn is_like(pattern: &[char], text: &[char]) -> bool {
    // Where to go on when the last `*` has to stand for one character more.
    let mut again: Option<(&[char], &[char])> = None;
    let (mut pattern, mut text) = (pattern, text);
    loop {
        let step = match pattern.split_first() {
            Some(('*', rest)) => {
                again = Some((rest, text));
                pattern = rest;
                continue;
            }
            None if text.is_empty() => return true,
            None => None,
            Some((first, rest)) => text.split_first().and_then(|(character, text)| {
                let (fits, rest) = one(*first, rest, *character);
                fits.then_some((rest, text))
            }),
        };
        (pattern, text) = match (step, again) {
            (Some(step), _) => step,
            (None, Some((after, from))) => {
                let Some((_, from)) = from.split_first() else { return false };
                again = Some((after, from));
                (after, from)
            }
            (None, None) => return false,
        };
    }
}

/// Whether one character fits, and the pattern behind it.
fn one(first: char, rest: &[char], character: char) -> (bool, &[char]) {
    match first {
        '?' => (true, rest),
        '[' => match class(rest, character) {
            Some(answer) => answer,
            // A bracket that nothing closes stands for itself.
            None => (character == '[', rest),
        },
        other => (other == character, rest),
    }
}

/// What stands between brackets, and the pattern behind them; `None` if they aren't closed.
fn class(pattern: &[char], character: char) -> Option<(bool, &[char])> {
    let (negated, body) = match pattern.split_first() {
        Some(('!', body)) => (true, body),
        _ => (false, pattern),
    };
    // A bracket that comes first is meant as a character.
    let skip = usize::from(body.first() == Some(&']'));
    let end = body.iter().skip(skip).position(|one| *one == ']')? + skip;
    let (members, rest) = (body.get(..end)?, body.get(end + 1..)?);
    let mut has = false;
    let mut left = members;
    while let Some((low, more)) = left.split_first() {
        left = match more {
            ['-', high, more @ ..] => {
                has |= (*low..=*high).contains(&character);
                more
            }
            more => {
                has |= *low == character;
                more
            }
        };
    }
    Some((has != negated, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches;

    #[test]
    fn patterns_are_those_of_shells() {
        for (pattern, text, is_like) in [
            ("install", "install", true),
            ("install", "install it", false),
            ("inst*", "install it", true),
            ("*all*it", "install it", true),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[open", "[open", true),
            ("task [1]", "task [1]", true),
            ("*a*b", "aXbXa", false),
        ] {
            assert_eq!(matches(pattern, text), is_like, "{pattern} {text}");
        }
    }

    /// The same, by trying everything.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|at| slow(rest, &text[at..])),
            ['?', rest @ ..] => !text.is_empty() && slow(rest, &text[1..]),
            [one, rest @ ..] => text.first() == Some(one) && slow(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn stars_agree_with_trying_everything(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), slow(&p, &t));
        }
    }
}

//! Several components at once: which goes first, and what one of them may not get because of
//! another. The rules are `order` of component.yml.

use std::path::Path;

use provision_engine::release::{Refusal, orders};
use provision_lifecycle::{
    Goal, Mismatch, Neighbour, Observed, Order, Purpose, Version, mismatch, ordered,
};

use super::{begin, prepared, view};
use crate::apply;
use crate::arguments::{OfReleases, Output, Upgrade};
use crate::exit::Exit;
use crate::paint::{self, FAINT, styled};

/// A component and the release that it shall get.
pub(super) type Pair = (String, Version);

/// The pairs of a command line.
pub(super) fn pairs(words: &[String]) -> Result<Vec<Pair>, String> {
    let mut pairs: Vec<Pair> = Vec::new();
    for pair in words.chunks(2) {
        let [component, version] = pair else {
            return Err(format!("{} has no version behind it", pair.concat()));
        };
        let version = Version::parse(version).map_err(|error| error.to_string())?;
        if pairs.iter().any(|(known, _)| known == component) {
            return Err(format!("{component} is there twice"));
        }
        pairs.push((component.clone(), version));
    }
    Ok(pairs)
}

/// The pairs in the order in which they are to be changed; tells what it is. Nothing is touched.
pub(super) fn in_order(pairs: Vec<Pair>, arguments: &Upgrade) -> Result<Vec<Pair>, Exit> {
    let care = &arguments.care;
    if care.plan_out.is_some() || care.hosts.is_some() {
        let hint = "--plan-out and --hosts are for one component: upgrade them one by one";
        paint::error("several components take no plan file and no hosts", Some(hint));
        return Err(Exit::Usage);
    }
    // Everything that is wrong with any of them is told before the first is touched.
    let names: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
    let discovery = apply::discovery(true, &arguments.of.reach);
    let prepared = prepared(&arguments.of, &names, discovery)?;
    let of = |name: &str| {
        let found = prepared.components.iter().find(|one| one.definition.name.value == name);
        found.map(|component| component.definition.order.clone())
    };
    let mut rules = Vec::new();
    for name in &names {
        let Some(order) = of(name) else {
            let hint = "its group in component.yml has no hosts in this inventory";
            paint::error(&format!("{name} has no members"), Some(hint));
            return Err(Exit::InvalidInput);
        };
        rules.push((name.as_str(), order));
    }
    let borrowed: Vec<(&str, &Order)> = rules.iter().map(|(name, order)| (*name, order)).collect();
    let order = ordered(&borrowed).map_err(|error| {
        let hint = "`order` in their component.yml says so";
        paint::error(&format!("failed to {error}"), Some(hint));
        Exit::InvalidInput
    })?;
    let place = |name: &String| order.iter().position(|one| one == name);
    let mut pairs = pairs;
    pairs.sort_by_key(|(name, _)| place(name));
    if arguments.of.output == Output::Human {
        let words: Vec<String> =
            pairs.iter().map(|(name, version)| format!("{name} {version}")).collect();
        say!("in this order: {}", words.join(", then "));
        let note = "each begins when the one before it is done, with a plan of its own";
        say!("{}", styled(FAINT, note));
    }
    Ok(pairs)
}

/// Components of the inventory by the order in which they are restarted.
pub(super) fn sorted(components: Vec<String>, playbooks: &Path) -> Vec<String> {
    let known = orders(playbooks);
    let none = Order::default();
    let of =
        |name: &str| known.iter().find(|(one, _)| one == name).map_or(&none, |(_, order)| order);
    let rules: Vec<(&str, &Order)> =
        components.iter().map(|name| (name.as_str(), of(name))).collect();
    ordered(&rules).unwrap_or(components)
}

/// What of other components speaks against a release. Those are asked only where a rule names them.
pub(super) async fn refusal(component: &str, goal: &Goal, of: &OfReleases) -> Result<(), Exit> {
    if !matches!(goal.purpose, Purpose::Upgrade | Purpose::Rollback) {
        return Ok(());
    }
    let known = orders(&of.playbooks);
    let own = known.iter().find(|(name, _)| name == component);
    let own = own.map(|(_, order)| order.clone()).unwrap_or_default();
    let is_related = |(name, order): &&(String, Order)| {
        own.not_newer_than.contains(name) || order.not_newer_than.iter().any(|one| one == component)
    };
    let related: Vec<&(String, Order)> = known.iter().filter(is_related).collect();
    if related.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = related.iter().map(|(name, _)| name.clone()).collect();
    let seen = look(&names, of).await?;
    let neighbours: Vec<Neighbour<'_>> = related
        .iter()
        .filter_map(|(name, order)| {
            let (_, observed) = seen.iter().find(|(seen, _)| seen == name)?;
            Some(Neighbour { name, order, observed })
        })
        .collect();
    match mismatch(component, &own, goal.purpose, &goal.version, &neighbours) {
        None => Ok(()),
        Some(found) => Err(refuse(&found)),
    }
}

fn refuse(found: &Mismatch) -> Exit {
    let message = format!("refused: {found}; nothing was touched");
    super::screen::refuse(&Refusal::new(message, found.hint()), Exit::Refused)
}

/// Asks the members of other components, without any lock.
async fn look(names: &[String], of: &OfReleases) -> Result<Vec<(String, Observed)>, Exit> {
    let discovery = apply::discovery(true, &of.reach);
    let prepared = prepared(of, names, discovery)?;
    if prepared.components.is_empty() {
        return Ok(Vec::new());
    }
    let mut releases = begin(of, prepared, false, &std::sync::Arc::default())?;
    let mut seen = Vec::new();
    for number in 0..releases.components().len() {
        let observed = releases.observe(number).await;
        let component = releases.components().get(number);
        let name = component.map(|component| component.definition.name.value.clone());
        for member in observed.members.iter().filter(|member| !member.is_reachable()) {
            let name = view::names(std::slice::from_ref(&member.name));
            let message = "it can't be asked what it runs, and that is not compared";
            paint::warning(Some(&name), message);
        }
        seen.extend(name.map(|name| (name, observed)));
    }
    releases.finish().await;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn components_and_versions_come_in_pairs() {
        let words =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let shown = |text: &str| {
            pairs(&words(text)).map(|pairs| {
                let one = |(name, version): &(String, _)| format!("{name}={version}");
                pairs.iter().map(one).collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(shown("zookeeper 3.9.3").unwrap(), "zookeeper=3.9.3");
        assert_eq!(shown("b 1 a 2").unwrap(), "b=1 a=2");
        assert_eq!(shown("a 1 b").unwrap_err(), "b has no version behind it");
        assert_eq!(shown("a 1 a 2").unwrap_err(), "a is there twice");
        assert!(shown("a ../b").is_err());
    }
}

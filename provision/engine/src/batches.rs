//! `serial`: which hosts of a play are taken together.

use std::sync::Arc;

use provision_playbook::model::Play;
use yaml::Node;

use crate::outside::Outside;
use crate::variables::View;
use crate::world::World;

/// What a play's own keywords see: no host yet.
fn view_of_play(world: &Arc<World>, play: &Play) -> View {
    let localhost = world.host_or_new("localhost");
    let mut view = View::of_host(world, &localhost);
    if let Some(vars) = &play.context.directives.vars {
        for (name, slot) in world.layers.of(vars).iter() {
            view.local.set(name, slot.clone());
        }
    }
    view
}

/// The text of a keyword of a play.
pub(crate) fn text_of_play(world: &Arc<World>, play: &Play, node: &Node) -> Result<String, String> {
    let view = view_of_play(world, play);
    let value = world.engine.render_node(node, &view, &Outside::of(&view));
    value.map(|value| provision_template::text_of(&value)).map_err(|error| error.message().into())
}

/// The batches of a play, in order.
pub(crate) fn batches(world: &Arc<World>, play: &Play, hosts: &[String]) -> Vec<Vec<String>> {
    let view = view_of_play(world, play);
    let outside = Outside::of(&view);
    let sizes: Vec<usize> = play
        .serial
        .iter()
        .filter_map(|node| world.engine.render_node(node, &view, &outside).ok())
        .flat_map(|value| match value.kind() {
            minijinja::value::ValueKind::Seq => {
                value.try_iter().into_iter().flatten().collect::<Vec<_>>()
            }
            _ => vec![value],
        })
        .map(|value| batch_size(&provision_template::text_of(&value), hosts.len()))
        .collect();
    if sizes.is_empty() || hosts.is_empty() {
        return vec![hosts.to_vec()];
    }
    let mut rest = hosts;
    let mut batches = Vec::new();
    let mut sizes = sizes.into_iter().peekable();
    let mut size = hosts.len();
    while !rest.is_empty() {
        if let Some(next) = sizes.next() {
            size = next;
        }
        let (batch, others) = rest.split_at(size.clamp(1, rest.len()));
        batches.push(batch.to_vec());
        rest = others;
    }
    batches
}

/// A number of hosts, or a percentage of them; at least one. Zero and nonsense mean all.
fn batch_size(text: &str, hosts: usize) -> usize {
    let text = text.trim();
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: usize = percent.trim().parse().unwrap_or(100);
            (hosts * percent / 100).max(1)
        }
        None => match text.parse::<usize>() {
            Ok(0) | Err(_) => hosts,
            Ok(size) => size,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::batch_size;

    #[test]
    fn sizes_of_batches() {
        for (text, hosts, size) in [
            ("1", 10, 1),
            ("30%", 10, 3),
            ("1%", 10, 1),
            ("0", 10, 10),
            ("x", 4, 4),
            ("100%", 7, 7),
        ] {
            assert_eq!(batch_size(text, hosts), size, "{text} of {hosts}");
        }
    }
}

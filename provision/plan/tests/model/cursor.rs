//! One host's way through the tree: what is next, where a failure leads, and the first World
//! position ahead. This is what an engine has to know of paths; the oracle doesn't use it.

use super::play::{Block, Include, Node, Play, Task};
use provision_plan::Position;

#[derive(Clone)]
enum Section<'a> {
    List,
    Body(&'a Block),
    Rescue(&'a Block),
    Always(Failing),
    Handlers,
}

/// Whether the host fails for good, or to the next rescue, behind this always.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failing {
    Yes,
    No,
}

#[derive(Clone)]
struct Frame<'a> {
    nodes: &'a [Node],
    at: usize,
    prefix: Position,
    section: Section<'a>,
}

#[derive(Clone)]
pub struct Cursor<'a> {
    play: &'a Play,
    /// Empty at the end.
    frames: Vec<Frame<'a>>,
    pub failed: bool,
}

#[derive(Clone, Copy)]
pub enum Leaf<'a> {
    Task(&'a Task),
    Handler(&'a Task, usize),
    Include(&'a Include),
}

impl<'a> Cursor<'a> {
    pub fn new(play: &'a Play) -> Self {
        let mut cursor = Self { play, frames: Vec::new(), failed: false };
        cursor.enter(&play.tasks, Position::root(), Section::List);
        cursor.settle();
        cursor
    }

    fn enter(&mut self, nodes: &'a [Node], prefix: Position, section: Section<'a>) {
        self.frames.push(Frame { nodes, at: 0, prefix, section });
    }

    /// The next thing to do; `None` at the end.
    pub fn leaf(&self) -> Option<(Position, Leaf<'a>)> {
        let frame = self.frames.last()?;
        let leaf = match (&frame.nodes[frame.at], &frame.section) {
            (Node::Task(task), Section::Handlers) => Leaf::Handler(task, frame.at),
            (Node::Task(task), _) => Leaf::Task(task),
            (Node::Include(include), _) => Leaf::Include(include),
            (Node::Block(_) | Node::Flush, _) => unreachable!("settled"),
        };
        Some((frame.here(), leaf))
    }

    /// Goes on behind the leaf.
    pub fn advance(&mut self) {
        self.step();
        self.settle();
    }

    /// Goes into a file of the include that is the leaf.
    pub fn expand(&mut self, file: usize) {
        let frame = self.frames.last().unwrap();
        let Node::Include(include) = &frame.nodes[frame.at] else { panic!("not an include") };
        let prefix = frame.here().child(file as u32);
        self.enter(&include.files[file], prefix, Section::List);
        self.settle();
    }

    /// Goes where the failure of the leaf leads.
    pub fn fail(&mut self) {
        while let Some(frame) = self.frames.pop() {
            let block_at = self.frames.last().map(Frame::here);
            match (frame.section, block_at) {
                (Section::Body(block), Some(at)) if !block.rescue.is_empty() => {
                    self.enter(&block.rescue, at.child(1), Section::Rescue(block));
                    return self.settle();
                }
                (Section::Body(block) | Section::Rescue(block), Some(at))
                    if !block.always.is_empty() =>
                {
                    let section = Section::Always(Failing::Yes);
                    self.enter(&block.always, at.child(2), section);
                    return self.settle();
                }
                _ => {}
            }
        }
        self.failed = true;
    }

    fn step(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.at += 1;
        }
    }

    /// Goes into blocks and out of finished sections until a leaf or the end.
    fn settle(&mut self) {
        while let Some(frame) = self.frames.last() {
            let here = frame.here();
            match frame.nodes.get(frame.at) {
                Some(Node::Task(_) | Node::Include(_)) => return,
                Some(Node::Block(block)) => {
                    self.enter(&block.body, here.child(0), Section::Body(block));
                }
                Some(Node::Flush) => self.enter(&self.play.handlers, here, Section::Handlers),
                None => self.leave(),
            }
        }
    }

    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        match frame.section {
            Section::Body(block) | Section::Rescue(block) if !block.always.is_empty() => {
                let at = self.frames.last().unwrap().here();
                let section = Section::Always(Failing::No);
                self.enter(&block.always, at.child(2), section);
            }
            Section::Always(Failing::Yes) => self.fail(),
            Section::List
            | Section::Handlers
            | Section::Body(_)
            | Section::Rescue(_)
            | Section::Always(Failing::No) => self.step(),
        }
    }

    /// Whether anything in the play is World.
    pub fn meets_world(play: &Play) -> bool {
        let play = Play { known_includes: true, ..play.clone() };
        Cursor::new(&play).first(&play.tasks, &Position::root(), 0).is_some()
    }

    /// The first World position after the leaf, whatever its outcome.
    pub fn world_after(&self) -> Option<Position> {
        self.world(1)
    }

    /// The first World position in the include that is the leaf.
    pub fn world_in_include(&self) -> Option<Position> {
        let (at, Leaf::Include(include)) = self.leaf()? else { return None };
        if self.play.known_includes { self.files(include, &at) } else { Some(at.child(0)) }
    }

    /// The first World position from where a failure of the leaf leads.
    pub fn world_if_failed(&self) -> Option<Position> {
        let mut failed = self.clone();
        failed.fail();
        failed.world(0)
    }

    fn world(&self, skip: usize) -> Option<Position> {
        let inner = self.frames.len().checked_sub(1)?;
        for (depth, frame) in self.frames.iter().enumerate().rev() {
            let skip = if depth == inner { skip } else { 1 };
            let block_at = depth.checked_sub(1).map(|outer| self.frames[outer].here());
            let here = self.first(frame.nodes, &frame.prefix, frame.at + skip).or_else(|| {
                match frame.section {
                    Section::Body(block) => self.sections(block, &block_at?, 1),
                    Section::Rescue(block) => self.sections(block, &block_at?, 2),
                    Section::List | Section::Handlers | Section::Always(..) => None,
                }
            });
            if here.is_some() {
                return here;
            }
            if matches!(frame.section, Section::Always(Failing::Yes)) {
                let mut failed = self.clone();
                failed.frames.truncate(depth);
                failed.fail();
                return failed.world(0);
            }
        }
        None
    }

    fn first(&self, nodes: &[Node], prefix: &Position, from: usize) -> Option<Position> {
        nodes.iter().enumerate().skip(from).find_map(|(number, node)| {
            let at = || prefix.child(number as u32);
            match node {
                Node::Task(task) => task.is_world().then(at),
                Node::Block(block) => self.sections(block, &at(), 0),
                Node::Flush => self.first(&self.play.handlers, &at(), 0),
                Node::Include(include) => {
                    if include.choose.reads_world() || !self.play.known_includes {
                        return Some(at());
                    }
                    self.files(include, &at())
                }
            }
        })
    }

    fn files(&self, include: &Include, at: &Position) -> Option<Position> {
        let mut files = (0..).zip(&include.files);
        files.find_map(|(file, nodes)| self.first(nodes, &at.child(file), 0))
    }

    fn sections(&self, block: &Block, at: &Position, from: u32) -> Option<Position> {
        let sections = [&block.body, &block.rescue, &block.always];
        (0..)
            .zip(sections)
            .skip(from as usize)
            .find_map(|(section, nodes)| self.first(nodes, &at.child(section), 0))
    }
}

impl Frame<'_> {
    fn here(&self) -> Position {
        self.prefix.child(self.at as u32)
    }
}

//! What a template is compiled to: a tree that owns everything it needs, so that it can be shared
//! between threads and outlive its source.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use crate::checks::CheckEntry;
use crate::error::At;
use crate::filters::FilterEntry;
use crate::value::Arithmetic;

/// A name, shared.
pub(crate) type Name = Arc<str>;

/// A compiled template.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) body: Vec<Stmt>,
    pub(crate) blocks: BTreeMap<Name, Arc<Vec<Stmt>>>,
    /// Whether lists and dictionaries must be changeable.
    pub(crate) mutates: bool,
    /// What ends the lines of the result.
    pub(crate) newline: Arc<str>,
    /// The name, if the whole text is `{{ name }}`.
    pub(crate) single: Option<Name>,
}

/// A compiled bare expression.
#[derive(Debug)]
pub(crate) struct Formula {
    pub(crate) expr: Expr,
    pub(crate) mutates: bool,
}

/// A statement.
#[derive(Debug)]
pub(crate) enum Stmt {
    Text(Value),
    Emit(Expr, At),
    For(Arc<ForLoop>),
    If(Box<IfStmt>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Set(Target, Expr),
    SetBlock(Target, Option<Expr>, Vec<Stmt>),
    Filter(Expr, Vec<Stmt>),
    Block(Name, At),
    Import(Expr, Target),
    FromImport(Expr, Vec<(Name, Name)>),
    Extends(Expr),
    Include(Expr, bool),
    Macro(Arc<MacroCode>),
    Call(Box<CallBlock>),
    Continue,
    Break,
    Do(Expr),
    Scope(Vec<Stmt>),
}

#[derive(Debug)]
pub(crate) struct ForLoop {
    pub(crate) target: Target,
    pub(crate) iter: Expr,
    pub(crate) filter: Option<Expr>,
    pub(crate) recursive: bool,
    /// Whether `loop` is mentioned inside; without it no loop object is made.
    pub(crate) uses_loop: bool,
    pub(crate) body: Vec<Stmt>,
    pub(crate) otherwise: Vec<Stmt>,
    pub(crate) at: At,
}

#[derive(Debug)]
pub(crate) struct IfStmt {
    pub(crate) test: Expr,
    pub(crate) body: Vec<Stmt>,
    pub(crate) otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub(crate) struct CallBlock {
    pub(crate) callee: Expr,
    pub(crate) args: Args,
    pub(crate) caller: Arc<MacroCode>,
    pub(crate) at: At,
}

/// A macro's parameters and body.
#[derive(Debug)]
pub(crate) struct MacroCode {
    pub(crate) name: Name,
    pub(crate) params: Vec<(Name, Option<Expr>)>,
    pub(crate) body: Vec<Stmt>,
    pub(crate) uses_varargs: bool,
    pub(crate) uses_kwargs: bool,
    pub(crate) uses_caller: bool,
}

/// What can be assigned to.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Name),
    Tuple(Vec<Target>),
    Attr(Expr, Name),
}

/// An expression.
#[derive(Debug)]
pub(crate) enum Expr {
    Const(Value),
    /// A text literal that holds a template, where Ansible renders it: terms of lookups, conditions.
    Embedded(Name),
    Var(Name, At),
    /// What stands before the first filter of a filter block.
    Captured,
    Attr(Box<Expr>, Name, At),
    Item(Box<Expr>, Box<Expr>, At),
    Slice(Box<SliceExpr>),
    Not(Box<Expr>),
    Negate(Box<Expr>, At),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>, At),
    Concat(Box<Expr>, Box<Expr>, At),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>, At),
    If(Box<IfExpr>),
    Filter(Box<Expr>, FilterRef, Args, At),
    Test(Box<Expr>, CheckRef, Args, At),
    Call(Box<Expr>, Args, At),
    Method(Box<Expr>, Name, Args, At),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
}

#[derive(Debug)]
pub(crate) struct SliceExpr {
    pub(crate) value: Expr,
    pub(crate) bounds: [Option<Expr>; 3],
    pub(crate) at: At,
}

#[derive(Debug)]
pub(crate) struct IfExpr {
    pub(crate) test: Expr,
    pub(crate) then: Expr,
    pub(crate) otherwise: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// Arguments of a call.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) positional: Vec<Expr>,
    pub(crate) named: Vec<(Name, Expr)>,
    pub(crate) splat: Option<Box<Expr>>,
    pub(crate) named_splat: Option<Box<Expr>>,
}

/// A filter, found when compiling.
#[derive(Debug, Clone)]
pub(crate) enum FilterRef {
    Known(&'static FilterEntry),
    /// `x | failed`: a test in the form of old content.
    Check(&'static CheckEntry),
    Unknown(Name),
}

/// A test, found when compiling.
#[derive(Debug, Clone)]
pub(crate) enum CheckRef {
    Known(&'static CheckEntry),
    Unknown(Name),
}

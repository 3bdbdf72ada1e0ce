//! What kind of value an expression has whatever its variables are: where the dialects differ in
//! what they make of it.

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::program::{Expr, FilterRef, Program, Stmt};

/// Kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// True or false.
    Boolean,
    /// Text.
    Text,
    /// A number.
    Number,
    /// A list.
    List,
    /// A mapping.
    Mapping,
}

impl Shape {
    /// What users call it.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Shape::Boolean => "a boolean",
            Shape::Text => "text",
            Shape::Number => "a number",
            Shape::List => "a list",
            Shape::Mapping => "a mapping",
        }
    }
}

/// What filters give whatever they are given.
const FILTERS: &[(&str, Shape)] = &[
    ("abs", Shape::Number),
    ("b64decode", Shape::Text),
    ("b64encode", Shape::Text),
    ("basename", Shape::Text),
    ("bool", Shape::Boolean),
    ("capitalize", Shape::Text),
    ("count", Shape::Number),
    ("dict2items", Shape::List),
    ("dirname", Shape::Text),
    ("expanduser", Shape::Text),
    ("float", Shape::Number),
    ("hash", Shape::Text),
    ("int", Shape::Number),
    ("items2dict", Shape::Mapping),
    ("join", Shape::Text),
    ("length", Shape::Number),
    ("list", Shape::List),
    ("lower", Shape::Text),
    ("quote", Shape::Text),
    ("regex_findall", Shape::List),
    ("regex_replace", Shape::Text),
    ("replace", Shape::Text),
    ("reject", Shape::List),
    ("rejectattr", Shape::List),
    ("round", Shape::Number),
    ("select", Shape::List),
    ("selectattr", Shape::List),
    ("sort", Shape::List),
    ("split", Shape::List),
    ("splitlines", Shape::List),
    ("string", Shape::Text),
    ("title", Shape::Text),
    ("to_json", Shape::Text),
    ("to_nice_json", Shape::Text),
    ("to_nice_yaml", Shape::Text),
    ("to_yaml", Shape::Text),
    ("trim", Shape::Text),
    ("unique", Shape::List),
    ("upper", Shape::Text),
    ("wordcount", Shape::Number),
];

/// The kind of an expression's value; `None` if it depends on variables.
pub(crate) fn of_expression(expr: &Expr) -> Option<Shape> {
    match expr {
        Expr::Const(value) => of_value(value),
        Expr::Embedded(_) | Expr::Concat(..) => Some(Shape::Text),
        Expr::Not(_) | Expr::Compare(..) | Expr::Test(..) => Some(Shape::Boolean),
        Expr::Negate(..) => Some(Shape::Number),
        Expr::And(left, right) | Expr::Or(left, right) => {
            // Either may be the value.
            let (left, right) = (of_expression(left)?, of_expression(right)?);
            (left == right).then_some(left)
        }
        Expr::If(choice) => {
            let then = of_expression(&choice.then)?;
            let otherwise = of_expression(choice.otherwise.as_ref()?)?;
            (then == otherwise).then_some(then)
        }
        Expr::Filter(_, filter, ..) => match filter {
            FilterRef::Check(_) => Some(Shape::Boolean),
            FilterRef::Known(entry) => {
                FILTERS.iter().find(|(name, _)| *name == entry.name).map(|(_, shape)| *shape)
            }
            FilterRef::Unknown(_) => None,
        },
        Expr::List(_) | Expr::Tuple(_) => Some(Shape::List),
        Expr::Map(_) => Some(Shape::Mapping),
        Expr::Var(..)
        | Expr::Captured
        | Expr::Attr(..)
        | Expr::Item(..)
        | Expr::Slice(_)
        | Expr::Arithmetic(..)
        | Expr::Call(..)
        | Expr::Method(..) => None,
    }
}

fn of_value(value: &Value) -> Option<Shape> {
    match value.kind() {
        ValueKind::Bool => Some(Shape::Boolean),
        ValueKind::Number => Some(Shape::Number),
        ValueKind::String => Some(Shape::Text),
        ValueKind::Seq => Some(Shape::List),
        ValueKind::Map => Some(Shape::Mapping),
        _ => None,
    }
}

/// The kind of a condition's value, and the variable that it is if it is nothing else.
pub(crate) fn of_condition(
    expr: &Expr,
    variable: &dyn Fn(&str) -> Option<Shape>,
) -> Option<(Shape, Option<String>)> {
    match expr {
        Expr::Var(name, _) => variable(name).map(|shape| (shape, Some(name.to_string()))),
        Expr::And(left, right) | Expr::Or(left, right) => {
            // Either side may be the value.
            let sides = [left, right].map(|side| of_condition(side, variable));
            let odd = |side: &Option<(Shape, Option<String>)>| {
                side.as_ref().is_some_and(|(shape, _)| *shape != Shape::Boolean)
            };
            let [left, right] = sides;
            match (odd(&left), odd(&right)) {
                (true, _) => left,
                (false, true) => right,
                (false, false) => None,
            }
        }
        other => of_expression(other).map(|shape| (shape, None)),
    }
}

/// The kind of a template's value in the strict dialect, if it is one expression and nothing else.
pub(crate) fn of_program(program: &Program) -> Option<Shape> {
    match program.body.as_slice() {
        [Stmt::Emit(expr, _)] => of_expression(expr),
        _ => None,
    }
}

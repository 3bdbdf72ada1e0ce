//! Expressions of XPath 1.0, as far as playbooks use it: paths with all common axes, predicates,
//! comparisons, `and`, `or` and unions.

use crate::module::Failure;

/// Deepest nesting of an expression.
const DEPTH_LIMIT: usize = 50;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// Steps from the root or from here.
    Path {
        absolute: bool,
        steps: Vec<Step>,
    },
    /// Two expressions and what is between them.
    Binary(Box<Expression>, &'static str, Box<Expression>),
    /// A function.
    Call(String, Vec<Expression>),
    Text(String),
    Number(f64),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub axis: Axis,
    pub test: Test,
    pub predicates: Vec<Expression>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Ancestor,
    Attribute,
    Child,
    Descendant,
    DescendantOrSelf,
    FollowingSibling,
    Parent,
    PrecedingSibling,
    Itself,
}

const AXES: &[(&str, Axis)] = &[
    ("ancestor", Axis::Ancestor),
    ("attribute", Axis::Attribute),
    ("child", Axis::Child),
    ("descendant", Axis::Descendant),
    ("descendant-or-self", Axis::DescendantOrSelf),
    ("following-sibling", Axis::FollowingSibling),
    ("parent", Axis::Parent),
    ("preceding-sibling", Axis::PrecedingSibling),
    ("self", Axis::Itself),
];

#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Elements, or attributes.
    Any,
    /// Of this name, with its prefix.
    Name(String),
    /// `text()`.
    Text,
    /// `comment()`.
    Comment,
    /// `node()`.
    Node,
}

/// Reads an expression.
///
/// # Errors
/// When it isn't one, or uses more than is known here.
pub fn parse(text: &str) -> Result<Expression, Failure> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, text };
    let expression = parser.binary(0)?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.failed()),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: &[&str] = &[
    "::", "//", "..", "!=", "<=", ">=", "/", ".", "@", "*", "[", "]", "(", ")", ",", "|", "=", "<",
    ">", "+", "-",
];

fn invalid(text: &str) -> Failure {
    Failure::new(format!("Syntax error in xpath expression: {text}"))
}

fn tokens(text: &str) -> Result<Vec<Token>, Failure> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
        if matches!(first, '"' | '\'') {
            let inner = rest.get(1..).unwrap_or_default();
            let (word, after) = inner.split_once(first).ok_or_else(|| invalid(text))?;
            tokens.push(Token::Text(word.to_owned()));
            rest = after;
        } else if first.is_ascii_digit() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
            let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
            tokens.push(Token::Number(number.parse().map_err(|_| invalid(text))?));
            rest = after;
        } else if first.is_alphabetic() || first == '_' {
            let mut end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
            let after = rest.get(end..).unwrap_or_default();
            // A prefix; `::` ends the name of an axis.
            if after.starts_with(':') && !after.starts_with("::") {
                let more = after.get(1..).unwrap_or_default();
                let length = match more.starts_with('*') {
                    true => 1,
                    false => more.find(|letter| !is_name(letter)).unwrap_or(more.len()),
                };
                end += 1 + length;
            }
            let (name, after) = rest.split_at(end);
            tokens.push(Token::Name(name.to_owned()));
            rest = after;
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| invalid(text))?;
            tokens.push(Token::Sign(sign));
            rest = rest.get(sign.len()..).unwrap_or_default();
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// Operators, weakest first.
const LEVELS: &[&[&str]] =
    &[&["or"], &["and"], &["=", "!="], &["<", "<=", ">", ">="], &["+", "-"], &["|"]];

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    text: &'a str,
}

impl Parser<'_> {
    fn failed(&self) -> Failure {
        invalid(self.text)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(is_it);
        is_it
    }

    fn demand(&mut self, sign: &str) -> Result<(), Failure> {
        if self.takes(sign) { Ok(()) } else { Err(self.failed()) }
    }

    fn operator(&mut self, level: &[&'static str]) -> Option<&'static str> {
        let found = level.iter().find(|operator| match self.peek() {
            Some(Token::Sign(sign)) => sign == *operator,
            Some(Token::Name(name)) => name == *operator,
            _ => false,
        })?;
        self.at += 1;
        Some(found)
    }

    fn binary(&mut self, level: usize) -> Result<Expression, Failure> {
        let Some(operators) = LEVELS.get(level) else { return self.primary() };
        self.depth += 1;
        if self.depth > DEPTH_LIMIT * LEVELS.len() {
            return Err(self.failed());
        }
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            let right = self.binary(level + 1)?;
            left = Expression::Binary(Box::new(left), operator, Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expression, Failure> {
        match self.peek().cloned() {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(Expression::Text(text))
            }
            Some(Token::Number(number)) => {
                self.at += 1;
                Ok(Expression::Number(number))
            }
            Some(Token::Sign("(")) => {
                self.at += 1;
                let inner = self.binary(0)?;
                self.demand(")")?;
                Ok(inner)
            }
            Some(Token::Name(name)) if self.is_call(&name) => {
                self.at += 2;
                let mut arguments = Vec::new();
                while !self.takes(")") {
                    if !arguments.is_empty() {
                        self.demand(",")?;
                    }
                    arguments.push(self.binary(0)?);
                }
                Ok(Expression::Call(name, arguments))
            }
            Some(_) => self.path(),
            None => Err(self.failed()),
        }
    }

    fn is_call(&self, name: &str) -> bool {
        let opens = matches!(self.tokens.get(self.at + 1), Some(Token::Sign("(")));
        opens && !matches!(name, "text" | "node" | "comment")
    }

    fn path(&mut self) -> Result<Expression, Failure> {
        let mut steps = Vec::new();
        let everywhere =
            || Step { axis: Axis::DescendantOrSelf, test: Test::Node, predicates: Vec::new() };
        let absolute = if self.takes("//") {
            steps.push(everywhere());
            true
        } else {
            self.takes("/")
        };
        if absolute && steps.is_empty() && !self.begins_step() {
            return Ok(Expression::Path { absolute, steps });
        }
        loop {
            steps.push(self.step()?);
            if self.takes("//") {
                steps.push(everywhere());
            } else if !self.takes("/") {
                return Ok(Expression::Path { absolute, steps });
            }
        }
    }

    fn begins_step(&self) -> bool {
        matches!(self.peek(), Some(Token::Name(_) | Token::Sign("." | ".." | "@" | "*")))
    }

    fn step(&mut self) -> Result<Step, Failure> {
        let short = |axis| Ok(Step { axis, test: Test::Node, predicates: Vec::new() });
        if self.takes(".") {
            return short(Axis::Itself);
        }
        if self.takes("..") {
            return short(Axis::Parent);
        }
        let mut axis = if self.takes("@") { Axis::Attribute } else { Axis::Child };
        if let (Some(Token::Name(name)), Some(Token::Sign("::"))) =
            (self.peek(), self.tokens.get(self.at + 1))
        {
            let known = AXES.iter().find(|(known, _)| known == name);
            axis = known.ok_or_else(|| self.failed())?.1;
            self.at += 2;
        }
        let test = self.test()?;
        let mut predicates = Vec::new();
        while self.takes("[") {
            predicates.push(self.binary(0)?);
            self.demand("]")?;
        }
        Ok(Step { axis, test, predicates })
    }

    fn test(&mut self) -> Result<Test, Failure> {
        if self.takes("*") {
            return Ok(Test::Any);
        }
        let Some(Token::Name(name)) = self.peek().cloned() else { return Err(self.failed()) };
        self.at += 1;
        if !self.takes("(") {
            return Ok(Test::Name(name));
        }
        self.demand(")")?;
        match name.as_str() {
            "text" => Ok(Test::Text),
            "comment" => Ok(Test::Comment),
            "node" => Ok(Test::Node),
            _ => Err(self.failed()),
        }
    }
}

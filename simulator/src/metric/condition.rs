//! What a figure has to be: `paid.p99_ms<=500`.

use std::fmt;

use super::Metric;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub metric: Metric,
    /// From which side.
    pub bound: Bound,
    /// In the unit of the metric.
    pub limit: f64,
}

/// From which side a figure is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It may be at most so much.
    AtMost,
    /// It has to be at least so much.
    AtLeast,
}

impl Condition {
    /// By how much of its limit a value misses the condition: 0 if it is met.
    #[must_use]
    pub fn excess(&self, value: f64) -> f64 {
        let beyond = match self.bound {
            Bound::AtMost => value - self.limit,
            Bound::AtLeast => self.limit - value,
        };
        // A limit of 0 is missed by the value itself.
        let scale = if self.limit > 0.0 { self.limit } else { 1.0 };
        beyond.max(0.0) / scale
    }
}

impl Condition {
    /// How much of what the limit allows a value uses: at most 1 if the condition is met.
    #[must_use]
    pub fn load(&self, value: f64) -> f64 {
        match self.bound {
            Bound::AtMost if self.limit > 0.0 => value / self.limit,
            Bound::AtMost => value,
            Bound::AtLeast if value > 0.0 => self.limit / value,
            Bound::AtLeast => f64::INFINITY,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.bound {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        };
        let unit = self.metric.figure.unit();
        match unit {
            super::Unit::Part => write!(f, "{}{sign}{}%", self.metric.name, rounded(self.limit)),
            _ => write!(f, "{}{sign}{}", self.metric.name, self.limit),
        }
    }
}

/// Percent, without the digits that multiplication by 100 adds.
fn rounded(part: f64) -> f64 {
    (part * 1e10).round() / 1e8
}

//! `[pure]` What every simulation needs: a clock of whole nanoseconds, random streams, laws of
//! random times, exact statistics, and a wheel of things that end.
//!
//! The same seed gives the same bits on every machine and for every number of threads: times are
//! integers, sums are integers, and the floating point of sampling uses only operations that
//! IEEE 754 defines exactly (`logarithm.rs`) or the portable `libm`.

#![forbid(unsafe_code)]

pub mod comparison;
mod controls;
pub mod gate;
pub mod histogram;
pub mod interval;
mod lanes;
pub mod law;
pub mod logarithm;
pub mod normal;
pub mod row;
pub mod single;
pub mod summary;
pub mod warm_up;
pub mod wheel;
pub mod wide;

pub use comparison::{Change, Comparison, Pair};
pub use gate::{Finding, Levels, Looks};
pub use histogram::{CoarseHistogram, Histogram};
pub use interval::{Interval, Moments};
pub use law::Law;
pub use policy::random::{Draw, Purpose, Words};
pub use policy::time::{Nanoseconds, Time};
pub use summary::Summary;
pub use wheel::Wheel;

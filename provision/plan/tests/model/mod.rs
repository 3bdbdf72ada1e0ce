//! The model against which the dispatcher is proven: see `../oracle.rs`.

pub mod ahead;
pub mod cursor;
pub mod generate;
pub mod linear;
pub mod play;
pub mod random;

//! What a trained field's spectrum says about its signal, in numbers beside what null models say.

pub mod frequency;
pub mod linear;
pub mod shape;
pub mod stats;
pub mod theory;

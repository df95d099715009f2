//! What a trained field's spectrum says about its signal, in numbers beside what null models say.
//!
//! [`sdf`] asks whether S changes where a surface bends, [`maps`] where a picture or a sound has edges, [`radiance`] where
//! depth jumps, and [`questions`] what the method's theory claims ([`theory`], [`frequency`]). Correlations and their intervals
//! are in [`stats`], null models in [`nulls`], and everything ends in one [`report`].

pub mod frequency;
pub mod linear;
pub mod maps;
pub mod nulls;
pub mod questions;
pub mod radiance;
pub mod regions;
pub mod report;
pub mod sdf;
pub mod shape;
pub mod stats;
pub mod subject;
pub mod surface;
pub mod theory;

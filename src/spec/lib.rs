//! The shape of a field: options and presets, the layout of its parameters, and their initial values. Nothing here evaluates.

pub mod color_head;
pub mod config;
pub mod density;
pub mod field_spec;
pub mod init;
pub mod latent;
pub mod overrides;
pub mod preset;
mod text_form;

pub use density::{DensityLaw, MAX_SHARPNESS};
pub use field_spec::{
    Activation, Axes, ColorHeadSpec, DirectionEncoding, FieldSpec, FullColumns, HASH_PRIMES, Interpolation, LatentSpec,
    LayerSlot, LevelSpec, MAX_GROUP, MAX_RAW_DENSITY, MlpSpec, Modulation, NetLayout, TensorSlot,
};

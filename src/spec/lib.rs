//! The shape of a field: options and presets, the layout of its parameters, and their initial values. Nothing here evaluates.

pub mod config;
pub mod field_spec;
pub mod init;
pub mod latent;
pub mod preset;
pub mod view;

pub use field_spec::{
    Activation, Axes, DirectionEncoding, FieldSpec, FullColumns, Interpolation, LatentSpec, LayerSlot, LevelSpec, MlpSpec,
    HASH_PRIMES, MAX_GROUP, MAX_RAW_DENSITY, Modulation, NetLayout, TensorSlot, ViewSpec,
};

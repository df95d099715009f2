//! Cameras, rays and pictures of fields.

pub mod source;

pub use source::SdfSource;

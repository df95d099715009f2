//! Fused evaluation of fields on tiles of points: forward, tangents, backward. Knows no Burn.
pub mod spec;

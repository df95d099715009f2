//! Density of a radiance field from the trunk's first value, with its slope.

use cubecl::prelude::*;
use nstr_spec::MAX_RAW_DENSITY;

/// Density per unit of field coordinates: exponential where `sharpness` is 0, else that of a signed distance (VolSDF, Yariv et
/// al. 2021, eq. 2 with α = 1/β = `sharpness`).
#[cube]
pub(crate) fn density(raw: f32, sharpness: f32) -> f32 {
    let tail = 0.5f32 * f32::exp(-(sharpness * max(raw, -raw)));
    let of_distance = sharpness * select(raw > 0.0f32, tail, 1.0f32 - tail);
    let exponential = f32::exp(min(raw, comptime!(MAX_RAW_DENSITY)));
    select(sharpness > 0.0f32, of_distance, exponential)
}

/// Slope of [`density()`] in the raw value, where the density is `sigma`.
#[cube]
pub(crate) fn density_slope(sigma: f32, sharpness: f32) -> f32 {
    select(sharpness > 0.0f32, -(sharpness * min(sigma, sharpness - sigma)), sigma)
}

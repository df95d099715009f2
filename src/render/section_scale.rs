//! Scale of the false colours on a section: the numbers and colours of a bar beside its picture.

use crate::section::{FULL, SPACING, density_colour, distance_base_colour};

/// Parts of the last colour's distance that have a number, before it is rounded.
const DISTANCES: [f64; 3] = [0.98, 0.4, 0.1];
/// Densities that have a number, per unit of the field, before they are rounded.
const DENSITIES: [f64; 4] = [25.0, 70.0, 140.0, 300.0];

/// Colours of a section's values along a bar.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionScale {
    /// Name of the values.
    pub title: &'static str,
    /// Places on the bar, 0 (below) to 1, and their values in world units.
    pub ticks: Vec<(f64, f64)>,
    /// Distance from one isoline to the next in world units; `None` of densities, which have no lines.
    pub line_spacing: Option<f64>,
}

impl SectionScale {
    /// The scale of signed distances in a cube of `size`.
    pub fn of_distances(size: f64) -> Self {
        let full = f64::from(FULL) * size;
        let place = |v: f64| 0.5 + 0.5 * v.signum() * (v.abs() / full).sqrt();
        let values = DISTANCES.map(|part| round_length(part * full));
        let values = std::iter::once(0.0).chain(values.into_iter().flat_map(|v| [v, -v]));
        let ticks = values.map(|v| (if v == 0.0 { 0.5 } else { place(v) }, v)).collect();
        Self { title: "distance", ticks, line_spacing: Some(f64::from(SPACING) * size) }
    }

    /// The scale of densities; `length` is the world length of a unit of the field.
    pub fn of_densities(length: f64) -> Self {
        // As the renderer maps them: 1 − exp(−σ/100), σ per unit of the field.
        let place = |world: f64| 1.0 - (-0.01 * world * length).exp();
        let values = DENSITIES.map(|density| round_length(density / length));
        let ticks = std::iter::once(0.0).chain(values).map(|v| (place(v), v)).collect();
        Self { title: "density", ticks, line_spacing: None }
    }

    /// sRGB values at a place on the bar.
    pub fn colour(&self, place: f32) -> [f32; 3] {
        match self.line_spacing {
            Some(_) => {
                let side = 2.0 * place - 1.0;
                distance_base_colour(side.signum() * side * side * FULL)
            }
            None => density_colour(-100.0 * (1.0 - place.min(0.9999)).ln()),
        }
    }
}

/// The largest of 1, 2, 5 times a power of ten that is at most `length`.
pub fn round_length(length: f64) -> f64 {
    let power = 10f64.powf(length.log10().floor());
    let factor = if length >= 5.0 * power {
        5.0
    } else if length >= 2.0 * power {
        2.0
    } else {
        1.0
    };
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_the_colours_of_its_numbers() {
        let is_close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.02);
        for size in [1.0, 2.4, 30.0] {
            let scale = SectionScale::of_distances(size);
            assert!(scale.ticks.len() == 7 && scale.line_spacing == Some(f64::from(SPACING) * size));
            for (place, value) in &scale.ticks {
                let drawn = distance_base_colour((value / size) as f32);
                assert!(is_close(drawn, scale.colour(*place as f32)), "{value} of {size}");
            }
            // Densities per world unit; the renderer has them per unit of the field.
            let scale = SectionScale::of_densities(size);
            for (place, value) in &scale.ticks {
                assert!(is_close(density_colour((value * size) as f32), scale.colour(*place as f32)), "{value}");
            }
        }
    }
}

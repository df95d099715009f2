//! Materials of the tea set: colours, patterns, gloss.

use std::f64::consts::TAU;

use glam::{DVec3, dvec3};

/// The materials. Patterns are solid: a colour belongs to a point of space, relative to the part's own foot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Material {
    /// Planks of two woods along x.
    Planks,
    /// Green glaze with two rows of checks between two lines.
    Checks,
    /// Green glaze.
    Glaze,
    /// Red glaze.
    Coral,
    /// Red and cream stripes from top to bottom, cream inside.
    Stripes,
    /// Ochre glaze with a red rim.
    Ochre,
    /// Bamboo with darker knots.
    Bamboo,
    /// Black tea.
    Tea,
    /// Polished steel.
    Steel,
    /// Lemon peel.
    Lemon,
    /// Sugar.
    Sugar,
}

/// Reflection at one point.
#[derive(Clone, Copy)]
pub struct Surface {
    /// Diffuse colour, linear.
    pub diffuse: DVec3,
    /// Strength and exponent of the Blinn-Phong highlight.
    pub highlight: f64,
    pub exponent: i32,
    /// Reflection of the surroundings at normal incidence and the strength that it grows to at the rim, linear.
    pub mirror: DVec3,
    pub rim: f64,
}

const GREEN: DVec3 = dvec3(0.014, 0.165, 0.180);
const RED: DVec3 = dvec3(0.600, 0.075, 0.050);
const CREAM: DVec3 = dvec3(0.800, 0.700, 0.520);
const OCHRE: DVec3 = dvec3(0.700, 0.360, 0.050);

impl Material {
    /// The surface at `p`, relative to the part's foot, where it faces along `normal`.
    pub fn at(self, p: DVec3, normal: DVec3) -> Surface {
        let turn = p.y.atan2(p.x) / TAU;
        let alternate = |x: f64| x.floor().rem_euclid(2.0) == 0.0;
        match self {
            Material::Planks => {
                let tones = [dvec3(0.40, 0.215, 0.100), dvec3(0.275, 0.130, 0.055)];
                let edge = p.truncate().length() > 0.935;
                let tone = if edge { tones[1] * 0.6 } else { tones[(!alternate(p.y / 0.17)) as usize] };
                satin(tone, 0.05, 14)
            }
            Material::Checks => {
                let row = (p.z - 0.215) / 0.075;
                let line = [0.17, 0.395].iter().any(|&z| (p.z - z - 0.0125).abs() < 0.0125);
                let check = (0.0..2.0).contains(&row) && alternate(turn * 36.0 + row.floor());
                glazed(if line { OCHRE } else { [GREEN, CREAM][check as usize] })
            }
            Material::Glaze => glazed(GREEN),
            Material::Coral => glazed(RED),
            Material::Stripes => {
                let inside = normal.truncate().dot(p.truncate()) < 0.0 || normal.z > 0.5;
                glazed(if inside || alternate(turn * 20.0) { CREAM } else { RED })
            }
            Material::Ochre => glazed(if p.truncate().length() > 0.335 { RED } else { OCHRE }),
            Material::Bamboo => {
                let knot = (p.z * 9.0 + 0.5).rem_euclid(1.0) < 0.2;
                satin(if knot { dvec3(0.16, 0.07, 0.02) } else { dvec3(0.50, 0.27, 0.08) }, 0.10, 20)
            }
            Material::Tea => {
                Surface { diffuse: dvec3(0.080, 0.022, 0.005), highlight: 0.22, exponent: 50, ..glazed(RED) }
            }
            Material::Steel => Surface {
                diffuse: dvec3(0.10, 0.10, 0.11),
                highlight: 1.6,
                exponent: 70,
                mirror: dvec3(0.50, 0.51, 0.52),
                rim: 0.7,
            },
            Material::Lemon => satin(dvec3(0.68, 0.45, 0.025), 0.22, 28),
            Material::Sugar => satin(dvec3(0.72, 0.69, 0.64), 0.0, 1),
        }
    }
}

fn glazed(diffuse: DVec3) -> Surface {
    Surface { diffuse, highlight: 0.95, exponent: 90, mirror: DVec3::splat(0.04), rim: 0.35 }
}

fn satin(diffuse: DVec3, highlight: f64, exponent: i32) -> Surface {
    Surface { diffuse, highlight, exponent, mirror: DVec3::ZERO, rim: 0.0 }
}

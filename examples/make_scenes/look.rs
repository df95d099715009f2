//! Surfaces of the farmyard: colours and patterns of its solids, of the ground and of the sky.
//!
//! Patterns are solid: a colour belongs to a point of space, relative to the solid's own foot. Colours are linear. Detail finer
//! than a pixel is left out (`footprint`), so that far surfaces are calm.

use std::f64::consts::TAU;

use glam::{DVec2, DVec3, IVec3, dvec2, dvec3};

use super::noise::{fractal, hash, noise};
use super::sampling::{power, smoothstep};

/// Towards the sun, not of unit length.
pub const SUN: DVec3 = dvec3(-0.50, -0.60, 0.62);
/// Radiance of the sky at the horizon, which far surfaces fade into.
const HORIZON: DVec3 = dvec3(0.50, 0.58, 0.67);
/// Distance at which a surface has lost a quarter of its colour to the haze.
const HAZE: f64 = 150.0;

/// The materials.
#[derive(Clone, Copy)]
pub enum Material {
    /// One colour with a little grain.
    Plain(DVec3),
    /// As `Plain`, with a sheen of the sky.
    Glazed(DVec3),
    /// Blotches of two colours of the given size.
    Blotches(DVec3, DVec3, f64),
    /// Stripes of two colours and a width along an axis (0 to 2).
    Stripes(DVec3, DVec3, f64, usize),
    /// Checks of a colour and white.
    Checks(DVec3, f64),
    /// Planks of a wood and a width that lie side by side along an axis (0 to 2).
    Planks(DVec3, f64, usize),
    /// Staves with iron hoops.
    Barrel,
    /// Red bricks.
    Bricks,
    /// Rough blocks of stone; earth on top within the radius.
    Stone(f64),
    /// Straw.
    Straw,
    /// Ribs and an orange skin.
    Pumpkin,
    /// Foliage with holes: tone and size of the leaves.
    Leaves(DVec3, f64),
    /// Foliage with flowers of a colour.
    Bloom(DVec3),
    /// Plaster with windows, shutters and a door on the side of −x.
    House,
    /// Red planks with a white door on the side of −y.
    Barn,
    /// Roof tiles of a colour; planks in the gables.
    Tiles(DVec3),
    /// A tower of plaster with a few small windows.
    Tower,
    /// A hill with woods and meadows, of a tone.
    Hill(DVec3),
}

/// A surface at one point.
#[derive(Clone, Copy)]
pub struct Surface {
    /// Diffuse colour, linear.
    pub colour: DVec3,
    /// Share of the sky that it mirrors, at normal incidence.
    pub mirror: f64,
    /// Added to the unit normal, to make it rough.
    pub bump: DVec3,
}

impl Surface {
    fn matt(colour: DVec3) -> Self {
        Self { colour, mirror: 0.0, bump: DVec3::ZERO }
    }
}

const WHITE: DVec3 = dvec3(0.54, 0.525, 0.485);
const GLASS: DVec3 = dvec3(0.020, 0.027, 0.033);
const SHUTTER: DVec3 = dvec3(0.035, 0.16, 0.15);
const PLASTER: DVec3 = dvec3(0.50, 0.43, 0.31);
const BARN_RED: DVec3 = dvec3(0.30, 0.045, 0.030);

/// `true` in every second interval of length 1.
fn alternate(x: f64) -> bool {
    x.floor().rem_euclid(2.0) == 0.0
}

/// The horizontal coordinate on an upright face, from its normal.
fn along(p: DVec3, normal: DVec3) -> f64 {
    if normal.x.abs() > normal.y.abs() { p.y } else { p.x }
}

/// A tone made lighter and darker by a cell's own number, by the share `range` to either side.
fn varied(tone: DVec3, cell: IVec3, range: f64, seed: u32) -> DVec3 {
    tone * (1.0 + range * (2.0 * hash(cell, seed) - 1.0))
}

/// Distance from `x` to the nearest multiple of `step`.
fn from_line(x: f64, step: f64) -> f64 {
    (x - (x / step).round() * step).abs()
}

impl Material {
    /// `true` for foliage, whose far side shows through its near one.
    pub fn has_holes(self) -> bool {
        matches!(self, Self::Leaves(..) | Self::Bloom(_))
    }

    /// `true` where foliage lets a ray pass.
    pub fn is_hole(self, p: DVec3) -> bool {
        match self {
            Self::Leaves(_, size) => noise(p / size, 11) < 0.36,
            Self::Bloom(_) => noise(p / 0.07, 11) < 0.30,
            _ => false,
        }
    }

    /// The surface at `p`, relative to the solid's foot and turned with it, with outward unit normal `normal`.
    pub fn at(self, p: DVec3, normal: DVec3, footprint: f64) -> Surface {
        let grain = |size: f64, range: f64, seed: u32| 1.0 + range * (2.0 * fractal(p, size, 3, footprint, seed) - 1.0);
        match self {
            Self::Plain(tone) => Surface::matt(tone * grain(0.10, 0.25, 1)),
            Self::Glazed(tone) => Surface { mirror: 0.05, ..Surface::matt(tone * grain(0.3, 0.08, 1)) },
            Self::Blotches(a, b, size) => {
                let share = smoothstep(0.47, 0.53, fractal(p, size, 2, footprint, 5));
                Surface::matt(a.lerp(b, share))
            }
            Self::Stripes(a, b, width, axis) => {
                Surface::matt(if alternate(p[axis] / width) { a } else { b } * grain(0.05, 0.10, 2))
            }
            Self::Checks(tone, width) => {
                let turn = p.y.atan2(p.x) / TAU;
                let flat = normal.z > 0.5;
                let (u, v) = if flat { (p.x / width, p.y / width) } else { (turn * 32.0, p.z / width) };
                // Threads of both colours where only one of the two directions has the tone.
                let tones = [WHITE, WHITE.lerp(tone, 0.55), tone];
                Surface::matt(tones[usize::from(alternate(u)) + usize::from(alternate(v))])
            }
            Self::Planks(tone, width, axis) => Surface::matt(planks(tone, width, axis, p, normal, footprint)),
            Self::Barrel => {
                let turn = p.y.atan2(p.x) / TAU * 16.0;
                if [0.10, 0.30].iter().any(|z| (p.z - z).abs() < 0.022) && normal.z.abs() < 0.5 {
                    return Surface { mirror: 0.08, ..Surface::matt(dvec3(0.055, 0.052, 0.050)) };
                }
                let tone = varied(dvec3(0.27, 0.145, 0.060), IVec3::new(turn.floor() as i32, 0, 0), 0.25, 3);
                let gap = if from_line(turn, 1.0) < 0.06 && normal.z.abs() < 0.5 { 0.35 } else { 1.0 };
                Surface::matt(tone * gap * grain(0.06, 0.25, 4))
            }
            Self::Bricks => Surface::matt(bricks(p, normal, footprint)),
            Self::Stone(earth) => {
                let turn = p.y.atan2(p.x) / TAU * 18.0;
                if normal.z > 0.5 && p.truncate().length() < earth {
                    return Surface::matt(dvec3(0.085, 0.055, 0.032) * grain(0.05, 0.6, 5));
                }
                let row = (p.z / 0.21).floor();
                let u = turn + 0.5 * row;
                let gap = from_line(u, 1.0) < 0.05 || (from_line(p.z, 0.21) < 0.014 && normal.z < 0.5);
                let tone = varied(dvec3(0.33, 0.31, 0.27), IVec3::new(u.floor() as i32, row as i32, 7), 0.28, 6);
                Surface::matt(if gap { tone * 0.35 } else { tone } * grain(0.12, 0.4, 6))
            }
            Self::Straw => {
                // Stalks that lie along x; the ends show on the other faces.
                let stretched = dvec3(p.x * 0.12, p.y, p.z);
                let stalks = fractal(stretched, 0.035, 2, footprint, 7) * 0.6 + 0.4 * fractal(p, 0.2, 2, footprint, 8);
                let band = from_line(p.x - 0.25, 0.5) < 0.014;
                let tone = dvec3(0.30, 0.19, 0.045).lerp(dvec3(0.66, 0.48, 0.16), smoothstep(0.25, 0.75, stalks));
                Surface::matt(if band { dvec3(0.30, 0.06, 0.04) } else { tone })
            }
            Self::Pumpkin => {
                let turn = p.y.atan2(p.x) / TAU * 11.0;
                let rib = (2.0 * from_line(turn, 1.0)).min(1.0);
                let tone = dvec3(0.38, 0.10, 0.010).lerp(dvec3(0.66, 0.24, 0.020), smoothstep(0.0, 0.6, rib));
                Surface { mirror: 0.02, ..Surface::matt(tone * grain(0.06, 0.15, 9)) }
            }
            Self::Leaves(tone, size) => leaves(tone, size, p, footprint),
            Self::Bloom(flower) => {
                let cell = (p / 0.085).floor();
                let middle = (cell + 0.5) * 0.085;
                if hash(cell.as_ivec3(), 12) < 0.45 && p.distance(middle) < 0.046 {
                    return Surface::matt(varied(flower, cell.as_ivec3(), 0.3, 13));
                }
                leaves(dvec3(0.06, 0.14, 0.03), 0.07, p, footprint)
            }
            Self::House => house(p, normal, footprint),
            Self::Barn => barn(p, normal, footprint),
            Self::Tiles(tone) => {
                if normal.y.abs() > 0.9 {
                    return Surface::matt(planks(dvec3(0.26, 0.15, 0.075), 0.22, 0, p, normal, footprint));
                }
                // Rows along the slope, shifted by half a tile from one to the next; the flat underside lies within one.
                let v = p.z / 0.17 + 0.01;
                let row = v.floor();
                let u = p.y / 0.24 + 0.5 * row.rem_euclid(2.0);
                let tone = varied(tone, IVec3::new(u.floor() as i32, row as i32, 0), 0.30, 14);
                let lip = 1.0 - 0.55 * smoothstep(0.30, 0.05, v - row) * fade(0.17, footprint);
                Surface::matt(tone * lip * grain(0.9, 0.25, 15))
            }
            Self::Tower => {
                let turn = (p.y.atan2(p.x) / TAU * 6.0).rem_euclid(1.0);
                let floor = (p.z / 2.4).rem_euclid(1.0);
                let glass = (turn - 0.5).abs() < 0.10 && (floor - 0.6).abs() < 0.17 && normal.z.abs() < 0.6;
                let dirt = 1.0 - 0.25 * smoothstep(1.6, 0.0, p.z);
                let tone = if glass { GLASS * 2.0 } else { dvec3(0.53, 0.50, 0.44) * dirt };
                Surface::matt(tone * grain(0.8, 0.15, 16))
            }
            Self::Hill(tone) => {
                let woods = smoothstep(0.48, 0.54, fractal(p, 26.0, 3, footprint, 17));
                let meadow = tone * (0.75 + 0.5 * fractal(p, 60.0, 2, footprint, 18));
                let trees = dvec3(0.030, 0.065, 0.026) * grain(4.0, 0.5, 19);
                Surface::matt(meadow.lerp(trees, woods))
            }
        }
    }
}

/// Share of a pattern with period `size` that a pixel of this width still shows.
fn fade(size: f64, footprint: f64) -> f64 {
    (size / footprint.max(1e-9) - 1.0).clamp(0.0, 1.0)
}

fn planks(tone: DVec3, width: f64, axis: usize, p: DVec3, normal: DVec3, footprint: f64) -> DVec3 {
    // On a face that looks along the axis the planks are cut: it shows the edge of one.
    let (index, gap) = match normal[axis].abs() > 0.8 {
        true => (0.0, false),
        false => ((p[axis] / width).floor(), from_line(p[axis], width) < 0.007_f64.max(0.03 * width)),
    };
    let mut stretched = p * 0.15;
    stretched[axis] = p[axis];
    if axis != 2 {
        stretched.z = p.z;
    }
    let veins = fractal(stretched + index * 3.7, 0.05, 3, footprint, 20);
    let shade = if gap { 1.0 - 0.7 * fade(width, footprint) } else { 0.72 + 0.56 * veins };
    varied(tone, IVec3::new(index as i32, axis as i32, 0), 0.22, 21) * shade
}

fn bricks(p: DVec3, normal: DVec3, footprint: f64) -> DVec3 {
    let row = (p.z / 0.105).floor();
    let u = along(p, normal) / 0.30 + 0.5 * row.rem_euclid(2.0);
    let share = fade(0.105, footprint);
    let mortar = from_line(p.z, 0.105) < 0.010 || from_line(u, 1.0) < 0.035;
    let brick = varied(dvec3(0.33, 0.105, 0.060), IVec3::new(u.floor() as i32, row as i32, 0), 0.35, 22);
    let mean = dvec3(0.33, 0.13, 0.085);
    let tone = if mortar { dvec3(0.37, 0.33, 0.27) } else { brick };
    mean.lerp(tone, share) * (0.8 + 0.4 * fractal(p, 0.08, 3, footprint, 23))
}

fn leaves(tone: DVec3, size: f64, p: DVec3, footprint: f64) -> Surface {
    let coarse = fractal(p, 4.0 * size, 1, footprint, 24);
    let fine = fractal(p, 0.8 * size, 2, footprint, 25);
    let light = dvec3(1.6, 1.35, 0.9);
    let colour = tone * (0.40 + 0.8 * fine + 0.4 * coarse) * DVec3::ONE.lerp(light, smoothstep(0.45, 0.8, fine));
    let part = |seed: u32| 2.0 * fractal(p, size, 1, footprint, seed) - 1.0;
    Surface { colour, mirror: 0.0, bump: dvec3(part(26), part(27), part(28)) * 0.9 }
}

/// A window `half` wide and high to either side of its middle, from which `u` and `v` lead: `None` beside it.
fn window(u: f64, v: f64, half: DVec2) -> Option<Surface> {
    let (x, y) = (u.abs() / half.x, v.abs() / half.y);
    if x > 1.0 || y > 1.0 {
        return None;
    }
    let bar = 0.045;
    let frame = x > 1.0 - bar / half.x || y > 1.0 - bar / half.y || u.abs() < 0.025 || (v - 0.2 * half.y).abs() < 0.022;
    Some(if frame { Surface::matt(WHITE) } else { Surface { mirror: 0.35, ..Surface::matt(GLASS) } })
}

fn house(p: DVec3, normal: DVec3, footprint: f64) -> Surface {
    let stain = fractal(p, 0.7, 4, footprint, 30);
    let foot = smoothstep(0.55, 0.35, p.z);
    let wall = PLASTER * (0.82 + 0.3 * stain);
    if foot > 0.5 {
        let row = (p.z / 0.22).floor();
        let u = along(p, normal) / 0.45 + 0.5 * row;
        let gap = from_line(u, 1.0) < 0.035 || from_line(p.z, 0.22) < 0.012;
        let tone = varied(dvec3(0.26, 0.24, 0.21), IVec3::new(u.floor() as i32, row as i32, 3), 0.25, 31);
        if !(normal.x < -0.9 && p.y.abs() < 0.62) {
            return Surface::matt(tone * if gap { 0.45 } else { 0.8 + 0.4 * stain });
        }
    }
    let u = along(p, normal);
    if normal.x < -0.9 && u.abs() < 0.62 && p.z < 2.15 {
        // A frame around planks, with a small pane.
        if u.abs() > 0.52 || p.z > 2.05 {
            return Surface::matt(WHITE);
        }
        let pane = window(u, p.z - 1.62, dvec2(0.2, 0.22));
        let handle = dvec2(u - 0.4, p.z - 1.0).length() < 0.045;
        let tone = if handle { dvec3(0.5, 0.36, 0.08) } else { planks(SHUTTER, 0.17, 1, p, normal, footprint) };
        return pane.unwrap_or(Surface::matt(tone));
    }
    let apart = if normal.y.abs() > 0.9 { 1.25 } else { 2.1 };
    for middle in [-apart, apart] {
        let (u, v) = (u - middle, p.z - 1.55);
        if let Some(surface) = window(u, v, dvec2(0.48, 0.58)) {
            return surface;
        }
        if (0.52..0.98).contains(&u.abs()) && v.abs() < 0.62 {
            let slat = if from_line(v, 0.09) < 0.016 { 0.45 } else { 1.0 };
            return Surface::matt(SHUTTER * (1.0 + (slat - 1.0) * fade(0.09, footprint)));
        }
        if u.abs() < 0.62 && (0.58..0.68).contains(&-v) {
            return Surface::matt(dvec3(0.36, 0.34, 0.30));
        }
    }
    Surface::matt(wall)
}

fn barn(p: DVec3, normal: DVec3, footprint: f64) -> Surface {
    let u = along(p, normal);
    let axis = if normal.x.abs() > normal.y.abs() { 1 } else { 0 };
    if normal.y < -0.9 && u.abs() < 1.5 && p.z < 2.9 {
        let edge = u.abs() > 1.32 || p.z > 2.72 || u.abs() < 0.07 || from_line(p.z - 0.09, 1.36) < 0.07;
        // A diagonal in each half.
        let (x, z) = ((u.abs() - 0.07) / 1.25, (p.z - 0.09) / 2.7);
        let cross = ((x - z).abs() * 1.2).min((1.0 - x - z).abs() * 1.2) < 0.06;
        if edge || cross {
            return Surface::matt(WHITE * (0.85 + 0.3 * fractal(p, 0.2, 2, footprint, 32)));
        }
    }
    let small = normal.x.abs() > 0.9 && from_line(p.y, 2.6) < 0.42 && (p.z - 1.8).abs() < 0.45;
    if small {
        let v = p.z - 1.8;
        let u = p.y - (p.y / 2.6).round() * 2.6;
        return window(u, v, dvec2(0.42, 0.45)).unwrap_or(Surface::matt(WHITE));
    }
    Surface::matt(planks(BARN_RED, 0.24, axis, p, normal, footprint))
}

/// Colour of the ground.
pub fn ground(p: DVec2, footprint: f64) -> Surface {
    let at = p.extend(0.0);
    let wobble = fractal(at, 0.9, 3, footprint, 40) - 0.5;
    let edge = (p.x.abs() - 6.6).max(p.y.abs() - 5.6) + 0.5 * wobble;
    let yard = smoothstep(0.06, -0.06, edge);
    let middle = -1.0 + 0.004 * power(p.x + 6.6, 2);
    let track = if p.x < -6.0 { (p.y - middle).abs() - 1.0 } else { f64::INFINITY };
    let door = (p.y - 5.0).abs().max((p.x - 7.2).abs() - 0.9) - 0.7;
    let gravel = smoothstep(0.18, -0.10, track.min(door) + 0.6 * wobble);
    let mut colour = grass(p, footprint);
    if gravel > 0.0 {
        let stones = fractal(at, 0.07, 2, footprint, 41);
        let tone = dvec3(0.33, 0.275, 0.20) * (0.55 + 0.9 * stones);
        colour = colour.lerp(tone, gravel);
    }
    if yard > 0.0 {
        colour = colour.lerp(slabs(p, footprint), yard);
    }
    Surface::matt(colour)
}

/// Flagstones in rows.
fn slabs(p: DVec2, footprint: f64) -> DVec3 {
    let at = p.extend(0.0);
    let wobble = 0.03 * (fractal(at, 0.5, 2, footprint, 42) - 0.5);
    let v = p.y / 0.62 + wobble;
    let row = v.floor();
    let u = p.x / 0.94 + 0.5 * row.rem_euclid(2.0) + 0.3 * hash(IVec3::new(row as i32, 0, 0), 43) + wobble;
    let cell = IVec3::new(u.floor() as i32, row as i32, 1);
    let gap = (from_line(v, 1.0) * 0.62).min(from_line(u, 1.0) * 0.94);
    let tones = [dvec3(0.40, 0.35, 0.27), dvec3(0.31, 0.30, 0.28), dvec3(0.38, 0.30, 0.22), dvec3(0.34, 0.33, 0.27)];
    let tone = varied(tones[(hash(cell, 44) * 4.0) as usize % 4], cell, 0.16, 45);
    let stain = fractal(at, 1.7, 2, footprint, 46);
    let speckle = fractal(at, 0.11, 3, footprint, 47);
    let stone = tone * (0.72 + 0.30 * stain + 0.28 * speckle);
    let joint = smoothstep(0.030, 0.012, gap) * fade(0.03, 0.5 * footprint).max(0.25);
    stone.lerp(dvec3(0.065, 0.072, 0.035), joint)
}

/// Grass with flowers near by, fields far away.
fn grass(p: DVec2, footprint: f64) -> DVec3 {
    let at = p.extend(0.0);
    let broad = fractal(at, 3.2, 3, footprint, 50);
    let blades = fractal(at, 0.16, 3, footprint, 51);
    let meadow = dvec3(0.062, 0.130, 0.022).lerp(dvec3(0.165, 0.215, 0.050), smoothstep(0.25, 0.75, broad));
    let mut colour = meadow * (0.55 + 0.9 * blades);
    let distance = p.length();
    if distance < 25.0 {
        let cell = (p / 0.36).floor();
        let key = IVec3::new(cell.x as i32, cell.y as i32, 2);
        let shift = dvec2(hash(key, 52), hash(key, 53)) - 0.5;
        let away = p - (cell + 0.5 + 0.5 * shift) * 0.36;
        let dense = noise(at / 2.3, 54);
        let radius = 0.045 + 0.03 * hash(key, 55);
        if hash(key, 56) < 0.75 * (dense - 0.45) && away.length() < radius {
            let petals = [WHITE, dvec3(0.70, 0.50, 0.03), dvec3(0.52, 0.05, 0.04), dvec3(0.22, 0.12, 0.50), WHITE];
            colour = petals[(hash(key, 57) * 5.0) as usize % 5];
        }
    }
    let far = smoothstep(19.0, 21.0, distance + 5.0 * (noise(at / 6.0, 58) - 0.5));
    if far > 0.0 { colour.lerp(field(p, footprint), far) } else { colour }
}

/// Fields in a patchwork, with furrows, and hedges between them.
fn field(p: DVec2, footprint: f64) -> DVec3 {
    // Turned by the angle whose cosine is 0.96.
    let q = dvec2(0.96 * p.x + 0.28 * p.y, 0.96 * p.y - 0.28 * p.x);
    let row = (q.y / 17.0).floor();
    let u = q.x / 29.0 + hash(IVec3::new(row as i32, 0, 3), 60);
    let cell = IVec3::new(u.floor() as i32, row as i32, 3);
    let tones = [
        dvec3(0.46, 0.34, 0.10),
        dvec3(0.115, 0.19, 0.040),
        dvec3(0.20, 0.125, 0.070),
        dvec3(0.22, 0.27, 0.070),
        dvec3(0.52, 0.42, 0.06),
        dvec3(0.085, 0.15, 0.050),
    ];
    let tone = varied(tones[(hash(cell, 61) * 6.0) as usize % 6], cell, 0.12, 62);
    let hedge = (from_line(u, 1.0) * 29.0).min(from_line(q.y, 17.0)) < 0.6;
    if hedge {
        return dvec3(0.040, 0.080, 0.025) * (0.5 + fractal(p.extend(0.0), 0.8, 2, footprint, 63));
    }
    let furrow = if hash(cell, 64) < 0.5 { q.x } else { q.y };
    let ridge = smoothstep(0.15, 0.35, from_line(furrow, 1.3)) - 0.5;
    tone * (1.0 + 0.35 * ridge * fade(1.3, footprint)) * (0.8 + 0.4 * fractal(p.extend(0.0), 5.0, 3, footprint, 65))
}

/// Radiance of the sky, with clouds and the glow around the sun.
pub fn sky(direction: DVec3) -> DVec3 {
    let up = direction.z.max(0.0);
    let dome = dvec3(0.070, 0.185, 0.455).lerp(HORIZON, power(1.0 - up, 4));
    let facing = direction.dot(SUN.normalize()).max(0.0);
    let glow = dvec3(0.32, 0.27, 0.18) * power(facing, 40) + dvec3(0.10, 0.085, 0.055) * power(facing, 6);
    let over = direction.truncate() / (up + 0.12);
    let heap = fractal(over.extend(0.5), 1.1, 4, 0.0, 70);
    let cloud = smoothstep(0.52, 0.72, heap) * smoothstep(0.02, 0.16, up);
    let lit = dvec3(0.66, 0.66, 0.66) * (0.80 + 0.25 * noise(over.extend(3.5) / 0.45, 75));
    dome.lerp(lit, 0.85 * cloud) + glow
}

/// Radiance that lights a surface from the sky.
pub fn skylight(direction: DVec3) -> DVec3 {
    dvec3(0.56, 0.60, 0.65).lerp(dvec3(0.31, 0.42, 0.64), direction.z.clamp(0.0, 1.0))
}

/// The colour of a surface at a distance, faded into the haze.
pub fn hazed(colour: DVec3, distance: f64) -> DVec3 {
    // 1/(1 + x)² is a quarter less at x = 0.155.
    let clear = 1.0 / power(1.0 + 0.155 * distance / HAZE, 2);
    HORIZON.lerp(colour, clear)
}

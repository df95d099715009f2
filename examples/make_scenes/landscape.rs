//! Pictures of solids on an endless ground under a sky with a sun: opaque, antialiased, free of random noise.
//!
//! Every pixel spends the same directions on the sun and the sky, so that pictures compress well.

use glam::{DVec2, DVec3};
use nstr::camera::camera::Camera;
use nstr::image::Rgba8;
use rayon::prelude::*;

use super::look::{self, Material, Surface};
use super::sampling::{cone, hammersley, hemisphere, power};
use super::solid::Shape;

/// Samples a pixel.
const SAMPLES: usize = 16;
/// Rays a sample to the sky; a pixel's samples take different ones.
const SKY_RAYS: usize = 2;
/// Radiance of the sun, times pi.
const SUN_COLOUR: DVec3 = DVec3::new(1.32, 1.19, 0.97);
/// Tangent of the sun's half-angle.
const SUN_SIZE: f64 = 0.012;
/// Light that comes from what blocks the sky.
const BOUNCE: DVec3 = DVec3::new(0.13, 0.115, 0.085);
/// Distance from a surface at which secondary rays start, at a distance of 0 from the camera and at 1000.
const OFFSET: (f64, f64) = (1e-3, 1.0);
/// Least cosine that widens a pixel's footprint.
const GRAZING: f64 = 0.08;

/// A shape with its place and look.
#[derive(Clone)]
pub struct Solid {
    /// The shape.
    pub shape: Shape,
    /// World position of its origin.
    pub foot: DVec3,
    /// Cosine and sine of its turn about z.
    pub turn: DVec2,
    /// The look of its surface.
    pub material: Material,
}

impl Solid {
    /// Shape coordinates of a world direction.
    fn to_local(&self, v: DVec3) -> DVec3 {
        DVec2::new(self.turn.x, -self.turn.y).rotate(v.truncate()).extend(v.z)
    }

    /// World direction of shape coordinates.
    fn to_world(&self, v: DVec3) -> DVec3 {
        self.turn.rotate(v.truncate()).extend(v.z)
    }

    /// Corners of a box in the world that holds it.
    fn bounds(&self) -> (DVec3, DVec3) {
        let (low, high) = self.shape.bounds();
        let (middle, half) = ((low + high) * 0.5, (high - low) * 0.5);
        let turn = self.turn.abs();
        let reach = DVec3::new(turn.x * half.x + turn.y * half.y, turn.y * half.x + turn.x * half.y, half.z);
        let middle = self.foot + self.to_world(middle);
        (middle - reach, middle + reach)
    }
}

/// Solids that stand together, in a box.
struct Group {
    low: DVec3,
    high: DVec3,
    solids: Vec<Solid>,
}

/// First surface along a ray.
struct Hit<'a> {
    t: f64,
    /// Unit normal towards the ray's origin.
    normal: DVec3,
    /// The solid with the position and outward normal in its coordinates; `None` for the ground.
    on: Option<(&'a Solid, DVec3, DVec3)>,
}

/// Solids on the ground z = 0, ready to be looked at.
pub struct Landscape {
    groups: Vec<Group>,
    sun: Vec<DVec3>,
    sky: Vec<DVec3>,
}

impl Landscape {
    /// A landscape with these groups of solids; each is best small in space.
    pub fn new(groups: Vec<Vec<Solid>>) -> Self {
        let groups = groups.into_iter().map(|solids| {
            let corners = solids.iter().map(Solid::bounds);
            let (low, high) =
                corners.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(lo, hi), (a, b)| (lo.min(a), hi.max(b)));
            Group { low, high, solids }
        });
        let sun = cone(look::SUN.normalize(), SUN_SIZE, SAMPLES);
        Self { groups: groups.collect(), sun, sky: hemisphere(SAMPLES * SKY_RAYS) }
    }

    /// Image of the camera under an exposure: sRGB, opaque. `gain` multiplies the linear light of each channel.
    pub fn picture(&self, camera: &Camera, gain: [f64; 3]) -> Rgba8 {
        let rows: Vec<Vec<u8>> = (0..camera.height)
            .into_par_iter()
            .map(|y| (0..camera.width).flat_map(|x| self.pixel(camera, gain, x, y)).collect())
            .collect();
        Rgba8 { width: camera.width, height: camera.height, data: rows.concat() }
    }

    /// Depth along the viewing axis at the middle of each pixel; infinite in the sky.
    pub fn depths(&self, camera: &Camera) -> Vec<f64> {
        let at = |i: u32| {
            let ray = camera.ray(f64::from(i % camera.width) + 0.5, f64::from(i / camera.width) + 0.5);
            self.first(ray.origin, ray.direction).map_or(f64::INFINITY, |hit| hit.t * ray.cosine)
        };
        (0..camera.width * camera.height).into_par_iter().map(at).collect()
    }

    fn pixel(&self, camera: &Camera, gain: [f64; 3], x: u32, y: u32) -> [u8; 4] {
        let sum: DVec3 = (0..SAMPLES)
            .map(|k| {
                let at = hammersley(k, SAMPLES);
                let ray = camera.ray(f64::from(x) + at.x, f64::from(y) + at.y);
                self.radiance(ray.origin, ray.direction, camera.pixel_angle(), k)
            })
            .sum();
        let light = sum / SAMPLES as f64 * DVec3::from(gain);
        let [r, g, b] = light.to_array().map(|v| (srgb(v.clamp(0.0, 1.0)) * 255.0).round() as u8);
        [r, g, b, 255]
    }

    /// Linear colour along sample `k` of a pixel, which is `angle` wide.
    fn radiance(&self, origin: DVec3, direction: DVec3, angle: f64, k: usize) -> DVec3 {
        let Some(hit) = self.first(origin, direction) else { return look::sky(direction) };
        let position = origin + direction * hit.t;
        let footprint = hit.t * angle / (-hit.normal.dot(direction)).max(GRAZING);
        let Surface { colour, mirror, bump } = match hit.on {
            Some((solid, p, n)) => solid.material.at(p, n, footprint),
            None => look::ground(position.truncate(), footprint),
        };
        let from = position + hit.normal * (OFFSET.0 + (OFFSET.1 - OFFSET.0) * 1e-3 * hit.t);
        let normal = (hit.normal + bump).normalize();
        let sun = self.sun[k];
        let lit = match normal.dot(sun) {
            cosine if cosine > 0.0 && !self.blocked(from, sun) => cosine,
            _ => 0.0,
        };
        let light = SUN_COLOUR * lit + self.skylight(from, hit.normal, k);
        let mut shown = colour * light;
        if mirror > 0.0 {
            let facing = -normal.dot(direction);
            let mirrored = direction + normal * (2.0 * facing);
            let share = mirror + (1.0 - mirror) * power(1.0 - facing.clamp(0.0, 1.0), 5);
            let seen = if mirrored.z > 0.0 && !self.blocked(from, mirrored) { look::sky(mirrored) } else { BOUNCE };
            shown = shown.lerp(seen, share);
        }
        look::hazed(shown, hit.t)
    }

    /// Mean light from the upper half of the surroundings of a surface.
    fn skylight(&self, from: DVec3, normal: DVec3, k: usize) -> DVec3 {
        let [a, b] = super::sampling::basis(normal);
        let of = |i: usize| {
            let q = self.sky[k + i * SAMPLES];
            let to = a * q.x + b * q.y + normal * q.z;
            if to.z > 0.0 && !self.blocked(from, to) { look::skylight(to) } else { BOUNCE }
        };
        (0..SKY_RAYS).map(of).sum::<DVec3>() / SKY_RAYS as f64
    }

    fn first(&self, origin: DVec3, direction: DVec3) -> Option<Hit<'_>> {
        let mut nearest = (direction.z < 0.0).then(|| Hit { t: -origin.z / direction.z, normal: DVec3::Z, on: None });
        self.walk(origin, direction, |hit| {
            if nearest.as_ref().is_none_or(|n| hit.t < n.t) {
                nearest = Some(hit);
            }
            nearest.as_ref().map_or(f64::INFINITY, |n| n.t)
        });
        nearest
    }

    /// `true` where a solid lies along a ray that rises.
    fn blocked(&self, origin: DVec3, direction: DVec3) -> bool {
        let mut any = false;
        self.walk(origin, direction, |_| {
            any = true;
            // Nothing is nearer.
            f64::NEG_INFINITY
        });
        any
    }

    /// Calls `found` with surfaces along the ray; it returns the distance from which on it wants no more.
    fn walk<'a>(&'a self, origin: DVec3, direction: DVec3, mut found: impl FnMut(Hit<'a>) -> f64) {
        let inverse = direction.to_array().map(|d| if d.abs() < 1e-12 { 1e12f64.copysign(d) } else { 1.0 / d });
        let inverse = DVec3::from(inverse);
        let mut limit = f64::INFINITY;
        for group in &self.groups {
            let (a, b) = ((group.low - origin) * inverse, (group.high - origin) * inverse);
            let (near, far) = (a.min(b).max_element().max(0.0), a.max(b).min_element().min(limit));
            if near > far {
                continue;
            }
            for solid in &group.solids {
                if let Some(hit) = meet(solid, origin, direction, limit) {
                    limit = limit.min(found(hit));
                    if limit < 0.0 {
                        return;
                    }
                }
            }
        }
    }
}

/// The nearest surface of a solid along a ray, before `limit`.
fn meet(solid: &Solid, origin: DVec3, direction: DVec3, limit: f64) -> Option<Hit<'_>> {
    let (o, d) = (solid.to_local(origin - solid.foot), solid.to_local(direction));
    let [entry, exit] = solid.shape.meet(o, d);
    // The far side shows through holes, from within.
    for (entry, is_back) in [(entry, false), (exit, true)] {
        let Some(entry) = entry.filter(|e| e.t > 0.0 && e.t < limit) else { continue };
        if is_back && !solid.material.has_holes() {
            continue;
        }
        let p = o + d * entry.t;
        if !solid.material.is_hole(p) {
            let outward = solid.to_world(entry.normal);
            let normal = if is_back { -outward } else { outward };
            return Some(Hit { t: entry.t, normal, on: Some((solid, p, entry.normal)) });
        }
    }
    None
}

/// sRGB value of a linear one, both from 0 to 1 (IEC 61966-2-1); in f64, whose last bit no machine's rounding shows.
fn srgb(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

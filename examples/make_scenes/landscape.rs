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

/// A part of the hierarchy of boxes around the solids.
struct Node {
    low: DVec3,
    high: DVec3,
    content: Content,
}

enum Content {
    Solid(Box<Solid>),
    Halves(Box<[Node; 2]>),
}

impl Node {
    /// A hierarchy of at least one node, cut in half along the longest axis of their middles.
    fn over(mut nodes: Vec<Self>) -> Option<Self> {
        if nodes.len() < 2 {
            return nodes.pop();
        }
        let bounds = |points: &mut dyn Iterator<Item = DVec3>| {
            points.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(lo, hi), p| (lo.min(p), hi.max(p)))
        };
        let (low, high) = bounds(&mut nodes.iter().flat_map(|n| [n.low, n.high]));
        let (first, last) = bounds(&mut nodes.iter().map(|n| n.low + n.high));
        let axis = (last - first).max_position();
        nodes.sort_by(|a, b| (a.low + a.high)[axis].total_cmp(&(b.low + b.high)[axis]));
        let others = nodes.split_off(nodes.len() / 2);
        let halves = Box::new([Self::over(nodes)?, Self::over(others)?]);
        Some(Self { low, high, content: Content::Halves(halves) })
    }

    /// Distance at which a ray enters the box, before `limit`; `inverse` holds the inverse of its direction.
    fn entry(&self, origin: DVec3, inverse: DVec3, limit: f64) -> Option<f64> {
        let (a, b) = ((self.low - origin) * inverse, (self.high - origin) * inverse);
        let (near, far) = (a.min(b).max_element().max(0.0), a.max(b).min_element().min(limit));
        (near <= far).then_some(near)
    }
}

/// A ray on its way through the hierarchy.
struct Walk<F> {
    origin: DVec3,
    direction: DVec3,
    /// Inverse of the direction, axis by axis.
    inverse: DVec3,
    /// Distance from which on nothing is wanted.
    limit: f64,
    found: F,
}

impl<'a, F: FnMut(Hit<'a>) -> f64> Walk<F> {
    /// Calls `found` with ever nearer surfaces of a node that the ray enters; it returns the distance from which on it wants no
    /// more.
    fn visit(&mut self, node: &'a Node) {
        match &node.content {
            Content::Solid(solid) => {
                if let Some(hit) = meet(solid, self.origin, self.direction, self.limit) {
                    self.limit = (self.found)(hit);
                }
            }
            Content::Halves(halves) => {
                let entry = |node: &Node, limit: f64| node.entry(self.origin, self.inverse, limit);
                let mut order: [(Option<f64>, &'a Node); 2] =
                    [&halves[0], &halves[1]].map(|n| (entry(n, self.limit), n));
                if order[1].0 < order[0].0 {
                    order.swap(0, 1);
                }
                for (entry, node) in order {
                    if entry.is_some_and(|t| t <= self.limit) {
                        self.visit(node);
                    }
                }
            }
        }
    }
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
    root: Option<Node>,
    sun: Vec<DVec3>,
    sky: Vec<DVec3>,
}

impl Landscape {
    /// A landscape with these solids.
    pub fn new(solids: Vec<Solid>) -> Self {
        let node = |solid: Solid| {
            let (low, high) = solid.bounds();
            Node { low, high, content: Content::Solid(Box::new(solid)) }
        };
        let root = Node::over(solids.into_iter().map(node).collect());
        Self { root, sun: cone(look::SUN.normalize(), SUN_SIZE, SAMPLES), sky: hemisphere(SAMPLES * SKY_RAYS) }
    }

    /// Linear light of each of the camera's pixels, row by row.
    pub fn light(&self, camera: &Camera) -> Vec<DVec3> {
        let pixel = |i: u32| self.pixel(camera, i % camera.width, i / camera.width);
        (0..camera.width * camera.height).into_par_iter().map(pixel).collect()
    }

    /// Depth along the viewing axis at the middle of each pixel; infinite in the sky.
    pub fn depths(&self, camera: &Camera) -> Vec<f64> {
        let at = |i: u32| {
            let ray = camera.ray(f64::from(i % camera.width) + 0.5, f64::from(i / camera.width) + 0.5);
            self.first(ray.origin, ray.direction).map_or(f64::INFINITY, |hit| hit.t * ray.cosine)
        };
        (0..camera.width * camera.height).into_par_iter().map(at).collect()
    }

    /// Position and sRGB colour of the surface that shows at a place in the image; `None` in the sky.
    pub fn surface(&self, camera: &Camera, at: DVec2) -> Option<(DVec3, [u8; 3])> {
        let ray = camera.ray(at.x, at.y);
        let hit = self.first(ray.origin, ray.direction)?;
        let light = self.radiance(ray.origin, ray.direction, camera.pixel_angle(), 0);
        Some((ray.origin + ray.direction * hit.t, light.to_array().map(byte)))
    }

    fn pixel(&self, camera: &Camera, x: u32, y: u32) -> DVec3 {
        let sample = |k: usize| {
            let at = hammersley(k, SAMPLES);
            let ray = camera.ray(f64::from(x) + at.x, f64::from(y) + at.y);
            self.radiance(ray.origin, ray.direction, camera.pixel_angle(), k)
        };
        (0..SAMPLES).map(sample).sum::<DVec3>() / SAMPLES as f64
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
        let limit = nearest.as_ref().map_or(f64::INFINITY, |ground| ground.t);
        self.walk(origin, direction, limit, |hit| nearest.insert(hit).t);
        nearest
    }

    /// `true` where a solid lies along a ray that rises.
    fn blocked(&self, origin: DVec3, direction: DVec3) -> bool {
        let mut any = false;
        self.walk(origin, direction, f64::INFINITY, |_| {
            any = true;
            // Nothing is nearer.
            f64::NEG_INFINITY
        });
        any
    }

    fn walk<'a>(&'a self, origin: DVec3, direction: DVec3, limit: f64, found: impl FnMut(Hit<'a>) -> f64) {
        let inverse = direction.to_array().map(|d| if d.abs() < 1e-12 { 1e12f64.copysign(d) } else { 1.0 / d });
        let inverse = DVec3::from(inverse);
        if let Some(root) = self.root.as_ref().filter(|root| root.entry(origin, inverse, limit).is_some()) {
            Walk { origin, direction, inverse, limit, found }.visit(root);
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

/// The opaque sRGB image of linear light under an exposure, which multiplies the light of each channel by its `gain`.
pub fn developed(light: &[DVec3], (width, height): (u32, u32), gain: [f64; 3]) -> Rgba8 {
    Rgba8::from_fn(width, height, |i| {
        let [r, g, b] = (light[i] * DVec3::from(gain)).to_array().map(byte);
        [r, g, b, 255]
    })
}

/// A channel's linear light as a byte in sRGB.
fn byte(linear: f64) -> u8 {
    (srgb(linear.clamp(0.0, 1.0)) * 255.0).round() as u8
}

/// sRGB value of a linear one, both from 0 to 1 (IEC 61966-2-1); in f64, whose last bit no machine's rounding shows.
fn srgb(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

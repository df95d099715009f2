//! Pictures of the tea set's mesh: one soft sun, a bright sky with a window, glossy glazes.
//!
//! Nothing is random: every pixel spends the same directions, so pictures are free of noise and compress well.

use glam::{DVec3, dvec3};
use nstr::camera::camera::Camera;
use nstr::image::Rgba8;
use nstr::image::colour::srgb_from_linear;
use rayon::prelude::*;

use super::material::{Material, Surface};
use super::raycast::{Hit, Tracer};
use super::sampling::{basis, cone, hammersley, hemisphere, power};
use super::teaset::Part;

/// Samples a pixel.
pub const SAMPLES: usize = 16;
/// Rays a sample to the sun and to the sky; a pixel's samples take different ones.
const SUN_RAYS: usize = 2;
const SKY_RAYS: usize = 4;
/// Faces that meet at less than this (cosine) are shaded as one smooth surface.
const CREASE: f64 = 0.77;
/// Distance from the surface at which secondary rays start.
const OFFSET: f64 = 5e-4;

const SUN: DVec3 = dvec3(-0.46, -0.52, 0.72);
const SUN_COLOUR: DVec3 = dvec3(1.95, 1.82, 1.62);
/// Tangent of the sun's half-angle.
const SUN_SIZE: f64 = 0.10;
const WINDOW: DVec3 = dvec3(0.60, 0.42, 0.68);

/// A corner of a triangle.
#[derive(Clone, Copy)]
struct Corner {
    position: DVec3,
    /// Smoothed unit normal.
    normal: DVec3,
}

struct Triangle {
    corners: [Corner; 3],
    material: Material,
    foot: DVec3,
}

/// The mesh, ready to be looked at.
pub struct Studio {
    triangles: Vec<Triangle>,
    tracer: Tracer,
    sun: Vec<DVec3>,
    /// Cosine-distributed directions around z.
    sky: Vec<DVec3>,
}

/// Radiance from above, from the window, and from the pale ground below.
fn sky(direction: DVec3) -> DVec3 {
    let up = direction.z;
    let dome = if up > 0.0 {
        dvec3(0.62, 0.66, 0.72).lerp(dvec3(0.50, 0.60, 0.78), up)
    } else {
        dvec3(0.62, 0.66, 0.72).lerp(dvec3(0.52, 0.48, 0.44), (-4.0 * up).min(1.0))
    };
    dome + dvec3(1.9, 1.8, 1.65) * power(direction.dot(WINDOW.normalize()).max(0.0), 12)
}

/// Triangles of a part with smoothed normals; corners are rounded as in the file.
fn triangles(part: &Part) -> Vec<Triangle> {
    let vertices: Vec<DVec3> = part.model.vertices.iter().map(|&p| super::model::round(p)).collect();
    let area = |f: &Vec<usize>| -> DVec3 {
        let fan =
            f.windows(2).skip(1).map(|e| (vertices[e[0]] - vertices[f[0]]).cross(vertices[e[1]] - vertices[f[0]]));
        fan.sum()
    };
    let areas: Vec<DVec3> = part.model.faces.iter().map(area).collect();
    let mut around = vec![Vec::new(); vertices.len()];
    for (i, f) in part.model.faces.iter().enumerate() {
        f.iter().for_each(|&v| around[v].push(i));
    }
    let mut out = Vec::new();
    for (i, f) in part.model.faces.iter().enumerate() {
        let own = areas[i].normalize();
        let corner = |&v: &usize| {
            let smooth = around[v].iter().map(|&j| areas[j]).filter(|a| a.normalize().dot(own) > CREASE);
            Corner { position: vertices[v], normal: smooth.sum::<DVec3>().normalize() }
        };
        let corners: Vec<Corner> = f.iter().map(corner).collect();
        out.extend((1..f.len() - 1).map(|k| Triangle {
            corners: [corners[0], corners[k], corners[k + 1]],
            material: part.material,
            foot: part.foot,
        }));
    }
    out
}

impl Studio {
    /// A studio that holds these parts.
    pub fn new(parts: &[Part]) -> Self {
        let triangles: Vec<Triangle> = parts.iter().flat_map(triangles).collect();
        let tracer = Tracer::new(triangles.iter().map(|t| t.corners.map(|c| c.position)));
        let sun = cone(SUN.normalize(), SUN_SIZE, SAMPLES * SUN_RAYS);
        let sky = hemisphere(SAMPLES * SKY_RAYS);
        Self { triangles, tracer, sun, sky }
    }

    /// Image of the camera: sRGB with straight alpha, nothing behind the set.
    pub fn picture(&self, camera: &Camera) -> Rgba8 {
        let rows: Vec<Vec<u8>> = (0..camera.height)
            .into_par_iter()
            .map(|y| (0..camera.width).flat_map(|x| self.pixel(camera, x, y)).collect())
            .collect();
        Rgba8 { width: camera.width, height: camera.height, data: rows.concat() }
    }

    fn pixel(&self, camera: &Camera, x: u32, y: u32) -> [u8; 4] {
        let (mut sum, mut hits) = (DVec3::ZERO, 0);
        for k in 0..SAMPLES {
            let at = hammersley(k, SAMPLES);
            let ray = camera.ray(f64::from(x) + at.x, f64::from(y) + at.y);
            if let Some(hit) = self.tracer.first(ray.origin, ray.direction) {
                sum += self.shade(ray.direction, hit, k);
                hits += 1;
            }
        }
        if hits == 0 {
            return [0; 4];
        }
        let byte = |v: f64| (v * 255.0).round() as u8;
        let [r, g, b] = (sum / f64::from(hits)).to_array().map(|v| byte(srgb_from_linear(v as f32).into()));
        [r, g, b, byte(f64::from(hits) / SAMPLES as f64)]
    }

    /// Linear colour of sample `k` of a pixel.
    fn shade(&self, direction: DVec3, hit: Hit, k: usize) -> DVec3 {
        let triangle = &self.triangles[hit.face];
        let mix = |f: fn(&Corner) -> DVec3| -> DVec3 { (0..3).map(|i| f(&triangle.corners[i]) * hit.weights[i]).sum() };
        let [a, b, c] = triangle.corners.map(|c| c.position);
        let flat = (b - a).cross(c - a).normalize();
        let position = mix(|c| c.position);
        let normal = mix(|c| c.normal).normalize();
        let surface = triangle.material.at(position - triangle.foot, flat);
        let from = lifted(&triangle.corners, hit.weights, position) + flat * OFFSET;
        let (sun, open) = (self.sunlight(from, normal, k), self.skylight(from, normal, k));
        let view = -direction;
        let matte = surface.diffuse * (SUN_COLOUR * (sun * normal.dot(SUN.normalize()).max(0.0)) + open.light);
        matte + gloss(&surface, normal, view, sun, open.share)
    }

    /// Share of the sun that `from` sees.
    fn sunlight(&self, from: DVec3, normal: DVec3, k: usize) -> f64 {
        let free = |&i: &usize| {
            let to = self.sun[k + i * SAMPLES];
            to.dot(normal) > 0.0 && !self.tracer.blocked(from, to)
        };
        (0..SUN_RAYS).filter(free).count() as f64 / SUN_RAYS as f64
    }

    fn skylight(&self, from: DVec3, normal: DVec3, k: usize) -> Skylight {
        let [a, b] = basis(normal);
        let mut total = Skylight { light: DVec3::ZERO, share: 0.0 };
        for i in 0..SKY_RAYS {
            let q = self.sky[k + i * SAMPLES];
            let to = a * q.x + b * q.y + normal * q.z;
            let free = !self.tracer.blocked(from, to);
            // Surfaces that block the sky give back a little light of their own.
            total.light += if free { sky(to) } else { dvec3(0.11, 0.085, 0.065) } / SKY_RAYS as f64;
            total.share += f64::from(u8::from(free)) / SKY_RAYS as f64;
        }
        total
    }
}

/// Mean light from the sky and the share of it that is not blocked.
struct Skylight {
    light: DVec3,
    share: f64,
}

/// View-dependent light: the sun's Blinn-Phong highlight and the sky's reflection, stronger towards the rim (Schlick).
fn gloss(surface: &Surface, normal: DVec3, view: DVec3, sun: f64, open: f64) -> DVec3 {
    let half = (SUN.normalize() + view).normalize();
    let highlight = surface.highlight * power(normal.dot(half).max(0.0), surface.exponent);
    let facing = normal.dot(view).max(0.0);
    let mirrored = normal * (2.0 * facing) - view;
    let mirror = surface.mirror + (DVec3::splat(surface.rim) - surface.mirror) * power(1.0 - facing, 5);
    SUN_COLOUR * (sun * highlight) + mirror * sky(mirrored) * open
}

/// The point moved onto the rounded surface that the normals promise, so that coarse faces cast no shadow on themselves
/// (Hanika, "Hacking the Shadow Terminator", Ray Tracing Gems II (2021)).
fn lifted(corners: &[Corner; 3], weights: [f64; 3], position: DVec3) -> DVec3 {
    let onto = |c: &Corner| position - c.normal * (position - c.position).dot(c.normal).min(0.0);
    corners.iter().zip(weights).map(|(c, w)| onto(c) * w).sum()
}

//! A rippled torus knot: curved everywhere.

use std::f64::consts::TAU;

use glam::dvec3;

use super::model::Model;

/// A (2, 3) torus knot whose tube carries ripples that wind around it.
pub fn knot() -> Model {
    const ALONG: usize = 288;
    const AROUND: usize = 26;
    let axis = |u: f64| {
        let r = 0.62 + 0.26 * (3.0 * u).cos();
        dvec3(r * (2.0 * u).cos(), r * (2.0 * u).sin(), 0.30 * (3.0 * u).sin())
    };
    let mut m = Model::default();
    for i in 0..ALONG {
        let u = TAU * i as f64 / ALONG as f64;
        let tangent = (axis(u + 1e-4) - axis(u - 1e-4)).normalize();
        // The torus's own normal never runs along the knot, so the frame closes without a twist.
        let outward = dvec3((3.0 * u).cos() * (2.0 * u).cos(), (3.0 * u).cos() * (2.0 * u).sin(), (3.0 * u).sin());
        let a = (outward - tangent * outward.dot(tangent)).normalize();
        let b = tangent.cross(a);
        m.vertices.extend((0..AROUND).map(|j| {
            let v = TAU * j as f64 / AROUND as f64;
            let radius = 0.135 * (1.0 + 0.13 * (4.0 * v + 10.0 * u).cos() + 0.05 * (6.0 * u).sin());
            axis(u) + (a * v.cos() + b * v.sin()) * radius
        }));
    }
    for i in 0..ALONG {
        for j in 0..AROUND {
            let at = |i: usize, j: usize| (i % ALONG) * AROUND + j % AROUND;
            m.faces.push(vec![at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)]);
        }
    }
    m
}

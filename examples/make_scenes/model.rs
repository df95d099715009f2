//! Polygons, the ways to make them, and the bytes of their files.

use std::f64::consts::{PI, TAU};
use std::fmt::Write;

use glam::{DVec2, DVec3, dvec2};

/// Polygons over shared vertices.
#[derive(Default)]
pub struct Model {
    pub vertices: Vec<DVec3>,
    pub faces: Vec<Vec<usize>>,
}

impl Model {
    /// Joins rings of equally many points by quadrilaterals and closes both ends with polygons. Rings run
    /// counter-clockwise seen from the last one.
    pub fn loft(&mut self, rings: &[Vec<DVec3>]) {
        let first = self.vertices.len();
        let n = rings[0].len();
        self.vertices.extend(rings.iter().flatten());
        for r in 0..rings.len() - 1 {
            let base = first + r * n;
            self.faces.extend((0..n).map(|i| {
                let j = (i + 1) % n;
                vec![base + i, base + j, base + n + j, base + n + i]
            }));
        }
        self.faces.push((first..first + n).rev().collect());
        let last = first + (rings.len() - 1) * n;
        self.faces.push((last..last + n).collect());
    }

    /// Sweeps a cross-section along a path: `section(t)` gives its outline at `t` in 0..=1, counter-clockwise in the
    /// plane of `side` and the normal that completes it.
    pub fn sweep(
        &mut self,
        path: impl Fn(f64) -> DVec3,
        side: DVec3,
        steps: usize,
        section: impl Fn(f64) -> Vec<DVec2>,
    ) {
        let rings: Vec<Vec<DVec3>> = (0..=steps)
            .map(|i| {
                let t = i as f64 / steps as f64;
                across(&path, side, t, &section(t))
            })
            .collect();
        self.loft(&rings);
    }

    /// Sweeps circles along a path, one for each `(t, radius)`; where `t` turns back, the tube is hollow from there on.
    pub fn tube(&mut self, path: impl Fn(f64) -> DVec3, side: DVec3, stations: &[(f64, f64)], n: usize) {
        let ring = |&(t, radius): &(f64, f64)| across(&path, side, t, &circle(radius, n));
        self.loft(&stations.iter().map(ring).collect::<Vec<_>>());
    }

    /// Turns a profile of `(radius, height)` around the vertical (z) through `foot`: outside upwards, inside downwards.
    pub fn revolve(&mut self, foot: DVec3, profile: &[DVec2], n: usize) {
        let ring = |p: &DVec2| circle(p.x, n).iter().map(|q| foot + q.extend(p.y)).collect();
        self.loft(&profile.iter().map(ring).collect::<Vec<_>>());
    }

    pub fn obj(&self, title: &str) -> String {
        groups(title, &[("", self)])
    }

    pub fn ply(&self, title: &str) -> String {
        let mut text = format!("ply\nformat ascii 1.0\ncomment {title}\nelement vertex {}\n", self.vertices.len());
        text.push_str("property float x\nproperty float y\nproperty float z\n");
        line(&mut text, format_args!("element face {}", self.faces.len()));
        text.push_str("property list uchar int vertex_indices\nend_header\n");
        for v in &self.vertices {
            line(&mut text, format_args!("{}", point(*v)));
        }
        for f in &self.faces {
            let list: Vec<String> = f.iter().map(usize::to_string).collect();
            line(&mut text, format_args!("{} {}", f.len(), list.join(" ")));
        }
        text
    }

    /// Binary STL; all faces must be triangles.
    pub fn stl(&self, title: &str) -> Vec<u8> {
        let mut bytes = title.as_bytes().to_vec();
        bytes.resize(80, b' ');
        bytes.extend((self.faces.len() as u32).to_le_bytes());
        for f in &self.faces {
            let [a, b, c] = [0, 1, 2].map(|k| round(self.vertices[f[k]]));
            let normal = round((b - a).cross(c - a).normalize_or_zero());
            for p in [normal, a, b, c] {
                p.to_array().iter().for_each(|&x| bytes.extend((x as f32).to_le_bytes()));
            }
            bytes.extend([0, 0]);
        }
        bytes
    }
}

/// An outline in the plane across `path` at `t`: x along `side`, y along the normal that completes it.
fn across(path: impl Fn(f64) -> DVec3, side: DVec3, t: f64, outline: &[DVec2]) -> Vec<DVec3> {
    let tangent = (path((t + 1e-4).min(1.0)) - path((t - 1e-4).max(0.0))).normalize();
    let u = (side - tangent * side.dot(tangent)).normalize();
    let v = tangent.cross(u);
    outline.iter().map(|q| path(t) + u * q.x + v * q.y).collect()
}

/// OBJ text of models, each with its vertices and faces under its own group (none for an empty name).
pub fn groups(title: &str, models: &[(&str, &Model)]) -> String {
    let mut text = format!("# {title}\n");
    let mut first = 1;
    for (name, model) in models {
        if !name.is_empty() {
            line(&mut text, format_args!("g {name}"));
        }
        for v in &model.vertices {
            line(&mut text, format_args!("v {}", point(*v)));
        }
        for f in &model.faces {
            let list: Vec<String> = f.iter().map(|i| (i + first).to_string()).collect();
            line(&mut text, format_args!("f {}", list.join(" ")));
        }
        first += model.vertices.len();
    }
    text
}

pub fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{content}");
}

pub fn round(p: DVec3) -> DVec3 {
    // Adding 0 turns −0 into 0.
    (p * 1e5).round() / 1e5 + DVec3::ZERO
}

pub fn point(p: DVec3) -> String {
    let p = round(p);
    format!("{} {} {}", p.x, p.y, p.z)
}

pub fn circle(radius: f64, n: usize) -> Vec<DVec2> {
    (0..n).map(|i| DVec2::from_angle(TAU * i as f64 / n as f64) * radius).collect()
}

/// Rectangle with half sizes `a` and `b` and corners rounded by `r`, `n` points a corner.
pub fn rounded(a: f64, b: f64, r: f64, n: usize) -> Vec<DVec2> {
    let centers = [(a - r, b - r), (r - a, b - r), (r - a, r - b), (a - r, r - b)];
    let corner = |(k, &(x, y)): (usize, &(f64, f64))| {
        (0..n)
            .map(move |i| dvec2(x, y) + DVec2::from_angle(PI * 0.5 * (k as f64 + i as f64 / (n - 1) as f64)) * r)
            .collect::<Vec<_>>()
    };
    centers.iter().enumerate().flat_map(corner).collect()
}

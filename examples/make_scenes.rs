//! Writes the sample meshes in `scenes/`: `cargo run --release --example make_scenes [FOLDER]`.
//!
//! They are the project's own and free of other people's rights: a chair (thin, tapered and slatted parts), a pillow
//! block (flat faces, sharp edges, fillets, bores), a rippled torus knot (curved everywhere) and a desk as online
//! collections hold such things (each face twice, front and back, with open sheets and line elements). Coordinates are
//! rounded to 1e-5, so that every machine writes the same bytes.

use glam::{DVec2, DVec3, dvec2, dvec3};
use std::f64::consts::{PI, TAU};
use std::fmt::Write;

/// Polygons over shared vertices; x right, y up, z to the front.
#[derive(Default)]
struct Model {
    vertices: Vec<DVec3>,
    faces: Vec<Vec<usize>>,
}

impl Model {
    /// Joins rings of equally many points by quadrilaterals and closes both ends with polygons. Rings run
    /// counter-clockwise seen from the last one.
    fn loft(&mut self, rings: &[Vec<DVec3>]) {
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
    fn sweep(&mut self, path: impl Fn(f64) -> DVec3, side: DVec3, steps: usize, section: impl Fn(f64) -> Vec<DVec2>) {
        let rings: Vec<Vec<DVec3>> = (0..=steps)
            .map(|i| {
                let t = i as f64 / steps as f64;
                let tangent = (path((t + 1e-4).min(1.0)) - path((t - 1e-4).max(0.0))).normalize();
                let u = (side - tangent * side.dot(tangent)).normalize();
                let v = tangent.cross(u);
                section(t).iter().map(|q| path(t) + u * q.x + v * q.y).collect()
            })
            .collect();
        self.loft(&rings);
    }

    fn obj(&self, title: &str) -> String {
        let mut text = format!("# {title}\n");
        for v in &self.vertices {
            line(&mut text, format_args!("v {}", point(*v)));
        }
        for f in &self.faces {
            let list: Vec<String> = f.iter().map(|i| (i + 1).to_string()).collect();
            line(&mut text, format_args!("f {}", list.join(" ")));
        }
        text
    }

    fn ply(&self, title: &str) -> String {
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
    fn stl(&self, title: &str) -> Vec<u8> {
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

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{content}");
}

fn round(p: DVec3) -> DVec3 {
    // Adding 0 turns −0 into 0.
    (p * 1e5).round() / 1e5 + DVec3::ZERO
}

fn point(p: DVec3) -> String {
    let p = round(p);
    format!("{} {} {}", p.x, p.y, p.z)
}

fn circle(radius: f64, n: usize) -> Vec<DVec2> {
    (0..n).map(|i| DVec2::from_angle(TAU * i as f64 / n as f64) * radius).collect()
}

/// Rectangle with half sizes `a` and `b` and corners rounded by `r`, `n` points a corner.
fn rounded(a: f64, b: f64, r: f64, n: usize) -> Vec<DVec2> {
    let centers = [(a - r, b - r), (r - a, b - r), (r - a, r - b), (a - r, r - b)];
    let corner = |(k, &(x, y)): (usize, &(f64, f64))| {
        (0..n)
            .map(move |i| dvec2(x, y) + DVec2::from_angle(PI * 0.5 * (k as f64 + i as f64 / (n - 1) as f64)) * r)
            .collect::<Vec<_>>()
    };
    centers.iter().enumerate().flat_map(corner).collect()
}

/// A dining chair, 0.95 high: dished seat, turned legs, stretchers, a leaning back with a bowed crest and slats.
fn chair() -> Model {
    let mut m = Model::default();
    seat(&mut m);
    for x in [-1.0, 1.0] {
        let (front, back) = (dvec3(0.185 * x, 0.43, 0.17), dvec3(0.165 * x, 0.43, -0.165));
        let feet = [dvec3(0.215 * x, 0.0, 0.21), dvec3(0.195 * x, 0.0, -0.225)];
        for (top, foot) in [front, back].into_iter().zip(feet) {
            // Thin at the foot, a swelling at a third of the height, thinner again at the seat.
            let radius = |t: f64| 0.0105 + 0.0115 * (PI * (0.12 + 0.80 * t)).sin().powf(1.3);
            m.sweep(|t| foot.lerp(top, t), DVec3::X, 14, |t| circle(radius(t), 24));
        }
        rod(&mut m, feet[0].lerp(front, 0.36), feet[1].lerp(back, 0.36), 0.0085);
        let post = |t: f64| dvec3(x * (0.178 + 0.020 * t), 0.435 + 0.47 * t, lean(t));
        m.sweep(post, DVec3::X, 14, |t| circle(0.0145 - 0.0045 * t, 24));
    }
    rod(&mut m, dvec3(-0.194, 0.155, -0.004), dvec3(0.194, 0.155, -0.004), 0.0085);
    let bow = |x: f64| 0.045 * (1.0 - (x / 0.23).powi(2));
    let rail = |height: f64, half: f64, t0: f64, rise: f64, forward: f64| {
        move |t: f64| {
            let x = half * (2.0 * t - 1.0);
            let arch = rise * (1.0 - (x / half).powi(2));
            dvec3(x, height + arch, lean(t0) - bow(x) + forward)
        }
    };
    let crest = |t: f64| rounded(0.011, 0.044 - 0.012 * (2.0 * t - 1.0).abs().powi(3), 0.0085, 5);
    m.sweep(rail(0.892, 0.232, 0.97, 0.028, 0.013), -DVec3::Z, 36, crest);
    m.sweep(rail(0.545, 0.186, 0.235, 0.0, 0.008), -DVec3::Z, 28, |_| rounded(0.008, 0.016, 0.006, 4));
    for k in -3..=3 {
        let x = 0.0485 * f64::from(k);
        let ends = [(x * 0.96, 0.545, 0.235), (x * 1.12, 0.885, 0.955)];
        let [low, high] = ends.map(|(x, y, t)| dvec3(x, y, lean(t) - bow(x) + 0.008));
        // Slats are 6 mm thin and hollow in profile, a little wider in the middle.
        let path = |t: f64| low.lerp(high, t) - DVec3::Z * 0.012 * (PI * t).sin();
        m.sweep(path, DVec3::X, 16, |t| rounded(0.0105 + 0.0045 * (PI * t).sin(), 0.003, 0.0025, 4));
    }
    m
}

/// Depth of the back at `t` of its height.
fn lean(t: f64) -> f64 {
    -0.172 - 0.105 * t - 0.035 * t * t
}

fn rod(m: &mut Model, a: DVec3, b: DVec3, radius: f64) {
    m.sweep(|t| a.lerp(b, t), DVec3::Y, 10, |t| circle(radius * (0.75 + 0.35 * (PI * t).sin()), 16));
}

/// A slab with a super-elliptic outline, narrower at the back, rounded rim and a shallow dish on top.
fn seat(m: &mut Model) {
    const AROUND: usize = 72;
    let outline = |scale: f64, inset: f64, y: f64| -> Vec<DVec3> {
        (0..AROUND)
            .map(|i| {
                let a = -TAU * i as f64 / AROUND as f64;
                let power = |v: f64| v.signum() * v.abs().powf(0.52);
                let (x, z) = (power(a.cos()) * (0.232 * scale - inset), power(a.sin()) * (0.218 * scale - inset));
                let taper = 1.0 + 0.30 * z;
                let dip = if y > 0.44 { 0.016 * (1.0 - scale * scale) * (1.0 - 0.35 * z / 0.218) } else { 0.0 };
                dvec3(x * taper, y - dip, z + 0.005)
            })
            .collect()
    };
    let mut rings = vec![outline(0.5, 0.0, 0.425), outline(1.0, 0.022, 0.425)];
    for i in 0..=8 {
        let a = PI * (i as f64 / 8.0 - 0.5);
        rings.push(outline(1.0, 0.013 * (1.0 - a.cos()), 0.443 + 0.016 * a.sin()));
    }
    rings.extend([0.88, 0.76, 0.62, 0.46, 0.30, 0.14].map(|s| outline(s, 0.0, 0.459)));
    m.loft(&rings);
}

/// Points of an arc from angle `a` to `b` (degrees), both ends included.
fn arc(center: DVec2, radius: f64, a: f64, b: f64, steps: usize) -> impl Iterator<Item = DVec2> {
    (0..=steps).map(move |i| center + DVec2::from_angle((a + (b - a) * i as f64 / steps as f64).to_radians()) * radius)
}

/// A pillow block: base, filleted housing with a bore, two holes, extruded along z.
fn bracket() -> Model {
    let (housing, outer, fillet, plate) = (dvec2(0.0, 0.62), 0.45, 0.2, 0.25);
    let rise: f64 = housing.y - plate - fillet;
    let center = dvec2(((outer + fillet).powi(2) - rise * rise).sqrt(), plate + fillet);
    let touch = (center - housing).to_angle().to_degrees();
    let mut right: Vec<DVec2> = vec![dvec2(1.0, 0.0)];
    right.extend(arc(dvec2(0.94, 0.19), 0.06, 0.0, 90.0, 8));
    right.extend(arc(center, fillet, 270.0, touch + 180.0, 12));
    right.extend(arc(housing, outer, touch, 90.0, 28).skip(1));
    let mirrored: Vec<DVec2> = right.iter().rev().skip(1).map(|p| dvec2(-p.x, p.y)).collect();
    let outline: Vec<DVec2> = right.into_iter().chain(mirrored).collect();
    let hole = |c: DVec2, r: f64, n: usize| circle(r, n).into_iter().rev().map(move |p| p + c).collect::<Vec<_>>();
    let holes = [hole(housing, 0.27, 64), hole(dvec2(-0.78, 0.125), 0.06, 32), hole(dvec2(0.78, 0.125), 0.06, 32)];
    extrude(&[&outline, &holes[0], &holes[1], &holes[2]], 0.28)
}

/// Triangles of an outline (first loop, counter-clockwise) with holes (clockwise), from `-half` to `half` along z.
fn extrude(loops: &[&[DVec2]], half: f64) -> Model {
    let flat: Vec<[f64; 2]> = loops.iter().flat_map(|l| l.iter().map(|p| p.to_array())).collect();
    let n = flat.len();
    let mut starts = Vec::new();
    let mut sides = Vec::new();
    let mut first = 0usize;
    for l in loops {
        starts.push(first);
        for i in 0..l.len() {
            let (a, b) = (first + i, first + (i + 1) % l.len());
            sides.extend([vec![a, b, b + n], vec![a, b + n, a + n]]);
        }
        first += l.len();
    }
    let mut cap: Vec<usize> = Vec::new();
    earcut::Earcut::new().earcut_slice(&flat, &starts[1..], &mut cap);
    let mut m = Model { faces: sides, ..Model::default() };
    for z in [-half, half] {
        m.vertices.extend(flat.iter().map(|p| dvec3(p[0], p[1], z)));
    }
    for t in cap.chunks_exact(3) {
        let [a, b, c] = [0, 1, 2].map(|k| DVec2::from(flat[t[k]]));
        let t = if (b - a).perp_dot(c - a) > 0.0 { [t[0], t[1], t[2]] } else { [t[0], t[2], t[1]] };
        m.faces.push(vec![t[2], t[1], t[0]]);
        m.faces.push(t.iter().map(|v| v + n).collect());
    }
    m
}

/// A (2, 3) torus knot whose tube carries ripples that wind around it.
fn knot() -> Model {
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

/// A desk as model collections hold it: every face twice, front and back, boxes without the sides that nobody sees,
/// a panel and shelf without thickness, outlines as line elements, and a material file that is not there.
fn soup() -> String {
    let mut text = String::from("# desk: every face twice, open sheets\nmtllib soup.mtl\n");
    let mut count = 0;
    let mut quad = |text: &mut String, corners: [DVec3; 4]| {
        corners.iter().for_each(|&c| line(text, format_args!("v {}", point(c))));
        let [a, b, c, d] = [1, 2, 3, 4].map(|k| count + k);
        for [p, q, r] in [[a, b, c], [a, c, d], [c, b, a], [d, c, a]] {
            line(text, format_args!("f {p} {q} {r}"));
        }
        line(text, format_args!("l {a} {b}"));
        count += 4;
    };
    // The four upright sides, then (if closed) bottom and top.
    let boxed =
        |quad: &mut dyn FnMut(&mut String, [DVec3; 4]), text: &mut String, lo: DVec3, hi: DVec3, closed: bool| {
            let p = |x: bool, y: bool, z: bool| {
                dvec3(if x { hi.x } else { lo.x }, if y { hi.y } else { lo.y }, if z { hi.z } else { lo.z })
            };
            let base = [(false, false), (true, false), (true, true), (false, true)];
            for k in 0..4 {
                let ((ax, az), (bx, bz)) = (base[k], base[(k + 1) % 4]);
                quad(text, [p(ax, false, az), p(bx, false, bz), p(bx, true, bz), p(ax, true, az)]);
            }
            for y in [false, true].into_iter().filter(|_| closed) {
                quad(text, base.map(|(x, z)| p(x, y, z)));
            }
        };
    text.push_str("g top\nusemtl wood\n");
    boxed(&mut quad, &mut text, dvec3(-0.6, 0.70, -0.3), dvec3(0.6, 0.73, 0.3), true);
    text.push_str("g legs\n");
    for (x, z) in [(-0.57, -0.27), (0.53, -0.27), (-0.57, 0.23), (0.53, 0.23)] {
        boxed(&mut quad, &mut text, dvec3(x, 0.0, z), dvec3(x + 0.04, 0.70, z + 0.04), false);
    }
    text.push_str("g drawers\n");
    for y in [0.28, 0.42, 0.56] {
        boxed(&mut quad, &mut text, dvec3(0.20, y, -0.24), dvec3(0.52, y + 0.12, 0.26), true);
        boxed(&mut quad, &mut text, dvec3(0.32, y + 0.055, 0.26), dvec3(0.40, y + 0.07, 0.28), true);
    }
    text.push_str("g sheets\n");
    quad(&mut text, [(-0.55, 0.30), (0.55, 0.30), (0.55, 0.70), (-0.55, 0.70)].map(|(x, y)| dvec3(x, y, -0.25)));
    quad(&mut text, [(-0.55, -0.25), (0.18, -0.25), (0.18, 0.2), (-0.55, 0.2)].map(|(x, z)| dvec3(x, 0.30, z)));
    text
}

/// Every file of `scenes/`: its name and content.
pub fn scenes() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("chair.obj", chair().obj("chair: closed parts that overlap, quadrilaterals and polygons").into_bytes()),
        ("bracket.stl", bracket().stl("pillow block")),
        ("knot.ply", knot().ply("rippled torus knot").into_bytes()),
        ("soup.obj", soup().into_bytes()),
    ]
}

#[allow(dead_code, reason = "a test includes this file for `scenes`")]
fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| "scenes".into(), std::path::PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for (name, content) in scenes() {
        std::fs::write(folder.join(name), &content)?;
        println!("{}: {} bytes", folder.join(name).display(), content.len());
    }
    Ok(())
}

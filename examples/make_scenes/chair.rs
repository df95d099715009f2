//! A chair: thin, tapered and slatted parts.

use std::f64::consts::{PI, TAU};

use glam::{DVec3, dvec3};

use super::model::{Model, circle, rounded};

/// A dining chair, 0.95 high: dished seat, turned legs, stretchers, a leaning back with a bowed crest and slats.
pub fn chair() -> Model {
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

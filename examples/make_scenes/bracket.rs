//! A pillow block: flat faces, sharp edges, fillets, bores.

use glam::{DVec2, dvec2, dvec3};

use super::model::{Model, circle};

/// Points of an arc from angle `a` to `b` (degrees), both ends included.
fn arc(center: DVec2, radius: f64, a: f64, b: f64, steps: usize) -> impl Iterator<Item = DVec2> {
    (0..=steps).map(move |i| center + DVec2::from_angle((a + (b - a) * i as f64 / steps as f64).to_radians()) * radius)
}

/// A pillow block: base, filleted housing with a bore, two holes, extruded along z.
pub fn bracket() -> Model {
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

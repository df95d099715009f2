//! Numbers on the isolines of a section that shows signed distances.

use glam::{DVec3, Vec3};
use nstr_plot::format::compact;
use nstr_render::section::{SPACING, Section};

use crate::orientation::Label;
use crate::scene::{Scene, SceneField};

/// Places along an edge of the cube where the field is evaluated.
const PLACES: usize = 72;
/// Isolines from one with a number to the next.
const LABELLED: i32 = 4;
/// Distance between numbers, in edges of the cube.
const APART: f32 = 0.16;
/// Distance of numbers from the border of what is shown, in edges of the cube.
const BORDER: f32 = 0.02;
/// Numbers on the isolines of one distance.
const PER_LEVEL: usize = 2;

/// Numbers, in world units, at places on the isolines of `section`; none of radiance fields.
pub(crate) fn labels(scene: &Scene, section: &Section) -> Vec<Label> {
    let SceneField::Sdf(field) = &scene.field else { return Vec::new() };
    let cube = scene.cube;
    let normal = section.normal;
    let shown = scene.section_box().unwrap_or_else(|| cube.bounds());
    let (low, high) = (cube.to_unit(shown.0).as_vec3(), cube.to_unit(shown.1).as_vec3());
    // A number near the border would be cut.
    let (low, high) = (low.max(Vec3::ZERO) + BORDER, high.min(Vec3::ONE) - BORDER);
    let axis = (0..3).max_by(|a, b| normal[*a].abs().total_cmp(&normal[*b].abs())).unwrap_or(0);
    let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
    let offset = (section.offset - normal.dot(cube.origin)) / cube.size;
    // Place in the cube for coordinates along the other two axes.
    let place = |i: usize, j: usize| {
        let mut p = DVec3::ZERO;
        let at = |k: usize| (k as f64 + 0.5) / PLACES as f64;
        (p[u], p[v]) = (at(i), at(j));
        p[axis] = (offset - normal[u] * p[u] - normal[v] * p[v]) / normal[axis];
        p.as_vec3()
    };
    let points: Vec<Vec3> = (0..PLACES * PLACES).map(|k| place(k % PLACES, k / PLACES)).collect();
    let mut distance = vec![0.0; points.len()];
    field.distance(&points, &mut distance);
    let step = LABELLED as f32 * SPACING;
    let mut taken: Vec<Vec3> = Vec::new();
    let mut labels = Vec::new();
    for n in [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5] {
        let level = n as f32 * step;
        let mut count = 0;
        // Rows from the middle outwards, as the object is there.
        for k in 0..PLACES {
            let j = if k % 2 == 0 { PLACES / 2 + k / 2 } else { PLACES / 2 - 1 - k / 2 };
            for i in 0..PLACES - 1 {
                let (a, b) = (distance[j * PLACES + i] - level, distance[j * PLACES + i + 1] - level);
                if count == PER_LEVEL || (a > 0.0) == (b > 0.0) {
                    continue;
                }
                let at = points[j * PLACES + i].lerp(points[j * PLACES + i + 1], a / (a - b));
                let inside = at.cmpge(low).all() && at.cmple(high).all();
                if !inside || taken.iter().any(|t| t.distance(at) < APART) {
                    continue;
                }
                taken.push(at);
                count += 1;
                let text = compact(f64::from(level) * cube.size);
                labels.push(Label { at: cube.to_world(at.as_dvec3()), text, colour: [245, 245, 245] });
            }
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nstr_render::SectionView;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;

    #[test]
    fn numbers_stand_on_their_isolines() {
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let cube = Cube { origin: DVec3::new(1.0, 2.0, 3.0), size: 4.0 };
        let scene = Scene::new(SceneField::Sdf(Arc::new(ball)), cube);
        let middle = cube.centre();
        for normal in [DVec3::X, DVec3::NEG_Y, DVec3::Z] {
            let section = Section { normal, offset: normal.dot(middle), show: SectionView::Field };
            let labels = labels(&scene, &section);
            assert!(labels.len() >= 5, "{labels:?}");
            for label in &labels {
                let value: f64 = label.text.parse().unwrap();
                assert!(((label.at - middle).length() - 1.2 - value).abs() < 0.02, "{label:?}");
                assert!(normal.dot(label.at - middle).abs() < 1e-5);
            }
        }
    }
}

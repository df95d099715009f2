//! Occlusion and soft shadow from coarse distances: at a small part of the cost of the field's own, and smoother.
//!
//! The methods are those of `occlusion`, with fewer places: a lookup is exact to a part of a cell, so that light is soft by more than a
//! cell anyway.

use glam::Vec3;

use crate::cpu::coarse_distance::CoarseDistance;
use crate::cpu::occlusion::{ShadingPoint, TILT, tilted_ring};
use crate::section::Plane;

/// Distances along the normal and along tilted directions, as fractions of the radius.
const ALONG_NORMAL: [f32; 3] = [0.15, 0.45, 1.0];
const TILTED: [f32; 2] = [0.25, 0.8];
/// Most steps of a shadow ray.
const SHADOW_STEPS: usize = 40;
/// Least openness, so that folds stay legible.
const LEAST_OPEN: f32 = 0.06;

/// Light around the surface of one scene.
#[derive(Clone, Copy, Debug)]
pub struct SoftLight<'a> {
    /// Distances to the surface.
    pub distance: &'a CoarseDistance,
    /// Section of the scene; the part that it cuts away neither occludes nor casts a shadow.
    pub plane: Option<Plane>,
}

impl SoftLight<'_> {
    fn value(&self, p: Vec3) -> f32 {
        if self.plane.is_some_and(|plane| plane.is_clipped(p)) { f32::INFINITY } else { self.distance.at(p) }
    }

    /// Fraction of the sky that a point sees, 0 to 1, within `radius`. `right` fixes the ring's rotation.
    pub fn open(&self, point: &ShadingPoint, radius: f32, right: Vec3) -> f32 {
        // The grid's own error at the surface, which thin parts have most of.
        let offset = self.distance.at(point.position);
        let (mut sum, mut weight) = (0.0, 0.0);
        let mut add = |p: Vec3, height: f32, w: f32| {
            sum += w * (point.sign * (self.value(p) - offset) / height).clamp(0.0, 1.0);
            weight += w;
        };
        for h in ALONG_NORMAL {
            add(point.position + point.normal * (h * radius), h * radius, 1.0 - 0.6 * h);
        }
        for direction in tilted_ring(point.normal, right) {
            for h in TILTED {
                add(point.position + direction * (h * radius), h * radius * TILT.0, 0.7 * (1.0 - 0.6 * h));
            }
        }
        let open = sum / weight;
        // Concave folds lose light faster than the mean says.
        (open * open).max(LEAST_OPEN)
    }

    /// Fraction of a round light of half angle `size` in the direction `light` that a point sees, 0 to 1.
    pub fn lit(&self, point: &ShadingPoint, light: Vec3, size: f32) -> f32 {
        let facing = point.normal.dot(light);
        if facing <= 0.0 {
            return 0.0;
        }
        let cell = self.distance.cell();
        let offset = self.distance.at(point.position);
        let from = point.position + point.normal * cell;
        let (mut t, mut lit) = (cell, 1.0f32);
        for _ in 0..SHADOW_STEPS {
            let p = from + light * t;
            if p.min_element() < 0.0 || p.max_element() > 1.0 {
                break;
            }
            let d = point.sign * (self.value(p) - offset);
            lit = lit.min(0.5 + 0.5 * d / (size * t));
            if lit <= 0.0 {
                return 0.0;
            }
            t += d.clamp(0.7 * cell, 0.3);
        }
        lit * lit * (3.0 - 2.0 * lit)
    }
}

#[cfg(test)]
mod tests {
    use nstr_space::analytic::{AnalyticSdf, cuboid, sphere};

    use super::*;

    fn point(x: f32, y: f32) -> ShadingPoint {
        ShadingPoint { position: Vec3::new(x, y, 0.5), normal: Vec3::Y, sign: 1.0, slope: 1.0 }
    }

    #[test]
    fn an_open_plane_is_open_and_a_corner_is_not() {
        let corner = CoarseDistance::build(&AnalyticSdf::new(1.0, |p: Vec3| (p.y - 0.3).min(0.8 - p.x)), 64);
        let light = SoftLight { distance: &corner, plane: None };
        let open = [0.2, 0.6, 0.7, 0.79].map(|x| light.open(&point(x, 0.3), 0.2, Vec3::X));
        assert!(open[0] > 0.99 && open[3] < 0.5, "{open:?}");
        assert!(open.windows(2).all(|w| w[1] <= w[0]), "darker towards the corner: {open:?}");
        // What is cut away hides nothing.
        let cube = nstr_space::Cube::default();
        let section = crate::Section { normal: glam::DVec3::X, offset: 0.795, show: crate::SectionView::Cut };
        let cut = SoftLight { plane: Some(Plane::new(&section, cube)), ..light };
        assert!(cut.open(&point(0.79, 0.3), 0.2, Vec3::X) > open[3]);
    }

    #[test]
    fn a_ball_shades_the_floor_below_it_only() {
        let scene = |p: Vec3| {
            cuboid(p, Vec3::new(0.5, 0.1, 0.5), Vec3::new(0.5, 0.1, 0.5)).min(sphere(p, Vec3::new(0.5, 0.5, 0.5), 0.12))
        };
        let distance = CoarseDistance::build(&AnalyticSdf::new(1.0, scene), 64);
        let light = SoftLight { distance: &distance, plane: None };
        let lit = [0.5, 0.6, 0.66, 0.9].map(|x| light.lit(&point(x, 0.2), Vec3::Y, 0.15));
        assert!(lit[0] < 0.05 && lit[3] > 0.97, "{lit:?}");
        assert!(lit.windows(2).all(|w| w[1] >= w[0]), "{lit:?}");
        assert_eq!(light.lit(&point(0.9, 0.2), Vec3::NEG_Y, 0.15), 0.0);
    }
}

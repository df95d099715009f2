//! Section plane as set in the panel and with its handles in the picture.

use glam::DVec3;
use nstr_render::{Section, SectionView};

use crate::scene::Scene;

/// Section plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Whether the section is applied.
    pub enabled: bool,
    /// World axis of the plane's normal, 0 to 2; `None` for a free direction.
    pub axis: Option<usize>,
    /// Free direction of the normal, of length 1.
    pub direction: DVec3,
    /// Position of the plane between the first and the last corner of the scene's cube along the normal, 0 to 1.
    pub offset: f64,
    /// Whether the lower side is removed instead of the upper.
    pub flipped: bool,
    /// Whether the values of the field are drawn on the plane.
    pub field: bool,
    /// Opacity of these values, 0 to 1.
    pub opacity: f32,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            enabled: false,
            axis: Some(0),
            direction: DVec3::X,
            offset: 0.5,
            flipped: false,
            field: false,
            opacity: 1.0,
        }
    }
}

impl Cut {
    /// Normal of the plane, of length 1, whichever side is removed.
    pub fn normal(&self) -> DVec3 {
        match self.axis {
            Some(axis) => DVec3::from_array(std::array::from_fn(|i| if i == axis.min(2) { 1.0 } else { 0.0 })),
            None => self.direction.try_normalize().unwrap_or(DVec3::X),
        }
    }

    /// Lowest and highest place of the plane along its normal, world units.
    pub(crate) fn range(&self, scene: &Scene) -> (f64, f64) {
        let (lo, hi) = scene.cube.bounds();
        let normal = self.normal();
        let (rising, falling) = (normal.max(DVec3::ZERO), normal.min(DVec3::ZERO));
        ((rising * lo + falling * hi).element_sum(), (rising * hi + falling * lo).element_sum())
    }

    /// Place of the plane along its normal, world units.
    pub(crate) fn place(&self, scene: &Scene) -> f64 {
        let (lo, hi) = self.range(scene);
        lo + (hi - lo) * self.offset
    }

    /// Moves the plane to a place along its normal, at most to the ends of the scene's cube.
    pub(crate) fn set_place(&mut self, scene: &Scene, place: f64) {
        let (lo, hi) = self.range(scene);
        self.offset = ((place - lo) / (hi - lo).max(1e-300)).clamp(0.0, 1.0);
    }

    /// Turns the plane about a world point that it then goes through.
    pub(crate) fn turn(&mut self, scene: &Scene, normal: DVec3, about: DVec3) {
        let Some(normal) = normal.try_normalize() else { return };
        (self.axis, self.direction) = (None, normal);
        self.set_place(scene, normal.dot(about));
    }

    /// The section in world coordinates; `None` if it is off. `with_field`: the field is drawn on the plane if that is set.
    pub(crate) fn section(&self, scene: &Scene, with_field: bool) -> Option<Section> {
        let side = if self.flipped { -1.0 } else { 1.0 };
        let show = if self.field && with_field { SectionView::Field } else { SectionView::Cut };
        self.enabled.then_some(Section { normal: side * self.normal(), offset: side * self.place(scene), show })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nstr_space::Cube;
    use nstr_space::analytic::AnalyticSdf;

    use super::*;
    use crate::scene::SceneField;

    fn scene() -> Scene {
        let ball = AnalyticSdf::new(1.0, |p: glam::Vec3| p.length() - 0.3);
        Scene::new(SceneField::Sdf(Arc::new(ball)), Cube { origin: DVec3::new(-2.0, 1.0, 0.0), size: 4.0 })
    }

    #[test]
    fn sections_cut_between_the_faces_of_the_cube() {
        let scene = scene();
        let cut = Cut { enabled: true, axis: Some(1), offset: 0.25, ..Cut::default() };
        let plane = |cut: Cut| cut.section(&scene, true).map(|s| (s.normal, s.offset));
        assert_eq!(plane(cut), Some((DVec3::Y, 2.0)));
        assert_eq!(plane(Cut { flipped: true, ..cut }), Some((DVec3::NEG_Y, -2.0)));
        assert_eq!(plane(Cut::default()), None);
        let field = Cut { field: true, ..cut };
        let show = |with_field| field.section(&scene, with_field).map(|s| s.show);
        assert_eq!((show(true), show(false)), (Some(SectionView::Field), Some(SectionView::Cut)));
    }

    #[test]
    fn free_planes_reach_from_corner_to_corner() {
        let scene = scene();
        let mut cut = Cut { enabled: true, ..Cut::default() };
        for normal in [DVec3::new(1.0, 1.0, 0.0), DVec3::new(-0.3, 0.5, 2.0), DVec3::NEG_Z] {
            let about = DVec3::new(-0.5, 2.5, 1.0);
            cut.turn(&scene, normal, about);
            let section = cut.section(&scene, true).unwrap();
            assert!(section.check().is_ok() && (section.normal.dot(about) - section.offset).abs() < 1e-9);
            // No corner of the cube lies beyond the range, and one at either end.
            let (lo, hi) = cut.range(&scene);
            let (low, high) = scene.cube.bounds();
            let corner = |i: usize| DVec3::select(glam::BVec3::new(i & 1 == 1, i & 2 == 2, i & 4 == 4), high, low);
            let places = (0..8).map(|i| cut.normal().dot(corner(i)));
            let (least, most) = places.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
            assert!((least - lo).abs() < 1e-9 && (most - hi).abs() < 1e-9, "{least} {lo} {most} {hi}");
        }
        // A direction without a length changes nothing; places beyond the cube end at it.
        let before = cut;
        cut.turn(&scene, DVec3::ZERO, DVec3::ZERO);
        assert_eq!(cut, before);
        cut.set_place(&scene, 1e9);
        assert_eq!(cut.offset, 1.0);
    }
}

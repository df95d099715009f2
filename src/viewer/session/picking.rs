//! Picked points, measured distances and capture cameras under the pointer.

use std::sync::Arc;

use glam::{DVec2, DVec3};
use nstr_plot::format::compact;

use crate::camera::ViewCamera;
use crate::display_mode::DisplayMode;
use crate::frusta;
use crate::probe;
use crate::scene::Scene;
use crate::session::Session;
use crate::spectrum::LocalSpectrum;

/// Distance between two points that the user sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measurement {
    /// Whether the next click sets a point.
    pub armed: bool,
    /// Up to two world points.
    pub points: Vec<DVec3>,
}

impl Measurement {
    /// Distance between the two points, world units.
    pub fn distance(&self) -> Option<f64> {
        let [a, b] = self.points.as_slice() else { return None };
        Some(a.distance(*b))
    }

    /// Removes the points; returns whether there was anything to give up.
    pub fn clear(&mut self) -> bool {
        let something = self.armed || !self.points.is_empty();
        *self = Self::default();
        something
    }

    fn add(&mut self, point: DVec3) {
        if self.points.len() >= 2 {
            self.points.clear();
        }
        self.points.push(point);
        self.armed = self.points.len() < 2;
    }
}

/// Message where a ray meets nothing.
const NOTHING: &str = "nothing there: click on the object";

impl Session {
    /// Goes to the capture's camera at this pixel of an image of `size`, or reads the field there.
    pub(super) fn pick(&mut self, pixel: DVec2, size: (u32, u32)) {
        if self.measurement.armed {
            return self.measure(pixel, size);
        }
        if let Some(view) = self.view_at(pixel, size) {
            return self.go_to_view(view, size);
        }
        let Some(scene) = self.scene.clone() else { return };
        let section = self.settings.cut.section(&scene, self.settings.mode == DisplayMode::Shaded);
        match probe::pick(&scene, &self.camera.camera(size), pixel, section) {
            Some(point) => self.picked = Some(Arc::new(point)),
            None => self.picked = None,
        }
    }

    /// World point that the picture shows at a pixel.
    fn position_at(&mut self, pixel: DVec2, size: (u32, u32)) -> Option<DVec3> {
        let scene = self.scene.clone()?;
        let section = self.settings.cut.section(&scene, self.settings.mode == DisplayMode::Shaded);
        let position = probe::position_at(&scene, &self.camera.camera(size), pixel, section);
        if position.is_none() {
            self.notify(NOTHING);
        }
        position
    }

    /// Orbits around the point at a pixel from now on.
    pub(super) fn centre_on(&mut self, pixel: DVec2, size: (u32, u32)) {
        if let Some(position) = self.position_at(pixel, size) {
            self.release_view();
            self.camera.centre_on(position);
        }
    }

    /// Takes the point at a pixel as an end of the measured distance.
    pub(super) fn measure(&mut self, pixel: DVec2, size: (u32, u32)) {
        let Some(position) = self.position_at(pixel, size) else { return };
        self.measurement.add(position);
        match self.measurement.distance() {
            Some(distance) => self.notify(format!("distance {} world units", compact(distance))),
            None => self.notify("click on the second point"),
        }
    }

    /// Capture view whose frustum is drawn at a pixel of an image of `size`.
    pub fn view_at(&self, pixel: DVec2, size: (u32, u32)) -> Option<usize> {
        let shown = self.aids.frusta && !self.views.is_empty();
        shown.then(|| frusta::at(&self.views, self.frustum_length(), &self.camera.camera(size), pixel))?
    }

    /// Length of the drawn frusta, world units.
    pub fn frustum_length(&self) -> f64 {
        frusta::length(&self.views, self.home.radius)
    }

    /// Shows the capture's image while its key is held.
    pub(super) fn hold_photograph(&mut self, shows: bool, size: (u32, u32)) {
        self.photograph.held = shows && self.ensure_view(size);
    }

    /// Goes to the nearest image unless the camera is at one; returns whether there is one.
    pub fn ensure_view(&mut self, size: (u32, u32)) -> bool {
        if self.active_view.is_some() || self.go_to_nearest_view(size) {
            return true;
        }
        self.notify("there is no image: give a capture with --capture DIR");
        false
    }

    /// Replaces the field by that of another model, with its first camera and its bounds. The camera stays where both show about
    /// the same part of the world, so that models of one object can be compared; so do the capture's images.
    pub fn replace_model(&mut self, scene: Arc<Scene>, home: ViewCamera, bounds: (DVec3, DVec3)) {
        let alike = (home.pivot() - self.home.pivot()).length() < 0.25 * self.home.radius
            && (0.75..1.33).contains(&(home.radius / self.home.radius));
        (self.picked, self.hovered_view, self.readout) = (None, None, None);
        self.measurement.clear();
        if alike {
            self.home = ViewCamera { radius: home.radius, ..self.home };
            self.camera.radius = home.radius;
        } else {
            (self.views, self.mesh, self.last_view) = (Arc::default(), None, None);
            self.set_home(home);
        }
        if !scene.is_radiance() {
            (self.views, self.last_view) = (Arc::default(), None);
            self.release_view();
        }
        self.bounds = Some(bounds);
        self.scene = Some(scene);
    }

    /// Replaces the field by a newer one of the same fit.
    pub fn set_scene(&mut self, scene: Arc<Scene>) {
        if let Some(point) = &self.picked
            && let (Some(known), Some(model)) = (&point.spectrum, &scene.model)
        {
            // In the order of the basis.
            let mut typical: Vec<(usize, Option<f64>)> =
                known.components.iter().map(|c| (c.index, c.typical)).collect();
            typical.sort_by_key(|t| t.0);
            let typical: Vec<f64> = typical.into_iter().filter_map(|t| t.1).collect();
            let spectrum = LocalSpectrum::at(model, scene.to_unit(point.position), &typical);
            let value = probe::field_value(&scene, point.position);
            let renewed = probe::PickedPoint { value, spectrum: Some(spectrum), ..(**point).clone() };
            self.picked = Some(Arc::new(renewed));
        }
        self.scene = Some(scene);
    }
}

#[cfg(test)]
mod tests {
    use glam::Vec3;
    use nstr_camera::orbit::Up;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;
    use crate::input::Action;
    use crate::orientation::{Aid, Preset};
    use crate::scene::SceneField;
    use crate::session::tests::{SIZE, session, with_views};

    /// A session with a ball of radius 0.3 around the middle of the unit cube.
    fn ball() -> Session {
        let field = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Scene::new(SceneField::Sdf(Arc::new(field)), Cube::default());
        let home = ViewCamera::home((DVec3::splat(0.2), DVec3::splat(0.8)), Up::Y).unwrap();
        let mut s = Session { scene: Some(Arc::new(scene)), ..session() };
        s.set_home(home);
        s
    }

    fn middle() -> DVec2 {
        DVec2::new(f64::from(SIZE.0), f64::from(SIZE.1)) * 0.5
    }

    #[test]
    fn a_click_reads_the_point_and_beside_the_object_forgets_it() {
        let mut s = ball();
        s.act(Action::Pick(middle()), SIZE);
        let point = s.picked.clone().unwrap();
        assert!((point.position.distance(DVec3::splat(0.5)) - 0.3).abs() < 1e-3);
        s.act(Action::Pick(DVec2::ONE), SIZE);
        assert!(s.picked.is_none());
        s.act(Action::Pick(middle()), SIZE);
        s.act(Action::Dismiss, SIZE);
        assert!(s.picked.is_none());
    }

    #[test]
    fn two_points_make_a_distance_and_a_third_begins_again() {
        let mut s = ball();
        s.act(Action::View(Preset::Front), SIZE);
        s.act(Action::Parallel, SIZE);
        let camera = s.camera.camera(SIZE);
        let [left, right] = [0.3, 0.7].map(|x| camera.project(DVec3::new(x, 0.5, 0.5)).unwrap());
        s.act(Action::Measure(left), SIZE);
        assert!(s.measurement.armed && s.measurement.distance().is_none());
        // Armed, a plain click sets the second point.
        s.act(Action::Pick(right), SIZE);
        let distance = s.measurement.distance().unwrap();
        assert!((distance - 0.4).abs() < 0.01, "{distance}");
        assert!(s.picked.is_none() && s.message().unwrap().0.starts_with("distance "));
        s.act(Action::Measure(left), SIZE);
        assert_eq!((s.measurement.points.len(), s.measurement.distance()), (1, None));
        s.act(Action::Dismiss, SIZE);
        assert_eq!(s.measurement, Measurement::default());
        s.act(Action::Measure(DVec2::ONE), SIZE);
        assert!(s.measurement.points.is_empty() && s.message().unwrap().0.contains("nothing"));
    }

    #[test]
    fn a_double_click_moves_the_pivot_to_the_surface() {
        let mut s = ball();
        let pixel = middle() + DVec2::new(25.0, -20.0);
        let ray = s.camera.camera(SIZE).ray(pixel.x, pixel.y);
        s.act(Action::CentreOn(pixel), SIZE);
        assert!((s.camera.pivot().distance(DVec3::splat(0.5)) - 0.3).abs() < 2e-3);
        assert!((s.camera.pivot() - s.camera.eye).normalize().distance(ray.direction) < 1e-4);
    }

    #[test]
    fn a_click_on_a_frustum_goes_to_its_image() {
        let mut s = with_views();
        s.camera.eye = DVec3::new(1.5, -6.0, 2.0);
        s.camera.centre_on(DVec3::new(1.5, -3.0, 0.5));
        let at = s.camera.camera(SIZE).project(s.views[2].camera.position()).unwrap();
        s.act(Action::Pick(at), SIZE);
        assert_eq!(s.active_view, None, "they are not drawn");
        s.act(Action::Toggle(Aid::Frusta), SIZE);
        assert_eq!(s.view_at(at, SIZE), Some(2));
        s.act(Action::Pick(at), SIZE);
        assert_eq!(s.active_view, Some(2));
    }

    #[test]
    fn models_of_one_object_keep_the_camera() {
        let mut s = ball();
        s.act(Action::Orbit(DVec2::new(60.0, 10.0)), SIZE);
        s.act(Action::Pick(middle()), SIZE);
        let (camera, scene, home) = (s.camera, s.scene.clone().unwrap(), s.home);
        let bounds = (DVec3::splat(0.2), DVec3::splat(0.8));
        s.replace_model(scene.clone(), home, bounds);
        assert!(s.camera == camera && s.picked.is_none() && s.bounds == Some(bounds));
        let far = ViewCamera { eye: home.eye + 50.0, ..home };
        s.replace_model(scene, far, bounds);
        assert_eq!(s.camera, far);
    }

    #[test]
    fn the_photograph_needs_a_capture_and_goes_to_its_camera() {
        let mut s = with_views();
        s.act(Action::HoldPhotograph(true), SIZE);
        assert!(s.photograph.held && s.active_view.is_some());
        s.act(Action::HoldPhotograph(false), SIZE);
        assert!(!s.photograph.held);
        let mut none = session();
        none.act(Action::HoldPhotograph(true), SIZE);
        assert!(!none.photograph.held && none.message().unwrap().0.contains("--capture"));
    }
}

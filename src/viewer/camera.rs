//! Camera of the viewer with its pivot, and its motions. Independent of the window.

use glam::{DMat3, DMat4, DQuat, DVec2, DVec3};
use nstr_camera::camera::{Camera, CameraError};
use nstr_camera::orbit::{Orbit, Up};

/// Narrowest and widest field of view in degrees.
pub(crate) const FOV: (f64, f64) = (0.5, 140.0);
/// Field of view in degrees that stands for parallel rays: across an object that fills the picture, sizes differ by less
/// than 1 %.
pub(crate) const PARALLEL_FOV: f64 = FOV.0;
/// Field of view in degrees of perspective pictures, where no other is known.
const PERSPECTIVE_FOV: f64 = 35.0;
/// Height of the picture at the pivot's depth, in scene radii, that zooming out does not exceed: the object stays visible.
const MAX_VISIBLE: f64 = 24.0;
/// Margin around the object of [`ViewCamera::frame`], as a factor of its radius.
const FRAME_MARGIN: f64 = 1.06;
/// Maximum elevation that orbiting reaches, radians: at the pole itself the image would spin.
const MAX_ELEVATION: f64 = 89.0 * std::f64::consts::PI / 180.0;
/// Factor of the distance for one notch of the wheel.
const ZOOM_STEP: f64 = 1.12;
/// Flight speed in scene radii a second.
const FLIGHT_SPEED: f64 = 0.6;
/// Factor of the flight speed with shift.
const FAST_FACTOR: f64 = 4.0;

/// Camera that orbits around a pivot and flies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewCamera {
    /// Position in the world.
    pub eye: DVec3,
    /// Camera-to-world rotation (right, up, back).
    pub rotation: DQuat,
    /// Distance to the pivot, which lies straight ahead; above 0.
    pub distance: f64,
    /// Field of view along the shorter side of the image, degrees.
    pub fov: f64,
    /// Ratio of the focal lengths along x and y.
    pub aspect: f64,
    /// Offset of the principal point from the image centre, in focal lengths.
    pub shift: DVec2,
    /// Upward axis that orbiting turns around; unit length.
    pub up: DVec3,
    /// Radius of the scene: the unit of speeds and minimum distances.
    pub radius: f64,
}

impl ViewCamera {
    /// The default camera of `nstr render` for the box `bounds`.
    ///
    /// # Errors
    /// Boxes without extent.
    pub fn home(bounds: (DVec3, DVec3), up: Up) -> Result<Self, CameraError> {
        let orbit = Orbit { elevation: 20.0, azimuth: 30.0, up, ..Orbit::default() };
        let camera = orbit.cameras(bounds)?.remove(0);
        let radius = (bounds.1 - bounds.0).length() * 0.5;
        let centre = (bounds.0 + bounds.1) * 0.5;
        let start = Self {
            eye: DVec3::ZERO,
            rotation: DQuat::IDENTITY,
            distance: radius,
            fov: orbit.fov,
            aspect: 1.0,
            shift: DVec2::ZERO,
            up: up.axis(),
            radius,
        };
        Ok(start.at(&camera, centre))
    }

    /// This camera with pose and field of view of `camera`, and a pivot straight ahead at the depth of `pivot`. An image of
    /// the same aspect ratio shows the same view.
    pub fn at(&self, camera: &Camera, pivot: DVec3) -> Self {
        let [right, up, back] = camera.axes();
        let ahead = -back.dot(pivot - camera.position());
        let side = f64::from(camera.width.min(camera.height));
        let centre = DVec2::new(f64::from(camera.width), f64::from(camera.height)) * 0.5;
        Self {
            eye: camera.position(),
            rotation: DQuat::from_mat3(&DMat3::from_cols(right, up, back)).normalize(),
            distance: if ahead > 1e-3 * self.radius { ahead } else { self.radius },
            fov: (2.0 * (0.5 * side / camera.focal.y).atan().to_degrees()).clamp(FOV.0, FOV.1),
            aspect: camera.focal.x / camera.focal.y,
            shift: (camera.centre - centre) / camera.focal,
            ..*self
        }
    }

    /// Like [`Self::at`], with a field of view that shows all of the image of `camera` in one of `size` pixels.
    pub fn framing(&self, camera: &Camera, pivot: DVec3, size: (u32, u32)) -> Self {
        let (w, h) = (f64::from(size.0.max(1)), f64::from(size.1.max(1)));
        let zoom = (w / f64::from(camera.width)).min(h / f64::from(camera.height));
        let fov = 2.0 * (0.5 * w.min(h) / (camera.focal.y * zoom)).atan().to_degrees();
        Self { fov: fov.clamp(FOV.0, FOV.1), ..self.at(camera, pivot) }
    }

    /// The pinhole camera for an image of `size` pixels.
    pub fn camera(&self, size: (u32, u32)) -> Camera {
        let (w, h) = (size.0.max(1), size.1.max(1));
        let y = 0.5 * f64::from(w.min(h)) / (0.5 * self.fov.to_radians()).tan();
        let focal = DVec2::new(y * self.aspect, y);
        let centre = DVec2::new(f64::from(w), f64::from(h)) * 0.5 + self.shift * focal;
        let camera_to_world = DMat4::from_rotation_translation(self.rotation, self.eye);
        Camera { width: w, height: h, focal, centre, camera_to_world }
    }

    /// The point that the camera orbits around, world coordinates.
    pub fn pivot(&self) -> DVec3 {
        self.eye - self.back() * self.distance
    }

    fn back(&self) -> DVec3 {
        self.rotation * DVec3::Z
    }

    /// Orbits around the pivot: `yaw` around the upward axis, `pitch` upwards (radians).
    pub fn orbit(&mut self, yaw: f64, pitch: f64) {
        let pivot = self.pivot();
        self.rotate(yaw, pitch);
        self.eye = pivot + self.back() * self.distance;
    }

    /// Turns in place: `yaw` around the upward axis, `pitch` upwards (radians).
    pub fn look(&mut self, yaw: f64, pitch: f64) {
        self.rotate(yaw, -pitch);
    }

    /// Rotates in place; positive `pitch` raises the camera's back.
    fn rotate(&mut self, yaw: f64, pitch: f64) {
        let back = self.back();
        let elevation = back.dot(self.up).clamp(-1.0, 1.0).asin();
        let (low, high) = (elevation.min(-MAX_ELEVATION), elevation.max(MAX_ELEVATION));
        let pitch = (elevation + pitch).clamp(low, high) - elevation;
        let level = self.up.cross(back).try_normalize().unwrap_or(self.rotation * DVec3::X);
        let rotation = DQuat::from_axis_angle(self.up, yaw) * DQuat::from_axis_angle(level, -pitch);
        self.rotation = (rotation * self.rotation).normalize();
    }

    /// Moves sideways so that points at the pivot's depth follow the pointer by `pixels` (y down) in an image of `size`
    /// pixels.
    pub fn pan(&mut self, pixels: DVec2, size: (u32, u32)) {
        let scale = self.distance / self.camera(size).focal.y;
        let (right, up) = (self.rotation * DVec3::X, self.rotation * DVec3::Y);
        self.eye += (up * pixels.y - right * (pixels.x / self.aspect)) * scale;
    }

    /// Moves towards the pivot by `notches` of a wheel, or away if negative, until the object is small in the picture.
    pub fn zoom(&mut self, notches: f64) {
        let pivot = self.pivot();
        let distance = self.distance * ZOOM_STEP.powf(-notches.clamp(-50.0, 50.0));
        let closest = 1e-3 * self.radius;
        let farthest = 0.5 * MAX_VISIBLE * self.radius / self.half_angle().tan();
        // A camera that is farther away already is not moved by the limit.
        self.distance = distance.clamp(closest, farthest.max(closest).max(self.distance));
        self.eye = pivot + self.back() * self.distance;
    }

    /// Half of the field of view along the shorter side, radians.
    fn half_angle(&self) -> f64 {
        0.5 * self.fov.to_radians()
    }

    /// Shows the whole sphere of the scene's radius around `centre`, from the same side.
    pub fn frame(&mut self, centre: DVec3) {
        self.shift = DVec2::ZERO;
        self.distance = FRAME_MARGIN * self.radius / self.half_angle().sin();
        self.eye = centre + self.back() * self.distance;
    }

    /// Looks at the pivot against the unit vector `back`, from the same distance, with `top` upwards in the picture.
    pub fn look_from(&mut self, back: DVec3, top: DVec3) {
        let pivot = self.pivot();
        let right = top.cross(back).normalize_or(self.rotation * DVec3::X);
        let axes = DMat3::from_cols(right, back.cross(right), back);
        self.rotation = DQuat::from_mat3(&axes).normalize();
        self.eye = pivot + self.back() * self.distance;
    }

    /// Orbits around `point` from now on: turns in place until it is straight ahead.
    pub fn centre_on(&mut self, point: DVec3) {
        let Some(back) = (self.eye - point).try_normalize() else { return };
        self.distance = (self.eye - point).length();
        let top = if back.dot(self.up).abs() < 0.999 { self.up } else { self.rotation * DVec3::Y };
        let right = top.cross(back).normalize_or(self.rotation * DVec3::X);
        self.rotation = DQuat::from_mat3(&DMat3::from_cols(right, back.cross(right), back)).normalize();
        self.shift = DVec2::ZERO;
    }

    /// Whether the field of view is so narrow that rays are nearly parallel.
    pub fn is_parallel(&self) -> bool {
        self.fov <= PARALLEL_FOV
    }

    /// Sets the field of view to `fov` degrees and keeps the size of what lies at the pivot.
    fn set_fov_in_place(&mut self, fov: f64) {
        let pivot = self.pivot();
        let height = self.distance * self.half_angle().tan();
        self.fov = fov.clamp(FOV.0, FOV.1);
        self.distance = height / self.half_angle().tan();
        self.eye = pivot + self.back() * self.distance;
    }

    /// Switches between nearly parallel rays, from far away, and perspective; what lies at the pivot keeps its size.
    pub fn toggle_parallel(&mut self) {
        self.set_fov_in_place(if self.is_parallel() { PERSPECTIVE_FOV } else { PARALLEL_FOV });
    }

    /// Flies for `seconds` in `direction` (right, up, forward), whose length scales the speed up to 1.
    pub fn fly(&mut self, direction: DVec3, seconds: f64, fast: bool) {
        let direction = direction.clamp_length_max(1.0);
        let axes = DMat3::from_quat(self.rotation);
        let world = axes.x_axis * direction.x + axes.y_axis * direction.y - axes.z_axis * direction.z;
        self.eye += world * (self.radius * FLIGHT_SPEED * if fast { FAST_FACTOR } else { 1.0 } * seconds);
    }

    /// Widens the field of view by `degrees`, within 0.5 to 140.
    pub fn adjust_fov(&mut self, degrees: f64) {
        self.fov = (self.fov + degrees).clamp(FOV.0, FOV.1);
    }

    /// Catmull-Rom interpolation at `t` (0 to 1) between `b` and `c`, with the neighbours `a` and `d`.
    pub(crate) fn interpolate([a, b, c, d]: [&Self; 4], t: f64) -> Self {
        let mix = |f: &dyn Fn(&Self) -> f64| catmull_rom([f(a), f(b), f(c), f(d)], t);
        let vector = |f: &dyn Fn(&Self) -> DVec3| DVec3::new(mix(&|k| f(k).x), mix(&|k| f(k).y), mix(&|k| f(k).z));
        // A rotation has two quaternions: all four must lie in one hemisphere.
        let near = |q: DQuat, to: DQuat| if q.dot(to) < 0.0 { -q } else { q };
        let qb = b.rotation;
        let (qa, qc) = (near(a.rotation, qb), near(c.rotation, qb));
        let qd = near(d.rotation, qc);
        let of = |i: usize| catmull_rom([qa, qb, qc, qd].map(|q| q.to_array()[i]), t);
        let rotation = DQuat::from_array([of(0), of(1), of(2), of(3)]);
        Self {
            eye: vector(&|k| k.eye),
            rotation: if rotation.length() > 1e-6 { rotation.normalize() } else { qb },
            distance: mix(&|k| k.distance.ln()).exp(),
            fov: mix(&|k| k.fov).clamp(FOV.0, FOV.1),
            aspect: mix(&|k| k.aspect),
            shift: DVec2::new(mix(&|k| k.shift.x), mix(&|k| k.shift.y)),
            ..*b
        }
    }
}

/// Catmull-Rom interpolation between `b` and `c`.
fn catmull_rom([a, b, c, d]: [f64; 4], t: f64) -> f64 {
    let (u, v) = (0.5 * (c - a), 0.5 * (d - b));
    let (t2, t3) = (t * t, t * t * t);
    b * (2.0 * t3 - 3.0 * t2 + 1.0) + u * (t3 - 2.0 * t2 + t) + c * (3.0 * t2 - 2.0 * t3) + v * (t3 - t2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: (DVec3, DVec3) = (DVec3::new(-1.0, 0.0, -0.5), DVec3::new(1.0, 2.0, 0.5));
    const SIZE: (u32, u32) = (640, 480);

    fn home() -> ViewCamera {
        ViewCamera::home(BOX, Up::Y).unwrap()
    }

    /// Pixel position of a world point.
    fn projected(camera: &ViewCamera, point: DVec3) -> DVec2 {
        camera.camera(SIZE).project(point).unwrap()
    }

    #[test]
    fn home_is_the_default_camera_of_render() {
        for up in [Up::Y, Up::Z] {
            let home = ViewCamera::home(BOX, up).unwrap();
            let orbit = Orbit { elevation: 20.0, azimuth: 30.0, up, size: SIZE, ..Orbit::default() };
            let render = orbit.cameras(BOX).unwrap()[0];
            let camera = home.camera(SIZE);
            assert!(camera.camera_to_world.abs_diff_eq(render.camera_to_world, 1e-9));
            assert!((camera.focal - render.focal).length() < 1e-6 && (camera.centre - render.centre).length() < 1e-9);
            assert!((home.pivot() - DVec3::Y).length() < 1e-9);
        }
        assert!(ViewCamera::home((DVec3::ONE, DVec3::ONE), Up::Y).is_err());
    }

    #[test]
    fn orbiting_keeps_the_pivot_and_the_horizon() {
        let mut camera = home();
        let (pivot, distance) = (camera.pivot(), camera.distance);
        for (yaw, pitch) in [(0.3, 0.1), (-2.0, 0.6), (1.0, 9.0), (0.2, -20.0), (0.0, 0.4)] {
            camera.orbit(yaw, pitch);
            assert!((camera.pivot() - pivot).length() < 1e-9 && (camera.distance - distance).abs() < 1e-12);
            assert!((camera.rotation * DVec3::X).dot(DVec3::Y).abs() < 1e-9, "the horizon stays level");
            assert!((camera.rotation * DVec3::Y).dot(DVec3::Y) > 0.0, "never upside down");
        }
        // Positive pitch raises the camera, positive yaw turns counter-clockwise from above.
        let mut camera = home();
        let before = camera.eye;
        camera.orbit(0.0, 0.2);
        assert!(camera.eye.y > before.y);
        let mut camera = home();
        camera.orbit(0.2, 0.0);
        assert!(DVec3::Y.dot((before - pivot).cross(camera.eye - pivot)) > 0.0, "counter-clockwise from above");
    }

    #[test]
    fn a_pan_moves_the_pivot_with_the_pointer() {
        let mut camera = home();
        let (pivot, before) = (camera.pivot(), projected(&camera, camera.pivot()));
        camera.pan(DVec2::new(40.0, -25.0), SIZE);
        assert!((projected(&camera, pivot) - before - DVec2::new(40.0, -25.0)).length() < 1e-6);
    }

    #[test]
    fn zoom_keeps_the_pivot_and_stays_in_range() {
        let mut camera = home();
        let pivot = camera.pivot();
        camera.zoom(3.0);
        assert!((camera.pivot() - pivot).length() < 1e-9);
        camera.zoom(-3.0);
        assert!((camera.eye - home().eye).length() < 1e-9);
        for notches in [1e9, -1e9, f64::INFINITY] {
            (0..100).for_each(|_| camera.zoom(notches));
            assert!(camera.distance.is_finite() && camera.distance > 0.0);
            assert!(camera.camera(SIZE).validate().is_ok());
        }
    }

    #[test]
    fn the_object_cannot_be_lost_by_zooming() {
        let mut camera = home();
        (0..200).for_each(|_| camera.zoom(-1.0));
        let (centre, size) = (projected(&camera, camera.pivot()), camera.radius / camera.distance);
        let pixels = 2.0 * size * camera.camera(SIZE).focal.y;
        assert!(pixels > 30.0, "{pixels} pixels of {SIZE:?}");
        assert!((centre - DVec2::new(320.0, 240.0)).length() < 1e-6);
        // Beyond the limit the wheel only comes nearer.
        camera.fly(DVec3::NEG_Z * 3.0, 100.0, true);
        let mut far = ViewCamera { distance: 4.0 * camera.distance, ..camera };
        far.zoom(-3.0);
        assert!((far.distance - 4.0 * camera.distance).abs() < 1e-9);
        far.zoom(2.0);
        assert!(far.distance < 4.0 * camera.distance);
    }

    #[test]
    fn framing_shows_the_whole_sphere() {
        let mut camera = home();
        let centre = DVec3::new(3.0, -1.0, 2.0);
        for fov in [PARALLEL_FOV, 20.0, 90.0] {
            camera.fov = fov;
            camera.frame(centre);
            assert!((camera.pivot() - centre).length() < 1e-6);
            let tangent = camera.radius / (camera.distance.powi(2) - camera.radius.powi(2)).sqrt();
            let reach = tangent * camera.camera(SIZE).focal.y;
            assert!(reach < 240.0 && reach > 200.0, "{reach} of 240 pixels at {fov}°");
        }
    }

    #[test]
    fn parallel_rays_keep_the_size_at_the_pivot() {
        let mut camera = home();
        let pivot = camera.pivot();
        let point = pivot + camera.rotation * DVec3::new(0.4, 0.3, 0.0);
        let before = projected(&camera, point);
        camera.toggle_parallel();
        assert!(camera.is_parallel() && (camera.pivot() - pivot).length() < 1e-6);
        assert!((projected(&camera, point) - before).length() < 1e-6);
        // Nearer and farther points differ by less than 1 %.
        let at = |z: f64| (projected(&camera, pivot + camera.rotation * DVec3::new(0.5, 0.0, z)).x - 320.0).abs();
        let (near, far) = (at(camera.radius), at(-camera.radius));
        assert!(near / far < 1.01 && near > far, "{near} {far}");
        assert!(camera.camera(SIZE).validate().is_ok());
        camera.toggle_parallel();
        assert!(!camera.is_parallel() && (projected(&camera, point) - before).length() < 1e-6);
    }

    #[test]
    fn centring_turns_to_the_point() {
        let mut camera = home();
        let (eye, point) = (camera.eye, camera.pivot() + DVec3::new(0.3, 0.2, -0.1));
        camera.centre_on(point);
        assert!(camera.eye == eye && (camera.pivot() - point).length() < 1e-9);
        assert!((camera.rotation * DVec3::X).dot(camera.up).abs() < 1e-9, "the horizon stays level");
    }

    #[test]
    fn flying_goes_ahead_and_looking_stays() {
        let mut camera = home();
        let ahead = -(camera.rotation * DVec3::Z);
        let eye = camera.eye;
        camera.fly(DVec3::new(0.0, 0.0, 1.0), 0.5, false);
        assert!((camera.eye - eye - ahead * camera.radius * FLIGHT_SPEED * 0.5).length() < 1e-9);
        let slow = camera.eye - eye;
        camera.fly(DVec3::new(0.0, 0.0, 7.0), 0.5, true);
        assert!((camera.eye - eye - slow - slow * FAST_FACTOR).length() < 1e-9);
        let eye = camera.eye;
        let point = camera.pivot();
        let before = projected(&camera, point);
        camera.look(0.0, 0.05);
        assert_eq!(camera.eye, eye);
        assert!(projected(&camera, point).y > before.y, "looking up moves things down");
    }

    #[test]
    fn a_capture_camera_is_matched_exactly() {
        let pose = DMat4::from_rotation_translation(
            DQuat::from_euler(glam::EulerRot::XYZ, 0.4, -1.1, 2.0),
            DVec3::new(1.0, 2.0, -3.0),
        );
        let mut camera = Camera::with_fov_y(200, 300, 40.0, pose).unwrap();
        camera.focal.x *= 1.02;
        camera.centre += DVec2::new(5.0, -9.0);
        let matched = home().at(&camera, DVec3::ZERO).camera((200, 300));
        assert!(matched.camera_to_world.abs_diff_eq(camera.camera_to_world, 1e-9));
        assert!((matched.focal - camera.focal).length() < 1e-6 && (matched.centre - camera.centre).length() < 1e-6);
        // All four corners of its image are visible in a wide and a tall window.
        for size in [(900, 300), (300, 900), (400, 600)] {
            let framed = home().framing(&camera, DVec3::ZERO, size).camera(size);
            for (x, y) in [(0.0, 0.0), (200.0, 0.0), (0.0, 300.0), (200.0, 300.0)] {
                let ray = camera.ray(x, y);
                let at = framed.project(ray.origin + ray.direction).unwrap();
                let shift = (framed.centre - DVec2::new(f64::from(size.0), f64::from(size.1)) * 0.5).abs();
                assert!(at.x > -1e-6 - shift.x && at.x < f64::from(size.0) + 1e-6 + shift.x, "{size:?}: {at}");
                assert!(at.y > -1e-6 - shift.y && at.y < f64::from(size.1) + 1e-6 + shift.y, "{size:?}: {at}");
            }
        }
    }

    #[test]
    fn curves_pass_through_their_keys_smoothly() {
        let mut keys = [home(); 4];
        for (i, key) in keys.iter_mut().enumerate() {
            key.orbit(0.8 * i as f64, 0.1 * i as f64);
            key.fov = 30.0 + i as f64;
        }
        let four = [&keys[0], &keys[1], &keys[2], &keys[3]];
        let close = |a: ViewCamera, b: ViewCamera| {
            assert!((a.eye - b.eye).length() < 1e-9 && a.rotation.dot(b.rotation).abs() > 1.0 - 1e-9);
            assert!((a.fov - b.fov).abs() < 1e-9 && (a.distance - b.distance).abs() < 1e-9);
        };
        close(ViewCamera::interpolate(four, 0.0), keys[1]);
        close(ViewCamera::interpolate(four, 1.0), keys[2]);
        let half = ViewCamera::interpolate(four, 0.5);
        assert!((half.rotation.length() - 1.0).abs() < 1e-12);
        assert!((half.fov - 31.5).abs() < 0.1);
        // Continuous from one segment to the next.
        let next = [&keys[1], &keys[2], &keys[3], &keys[3]];
        let (end, begin) = (ViewCamera::interpolate(four, 1.0 - 1e-6), ViewCamera::interpolate(next, 1e-6));
        assert!((end.eye - begin.eye).length() < 1e-4);
    }
}

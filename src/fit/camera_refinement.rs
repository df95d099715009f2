//! Corrections of the training cameras that are learned beside the field: a rigid motion of each view, and a factor of all
//! focal lengths and the first radial distortion coefficient for all of them (as Lin et al. 2021, "BARF", for poses).
//!
//! A view's motion is a rotation vector `ω`, applied from the left about the camera's own position, and a translation `τ` of
//! that position in edges of the scene's cube. With the gradients of the loss in a ray's origin, `g_o`, and direction `d`,
//! `g_d`, the gradient in `τ` is `g_o` times the edge, and that in a small rotation is `d × g_d`. Each view takes Gauss–Newton
//! steps with a 6×6 matrix of its own, which tells turning from moving sideways, as the preconditioner of Park et al. 2023
//! ("CamP") does.
//!
//! Moving, turning or scaling all cameras together changes no picture once the field has followed, so such a motion is taken
//! out after every step: held-out cameras, which are not refined, stay where they belong.

use std::fmt;

use glam::{DMat4, DQuat, DVec3, DVec4};
use nstr_capture::{Lens, LensCamera, View};
use nstr_space::Cube;
use nstr_spec::FieldSpec;
use nstr_spec::config::ConfigError;
use rayon::prelude::*;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::check::{check, check_below_one};
use crate::coarse_to_fine::grid_weights;
use crate::gauss_newton::{GaussNewton, Observation};
use crate::ray_gradients::RayGradient;
use crate::rays::RayPixel;
use crate::state::TaskState;

/// Refinement of the poses of training views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefineMode {
    /// Poses stay as they were read.
    #[default]
    Off,
    /// Poses are refined.
    On,
    /// Poses are refined where a [`CameraTrial`](crate::CameraTrial) says that it helps.
    Auto,
}

impl<'de> Deserialize<'de> for RefineMode {
    /// Reads a name; `true` and `false` too.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Mode;
        impl Visitor<'_> for Mode {
            type Value = RefineMode;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("on, off or auto")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<RefineMode, E> {
                Ok(if on { RefineMode::On } else { RefineMode::Off })
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<RefineMode, E> {
                match name {
                    "off" | "false" => Ok(RefineMode::Off),
                    "on" | "true" => Ok(RefineMode::On),
                    "auto" => Ok(RefineMode::Auto),
                    _ => Err(E::unknown_variant(name, &["on", "off", "auto"])),
                }
            }
        }
        from.deserialize_any(Mode)
    }
}

/// Refinement of cameras; `--set cameras.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredCameraConfig")]
pub struct CameraConfig {
    /// Whether the poses of the training views are refined.
    pub refine: RefineMode,
    /// `true` if the focal lengths are refined too, by one factor.
    pub focal: bool,
    /// `true` if the first radial distortion coefficient is refined too, by one term.
    pub distortion: bool,
    /// Rays of a view after which its camera has gone most of a correction's way (1 − 1/e), at the start. More average more
    /// noise out, fewer follow faster.
    pub memory: f64,
    /// `memory` at the start over that at the end; it grows by equal factors.
    pub floor: f64,
    /// Fraction of the budget before the refinement begins.
    pub start: f64,
    /// Fraction of the budget over which the latent's levels come in, from the coarsest to the finest, while poses are refined;
    /// 0: all are there from the first step.
    pub coarse: f64,
    /// Corrections that are expected: standard deviation in radians, edges of the cube and relative change of focal lengths.
    pub prior: f64,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            refine: RefineMode::Off,
            focal: false,
            distortion: false,
            memory: 500.0,
            floor: 0.1,
            start: 0.05,
            coarse: 0.0,
            prior: 0.02,
        }
    }
}

/// Refinement of cameras as files hold it: fits by Adam's steps had a learning rate `lr`, and other meanings of `floor` and
/// `prior`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCameraConfig {
    refine: RefineMode,
    focal: bool,
    distortion: bool,
    lr: Option<f64>,
    memory: Option<f64>,
    floor: f64,
    start: f64,
    coarse: Option<f64>,
    prior: f64,
}

impl From<StoredCameraConfig> for CameraConfig {
    fn from(stored: StoredCameraConfig) -> Self {
        let usual = Self::default();
        let StoredCameraConfig { refine, focal, distortion, lr, memory, floor, start, coarse, prior } = stored;
        let (floor, prior) = if lr.is_some() { (usual.floor, usual.prior) } else { (floor, prior) };
        let (memory, coarse) = (memory.unwrap_or(usual.memory), coarse.unwrap_or(usual.coarse));
        Self { refine, focal, distortion, memory, floor, start, coarse, prior }
    }
}

impl CameraConfig {
    /// `true` if anything is refined; poses of [`RefineMode::Auto`] are not, before a trial has said so.
    pub fn is_on(&self) -> bool {
        self.refine == RefineMode::On || self.focal || self.distortion
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("cameras.memory", self.memory, (1.0..=1e9).contains(&self.memory), "must be 1 to 1000000000")?;
        check("cameras.floor", self.floor, self.floor > 0.0 && self.floor <= 1.0, "must be above 0, up to 1")?;
        check_below_one(&[("cameras.start", self.start), ("cameras.coarse", self.coarse)])?;
        check("cameras.prior", self.prior, self.prior > 0.0 && self.prior <= 1.0, "must be above 0, up to 1")
    }

    /// Weight of each number of a field's latent grid at a progress through the budget (0 to 1), while levels are still coming
    /// in; `None` where all are there.
    pub fn level_weights(&self, spec: &FieldSpec, progress: f64) -> Option<Vec<f32>> {
        let is_coarse = self.refine == RefineMode::On && progress < self.coarse;
        if is_coarse { grid_weights(spec, progress / self.coarse) } else { None }
    }

    /// Memory at a progress through the budget (0 to 1); `None` before the refinement begins.
    fn memory_at(&self, progress: f64) -> Option<f64> {
        let along = (progress - self.start) / (1.0 - self.start);
        (along >= 0.0).then(|| self.memory * self.floor.powf(-along.min(1.0)))
    }
}

/// Step of the central differences along the lens parameters.
const LENS_STEP: f64 = 1e-4;
/// Numbers kept of each view: its motion, and what its rays told.
const VIEW_NUMBERS: usize = 6 + GaussNewton::<6>::NUMBERS;
/// Numbers kept of the lens.
const LENS_NUMBERS: usize = 2 + GaussNewton::<2>::NUMBERS;

/// Parameters with what rays told about them, in f32 as a checkpoint keeps them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Estimate<const N: usize> {
    value: [f32; N],
    known: GaussNewton<N>,
}

impl<const N: usize> Estimate<N> {
    const ZERO: Self = Self { value: [0.0; N], known: GaussNewton::ZERO };

    fn write(&self, to: &mut Vec<f32>) {
        to.extend(self.value);
        self.known.write(to);
    }

    /// The estimate from what [`Self::write`] wrote; `None` where no run leaves such numbers.
    fn read(from: &[f32]) -> Option<Self> {
        let (value, known) = from.split_first_chunk::<N>()?;
        let known = GaussNewton::read(known)?;
        value.iter().all(|v| v.is_finite()).then_some(Self { value: *value, known })
    }
}

/// Cameras of the training views with what was learned about them.
#[derive(Clone, Debug)]
pub struct CameraRefinement {
    config: CameraConfig,
    /// World units of an edge of the scene's cube.
    edge: f64,
    /// The cameras as they were read.
    original: Vec<LensCamera>,
    /// Positions of the original cameras from their middle, in edges.
    offsets: Vec<DVec3>,
    /// Rotation vector and translation of each view.
    motions: Vec<Estimate<6>>,
    /// Logarithm of the factor of focal lengths, and the term of the distortion coefficient.
    lens: Estimate<2>,
    /// The cameras with the corrections.
    refined: Vec<LensCamera>,
}

impl CameraRefinement {
    /// No corrections yet of the cameras of `views`; translations are in edges of `cube`.
    pub fn new(config: CameraConfig, views: &[View], cube: Cube) -> Self {
        let original: Vec<LensCamera> = views.iter().map(View::lens_camera).collect();
        let middle = original.iter().map(|c| c.camera.position()).sum::<DVec3>() / original.len().max(1) as f64;
        Self {
            config,
            edge: cube.size,
            offsets: original.iter().map(|c| (c.camera.position() - middle) / cube.size).collect(),
            motions: vec![Estimate::ZERO; original.len()],
            lens: Estimate::ZERO,
            refined: original.clone(),
            original,
        }
    }

    /// Goes on from a checkpoint's state; `None` where it does not fit these views, or holds what no run leaves.
    pub fn resumed(mut self, state: &TaskState) -> Option<Self> {
        let motions = state.arrays.get("cameras.motions").filter(|m| m.len() == VIEW_NUMBERS * self.original.len())?;
        let lens = state.arrays.get("cameras.lens").filter(|l| l.len() == LENS_NUMBERS)?;
        self.motions = motions.chunks_exact(VIEW_NUMBERS).map(Estimate::read).collect::<Option<_>>()?;
        self.lens = Estimate::read(lens)?;
        self.update();
        Some(self)
    }

    /// `true` where a checkpoint's state is that of a fit that refines poses.
    pub fn refines_poses(state: &TaskState) -> bool {
        state.numbers.get("cameras.poses") == Some(&1.0)
    }

    /// Adds the state to a checkpoint's.
    pub(crate) fn store_in(&self, state: &mut TaskState) {
        let (mut motions, mut lens) = (Vec::with_capacity(VIEW_NUMBERS * self.motions.len()), Vec::new());
        self.motions.iter().for_each(|motion| motion.write(&mut motions));
        self.lens.write(&mut lens);
        state.arrays.insert("cameras.motions".into(), motions);
        state.arrays.insert("cameras.lens".into(), lens);
        state.numbers.insert("cameras.poses".into(), f64::from(u8::from(self.config.refine == RefineMode::On)));
    }

    /// The training views' cameras with their corrections, in the views' order.
    pub fn cameras(&self) -> &[LensCamera] {
        &self.refined
    }

    /// `true` where a step at this progress through the budget (0 to 1) moves cameras, and so needs gradients of rays.
    pub fn is_active(&self, progress: f64) -> bool {
        self.config.memory_at(progress).is_some()
    }

    /// [`CameraConfig::level_weights`] of these settings.
    pub(crate) fn level_weights(&self, spec: &FieldSpec, progress: f64) -> Option<Vec<f32>> {
        self.config.level_weights(spec, progress)
    }

    /// One step with the gradients of rays through `pixels`, drawn with [`Self::cameras`] along `directions` (`[ray][3]`).
    pub(crate) fn step(&mut self, progress: f64, pixels: &[RayPixel], directions: &[f32], gradients: &[RayGradient]) {
        let Some(memory) = self.config.memory_at(progress) else { return };
        let prior = self.config.prior;
        // The lens first: its gradient is that at the cameras the rays were drawn with.
        let lens = self.lens_gradients(pixels, gradients);
        if self.config.refine == RefineMode::On {
            let mut seen = vec![Observation::<6>::NONE; self.motions.len()];
            for ((pixel, direction), gradient) in pixels.iter().zip(directions.as_chunks::<3>().0).zip(gradients) {
                let turn = DVec3::from_array(direction.map(f64::from)).cross(gradient.direction);
                let shift = gradient.origin * self.edge;
                let both = [turn.x, turn.y, turn.z, shift.x, shift.y, shift.z];
                seen[pixel.view as usize].add(both, gradient.energy);
            }
            for (motion, seen) in self.motions.iter_mut().zip(&seen) {
                let step = motion.known.step(seen, memory, prior);
                if step == [0.0; 6] {
                    continue;
                }
                let [a, b, c, x, y, z] = step;
                let rotation = DQuat::from_scaled_axis(DVec3::new(a, b, c)) * rotation(motion);
                let [a, b, c] = rotation.to_scaled_axis().to_array();
                let [.., u, v, w] = motion.value.map(f64::from);
                motion.value = [a, b, c, u + x, v + y, w + z].map(|v| v as f32);
            }
            self.remove_drift();
        }
        if let Some(lens) = lens {
            // All views tell of the one lens, which need not follow faster than each of them.
            let step = self.lens.known.step(&lens, memory * self.motions.len() as f64, prior);
            self.lens.value = std::array::from_fn(|k| (f64::from(self.lens.value[k]) + step[k]) as f32);
        }
        self.update();
    }

    /// Gradients of the rays' losses in the lens parameters, by central differences of the rays' directions; `None` where none
    /// is wanted.
    fn lens_gradients(&self, pixels: &[RayPixel], gradients: &[RayGradient]) -> Option<Observation<2>> {
        let wanted = [self.config.focal, self.config.distortion];
        if wanted == [false; 2] {
            return None;
        }
        let lens = self.lens.value.map(f64::from);
        let of_ray = |i: usize| {
            let pixel = pixels[i];
            let camera = &self.original[pixel.view as usize];
            let width = camera.camera.width.max(1);
            let at = [pixel.index % width, pixel.index / width].map(|v| f64::from(v) + 0.5);
            let rotation = rotation(&self.motions[pixel.view as usize]);
            std::array::from_fn(|k| {
                let moved = |by: f64| {
                    let mut lens = lens;
                    lens[k] += by;
                    changed_lens(camera, lens).ray(at[0], at[1]).direction
                };
                match wanted[k] {
                    true => {
                        let slope = (moved(LENS_STEP) - moved(-LENS_STEP)) / (2.0 * LENS_STEP);
                        gradients[i].direction.dot(rotation * slope)
                    }
                    false => 0.0,
                }
            })
        };
        // Summed in the rays' order, whatever thread had them.
        let each: Vec<[f64; 2]> = (0..pixels.len()).into_par_iter().map(of_ray).collect();
        let mut seen = Observation::NONE;
        each.into_iter().zip(gradients).for_each(|(ray, gradient)| seen.add(ray, gradient.energy));
        Some(seen)
    }

    /// Takes the rotation, translation and scale that all cameras share out of their corrections.
    fn remove_drift(&mut self) {
        let count = self.motions.len() as f64;
        let parts = |motion: &Estimate<6>| {
            let [a, b, c, x, y, z] = motion.value.map(f64::from);
            (DVec3::new(a, b, c), DVec3::new(x, y, z))
        };
        let mut corrections: Vec<(DVec3, DVec3)> = self.motions.iter().map(parts).collect();
        let turn = corrections.iter().map(|c| c.0).sum::<DVec3>() / count;
        for ((rotation, translation), offset) in corrections.iter_mut().zip(&self.offsets) {
            *rotation -= turn;
            *translation -= turn.cross(*offset);
        }
        let shift = corrections.iter().map(|c| c.1).sum::<DVec3>() / count;
        corrections.iter_mut().for_each(|c| c.1 -= shift);
        let size: f64 = self.offsets.iter().map(|offset| offset.length_squared()).sum();
        let growth: f64 = corrections.iter().zip(&self.offsets).map(|(c, offset)| c.1.dot(*offset)).sum();
        let growth = if size > 0.0 { growth / size } else { 0.0 };
        for ((motion, (rotation, translation)), offset) in self.motions.iter_mut().zip(corrections).zip(&self.offsets) {
            let translation = translation - *offset * growth;
            let all = [rotation.to_array(), translation.to_array()];
            motion.value = std::array::from_fn(|i| all[i / 3][i % 3] as f32);
        }
    }

    /// Makes the cameras anew from the corrections.
    fn update(&mut self) {
        let lens = self.lens.value.map(f64::from);
        let refined = self.original.iter().zip(&self.motions).map(|(original, motion)| {
            let rotation = rotation(motion);
            let [.., x, y, z] = motion.value.map(f64::from);
            let pose = original.camera.camera_to_world;
            let turned = |axis: DVec4| (rotation * axis.truncate()).extend(axis.w);
            let position = pose.w_axis + (DVec3::new(x, y, z) * self.edge).extend(0.0);
            let mut camera = changed_lens(original, lens);
            camera.camera.camera_to_world =
                DMat4::from_cols(turned(pose.x_axis), turned(pose.y_axis), turned(pose.z_axis), position);
            camera
        });
        self.refined = refined.collect();
    }
}

fn rotation(motion: &Estimate<6>) -> DQuat {
    let [x, y, z, ..] = motion.value.map(f64::from);
    DQuat::from_scaled_axis(DVec3::new(x, y, z))
}

/// A camera with its focal lengths scaled by the exponential of the first parameter, and the second added to its first radial
/// distortion coefficient.
fn changed_lens(camera: &LensCamera, [log_focal, distortion]: [f64; 2]) -> LensCamera {
    let mut changed = *camera;
    if log_focal != 0.0 {
        changed.camera.focal *= log_focal.exp();
    }
    if distortion != 0.0 {
        match &mut changed.lens {
            Lens::OpenCv { k, .. } | Lens::Fisheye { k } => k[0] += distortion,
            Lens::Pinhole => changed.lens = Lens::open_cv([distortion, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3]),
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DVec2;
    use nstr_camera::camera::Camera;
    use nstr_capture::Image;

    const CUBE: Cube = Cube { origin: DVec3::splat(-1.0), size: 2.0 };

    /// Cameras on a circle that look at its middle.
    fn views(count: usize) -> Vec<View> {
        let view = |i: usize| {
            let (s, c) = (i as f64 * std::f64::consts::TAU / count as f64).sin_cos();
            let pose = Camera::look_at(DVec3::new(3.0 * c, 3.0 * s, 1.0), DVec3::ZERO, DVec3::Z).unwrap();
            let camera = Camera::with_fov_y(20, 20, 90.0, pose).unwrap();
            View { name: format!("{i}"), camera, lens: Lens::Pinhole, image: Image::default(), mask: None, depth: None }
        };
        (0..count).map(view).collect()
    }

    fn refinement(config: CameraConfig) -> CameraRefinement {
        CameraRefinement::new(CameraConfig { start: 0.0, ..config }, &views(5), CUBE)
    }

    /// Rays through some pixels of every view, and the gradients of the squared distance between each ray's point at the
    /// distance of the middle and that of the true camera.
    fn pull(of: &CameraRefinement, truth: &[LensCamera]) -> (f64, Vec<RayPixel>, Vec<f32>, Vec<RayGradient>) {
        let (mut pixels, mut directions, mut gradients) = (Vec::new(), Vec::new(), Vec::new());
        let mut loss = 0.0;
        for (view, (camera, truth)) in of.cameras().iter().zip(truth).enumerate() {
            for index in [21, 38, 126, 190, 253, 361] {
                let at = [index % 20, index / 20].map(|v| f64::from(v) + 0.5);
                let (ray, wanted) = (camera.ray(at[0], at[1]), truth.ray(at[0], at[1]));
                for t in [1.0, 3.0] {
                    let error = ray.origin + ray.direction * t - wanted.origin - wanted.direction * t;
                    loss += 0.5 * error.length_squared();
                    pixels.push(RayPixel { view: view as u32, index });
                    directions.extend(ray.direction.as_vec3().to_array());
                    gradients.push(RayGradient { origin: error, direction: error * t, energy: error.length_squared() });
                }
            }
        }
        (loss, pixels, directions, gradients)
    }

    #[test]
    fn disturbed_cameras_find_back() {
        let mut of =
            refinement(CameraConfig { refine: RefineMode::On, memory: 60.0, floor: 1.0, ..CameraConfig::default() });
        let mut truth = refinement(CameraConfig::default());
        for (i, motion) in truth.motions.iter_mut().enumerate() {
            let sign = |k: usize| if (i * (k + 3) + k) % 5 < 2 { 1.0 } else { -0.6 };
            motion.value = std::array::from_fn(|k| 0.01 * sign(k));
        }
        truth.remove_drift();
        truth.update();
        let start = pull(&of, truth.cameras()).0;
        for i in 0..200 {
            let (_, pixels, directions, gradients) = pull(&of, truth.cameras());
            of.step(f64::from(i) / 200.0, &pixels, &directions, &gradients);
        }
        let end = pull(&of, truth.cameras()).0;
        assert!(end < 1e-6 * start, "{start} {end}");
    }

    #[test]
    fn focal_length_and_distortion_find_back() {
        let config =
            CameraConfig { focal: true, distortion: true, memory: 60.0, floor: 1.0, ..CameraConfig::default() };
        let mut of = refinement(config);
        let truth: Vec<LensCamera> = of.original.iter().map(|camera| changed_lens(camera, [0.02, -0.03])).collect();
        for i in 0..300 {
            let (_, pixels, directions, gradients) = pull(&of, &truth);
            of.step(f64::from(i) / 300.0, &pixels, &directions, &gradients);
        }
        let [focal, distortion] = of.lens.value;
        assert!((focal - 0.02).abs() < 1e-4 && (distortion + 0.03).abs() < 1e-4, "{focal} {distortion}");
        assert!(of.motions.iter().all(|motion| motion.value == [0.0; 6]), "poses stay");
    }

    #[test]
    fn what_all_cameras_share_is_taken_out() {
        let mut of = refinement(CameraConfig::default());
        let turn = DVec3::new(0.01, -0.02, 0.005);
        for (motion, offset) in of.motions.iter_mut().zip(&of.offsets) {
            let shift = turn.cross(*offset) + DVec3::new(0.3, 0.1, -0.2) + *offset * 0.04;
            let all = [turn.to_array(), shift.to_array()];
            motion.value = std::array::from_fn(|i| all[i / 3][i % 3] as f32);
        }
        of.remove_drift();
        assert!(of.motions.iter().flat_map(|m| m.value).all(|v| v.abs() < 1e-6), "{:?}", of.motions);
    }

    #[test]
    fn no_correction_is_the_camera_to_the_bit_and_states_are_read_as_written() {
        let mut of = refinement(CameraConfig { refine: RefineMode::On, focal: true, ..CameraConfig::default() });
        of.update();
        assert_eq!(of.refined, of.original);
        let moved: Vec<LensCamera> = of.original.iter().map(|camera| changed_lens(camera, [0.01, 0.0])).collect();
        for _ in 0..20 {
            let (_, pixels, directions, gradients) = pull(&of, &moved);
            of.step(0.5, &pixels, &directions, &gradients);
        }
        assert!(of.lens.value[0] > 0.0 && of.motions.iter().all(|motion| motion.value != [0.0; 6]));
        let mut state = TaskState::default();
        of.store_in(&mut state);
        let again = refinement(of.config.clone()).resumed(&state).unwrap();
        assert!(again.motions == of.motions && again.lens == of.lens && again.refined == of.refined);
        for (name, at, value) in
            [("cameras.motions", 3, f32::NAN), ("cameras.motions", 6, -1.0), ("cameras.lens", 6, -1.0)]
        {
            let mut bad = state.clone();
            bad.arrays.get_mut(name).unwrap()[at] = value;
            assert!(refinement(of.config.clone()).resumed(&bad).is_none(), "{name} {at}");
        }
        state.arrays.get_mut("cameras.motions").unwrap().pop();
        assert!(refinement(of.config.clone()).resumed(&state).is_none());
    }

    #[test]
    fn levels_are_weighted_while_they_come_in() {
        let spec = nstr_spec::config::preset("radiance-tiny").unwrap().spec();
        let config = CameraConfig { refine: RefineMode::On, coarse: 0.4, ..CameraConfig::default() };
        assert_eq!(config.level_weights(&spec, 0.1), grid_weights(&spec, 0.25));
        assert!(config.level_weights(&spec, 0.1).is_some() && config.level_weights(&spec, 0.4).is_none());
        for mode in [RefineMode::Off, RefineMode::Auto] {
            assert!(CameraConfig { refine: mode, ..config.clone() }.level_weights(&spec, 0.1).is_none());
        }
        assert!(CameraConfig { coarse: 0.0, ..config }.level_weights(&spec, 0.0).is_none());
    }

    #[test]
    fn memory_grows_from_the_start_on() {
        let config = CameraConfig { start: 0.2, memory: 100.0, floor: 0.01, ..CameraConfig::default() };
        assert_eq!(config.memory_at(0.1), None);
        for (progress, want) in [(0.2, 100.0), (0.6, 1000.0), (1.0, 10_000.0)] {
            assert!((config.memory_at(progress).unwrap() / want - 1.0).abs() < 1e-9);
        }
        let camera = views(1)[0].lens_camera();
        let bent = changed_lens(&camera, [0.1, 0.02]);
        assert!((bent.camera.focal / camera.camera.focal - DVec2::splat(0.1f64.exp())).length() < 1e-12);
        assert_eq!(bent.lens, Lens::open_cv([0.02, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3]));
    }
}

//! Corrections of the training cameras that are learned beside the field: a rigid motion of each view, and a factor of all
//! focal lengths and the first radial distortion coefficient for all of them (as Lin et al. 2021, "BARF", for poses).
//!
//! A view's motion is a rotation vector `ω`, applied from the left about the camera's own position, and a translation `τ` of
//! that position in edges of the field's cube. With the gradients of the loss in a ray's origin, `g_o`, and direction `d`,
//! `g_d`, the gradient in `τ` is the sum of `g_o` over the view's rays, and that in a small rotation is the sum of `d × g_d`.
//! Adam moves a view only in steps in which it has rays.
//!
//! Moving, turning or scaling all cameras together changes no picture once the field has followed, so such a motion is taken
//! out after every step: held-out cameras, which are not refined, stay where they belong.

use glam::{DMat4, DQuat, DVec3, DVec4};
use nstr_capture::{Lens, LensCamera, View};
use nstr_kernel::{RayBatch, RayResults};
use nstr_space::Cube;
use nstr_spec::config::ConfigError;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_below_one};
use crate::rays::RayPixel;
use crate::state::TaskState;

/// Refinement of cameras; `--set cameras.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// `true` if the poses of the training views are refined.
    pub refine: bool,
    /// `true` if the focal lengths are refined too, by one factor.
    pub focal: bool,
    /// `true` if the first radial distortion coefficient is refined too, by one term.
    pub distortion: bool,
    /// Learning rate at the start: radians, edges of the cube and relative change of focal lengths a step.
    pub lr: f64,
    /// Learning rate at the end, as a fraction of that at the start; it falls by equal factors.
    pub floor: f64,
    /// Fraction of the budget before the refinement begins.
    pub start: f64,
    /// Pull of the corrections towards none: the share of a correction that a step takes away, divided by the learning rate.
    pub prior: f64,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self { refine: false, focal: false, distortion: false, lr: 5e-4, floor: 0.01, start: 0.05, prior: 0.1 }
    }
}

impl CameraConfig {
    /// `true` if anything is refined.
    pub fn is_on(&self) -> bool {
        self.refine || self.focal || self.distortion
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("cameras.lr", self.lr, self.lr > 0.0 && self.lr <= 0.1, "must be above 0, up to 0.1")?;
        check("cameras.floor", self.floor, self.floor > 0.0 && self.floor <= 1.0, "must be above 0, up to 1")?;
        check_below_one(&[("cameras.start", self.start)])?;
        check("cameras.prior", self.prior, (0.0..=10.0).contains(&self.prior), "must be 0 to 10")
    }

    /// Learning rate at a progress through the budget (0 to 1); `None` before the refinement begins.
    fn learning_rate(&self, progress: f64) -> Option<f64> {
        let along = (progress - self.start) / (1.0 - self.start);
        (along >= 0.0).then(|| self.lr * self.floor.powf(along.min(1.0)))
    }
}

/// Adam's decays and ε; few rays a view make gradients noisy, and views differ, so that both are those of the field.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.99;
const EPS: f64 = 1e-15;
/// Step of the central differences along the lens parameters.
const LENS_STEP: f64 = 1e-4;
/// Numbers kept of each view: value and both moments of its motion, and the number of its steps.
const VIEW_NUMBERS: usize = 19;
/// Numbers kept of the lens.
const LENS_NUMBERS: usize = 7;

/// Parameters under Adam, in f32 as a checkpoint keeps them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AdamState<const N: usize> {
    value: [f32; N],
    m: [f32; N],
    v: [f32; N],
    steps: f32,
}

impl<const N: usize> AdamState<N> {
    const ZERO: Self = Self { value: [0.0; N], m: [0.0; N], v: [0.0; N], steps: 0.0 };

    /// One step; values are drawn to 0 by `decay` of themselves, and those that are not `trained` stay.
    fn step(&mut self, gradient: [f64; N], lr: f64, decay: f64, trained: [bool; N]) {
        self.steps += 1.0;
        let [bias1, bias2] = [BETA1, BETA2].map(|beta| 1.0 - beta.powf(f64::from(self.steps)));
        for i in (0..N).filter(|i| trained[*i] && gradient[*i].is_finite()) {
            let m = BETA1 * f64::from(self.m[i]) + (1.0 - BETA1) * gradient[i];
            let v = BETA2 * f64::from(self.v[i]) + (1.0 - BETA2) * gradient[i] * gradient[i];
            let direction = (m / bias1) / ((v / bias2).sqrt() + EPS);
            self.value[i] = (f64::from(self.value[i]) * (1.0 - decay) - lr * direction) as f32;
            (self.m[i], self.v[i]) = (m as f32, v as f32);
        }
    }

    fn write(&self, to: &mut Vec<f32>) {
        to.extend(self.value);
        to.extend(self.m);
        to.extend(self.v);
        to.push(self.steps);
    }

    /// The state from what [`Self::write`] wrote; `None` where no run leaves such numbers.
    fn read(from: &[f32]) -> Option<Self> {
        let part = |i: usize| from.get(i * N..(i + 1) * N)?.try_into().ok();
        let (value, m, v): ([f32; N], [f32; N], [f32; N]) = (part(0)?, part(1)?, part(2)?);
        let steps = *from.get(3 * N)?;
        let is_sane = from.iter().all(|x| x.is_finite()) && v.iter().all(|v| *v >= 0.0) && steps >= 0.0;
        is_sane.then_some(Self { value, m, v, steps })
    }
}

/// Cameras of the training views with what was learned about them.
#[derive(Clone, Debug)]
pub struct CameraRefinement {
    config: CameraConfig,
    /// World units of an edge of the field's cube.
    edge: f64,
    /// The cameras as they were read.
    original: Vec<LensCamera>,
    /// Positions of the original cameras from their middle, in edges.
    offsets: Vec<DVec3>,
    /// Rotation vector and translation of each view.
    motions: Vec<AdamState<6>>,
    /// Logarithm of the factor of focal lengths, and the term of the distortion coefficient.
    lens: AdamState<2>,
    /// The cameras with the corrections.
    refined: Vec<LensCamera>,
}

impl CameraRefinement {
    /// No corrections yet of the cameras of `views`, for a field in `cube`.
    pub fn new(config: CameraConfig, views: &[View], cube: Cube) -> Self {
        let original: Vec<LensCamera> = views.iter().map(View::lens_camera).collect();
        let middle = original.iter().map(|c| c.camera.position()).sum::<DVec3>() / original.len().max(1) as f64;
        Self {
            config,
            edge: cube.size,
            offsets: original.iter().map(|c| (c.camera.position() - middle) / cube.size).collect(),
            motions: vec![AdamState::ZERO; original.len()],
            lens: AdamState::ZERO,
            refined: original.clone(),
            original,
        }
    }

    /// Goes on from a checkpoint's state; `None` where it does not fit these views, or holds what no run leaves.
    pub fn resumed(mut self, state: &TaskState) -> Option<Self> {
        let motions = state.arrays.get("cameras.motions").filter(|m| m.len() == VIEW_NUMBERS * self.original.len())?;
        let lens = state.arrays.get("cameras.lens").filter(|l| l.len() == LENS_NUMBERS)?;
        self.motions = motions.chunks_exact(VIEW_NUMBERS).map(AdamState::read).collect::<Option<_>>()?;
        self.lens = AdamState::read(lens)?;
        self.update();
        Some(self)
    }

    /// Adds the state to a checkpoint's.
    pub(crate) fn store_in(&self, state: &mut TaskState) {
        let (mut motions, mut lens) = (Vec::with_capacity(VIEW_NUMBERS * self.motions.len()), Vec::new());
        self.motions.iter().for_each(|motion| motion.write(&mut motions));
        self.lens.write(&mut lens);
        state.arrays.insert("cameras.motions".into(), motions);
        state.arrays.insert("cameras.lens".into(), lens);
    }

    /// The training views' cameras with their corrections, in the views' order.
    pub fn cameras(&self) -> &[LensCamera] {
        &self.refined
    }

    /// `true` where a step at this progress through the budget (0 to 1) moves cameras, and so needs gradients of rays.
    pub fn is_active(&self, progress: f64) -> bool {
        self.config.learning_rate(progress).is_some()
    }

    /// One step of Adam with the gradients of rays through `pixels`, drawn with [`Self::cameras`].
    pub(crate) fn step(&mut self, progress: f64, pixels: &[RayPixel], rays: &RayBatch, results: &RayResults) {
        let Some(lr) = self.config.learning_rate(progress) else { return };
        let vector = |values: &[f32], i: usize| {
            DVec3::new(values[3 * i].into(), values[3 * i + 1].into(), values[3 * i + 2].into())
        };
        let decay = (lr * self.config.prior).min(1.0);
        // The lens first: its gradient is that at the cameras the rays were drawn with.
        let lens = self.lens_gradient(pixels, |i| vector(&results.d_direction, i));
        if self.config.refine {
            let mut sums = vec![None::<[DVec3; 2]>; self.motions.len()];
            for (i, pixel) in pixels.iter().enumerate() {
                let (d_origin, d_direction) = (vector(&results.d_origin, i), vector(&results.d_direction, i));
                let [turn, shift] = sums[pixel.view as usize].get_or_insert([DVec3::ZERO; 2]);
                *turn += vector(&rays.direction, i).cross(d_direction);
                *shift += d_origin;
            }
            for (motion, sum) in self.motions.iter_mut().zip(sums) {
                if let Some([turn, shift]) = sum {
                    let gradient = [turn.x, turn.y, turn.z, shift.x, shift.y, shift.z];
                    motion.step(gradient, lr, decay, [true; 6]);
                }
            }
            self.remove_drift();
        }
        if self.config.focal || self.config.distortion {
            self.lens.step(lens, lr, decay, [self.config.focal, self.config.distortion]);
        }
        self.update();
    }

    /// Gradient of the loss in the lens parameters, by central differences of the rays' directions.
    fn lens_gradient(&self, pixels: &[RayPixel], d_direction: impl Fn(usize) -> DVec3 + Sync) -> [f64; 2] {
        let wanted = [self.config.focal, self.config.distortion];
        if wanted == [false; 2] {
            return [0.0; 2];
        }
        let lens = self.lens.value.map(f64::from);
        let of_ray = |i: usize| {
            let pixel = pixels[i];
            let camera = &self.original[pixel.view as usize];
            let width = camera.camera.width.max(1);
            let at = [pixel.index % width, pixel.index / width].map(|v| f64::from(v) + 0.5);
            let rotation = self.rotation(pixel.view as usize);
            std::array::from_fn(|k| {
                let moved = |by: f64| {
                    let mut lens = lens;
                    lens[k] += by;
                    changed_lens(camera, lens).ray(at[0], at[1]).direction
                };
                match wanted[k] {
                    true => {
                        let slope = (moved(LENS_STEP) - moved(-LENS_STEP)) / (2.0 * LENS_STEP);
                        d_direction(i).dot(rotation * slope)
                    }
                    false => 0.0,
                }
            })
        };
        // Summed in the rays' order, whatever thread had them.
        let each: Vec<[f64; 2]> = (0..pixels.len()).into_par_iter().map(of_ray).collect();
        each.iter().fold([0.0; 2], |sum, ray| [sum[0] + ray[0], sum[1] + ray[1]])
    }

    fn rotation(&self, view: usize) -> DQuat {
        let [x, y, z, ..] = self.motions[view].value.map(f64::from);
        DQuat::from_scaled_axis(DVec3::new(x, y, z))
    }

    /// Takes the rotation, translation and scale that all cameras share out of their corrections.
    fn remove_drift(&mut self) {
        let count = self.motions.len() as f64;
        let parts = |motion: &AdamState<6>| {
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
        let refined = self.original.iter().enumerate().map(|(view, original)| {
            let rotation = self.rotation(view);
            let [.., x, y, z] = self.motions[view].value.map(f64::from);
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
            View { name: format!("{i}"), camera, lens: Lens::Pinhole, image: Image::default(), mask: None }
        };
        (0..count).map(view).collect()
    }

    fn refinement(config: CameraConfig) -> CameraRefinement {
        CameraRefinement::new(CameraConfig { start: 0.0, ..config }, &views(5), CUBE)
    }

    /// Rays through some pixels of every view, and the gradients of the squared distance between each ray's point at the
    /// distance of the middle and that of the true camera.
    fn pull(of: &CameraRefinement, truth: &[LensCamera]) -> (f64, Vec<RayPixel>, RayBatch, RayResults) {
        let (mut pixels, mut rays, mut results) = (Vec::new(), RayBatch::default(), RayResults::default());
        let mut loss = 0.0;
        for (view, (camera, truth)) in of.cameras().iter().zip(truth).enumerate() {
            for index in [21, 38, 126, 190, 253, 361] {
                let at = [index % 20, index / 20].map(|v| f64::from(v) + 0.5);
                let (ray, wanted) = (camera.ray(at[0], at[1]), truth.ray(at[0], at[1]));
                for t in [1.0, 3.0] {
                    // Unit-cube coordinates.
                    let error = (ray.origin + ray.direction * t - wanted.origin - wanted.direction * t) / CUBE.size;
                    loss += 0.5 * error.length_squared();
                    pixels.push(RayPixel { view: view as u32, index });
                    rays.direction.extend(ray.direction.as_vec3().to_array());
                    results.d_origin.extend(error.as_vec3().to_array());
                    results.d_direction.extend((error * t / CUBE.size).as_vec3().to_array());
                }
            }
        }
        (loss, pixels, rays, results)
    }

    #[test]
    fn disturbed_cameras_find_back() {
        let mut of =
            refinement(CameraConfig { refine: true, lr: 2e-3, floor: 0.001, prior: 0.0, ..CameraConfig::default() });
        let mut truth = refinement(CameraConfig::default());
        for (i, motion) in truth.motions.iter_mut().enumerate() {
            let sign = |k: usize| if (i * (k + 3) + k) % 5 < 2 { 1.0 } else { -0.6 };
            motion.value = std::array::from_fn(|k| 0.01 * sign(k));
        }
        truth.remove_drift();
        truth.update();
        let start = pull(&of, truth.cameras()).0;
        for i in 0..600 {
            let (_, pixels, rays, results) = pull(&of, truth.cameras());
            of.step(i as f64 / 600.0, &pixels, &rays, &results);
        }
        let end = pull(&of, truth.cameras()).0;
        assert!(end < 1e-4 * start, "{start} {end}");
    }

    #[test]
    fn focal_length_and_distortion_find_back() {
        let config = CameraConfig { focal: true, distortion: true, lr: 3e-3, prior: 0.0, ..CameraConfig::default() };
        let mut of = refinement(config);
        let truth: Vec<LensCamera> = of.original.iter().map(|camera| changed_lens(camera, [0.02, -0.03])).collect();
        for i in 0..800 {
            let (_, pixels, rays, results) = pull(&of, &truth);
            of.step(i as f64 / 800.0, &pixels, &rays, &results);
        }
        let [focal, distortion] = of.lens.value;
        assert!((focal - 0.02).abs() < 5e-4 && (distortion + 0.03).abs() < 5e-3, "{focal} {distortion}");
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
        let mut of = refinement(CameraConfig { refine: true, focal: true, ..CameraConfig::default() });
        of.update();
        assert_eq!(of.refined, of.original);
        let moved: Vec<LensCamera> = of.original.iter().map(|camera| changed_lens(camera, [0.01, 0.0])).collect();
        for _ in 0..3 {
            let (_, pixels, rays, results) = pull(&of, &moved);
            of.step(0.5, &pixels, &rays, &results);
        }
        let mut state = TaskState::default();
        of.store_in(&mut state);
        let again = refinement(of.config.clone()).resumed(&state).unwrap();
        assert!(again.motions == of.motions && again.lens == of.lens && again.refined == of.refined);
        for (name, at, value) in
            [("cameras.motions", 3, f32::NAN), ("cameras.motions", 12, -1.0), ("cameras.lens", 6, -1.0)]
        {
            let mut bad = state.clone();
            bad.arrays.get_mut(name).unwrap()[at] = value;
            assert!(refinement(of.config.clone()).resumed(&bad).is_none(), "{name} {at}");
        }
        state.arrays.get_mut("cameras.motions").unwrap().pop();
        assert!(refinement(of.config.clone()).resumed(&state).is_none());
    }

    #[test]
    fn rates_fall_from_the_start_on() {
        let config = CameraConfig { start: 0.2, lr: 1e-3, floor: 0.01, ..CameraConfig::default() };
        assert_eq!(config.learning_rate(0.1), None);
        for (progress, want) in [(0.2, 1e-3), (0.6, 1e-4), (1.0, 1e-5)] {
            assert!((config.learning_rate(progress).unwrap() / want - 1.0).abs() < 1e-9);
        }
        let camera = views(1)[0].lens_camera();
        let bent = changed_lens(&camera, [0.1, 0.02]);
        assert!((bent.camera.focal / camera.camera.focal - DVec2::splat(0.1f64.exp())).length() < 1e-12);
        assert_eq!(bent.lens, Lens::open_cv([0.02, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3]));
    }
}

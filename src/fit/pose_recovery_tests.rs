//! Recovery of disturbed poses of the sample capture: a tier of its own.

use std::sync::Arc;
use std::time::Instant;

use glam::{DMat3, DQuat, DVec3};
use nstr_backend::backend::FieldOp;
use nstr_backend::device::Device;
use nstr_camera::Camera;
use nstr_capture::{View, pose_errors, read_capture};
use nstr_space::{Cube, SceneMap};
use nstr_spec::init;

use crate::*;

/// A unit vector that looks random, another for every number.
fn axis(number: usize) -> DVec3 {
    let (height, turn) = ((0.37 * (number + 1) as f64).fract() * 2.0 - 1.0, number as f64 * 2.399_963);
    let radius = (1.0 - height * height).sqrt();
    DVec3::new(radius * turn.cos(), radius * turn.sin(), height)
}

struct StopAt(u64);

impl Observer for StopAt {
    fn progress(&mut self, progress: &Progress) -> bool {
        progress.step < self.0
    }
}

fn env<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

#[test]
#[ignore = "experiment"]
fn experiment() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenes/teaset");
    let options = nstr_capture::CaptureOptions::default();
    let capture = read_capture(&folder, &options).unwrap();
    let cube = capture.scene.map.cube();
    let middle = cube.centre();
    let truth: Vec<Camera> = capture.train.iter().map(|v| v.camera).collect();
    let degrees: f64 = env("DEGREES", 1.0);
    let shift: f64 = env("SHIFT", 0.01);
    let mut views: Vec<View> = capture.train;
    for (i, view) in views.iter_mut().enumerate() {
        let pose = &mut view.camera.camera_to_world;
        let turn = DMat3::from_quat(DQuat::from_scaled_axis(axis(2 * i) * degrees.to_radians()));
        let position = pose.w_axis.truncate();
        let axes = turn * DMat3::from_mat4(*pose);
        let position = position + axis(2 * i + 1) * shift * position.distance(middle);
        *pose = glam::DMat4::from_cols(
            axes.x_axis.extend(0.0),
            axes.y_axis.extend(0.0),
            axes.z_axis.extend(0.0),
            position.extend(1.0),
        );
    }
    let size = 1.1 * cube.size;
    let map = SceneMap::Box(Cube { origin: middle - DVec3::splat(0.5 * size), size });
    let before = pose_errors(&views.iter().map(|v| v.camera).collect::<Vec<_>>(), &truth).unwrap();
    println!("before {before:?}");
    let preset: String = env("PRESET", "radiance-tiny".to_string());
    let sets: String = env("SETS", String::new());
    let sets: Vec<String> = sets.split_whitespace().map(str::to_string).collect();
    let (config, _) = FitConfig::preset(&preset).unwrap();
    let mut cameras = config.cameras.clone().unwrap();
    cameras.refine = if env("REFINE", true) { RefineMode::On } else { RefineMode::Off };
    let mut config = config.set(&["rays.samples_per_step=16384".to_string()]).unwrap();
    config.cameras = Some(cameras);
    let config = config.set(&sets).unwrap();
    let spec = config.field.spec();
    let op = FieldOp::new(spec.clone());
    let views = Arc::new(views);
    let sampler = Arc::new(RaySampler::new(views.clone(), map, capture.scene.near).unwrap());
    let (grid, net) = init::parameters(&spec, &config.field.init);
    let mut state = TrainState::new(grid, net);
    let steps: u64 = env("STEPS", 1500);
    let every: u64 = env("EVERY", 250);
    let begin = Instant::now();
    for stop in (every..steps).step_by(every as usize).chain([u64::MAX]) {
        let cameras = config.cameras.clone().unwrap();
        let mut task = RadianceTask::new(
            &op,
            sampler.clone(),
            config.rays.clone().unwrap(),
            config.occupancy.clone().unwrap(),
            0,
            |_| false,
        )
        .with_cameras(&cameras);
        if state.step > 0 {
            task = task.resumed(&state.task).unwrap();
        }
        let data = TrainingData::Rays(Box::new(task));
        let budget = Budget::Steps(steps);
        state = train(Device::Cpu, op.clone(), config.train.clone(), &state, data, budget, &mut StopAt(stop)).unwrap();
        if cameras.is_on() {
            let refined = CameraRefinement::new(cameras, &views, map.cube()).resumed(&state.task).unwrap();
            let found: Vec<Camera> = refined.cameras().iter().map(|c| c.camera).collect();
            let e = pose_errors(&found, &truth).unwrap();
            println!(
                "{:5} {:6.1}s {:.4}° {:.4}% rays {}",
                state.step,
                begin.elapsed().as_secs_f64(),
                e.rotation_degrees,
                100.0 * e.position,
                state.task.numbers["rays"]
            );
        }
    }
}

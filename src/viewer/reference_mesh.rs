//! Mesh that a distance field is compared with: its distance to the surface, in false colours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use glam::DVec3;
use nstr_camera::camera::Camera;
use nstr_geometry::{DistanceQuery, QueryOptions, TriMesh};
use nstr_image::Rgba8;
use nstr_image::colormap::error_colormap;
use nstr_render::Frame;
use rayon::prelude::*;

use crate::render_thread::Waker;

/// A mesh, and its hierarchy once it has been asked for; clones share both.
#[derive(Clone)]
pub struct ReferenceMesh {
    name: Arc<str>,
    mesh: Arc<TriMesh>,
    state: Arc<Mutex<State>>,
}

/// Hierarchy of the mesh.
#[derive(Default)]
enum State {
    /// Nobody has asked for it.
    #[default]
    Unasked,
    /// A thread builds it.
    Building,
    /// It is there.
    Ready(Arc<DistanceQuery>),
    /// It cannot be built.
    Failed(String),
}

impl ReferenceMesh {
    /// The mesh that was read from a file of this name, in the field's world units.
    pub fn new(name: &str, mesh: TriMesh) -> Self {
        Self { name: name.into(), mesh: Arc::new(mesh), state: Arc::default() }
    }

    /// Name of its file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to build the hierarchy unless that was done before; calls `wake` when it is there.
    pub(crate) fn prepare(&self, wake: Waker) {
        let mut state = self.state();
        if !matches!(*state, State::Unasked) {
            return;
        }
        *state = State::Building;
        drop(state);
        let shared = self.clone();
        let build = move || {
            let built = DistanceQuery::new(&shared.mesh, &QueryOptions::default());
            *shared.state() = match built {
                Ok(query) => State::Ready(Arc::new(query)),
                Err(e) => State::Failed(format!("{}: {e}", shared.name)),
            };
            wake();
        };
        if let Err(e) = std::thread::Builder::new().name("mesh".into()).spawn(build) {
            *self.state() = State::Failed(format!("{}: {e}", self.name));
        }
    }

    /// The hierarchy, once it is there.
    pub(crate) fn query(&self) -> Option<Arc<DistanceQuery>> {
        match &*self.state() {
            State::Ready(query) => Some(query.clone()),
            _ => None,
        }
    }

    /// Reason why there is no hierarchy yet, for the user.
    pub(crate) fn waits_for(&self) -> Option<String> {
        match &*self.state() {
            State::Ready(_) => None,
            State::Failed(reason) => Some(reason.clone()),
            _ => Some(format!("preparing {} ...", self.name)),
        }
    }
}

/// Distance of the surface that each pixel of `frame` shows to the mesh, world units; infinite where it shows nothing.
pub(crate) fn distances(frame: &Frame, camera: &Camera, query: &DistanceQuery) -> Vec<f32> {
    let width = frame.width.max(1) as usize;
    let distance = |(i, depth): (usize, &f32)| {
        if !depth.is_finite() {
            return f32::INFINITY;
        }
        let ray = camera.ray((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
        distance(query, ray.origin + ray.direction * f64::from(*depth))
    };
    frame.depth_ray.par_iter().enumerate().with_min_len(512).map(distance).collect()
}

/// Distance of a world point to the mesh, world units.
pub(crate) fn distance(query: &DistanceQuery, point: DVec3) -> f32 {
    query.closest(point).map_or(f32::INFINITY, |c| c.point.distance(point) as f32)
}

/// Distances as colours up to `most`, transparent where there is none.
pub(crate) fn coloured(distances: &[f32], width: u32, height: u32, most: f32) -> Rgba8 {
    let mut data = vec![0; width as usize * height as usize * 4];
    data.chunks_exact_mut(4).zip(distances).filter(|(_, d)| d.is_finite()).for_each(|(pixel, d)| {
        let [r, g, b] = error_colormap(d / most.max(1e-30)).map(|v| (v * 255.0 + 0.5) as u8);
        pixel.copy_from_slice(&[r, g, b, 255]);
    });
    Rgba8 { width, height, data }
}

//! Quality of a field at each image of its capture, measured by a thread of its own while nothing else is rendered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nstr_capture::View;
use nstr_fit::eval::view_psnr;
use nstr_pipeline::renderer::CpuRenderer;

use crate::render_thread::Waker;
use crate::scene::Scene;

/// Longest side in pixels of the images that are compared: every n-th pixel of the capture's own.
const MAX_SIDE: u32 = 96;
/// Time between looks at whether the renderer has finished.
const PAUSE: Duration = Duration::from_millis(30);

/// Measurement in progress, or its result. Dropping it ends the thread.
pub(crate) struct ViewScores {
    shared: Arc<Shared>,
    views: usize,
    /// Field that is measured.
    scene: Arc<Scene>,
}

#[derive(Default)]
struct Shared {
    found: Mutex<Vec<(usize, f64)>>,
    stop: AtomicBool,
    waits: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Vec<(usize, f64)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ViewScores {
    /// Starts to measure; `background` (sRGB) lies behind field and images. `wake` is called after every image.
    ///
    /// # Errors
    /// A message for the user: surfaces have no colours to compare, or the system has no thread to give.
    pub fn start(
        scene: &Arc<Scene>,
        views: &Arc<Vec<View>>,
        background: [f32; 3],
        wake: Waker,
    ) -> Result<Self, String> {
        if !scene.is_radiance() {
            return Err("only radiance fields have colours to compare with images".into());
        }
        let shared = Arc::new(Shared::default());
        let (of_thread, field, images) = (shared.clone(), scene.clone(), views.clone());
        let measure = move || {
            let renderer = match field.renderer() {
                Ok(CpuRenderer::Volume(renderer)) => renderer,
                _ => return,
            };
            for (i, view) in images.iter().enumerate() {
                while of_thread.waits.load(Ordering::SeqCst) && !of_thread.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(PAUSE);
                }
                if of_thread.stop.load(Ordering::SeqCst) {
                    return;
                }
                let small = view.downsampled(view.image.width.max(view.image.height).div_ceil(MAX_SIDE));
                match view_psnr(&renderer, &small, background) {
                    Ok(psnr) => of_thread.found().push((i, psnr)),
                    Err(e) => {
                        *of_thread.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
                    }
                }
                wake();
            }
        };
        let thread = std::thread::Builder::new().name("view scores".into()).spawn(measure);
        thread.map_err(|e| format!("the images were not measured: {e}"))?;
        Ok(Self { shared, views: views.len(), scene: scene.clone() })
    }

    /// Makes the thread wait while something else is rendered, or go on.
    pub fn wait(&self, waits: bool) {
        self.shared.waits.store(waits, Ordering::SeqCst);
    }

    /// Measured images and all images.
    pub fn progress(&self) -> (usize, usize) {
        (self.shared.found().len(), self.views)
    }

    /// Images with their PSNR in dB, the worst first.
    pub fn sorted(&self) -> Vec<(usize, f64)> {
        let mut found = self.shared.found().clone();
        found.sort_by(|a, b| a.1.total_cmp(&b.1));
        found
    }

    /// Reason why an image could not be measured.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether they are of another field than `scene`.
    pub fn is_outdated(&self, scene: &Arc<Scene>) -> bool {
        !Arc::ptr_eq(&self.scene, scene)
    }
}

impl Drop for ViewScores {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use glam::{DVec3, Vec3};
    use nstr_camera::camera::Camera;
    use nstr_capture::Image;
    use nstr_capture::lens::Lens;
    use nstr_space::analytic::{AnalyticSdf, sphere};
    use nstr_space::{AnalyticRadiance, Cube, Occupancy};

    use super::*;
    use crate::scene::SceneField;

    /// A grey fog that fills the cube, and views of it whose images are grey and off by `error` bytes.
    fn fog(errors: &[u8]) -> (Arc<Scene>, Arc<Vec<View>>) {
        let field = AnalyticRadiance::new(Occupancy::full(16), |_: Vec3, _| [0.5, 0.5, 0.5, 500.0]);
        let scene =
            Scene::new(SceneField::Radiance(Arc::new(field), nstr_render::VolumeSettings::default()), Cube::default());
        let view = |error: &u8| {
            let pose = Camera::look_at(DVec3::new(0.5, 0.5, 1.4), DVec3::splat(0.5), DVec3::Y).unwrap();
            let camera = Camera::with_fov_y(120, 100, 20.0, pose).unwrap();
            let image = Image { width: 120, height: 100, pixels: vec![[128 + error, 128, 128, 255]; 12_000] };
            View { name: error.to_string(), camera, lens: Lens::Pinhole, image, mask: None, depth: None }
        };
        (Arc::new(scene), Arc::new(errors.iter().map(view).collect()))
    }

    #[test]
    fn images_are_sorted_by_their_error() {
        let (scene, views) = fog(&[3, 60, 20]);
        let scores = ViewScores::start(&scene, &views, [1.0; 3], Arc::new(|| ())).unwrap();
        let start = Instant::now();
        while scores.progress().0 < 3 {
            assert!(start.elapsed() < Duration::from_secs(60) && scores.failure().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        let sorted = scores.sorted();
        assert_eq!(sorted.iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2, 0]);
        let psnr = |bytes: f64| -10.0 * ((bytes / 255.0).powi(2) / 3.0).log10();
        assert!((sorted[0].1 - psnr(60.5)).abs() < 0.2, "{sorted:?}");
        assert!(!scores.is_outdated(&scene) && scores.is_outdated(&fog(&[]).0));
    }

    #[test]
    fn surfaces_are_refused() {
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Arc::new(Scene::new(SceneField::Sdf(Arc::new(ball)), Cube::default()));
        let refused = ViewScores::start(&scene, &fog(&[1]).1, [1.0; 3], Arc::new(|| ()));
        assert!(refused.is_err_and(|e| e.contains("radiance")));
    }
}

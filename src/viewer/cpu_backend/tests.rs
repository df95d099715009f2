use std::time::Duration;

use glam::{DMat4, DVec3, Vec3};
use nstr_space::Cube;
use nstr_space::analytic::{AnalyticSdf, sphere};

use crate::cpu_backend::*;
use crate::display_mode::DisplayMode;
use crate::render_backend::Quality;
use crate::scene::{Scene, SceneField};

fn request(size: (u32, u32), effort: Quality) -> RenderRequest {
    let sphere = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
    let pose = Camera::look_at(DVec3::new(0.5, 0.5, 2.0), DVec3::splat(0.5), DVec3::Y).unwrap();
    let scene = Arc::new(Scene::new(SceneField::Sdf(Arc::new(sphere)), Cube::default()));
    let camera = Camera::with_fov_y(size.0, size.1, 40.0, pose).unwrap();
    RenderRequest { background: Background::Black, ..RenderRequest::shaded(scene, camera, effort) }
}

/// Polls until the last request is done; returns every image on the way.
fn wait(backend: &mut RenderThread) -> Vec<RenderedImage> {
    let mut all = Vec::new();
    for _ in 0..2000 {
        let status = backend.poll();
        all.extend(status.image.map(|s| *s));
        if status.done {
            return all;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not done");
}

fn bytes(image: &RenderedImage) -> &[u8] {
    let PixelBuffer::Cpu(pixels) = &image.pixels else { panic!("not in memory") };
    &pixels.image.data
}

#[test]
fn bands_join_to_the_whole_image() {
    let request = request((150, 101), Quality::Full(1));
    let renderer = request.scene.renderer().unwrap();
    let pass = RenderPass { divisor: 1, samples: 1, seed: 0, must_finish: true, accumulates: false };
    for mode in [DisplayMode::Shaded, DisplayMode::Normals, DisplayMode::Curvature] {
        let request = RenderRequest { mode, ..request.clone() };
        let layers = mode.layers();
        let whole = render_frame(&renderer, &request.camera, &request, layers, pass, Background::Transparent).unwrap();
        let mut worker = worker();
        // A low speed cuts the image into bands of 8 rows.
        worker.speed.update(&request, 1.0, 1.0);
        let banded = worker.render_pass(0, &renderer, &request, &request.camera, pass).unwrap().unwrap();
        assert_eq!((banded.width, banded.height), (150, 101));
        assert_eq!(banded.colour, whole.colour, "{mode}");
        let close = |a: &[[f32; 3]], b: &[[f32; 3]]| {
            a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        assert!(close(&banded.normal, &whole.normal) && banded.normal.len() == whole.normal.len());
        assert_eq!(banded.curvature.len(), whole.curvature.len());
    }
}

#[test]
fn images_of_any_shape_are_rendered() {
    let mut backend = start(Arc::new(|| ())).unwrap();
    for size in [(408, 474), (3, 2500), (250, 3), (1, 1), (188, 2161)] {
        backend.request(RenderRequest { mode: DisplayMode::Depth, ..request(size, Quality::Full(1)) });
        let last = wait(&mut backend).pop().unwrap();
        assert_eq!((last.note.as_deref(), last.pixels.size()), (None, size));
    }
}

fn worker() -> CpuWorker {
    CpuWorker::new(Mailbox::new(Arc::new(|| ())))
}

#[test]
fn images_come_and_the_newest_request_wins() {
    let mut backend = start(Arc::new(|| ())).unwrap();
    let first = request((320, 240), Quality::Full(8));
    (0..5).for_each(|i| {
        let mut moved = first.clone();
        moved.camera.camera_to_world.w_axis.x += 0.01 * f64::from(i);
        backend.request(moved);
    });
    backend.request(first.clone());
    let all = wait(&mut backend);
    let last = all.last().unwrap();
    assert_eq!((last.divisor, last.samples, last.pixels.size()), (1, 8, (320, 240)));
    assert_eq!(last.request.camera, first.camera);
    let PixelBuffer::Cpu(pixels) = &last.pixels else { panic!("not in memory") };
    let depth = |x: usize, y: usize| pixels.frame.depth_ray[y * 320 + x];
    assert!((depth(160, 120) - 1.2).abs() < 1e-2 && depth(2, 2).is_infinite(), "depths outlast the sample passes");
    // Lit sphere in the middle, black around it, opaque everywhere.
    let at = |x: usize, y: usize| &bytes(last)[(y * 320 + x) * 4..][..4];
    assert_eq!(at(2, 2), [0, 0, 0, 255]);
    assert!(at(160, 120)[0] > 60);
    // A change of colours needs no new rays: the image is there at once, at full quality.
    backend.request(RenderRequest { background: Background::White, exposure: -1.0, ..first });
    let again = wait(&mut backend);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].divisor, again[0].samples), (1, 8));
    let white = &bytes(&again[0])[(2 * 320 + 2) * 4..][..4];
    assert_eq!(white, [255; 4]);
    assert!(bytes(&again[0])[(120 * 320 + 160) * 4] < at(160, 120)[0]);
}

#[test]
fn requests_that_cannot_be_rendered_return_a_note() {
    let mut backend = start(Arc::new(|| ())).unwrap();
    let good = request((64, 48), Quality::Full(1));
    let bad = Camera { camera_to_world: DMat4::ZERO, ..good.camera };
    backend.request(RenderRequest { camera: bad, ..good.clone() });
    assert!(wait(&mut backend).last().unwrap().note.as_ref().unwrap().contains("camera"));
    backend.request(good);
    assert!(wait(&mut backend).last().unwrap().note.is_none());
}

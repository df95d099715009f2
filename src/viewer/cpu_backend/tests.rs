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
    // Bands at full resolution have a fixed height; the pass of a lower one follows the speed.
    let pass = RenderPass { divisor: 2, samples: 1, must_finish: true, preview: false };
    for mode in [DisplayMode::Shaded, DisplayMode::Normals, DisplayMode::Curvature] {
        let request = RenderRequest { mode, ..request.clone() };
        let layers = mode.layers();
        let whole =
            render_frame(&renderer, &request.camera, &request, layers, (1, 0), Background::Transparent).unwrap();
        let mut worker = worker();
        // A low speed cuts the image into bands of 8 rows.
        worker.speed.update(&request, false, 1.0, 1.0);
        let plan = ProgressivePlan::new(&request, &worker.speed, false, false);
        let banded = worker.render_pass(0, &renderer, &request, &request.camera, pass, &plan).unwrap().unwrap();
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
    let mut backend = start(Arc::new(|| ()), None).unwrap();
    for size in [(408, 474), (3, 2500), (250, 3), (1, 1), (188, 2161)] {
        backend.request(RenderRequest { mode: DisplayMode::Depth, ..request(size, Quality::Full(1)) });
        let last = wait(&mut backend).pop().unwrap();
        assert_eq!((last.note.as_deref(), last.pixels.size()), (None, size));
    }
}

fn worker() -> CpuWorker {
    CpuWorker::new(Mailbox::new(Arc::new(|| ())), Previews::off())
}

#[test]
fn images_come_and_the_newest_request_wins() {
    let mut backend = start(Arc::new(|| ()), None).unwrap();
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
    let mut backend = start(Arc::new(|| ()), None).unwrap();
    let good = request((64, 48), Quality::Full(1));
    let bad = Camera { camera_to_world: DMat4::ZERO, ..good.camera };
    backend.request(RenderRequest { camera: bad, ..good.clone() });
    assert!(wait(&mut backend).last().unwrap().note.as_ref().unwrap().contains("camera"));
    backend.request(good);
    assert!(wait(&mut backend).last().unwrap().note.is_none());
}

#[test]
fn a_refined_image_does_not_depend_on_what_was_shown_before() {
    let request = RenderRequest { background: Background::Transparent, ..request((200, 150), Quality::Full(8)) };
    let alone = render_image(request.clone()).unwrap();
    let mut backend = start(Arc::new(|| ()), None).unwrap();
    backend.request(request.clone());
    let opened = wait(&mut backend);
    assert!(bytes(opened.last().unwrap()) == alone.data);
    // The camera moves, shown by the preview, and comes back.
    for i in 0..4 {
        let mut moved = request.clone();
        moved.camera.camera_to_world.w_axis.x += 0.02 * f64::from(i);
        backend.request(moved);
        std::thread::sleep(Duration::from_millis(20));
    }
    backend.request(request.clone());
    let back = wait(&mut backend);
    let last = back.last().unwrap();
    assert_eq!((last.divisor, last.samples), (1, 8));
    assert!(bytes(last) == alone.data);
    // More samples, and fewer again.
    backend.request(RenderRequest { quality: Quality::Full(16), ..request.clone() });
    assert!(bytes(wait(&mut backend).last().unwrap()) != alone.data);
    backend.request(request);
    assert!(bytes(wait(&mut backend).last().unwrap()) == alone.data);
}

#[test]
fn a_moving_camera_is_shown_by_the_preview() {
    let mut worker = CpuWorker::new(Mailbox::new(Arc::new(|| ())), Previews::on());
    let request = request((200, 150), Quality::Full(1));
    worker.refine(0, &request).unwrap();
    assert!(!worker.last.as_ref().unwrap().pass.preview);
    let mut moved = request.clone();
    moved.camera.camera_to_world.w_axis.x += 0.02;
    // A newer request than this one has come: its first pass is all that is rendered.
    worker.mailbox.set_newest(2);
    worker.refine(1, &moved).unwrap();
    assert!(worker.last.as_ref().unwrap().pass.preview);
    // Counts of evaluations are the field's own.
    worker.refine(1, &RenderRequest { mode: DisplayMode::Steps, ..moved }).unwrap();
    assert!(!worker.last.as_ref().unwrap().pass.preview);
}

#[test]
fn layers_are_refined_at_their_edges() {
    for mode in [DisplayMode::Depth, DisplayMode::Normals] {
        let background = Background::Transparent;
        let request = RenderRequest { mode, background, ..request((120, 90), Quality::Full(9)) };
        let plain = render_image(RenderRequest { quality: Quality::Full(1), ..request.clone() }).unwrap();
        let refined = render_image(request).unwrap();
        let partly = |image: &Rgba8| image.data.iter().skip(3).step_by(4).filter(|a| (1..255).contains(*a)).count();
        assert_eq!(partly(&plain), 0, "{mode}");
        assert!(partly(&refined) > 60, "{mode}: {}", partly(&refined));
        // Pixels far from edges stay.
        let centre = (45 * 120 + 60) * 4;
        assert_eq!(refined.data[centre..centre + 4], plain.data[centre..centre + 4]);
    }
}

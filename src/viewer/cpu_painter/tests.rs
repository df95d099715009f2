use std::time::Duration;

use glam::{DMat4, DVec3, Vec3};

use crate::cpu_painter::*;
use nstr_space::cube::UnitCube;
use nstr_space::analytic::{Analytic, sphere};
use crate::layer::Show;
use crate::painter::{Effort, Painter};
use crate::scene::{Field, Scene};

fn view(size: (u32, u32), effort: Effort) -> View {
    let sphere = Analytic::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
    let pose = Camera::look_at(DVec3::new(0.5, 0.5, 2.0), DVec3::splat(0.5), DVec3::Y).unwrap();
    let scene = Arc::new(Scene::new(Field::Sdf(Arc::new(sphere)), UnitCube::default()));
    let camera = Camera::with_fov_y(size.0, size.1, 40.0, pose).unwrap();
    View { background: Background::Black, ..View::plain(scene, camera, effort) }
}

/// Polls until the last request is done; every picture on the way.
fn wait(painter: &mut ThreadPainter) -> Vec<Shown> {
    let mut all = Vec::new();
    for _ in 0..2000 {
        let update = painter.poll();
        all.extend(update.shown.map(|s| *s));
        if update.done {
            return all;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not done");
}

fn bytes(shown: &Shown) -> &[u8] {
    let Picture::Cpu(picture) = &shown.picture else { panic!("no picture in memory") };
    &picture.image.data
}

#[test]
fn bands_are_the_whole_picture() {
    let view = view((150, 101), Effort::Full(1));
    let renderer = view.scene.renderer().unwrap();
    let pass = Pass { divisor: 1, samples: 1, seed: 0, first: true, adds: false };
    for show in [Show::Shaded, Show::Normals, Show::Curvature] {
        let view = View { show, ..view.clone() };
        let layers = show.layers();
        let whole = render(&renderer, &view.camera, &view, layers, pass, Background::Transparent).unwrap();
        let mut worker = worker();
        // A slow pace cuts the picture into bands of 8 rows.
        worker.pace.learn(&view, 1.0, 1.0);
        let banded = worker.pass(0, &renderer, &view, &view.camera, pass).unwrap().unwrap();
        assert_eq!((banded.width, banded.height), (150, 101));
        assert_eq!(banded.colour, whole.colour, "{show}");
        let close = |a: &[[f32; 3]], b: &[[f32; 3]]| {
            a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        assert!(close(&banded.normal, &whole.normal) && banded.normal.len() == whole.normal.len());
        assert_eq!(banded.curvature.len(), whole.curvature.len());
    }
}

#[test]
fn pictures_of_any_shape_are_painted() {
    let mut painter = start(Arc::new(|| ())).unwrap();
    for size in [(408, 474), (3, 2500), (250, 3), (1, 1), (188, 2161)] {
        painter.request(View { show: Show::Depth, ..view(size, Effort::Full(1)) });
        let last = wait(&mut painter).pop().unwrap();
        assert_eq!((last.note.as_deref(), last.picture.size()), (None, size));
    }
}

fn worker() -> Worker {
    Worker::new(Desk::new(Arc::new(|| ())))
}

#[test]
fn pictures_come_and_the_newest_request_wins() {
    let mut painter = start(Arc::new(|| ())).unwrap();
    let first = view((320, 240), Effort::Full(8));
    (0..5).for_each(|i| {
        let mut moved = first.clone();
        moved.camera.camera_to_world.w_axis.x += 0.01 * f64::from(i);
        painter.request(moved);
    });
    painter.request(first.clone());
    let all = wait(&mut painter);
    let last = all.last().unwrap();
    assert_eq!((last.divisor, last.samples, last.picture.size()), (1, 8, (320, 240)));
    assert_eq!(last.view.camera, first.camera);
    // Lit sphere in the middle, black around it, opaque everywhere.
    let at = |x: usize, y: usize| &bytes(last)[(y * 320 + x) * 4..][..4];
    assert_eq!(at(2, 2), [0, 0, 0, 255]);
    assert!(at(160, 120)[0] > 60);
    // Other colours need no other rays: the picture is there at once, at full quality.
    painter.request(View { background: Background::White, exposure: -1.0, ..first });
    let again = wait(&mut painter);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].divisor, again[0].samples), (1, 8));
    let white = &bytes(&again[0])[(2 * 320 + 2) * 4..][..4];
    assert_eq!(white, [255; 4]);
    assert!(bytes(&again[0])[(120 * 320 + 160) * 4] < at(160, 120)[0]);
}

#[test]
fn what_cannot_be_rendered_is_said() {
    let mut painter = start(Arc::new(|| ())).unwrap();
    let good = view((64, 48), Effort::Full(1));
    let bad = Camera { camera_to_world: DMat4::ZERO, ..good.camera };
    painter.request(View { camera: bad, ..good.clone() });
    assert!(wait(&mut painter).last().unwrap().note.as_ref().unwrap().contains("camera"));
    painter.request(good);
    assert!(wait(&mut painter).last().unwrap().note.is_none());
}

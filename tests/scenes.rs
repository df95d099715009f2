//! The meshes, images and sounds in `scenes/`: written by the generator, and well-formed.

#[path = "../examples/make_scenes/main.rs"]
#[allow(dead_code, reason = "only some of what the generator has is asked for")]
mod make_scenes;

use std::path::Path;

use glam::{DVec2, DVec3};
use make_scenes::capture::{self, SIDE, Split};
use make_scenes::farmyard::farmyard;
use make_scenes::jpeg;
use make_scenes::landscape::{Landscape, developed};
use make_scenes::signals;
use make_scenes::studio::Studio;
use make_scenes::teaset;
use make_scenes::walk::{self, Shot, shots};
use nstr::camera::camera::Camera;
use nstr::camera::camera_file::read_cameras;
use nstr::capture::pose_errors;
use nstr::geometry::{MeshReport, read_mesh};
use nstr::image::picture::decode_rgba8;
use nstr::image::{Rgba8, diff, png};
use nstr::signal::{read_audio, read_image};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenes"))
}

#[test]
fn generator_writes_the_files_on_disk() {
    for (name, content) in make_scenes::meshes() {
        let disk = std::fs::read(folder().join(name)).expect(name);
        assert!(disk == content, "{name} differs: run `cargo run --release --example make_scenes`");
        assert!(content.len() < 400_000, "{name}: {} bytes", content.len());
    }
    for (name, content) in capture::documents() {
        let disk = std::fs::read_to_string(folder().join("teaset").join(&name)).expect(&name);
        assert!(disk == content, "{name} differs: run `cargo run --release --example make_scenes`");
    }
    for (name, content) in walk::documents() {
        let disk = std::fs::read_to_string(folder().join("farmyard").join(name)).expect(name);
        assert!(disk == content, "{name} differs: run `cargo run --release --example make_scenes`");
    }
}

/// Greatest difference of two signals, in steps.
fn steps_apart(a: &[f32], b: &[f32], step: f32) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / step).fold(0.0, f32::max)
}

#[test]
fn signals_are_what_the_generator_makes() {
    let (disk, made) = (read_image(&folder().join("chirp.png")).unwrap(), signals::chirp());
    assert_eq!((disk.width, disk.height, disk.channels, disk.encoding), (256, 256, 1, made.encoding));
    // Rounded to the nearest step, and the mathematics library of another machine may round the rare value the other way.
    let apart = steps_apart(&disk.data, &made.data, 1.0 / 255.0);
    assert!(apart < 0.51, "{apart}: run `cargo run --release --example make_scenes`");
    let (disk, made) = (read_audio(&folder().join("sweep.wav")).unwrap(), signals::sweep());
    assert_eq!((disk.rate, disk.channels, disk.format, disk.seconds()), (16_000, 1, made.format, 2.0));
    let apart = steps_apart(&disk.data, &made.data, 1.0 / 32_768.0);
    assert!(apart < 0.51, "{apart}: run `cargo run --release --example make_scenes`");
}

#[test]
fn scenes_are_as_described() {
    let report = |name: &str| MeshReport::new(&read_mesh(&folder().join(name)).expect(name).mesh);
    let teaset = teaset::parts().len();
    for (name, parts) in [("chair.obj", 19), ("bracket.stl", 1), ("knot.ply", 1), ("teaset.obj", teaset)] {
        let r = report(name);
        println!("{name}: {}", r.summary());
        assert!(r.watertight && r.winding_consistent && r.oriented_outward, "{name}: {}", r.summary());
        assert_eq!((r.components, r.degenerate_faces, r.duplicate_faces), (parts, 0, 0), "{name}");
    }
    let soup = report("soup.obj");
    assert_eq!(2 * soup.opposite_duplicates, soup.faces);
    assert!(!soup.orientation_trusted());
}

/// Cameras and pictures of a split, as they are on disk.
fn views(split: Split) -> Vec<(Camera, Rgba8)> {
    let folder = folder().join("teaset");
    let name = format!("transforms_{}.json", split.name());
    let cameras = read_cameras(&folder.join(name), Some((SIDE, SIDE))).unwrap();
    let picture = |i: usize| png::read(&folder.join(split.name()).join(format!("r_{i}.png"))).unwrap();
    cameras.into_iter().enumerate().map(|(i, camera)| (camera, picture(i))).collect()
}

#[test]
fn capture_shows_what_its_cameras_see() {
    let studio = Studio::new(&teaset::parts());
    for (split, i) in [(Split::Train, 11), (Split::Test, 6)] {
        let (camera, disk) = &views(split)[i];
        // The mathematics library of another machine may round the rare value the other way.
        let d = diff::compare(disk, &studio.picture(camera), 1).unwrap();
        assert!(d.outliers <= 0.001, "{} {i}: {d:?}: run `cargo run --release --example make_scenes`", split.name());
    }
}

#[test]
fn capture_fits_its_mesh() {
    let mesh = read_mesh(&folder().join("teaset.obj")).unwrap().mesh;
    let mut bytes = 0;
    for split in Split::ALL {
        for (i, (camera, picture)) in views(split).iter().enumerate() {
            let corners: Vec<DVec2> = mesh.positions.iter().map(|&p| camera.project(p).unwrap()).collect();
            let (lo, hi) =
                corners.iter().fold((DVec2::INFINITY, DVec2::NEG_INFINITY), |b, &p| (b.0.min(p), b.1.max(p)));
            let [mut least, mut most] = [DVec2::INFINITY, DVec2::NEG_INFINITY];
            for (x, y) in (0..SIDE * SIDE).map(|k| (k % SIDE, k / SIDE)).filter(|&(x, y)| picture.pixel(x, y)[3] > 0) {
                let corner = DVec2::new(x.into(), y.into());
                (least, most) = (least.min(corner), most.max(corner + 1.0));
            }
            // Outlines agree to the pixel; at least a border of four pixels is free.
            let apart = (least - lo).abs().max((most - hi).abs()).max_element();
            assert!(apart < 1.3, "{} {i}: {lo} {hi}, drawn {least} {most}", split.name());
            assert!(least.min_element() >= 4.0 && most.max_element() <= f64::from(SIDE) - 4.0, "{least} {most}");
            let share = (most.x - least.x) / f64::from(SIDE);
            assert!((0.6..0.85).contains(&share), "{} {i} fills {share}", split.name());
            for p in corners {
                let near = |(dx, dy): (f64, f64)| picture.pixel((p.x + dx) as u32, (p.y + dy) as u32)[3] > 0;
                let seen = [(0.0, 0.0), (0.7, 0.0), (-0.7, 0.0), (0.0, 0.7), (0.0, -0.7)].into_iter().any(near);
                assert!(seen, "{} {i}: nothing is drawn at {p}", split.name());
            }
            bytes += std::fs::metadata(folder().join(format!("teaset/{}/r_{i}.png", split.name()))).unwrap().len();
        }
    }
    assert!(bytes < 900_000, "{bytes} bytes");
}

#[test]
fn capture_has_colours_where_the_parts_are() {
    // From high above nothing hides them.
    let all = views(Split::Train);
    let (camera, picture) = all.last().unwrap();
    let at = |p: DVec3| {
        let pixel = camera.project(p).unwrap();
        picture.pixel(pixel.x as u32, pixel.y as u32).map(i32::from)
    };
    let middle = |name: &str| {
        let part = teaset::parts().into_iter().find(|p| p.name == name).unwrap();
        part.model.vertices.iter().sum::<DVec3>() / part.model.vertices.len() as f64
    };
    let [r, g, b, _] = at(middle("lemon"));
    assert!(r > 150 && g > 110 && b < 110, "lemon: {r} {g} {b}");
    let [r, g, b, _] = at(middle("knob"));
    assert!(r > g + 60 && r > b + 60, "knob: {r} {g} {b}");
    let [r, g, b, _] = at(middle("sugar_top"));
    assert!(r.min(g).min(b) > 150, "sugar: {r} {g} {b}");
    let [r, g, b, _] = at(middle("tea"));
    assert!(r > b && r < 190, "tea: {r} {g} {b}");
}

#[test]
fn test_views_lie_between_training_views() {
    let (train, test) = (Split::Train.cameras(), Split::Test.cameras());
    assert_eq!((train.len(), test.len()), (40, 8));
    for camera in train.iter().chain(&test) {
        camera.validate().unwrap();
        assert!(camera.position().z > 0.0);
    }
    let angle = |a: &Camera, b: &Camera| a.position().angle_between(b.position()).to_degrees();
    let gap = |c: &Camera| train.iter().map(|t| angle(c, t)).fold(180.0, f64::min);
    let gaps: Vec<f64> = test.iter().map(gap).collect();
    assert!(gaps.iter().all(|&g| (8.0..20.0).contains(&g)), "{gaps:?}");
    let path = read_cameras(&folder().join("teaset/path.json"), None).unwrap();
    assert!(path.len() == 24 && (path[0].width, path[0].height) == (256, 256));
}

/// Image `i` of the open capture: the file and what it decodes to.
fn photograph(i: usize) -> (Vec<u8>, Rgba8) {
    let bytes = std::fs::read(folder().join("farmyard").join(Shot::file(i))).unwrap();
    let decoded = decode_rgba8(&bytes, None).unwrap();
    assert!(decoded.notes.is_empty(), "{:?}", decoded.notes);
    (bytes, decoded.image)
}

#[test]
fn open_capture_shows_what_its_cameras_see() {
    let (landscape, shots) = (Landscape::new(farmyard()), shots());
    // One of each round.
    for i in [13, 47] {
        let (bytes, image) = photograph(i);
        let light = landscape.light(&shots[i].camera);
        let exposed = shots[i].image(&light);
        assert!(
            jpeg::encode(&exposed, walk::QUALITY) == bytes,
            "image {i}: run `cargo run --release --example make_scenes`"
        );
        // The reader is another program than the writer: what it decodes is the picture, but for the rounding of coefficients.
        let d = diff::compare(&image, &exposed, 40).unwrap();
        assert!(d.mean < 5.0 && d.outliers < 0.01, "image {i}: {d:?}");
        // Against the picture without an exposure each channel is a straight line with the stated gain and offset.
        let plain = developed(&light, (walk::SIDE, walk::SIDE), [1.0; 3]);
        for c in 0..3 {
            let pairs = plain.data.chunks_exact(4).zip(image.data.chunks_exact(4)).map(|(p, y)| (p[c], y[c]));
            let clear = pairs.filter(|(p, y)| (20..=235).contains(p) && (20..=235).contains(y));
            let (gain, offset) = line(clear.map(|(p, y)| (f64::from(p) / 255.0, f64::from(y) / 255.0)));
            let (wanted, by) = (shots[i].gain[c], shots[i].offset()[c]);
            assert!(
                (gain - wanted).abs() < 0.02 && (offset - by).abs() < 0.012,
                "image {i}, channel {c}: {gain} {offset}"
            );
        }
    }
}

/// Gain and offset of the line y = gain · p + offset through pairs (p, y), by least squares.
fn line(pairs: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let mut sums = [0.0; 5];
    for (p, y) in pairs {
        sums.iter_mut().zip([1.0, p, y, p * p, p * y]).for_each(|(sum, term)| *sum += term);
    }
    let [n, p, y, pp, py] = sums;
    let gain = (n * py - p * y) / (n * pp - p * p);
    (gain, (y - gain * p) / n)
}

#[test]
fn open_capture_is_small_and_rarely_clipped() {
    let (mut total, mut clipped) = (walk::documents().iter().map(|(_, text)| text.len()).sum::<usize>(), 0.0);
    for i in 0..shots().len() {
        let (bytes, image) = photograph(i);
        assert_eq!((image.width, image.height, image.is_opaque()), (walk::SIDE, walk::SIDE, true));
        total += bytes.len();
        let white = image.data.chunks_exact(4).filter(|p| p[..3].contains(&255)).count();
        clipped += white as f64 / f64::from(walk::SIDE * walk::SIDE * 60);
    }
    println!("{total} bytes, {:.2} % of the pixels at the end of the range", 100.0 * clipped);
    assert!(shots().len() == 60 && total < 600_000 && clipped < 0.03, "{total} bytes, {clipped} clipped");
}

#[test]
fn open_capture_reaches_from_one_metre_to_the_horizon() {
    let landscape = Landscape::new(farmyard());
    let (mut nearest, mut far, mut sky, mut all) = (f64::INFINITY, 0, 0, 0);
    for shot in shots() {
        shot.camera.validate().unwrap();
        let height = shot.camera.position().z;
        assert!((1.0..2.0).contains(&height), "{height}");
        for depth in landscape.depths(&shot.camera.resized(40, 40)) {
            nearest = nearest.min(depth);
            all += 1;
            far += usize::from(depth > 50.0 && depth.is_finite());
            sky += usize::from(depth.is_infinite());
        }
    }
    let share = |n: usize| n as f64 / all as f64;
    println!("nearest {nearest:.2}, {:.3} beyond 50, {:.3} sky", share(far), share(sky));
    assert!((0.7..1.5).contains(&nearest), "nearest surface at {nearest}");
    assert!(share(far) > 0.03 && share(sky) > 0.1 && share(sky) < 0.5, "{far} far, {sky} sky of {all}");
}

#[test]
fn open_capture_has_sparse_points_on_its_surfaces() {
    let landscape = Landscape::new(farmyard());
    let disk = std::fs::read_to_string(folder().join("farmyard").join(walk::POINTS)).unwrap();
    let made = walk::points_file(&landscape);
    assert!(disk == made, "{} differs: run `cargo run --release --example make_scenes`", walk::POINTS);
    let (_, rows) = disk.split_once("end_header\n").unwrap();
    let points: Vec<DVec3> = rows
        .lines()
        .map(|row| {
            let numbers: Vec<f64> = row.split(' ').map(|v| v.parse().unwrap()).collect();
            assert_eq!(numbers.len(), 6, "{row}");
            DVec3::from_slice(&numbers)
        })
        .collect();
    assert!((300..600).contains(&points.len()) && disk.contains(&format!("element vertex {}\n", points.len())));
    // Each is what a camera sees first where it lies in that camera's image.
    let shots = shots();
    let is_seen = |p: DVec3| {
        shots.iter().any(|shot| {
            let pixel =
                shot.camera.project(p).filter(|q| q.min_element() >= 0.0 && q.max_element() < walk::SIDE.into());
            let seen = pixel.and_then(|q| landscape.surface(&shot.camera, q));
            // A grazing ray of the rounded position ends a little before or behind it.
            seen.is_some_and(|(q, _)| q.distance(p) < 0.02 * shot.camera.position().distance(p))
        })
    };
    let seen = points.iter().filter(|p| is_seen(**p)).count();
    assert!(seen * 100 >= points.len() * 98, "{seen} of {} points are seen", points.len());
    let far = points.iter().filter(|p| p.length() > 50.0).count();
    assert!(far > 10, "{far} points beyond 50");
}

#[test]
fn open_capture_is_a_little_wrong() {
    let folder = folder().join("farmyard");
    let cameras = |name: &str| read_cameras(&folder.join(name), None).unwrap();
    let (found, truth) = (cameras("transforms.json"), cameras("transforms_truth.json"));
    let shots = shots();
    assert!(shots.iter().zip(&truth).all(|(shot, camera)| shot.camera == *camera) && truth.len() == 60);
    assert!(shots.iter().zip(&found).all(|(shot, camera)| shot.found == *camera) && found.len() == 60);
    let errors = pose_errors(&found, &truth).unwrap();
    let (degrees, share) = walk::POSE_ERRORS;
    // The similarity that is taken out explains little of sixty independent errors.
    let near = |error: f64, wanted: f64| (0.85..1.1).contains(&(error / wanted));
    assert!(near(errors.rotation_degrees, degrees) && near(errors.position, share), "{errors:?}");
    let gains: Vec<f64> = shots.iter().flat_map(|shot| shot.gain).collect();
    let mean = gains.iter().sum::<f64>() / gains.len() as f64;
    assert!(gains.iter().all(|g| (0.85..=1.15).contains(g)) && (mean - 1.0).abs() < 0.03, "{gains:?}");
    let deviation = (gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gains.len() as f64).sqrt();
    // Uniform to ±0.11: 0.064.
    assert!((0.045..0.085).contains(&deviation), "{deviation}");
    let path = read_cameras(&folder.join("path.json"), None).unwrap();
    assert!(path.len() == 48 && (path[0].width, path[0].height) == (320, 200));
}

//! Pictures made by shaders against those of the processor, and the command's choice of renderer.
#![cfg(feature = "gpu")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use glam::{DMat3, DVec2, DVec3};
use nstr::camera::camera::Camera;
use nstr::camera::orbit::{Orbit, Up};
use nstr::field::model::Model;
use nstr::field::radiance::NeuralRadiance;
use nstr::field::sdf::NeuralSdf;
use nstr::image::colour::Background;
use nstr::image::diff::compare;
use nstr::image::png;
use nstr::render::gpu::testing::adapter;
use nstr::render::gpu::{GpuField, GpuRenderer, GridPrecision};
use nstr::render::section::{Section, SectionView};
use nstr::render::volume::{VolumeRenderer, VolumeSettings};
use nstr::render::{Filter, Shading, ShadingMode};
use nstr::render::{Frame, LayerSet, RenderSettings, SphereTracer, TracerSettings};
use nstr::space::fields::DistanceField;
use nstr::space::{Frustum, SceneMap};

fn nstr(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nstr")).args(args).output().unwrap()
}

fn fitted(input: &str, dir: &Path, extra: &[&str]) -> PathBuf {
    let model = dir.join("model.safetensors");
    let mut args = vec!["fit", input, "-o", model.to_str().unwrap(), "--no-eval"];
    args.extend(extra);
    let out = nstr(&args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    model
}

fn camera(bounds: (DVec3, DVec3), up: Up, size: (u32, u32)) -> Camera {
    let orbit = Orbit { frames: 1, size, elevation: 25.0, azimuth: 40.0, up, ..Orbit::default() };
    orbit.cameras(bounds).unwrap().remove(0)
}

/// Difference of two frames: fraction of pixels whose `of` differ by more than `tolerance`, among those that both know.
fn share_off<T>(a: &[T], b: &[T], tolerance: f32, of: impl Fn(&T, &T) -> f32) -> f64 {
    assert_eq!(a.len(), b.len());
    assert!(!a.is_empty());
    let off = a.iter().zip(b).map(|(a, b)| of(a, b)).filter(|d| d.is_nan() || *d > tolerance).count();
    off as f64 / a.len() as f64
}

fn furthest<const N: usize>(a: &[f32; N], b: &[f32; N]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// +∞ on both sides agrees.
fn relative(a: &f32, b: &f32) -> f32 {
    if a == b { 0.0 } else { (a - b).abs() / b.abs().max(1e-3) }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(1e-6f32, |m, v| m.max(v.abs()))
}

/// Every layer agrees but for a few pixels at silhouettes and creases, where rounding decides.
fn assert_same(name: &str, gpu: &Frame, cpu: &Frame) {
    let report = |layer: &str, share: f64, most: f64| {
        eprintln!("{name}: {layer}: {:.3} % of the pixels differ", 100.0 * share);
        assert!(share <= most, "{name}: {layer}: {:.3} % of the pixels differ", 100.0 * share);
    };
    if !cpu.colour.is_empty() {
        report("colour", share_off(&gpu.colour, &cpu.colour, 4e-3, furthest), 0.002);
    }
    if !cpu.alpha.is_empty() {
        report("alpha", share_off(&gpu.alpha, &cpu.alpha, 2e-3, |a, b| (a - b).abs()), 0.002);
    }
    if !cpu.depth_ray.is_empty() {
        report("depth.ray", share_off(&gpu.depth_ray, &cpu.depth_ray, 1e-3, relative), 0.002);
        report("depth.z", share_off(&gpu.depth_z, &cpu.depth_z, 1e-3, relative), 0.002);
        // As exact as the depth where that is large.
        let near: Vec<f32> = cpu.depth_ray.iter().map(|depth| if *depth > 3.0 { 3.0 / depth } else { 1.0 }).collect();
        let scaled = |frame: &Frame| -> Vec<[f32; 3]> {
            frame.position.iter().zip(&near).map(|(p, near)| p.map(|v| v * near)).collect()
        };
        report("position", share_off(&scaled(gpu), &scaled(cpu), 3e-3, furthest), 0.002);
        // At a cell's border normals jump, and rounding decides on which side of it a sample lies.
        report("normal", share_off(&gpu.normal, &cpu.normal, 0.02, furthest), 0.01);
        // Fixed shares of the layer's range: a cell's border within rounding of a hit changes the slope there.
        for (layer, a, b, within) in [
            ("gradS", &gpu.grad_s, &cpu.grad_s, 0.05),
            ("residual", &gpu.residual, &cpu.residual, 0.05),
            ("curvature", &gpu.curvature, &cpu.curvature, 0.05),
            ("S", &gpu.spectrum, &cpu.spectrum, 0.01),
        ] {
            report(layer, share_off(a, b, within * largest(b), |a, b| (a - b).abs()), 0.005);
        }
    }
}

/// Frame by the shader of all layers, whatever layers `settings` asks for, so that one shader makes every frame: software
/// drivers compile a shader for longer than they render with it.
fn by_one_shader(renderer: &GpuRenderer, camera: &Camera, settings: &RenderSettings) -> Frame {
    let all = RenderSettings { layers: LayerSet::all(), ..*settings };
    let mut target = renderer.render_target((camera.width, camera.height), &all).unwrap();
    let mut job = renderer.start(&mut target, camera, &all).unwrap();
    while renderer.advance(&mut job).unwrap() {}
    renderer.read(&target, settings.layers).unwrap()
}

#[test]
fn a_signed_distance_looks_the_same_on_both() {
    let Some(gpu) = adapter() else { return };
    let dir = tempfile::tempdir().unwrap();
    let extra = ["--preset", "sdf-tiny", "--steps", "1500", "--set", "train.batch=4096"];
    let model = Model::load(fitted("scenes/bracket.stl", dir.path(), &extra)).unwrap();
    let field = NeuralSdf::new(&model.spec, model.grid.clone(), &model.net, None);
    let cube = model.cube();
    let tracer = SphereTracer::new(&field, cube, TracerSettings::default()).unwrap();
    // More blocks of 32 pixels than a first dispatch takes, and not whole ones at the edges.
    let camera = camera(tracer.bounds(), Up::Y, (90, 66));
    let grid = tracer.grid().map(|g| &**g);
    let uploaded = GpuField::new(&gpu, &model.spec, &model.grid, &model.net, GridPrecision::F32).unwrap();
    let mut renderer = GpuRenderer::sdf(uploaded, cube, TracerSettings::default(), field.lipschitz(), grid).unwrap();
    let middle = (tracer.bounds().0 + tracer.bounds().1) * 0.5;
    let normal = DVec3::new(0.3, 0.2, 0.9).normalize();
    let section = |show| Some(Section { normal, offset: normal.dot(middle), show });
    // Smaller than the object: rays pass the plane beside it.
    let within = Some((middle.lerp(tracer.bounds().0, 0.4), middle.lerp(tracer.bounds().1, 0.4)));
    let base = RenderSettings::default();
    let lit = Shading { shadow: true, ambient_occlusion: true, ..Shading::default() };
    let matcap = Shading { mode: ShadingMode::Matcap, ..Shading::default() };
    let headlight = Shading { mode: ShadingMode::Headlight, ..Shading::default() };
    for (name, settings) in [
        ("all layers", RenderSettings { layers: LayerSet::all(), ..base }),
        ("shadow and occlusion", RenderSettings { shading: lit, ..base }),
        ("matcap, tent", RenderSettings { shading: matcap, samples: 3, filter: Filter::Tent, ..base }),
        ("headlight, transparent", RenderSettings { shading: headlight, background: Background::Transparent, ..base }),
        ("cut", RenderSettings { layers: LayerSet::all(), section: section(SectionView::Cut), ..base }),
        ("field on a section", RenderSettings { section: section(SectionView::Field), ..base }),
        ("field in a box", RenderSettings { section: section(SectionView::Field), section_box: within, ..base }),
    ] {
        let want = tracer.render(&camera, &settings).unwrap();
        assert_same(name, &by_one_shader(&renderer, &camera, &settings), &want);
    }
    // Larger than a band of the device.
    let height: u32 = 20_000;
    let enlarged = camera.focal * (f64::from(height) / f64::from(camera.height));
    let tall = Camera { width: 2, height, centre: DVec2::new(1.0, 0.5 * f64::from(height)), focal: enlarged, ..camera };
    let settings = RenderSettings { layers: LayerSet::all(), ..base };
    let want = tracer.render(&tall, &settings).unwrap();
    assert_same("a tall picture", &renderer.render(&tall, &settings).unwrap(), &want);
    // No empty space known: the same surface.
    renderer.update_sdf(&model.grid, &model.net, field.lipschitz(), None).unwrap();
    let want = tracer.render(&camera, &base).unwrap();
    assert_same("without a grid", &by_one_shader(&renderer, &camera, &base), &want);
}

#[test]
fn a_radiance_field_looks_the_same_on_both() {
    let Some(gpu) = adapter() else { return };
    let dir = tempfile::tempdir().unwrap();
    let extra = ["--preset", "radiance-tiny", "--steps", "250", "--set", "rays.samples_per_step=8192"];
    let model = Model::load(fitted("scenes/teaset", dir.path(), &extra)).unwrap();
    let occupancy = model.occupancy.clone().unwrap();
    let field = NeuralRadiance::new(&model.spec, model.grid.clone(), &model.net, occupancy.clone());
    let cube = model.cube();
    let even = VolumeSettings { step: 1.0 / 400.0, ..VolumeSettings::default() };
    let growing = VolumeSettings { step: 2e-3, cone: 1.0 / 256.0, near: 0.3, ..VolumeSettings::default() };
    // Half the bits lose nothing: the model was saved in f16.
    let uploaded = GpuField::new(&gpu, &model.spec, &model.grid, &model.net, GridPrecision::F16).unwrap();
    let mut renderer = GpuRenderer::volume(uploaded, cube, even, &occupancy).unwrap();
    let bounds = VolumeRenderer::new(&field, cube, even).unwrap().bounds();
    // A volume takes software drivers a millisecond a pixel.
    let camera = camera(bounds, Up::Z, (60, 44));
    let normal = DVec3::new(0.5, 0.1, 0.2).normalize();
    let middle = (bounds.0 + bounds.1) * 0.5;
    let section = |show| Some(Section { normal, offset: normal.dot(middle), show });
    let within = Some((middle.lerp(bounds.0, 0.4), middle.lerp(bounds.1, 0.4)));
    let base = RenderSettings::default();
    for (name, volume, settings) in [
        ("even steps, all layers", even, RenderSettings { layers: LayerSet::all(), ..base }),
        ("growing steps, transparent", growing, RenderSettings { background: Background::Transparent, ..base }),
        ("several samples", growing, RenderSettings { samples: 3, background: Background::Black, ..base }),
        ("cut", growing, RenderSettings { section: section(SectionView::Cut), ..base }),
        ("field on a section", growing, RenderSettings { section: section(SectionView::Field), ..base }),
        (
            "field in a box",
            growing,
            RenderSettings { section: section(SectionView::Field), section_box: within, ..base },
        ),
    ] {
        renderer.update_volume(&model.grid, &model.net, volume, &occupancy).unwrap();
        let want = VolumeRenderer::new(&field, cube, volume).unwrap().render(&camera, &settings).unwrap();
        assert_same(name, &renderer.render(&camera, &settings).unwrap(), &want);
    }
}

#[test]
fn radiance_without_bounds_looks_the_same_on_both() {
    let Some(gpu) = adapter() else { return };
    let dir = tempfile::tempdir().unwrap();
    let extra = ["--preset", "radiance-tiny", "--steps", "250", "--set", "rays.samples_per_step=8192"];
    let model = Model::load(fitted("scenes/farmyard", dir.path(), &extra)).unwrap();
    let occupancy = model.occupancy.clone().unwrap();
    let field = NeuralRadiance::new(&model.spec, model.grid.clone(), &model.net, occupancy.clone());
    assert_eq!(model.map.name(), "open");
    let cube = model.cube();
    let at = |x: f64, y: f64, z: f64| cube.centre() + 0.5 * cube.size * DVec3::new(x, y, z);
    let looking = |from: DVec3, to: DVec3| {
        // A volume takes software drivers a millisecond a pixel.
        Camera::with_fov_y(40, 30, 70.0, Camera::look_at(from, to, DVec3::Z).unwrap()).unwrap()
    };
    // From within the inner cube, and from two regions around it.
    let of_open = [
        ("from within", looking(at(0.5, 0.3, 0.1), at(-0.2, 0.1, 0.0))),
        ("from beside", looking(at(1.6, -0.4, 0.2), at(0.0, 0.0, 0.0))),
        ("from above", looking(at(-0.3, 0.9, 3.1), at(0.4, 0.0, 0.0))),
    ];
    // The same field in a frustum: what it shows does not matter.
    let axes = DMat3::from_cols(DVec3::new(0.8, 0.6, 0.0), DVec3::NEG_Z, DVec3::new(-0.6, 0.8, 0.0));
    let (low, high) = (DVec2::new(-0.9, -0.5), DVec2::new(0.7, 0.6));
    let frustum = Frustum { eye: DVec3::new(0.3, -0.2, 1.0), axes, low, high, near: 0.4 };
    let of_frustum = [
        ("from the apex", looking(frustum.eye, frustum.eye + axes.z_axis)),
        ("from aside", looking(frustum.eye + axes * DVec3::new(0.3, -0.1, 0.2), frustum.eye + axes.z_axis * 3.0)),
        ("from far beside", looking(frustum.eye + axes * DVec3::new(4.0, 0.3, 2.0), frustum.eye + axes.z_axis * 2.0)),
    ];
    let even = VolumeSettings { step: 0.004, ..VolumeSettings::default() };
    let growing = VolumeSettings { step: 2e-3, cone: 1.0 / 256.0, near: 0.2, ..VolumeSettings::default() };
    for (map, cameras) in [(model.map, of_open), (SceneMap::Forward(frustum), of_frustum)] {
        let uploaded = GpuField::new(&gpu, &model.spec, &model.grid, &model.net, GridPrecision::F16).unwrap();
        let mut renderer = GpuRenderer::volume(uploaded, map, even, &occupancy).unwrap();
        let normal = DVec3::new(0.5, 0.1, 0.2).normalize();
        let middle = map.to_world(DVec3::splat(0.5)).unwrap();
        let section = |show| Some(Section { normal, offset: normal.dot(middle), show });
        let within =
            Some((middle - DVec3::splat(0.2 * map.length_scale()), middle + DVec3::splat(0.3 * map.length_scale())));
        let base = RenderSettings { layers: LayerSet::all(), ..RenderSettings::default() };
        for (i, (place, camera)) in cameras.into_iter().enumerate() {
            // From other places the first of them is enough.
            let count = if i == 0 { 5 } else { 1 };
            let all = [
                ("even steps", even, base),
                ("growing steps", growing, RenderSettings { background: Background::Transparent, ..base }),
                ("cut", growing, RenderSettings { section: section(SectionView::Cut), ..base }),
                ("field on a section", even, RenderSettings { section: section(SectionView::Field), ..base }),
                (
                    "field in a box",
                    even,
                    RenderSettings { section: section(SectionView::Field), section_box: within, ..base },
                ),
            ];
            for (name, volume, settings) in all.into_iter().take(count) {
                renderer.update_volume(&model.grid, &model.net, volume, &occupancy).unwrap();
                let want = VolumeRenderer::new(&field, map, volume).unwrap().render(&camera, &settings).unwrap();
                let name = format!("{}, {place}, {name}", map.name());
                assert_same(&name, &by_one_shader(&renderer, &camera, &settings), &want);
            }
        }
    }
}

#[test]
fn the_command_renders_on_an_adapter_or_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let model = fitted("scenes/bracket.stl", dir.path(), &["--preset", "sdf-tiny", "--steps", "60"]);
    // Several frames of several samples are the processor's.
    let frames = |renderer: &str| -> (String, Vec<_>) {
        let folder = dir.path().join(renderer);
        let args = ["render", model.to_str().unwrap(), "--orbit", "2", "--size", "48x36", "--renderer", renderer];
        let out = nstr(&[&args[..], &["--stats", "-o", folder.to_str().unwrap()]].concat());
        let noted = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{noted}");
        assert!(!noted.contains("XDG_RUNTIME_DIR"), "Mesa's complaint is none of the user's: {noted}");
        let mut names: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        let pictures = names.iter().map(|p| png::read(p).unwrap()).collect();
        (String::from_utf8_lossy(&out.stdout).into_owned(), pictures)
    };
    let ((said, gpu), (_, cpu)) = (frames("gpu"), frames("cpu"));
    if adapter().is_some() {
        assert!(said.contains(" on "), "{said}");
    }
    assert_eq!((gpu.len(), cpu.len()), (2, 2));
    for (gpu, cpu) in gpu.iter().zip(&cpu) {
        let off = compare(gpu, cpu, 8).unwrap();
        assert!(off.outliers < 0.01, "{off:?}");
    }
    assert!(compare(&gpu[0], &gpu[1], 8).unwrap().outliers > 0.02, "the camera turns");
    // A driver list without an entry is a machine without an adapter.
    let picture = dir.path().join("a.png");
    let none = Command::new(env!("CARGO_BIN_EXE_nstr"))
        .args(["render", model.to_str().unwrap(), "-o", picture.to_str().unwrap(), "--size", "64x48"])
        .args(["--renderer", "gpu"])
        .envs([("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent"), ("WGPU_BACKEND", "vulkan")])
        .output()
        .unwrap();
    let noted = String::from_utf8_lossy(&none.stderr);
    assert!(none.status.success() && picture.exists(), "{noted}");
    assert!(noted.contains("mesa-vulkan-drivers") && noted.contains("on the CPU"), "{noted}");
}

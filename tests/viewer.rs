//! The built viewer on a virtual display: `Xvfb`, Mesa's software Vulkan, scripts, and a real pointer by `xdotool`. Tests
//! whose programs are not installed are skipped.
#![cfg(feature = "viewer")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use common::{Requirement, command, ok, scene, skip};
use nstr::camera::orbit::Up;
use nstr::field::model::Model;
use nstr::image::colour::Background;
use nstr::image::{Rgba8, png, testing};
use nstr::render::{Section, SectionView};
use nstr::viewer::{CameraPath, DisplayMode, Quality, RenderRequest, Scene, ViewCamera, render_image};

/// Virtual display, closed when dropped.
struct Display {
    /// Environment variables by which programs find it.
    environment: Vec<(&'static str, String)>,
    server: Child,
}

impl Display {
    /// Opens a free X11 display; skips and returns `None` without Xvfb.
    fn open() -> Option<Self> {
        // Tests run at the same time: each takes another number.
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        for _ in 0..100 {
            let step = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let n = 150 + (std::process::id() % 50) * 20 + step;
            let socket = format!("/tmp/.X11-unix/X{n}");
            if Path::new(&socket).exists() || Path::new(&format!("/tmp/.X{n}-lock")).exists() {
                continue;
            }
            let name = format!(":{n}");
            let server = Command::new("Xvfb")
                .args([&name, "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut server) = server else {
                skip(Requirement::Display, "Xvfb is not installed");
                return None;
            };
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(10) && server.try_wait().unwrap().is_none() {
                if Path::new(&socket).exists() {
                    return Some(Self { environment: vec![("DISPLAY", name)], server });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        skip(Requirement::Display, "no virtual display could be opened");
        None
    }

    /// Starts a Wayland compositor without a screen, on which a point is `scale` × `scale` pixels; its files are in `folder`.
    /// Skips and returns `None` without Weston.
    fn wayland(folder: &Path, scale: u32) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let runtime = folder.display().to_string();
        let server = Command::new("weston")
            .args(["--backend=headless-backend.so", "--socket=test", "--idle-time=0", "--no-config"])
            .args(["--width=2000", "--height=1600", &format!("--scale={scale}")])
            .env("XDG_RUNTIME_DIR", &runtime)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(server) = server else {
            skip(Requirement::Display, "weston is not installed");
            return None;
        };
        let environment = vec![("XDG_RUNTIME_DIR", runtime), ("WAYLAND_DISPLAY", "test".to_string())];
        let mut display = Self { environment, server };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) && display.server.try_wait().unwrap().is_none() {
            if folder.join("test").exists() {
                return Some(display);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        skip(Requirement::Display, "weston does not start here");
        None
    }

    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY");
        // The list of recent models is the test's own.
        command.env("XDG_STATE_HOME", folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `nstr` in `folder` with a script; skips and returns `None` without a graphics driver.
    fn nstr(&self, folder: &Path, args: &[&str], script: &str) -> Option<Output> {
        std::fs::write(folder.join("script.txt"), script).unwrap();
        let output = self
            .command(env!("CARGO_BIN_EXE_nstr"), folder)
            .args(args)
            .args(["--script", "script.txt"])
            .output()
            .unwrap();
        if String::from_utf8_lossy(&output.stderr).contains("no graphics adapter") {
            skip(Requirement::Gpu, "no Vulkan driver (mesa-vulkan-drivers)");
            return None;
        }
        Some(output)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn done(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// Writes a small fitted model, `m.safetensors`, to `folder`: the same for all tests, fitted once.
fn model(folder: &Path) {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    let model = MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mesh = scene("bracket.stl");
        // Long enough that the fit converges to the bracket despite different rounding.
        let fit = ["--preset", "sdf-tiny", "--steps", "1500", "--set", "train.batch=4096", "--no-eval"];
        ok(folder.path(), &[&["fit", &mesh, "-o", "m.safetensors"][..], &fit].concat());
        std::fs::read(folder.path().join("m.safetensors")).unwrap()
    });
    std::fs::write(folder.join("m.safetensors"), model).unwrap();
}

/// Mean absolute difference of two images of one size, 0 to 255.
fn difference(a: &Rgba8, b: &Rgba8) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let sum: u64 = a.data.iter().zip(&b.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.data.len() as f64
}

#[test]
fn the_image_follows_keys_and_pointer() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let script = "wait\nscreenshot window.png\npicture 1.png\n\
        key 2\nwait\npicture 2.png\nkey 3\nwait\npicture 3.png\nkey 4\nwait\npicture 4.png\nkey 5\nwait\npicture 5.png\n\
        key 6\nwait\npicture 6.png\nkey 7\nwait\npicture 7.png\nkey 8\nwait\npicture 8.png\n\
        key 1\ndrag left 60,150 120,180\nwait\npicture orbit.png\nkey ctrl+c\n\
        drag right 60,150 90,130\nwait\npicture pan.png\nwheel 3\nwait\npicture zoom.png\nhold d 0.3\nwait\n\
        picture fly.png\nkey ctrl+v\nwait\npicture paste.png\nkey r\nwait\npicture reset.png\n\
        key 9\nkey ]\nwait\nkey h\nwait 0.3\nscreenshot help.png\nkey escape\n\
        key F5\ndrag left 60,150 100,150\nkey F5\nkey F6\nwait\nkey r\nkey 1\n\
        key t\nwait\npicture wide.png\nkey t\nwait\npicture all.exr\n\
        key x\nresize 420x300\nscreenshot shrunk.png\nwait\n\
        resize 700x500\nwait\npicture small.png\nminimise\nrestore\nwait\nscreenshot last.png\nclose";
    let args = ["view", "m.safetensors", "--size", "480x320", "--look", "plain"];
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    let read = |name: &str| png::read(&at.join(name)).unwrap();
    let first = read("1.png");
    // The same image as that of `nstr render`: orientation, gamma, background, position.
    let size = format!("{}x{}", first.width, first.height);
    ok(at, &["render", "m.safetensors", "-o", "render.png", "--size", &size, "--spp", "16", "--look", "plain"]);
    let (off, moved) = (difference(&first, &read("render.png")), difference(&first, &read("orbit.png")));
    assert!(off < 0.6 && off < moved / 4.0, "{off} to render, {moved} by moving");
    let layers: Vec<Rgba8> = (1..9).map(|i| read(&format!("{i}.png"))).collect();
    for (i, a) in layers.iter().enumerate() {
        for (j, b) in layers.iter().enumerate().skip(i + 1) {
            // Without the transport term in the loss F stays 0, so that the residual is the gradient.
            let same = (i, j) == (4, 6);
            assert!(same || difference(a, b) > 0.5, "layers {} and {} look alike", i + 1, j + 1);
        }
    }
    let path = ["1.png", "orbit.png", "pan.png", "zoom.png", "fly.png"].map(read);
    assert!(path.windows(2).all(|w| difference(&w[0], &w[1]) > 0.5), "each move changes the image");
    assert!(read("reset.png") == first, "the same view is the same image");
    assert!(difference(&read("paste.png"), &path[1]) < 0.05, "the pasted camera is the copied one");
    // Image and panel share the window without overlap.
    let window = read("window.png");
    assert_eq!((window.width, window.height), (480, 320));
    assert_eq!(window.pixel(4, 4), [255; 4]);
    assert!(window.pixel(window.width - 3, 240)[0] < 60 && window.pixel(4, 317)[0] < 60);
    let close = |a: [u8; 4], b: [u8; 4]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 1);
    // The directions of the axes are drawn over the lower left corner.
    let covered = |x: u32, y: u32| x < 80 && y >= first.height - 80;
    let same = |x: u32, y: u32| covered(x, y) || close(window.pixel(x, y), first.pixel(x, y));
    assert!((0..first.height).all(|y| (0..first.width).all(|x| same(x, y))));
    assert!(difference(&read("help.png"), &window) > 3.0);
    assert!(read("wide.png").width > first.width + 200);
    // While the EXR is rendered there is no new image: the old one is shown whole, white at its right and left edges.
    let shrunk = read("shrunk.png");
    assert_eq!((shrunk.width, shrunk.height), (420, 300));
    assert!((10..190).all(|y| shrunk.pixel(2, y) == [255; 4] && shrunk.pixel(124, y) == [255; 4]));
    let (small, last) = (read("small.png"), read("last.png"));
    assert!(small.height > first.height && (last.width, last.height) == (700, 500));
    assert!(std::fs::metadata(at.join("all.exr")).unwrap().len() > 10_000);
}

#[test]
fn looks_are_those_of_render_and_the_section_has_handles() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    // The section's square handle is in the middle of the picture, where the camera looks; its arrow points along x.
    let script = "wait\npicture studio.png\nkey l\nwait\npicture clay.png\nkey l\nwait\npicture headlight.png\n\
        key c\nwait\npicture cut.png\ndrag left 94,147 120,135\nwait\npicture moved.png\n\
        drag left 20,270 60,280\nwait\npicture turned.png\nclose";
    let args = ["view", "m.safetensors", "--size", "480x320", "--renderer", "cpu"];
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    let read = |name: &str| png::read(&at.join(name)).unwrap();
    let studio = read("studio.png");
    let size = format!("{}x{}", studio.width, studio.height);
    for look in ["studio", "clay", "headlight"] {
        let file = format!("render-{look}.png");
        ok(
            at,
            &[
                "render",
                "m.safetensors",
                "-o",
                &file,
                "--size",
                &size,
                "--spp",
                "16",
                "--look",
                look,
                "--renderer",
                "cpu",
            ],
        );
        let off = difference(&read(&format!("{look}.png")), &read(&file));
        assert!(off < 0.6, "{look}: {off}");
    }
    assert!(difference(&studio, &read("clay.png")) > 2.0 && difference(&studio, &read("headlight.png")) > 1.0);
    // Graded: light below, darker above, and no pixel of plain white.
    assert!(studio.pixel(2, 2)[0] + 40 < studio.pixel(2, studio.height - 3)[0]);
    let [cut, moved, turned] = ["cut.png", "moved.png", "turned.png"].map(read);
    assert!(difference(&cut, &read("headlight.png")) > 1.0, "half of it is cut away");
    assert!(difference(&cut, &moved) > 0.5, "the handle moves the plane");
    assert!(difference(&moved, &turned) > 0.5, "a drag beside it turns the camera");
}

#[test]
fn everything_is_saved_from_inside_and_models_are_remembered() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    std::fs::write(at.join("m-4.png"), "mine").unwrap();
    let script = "wait\nkey p\nkey p\nkey m\nkey ctrl+s\nwait\n\
        key F5\ndrag left 60,150 100,150\nkey F5\nkey F5\nkey ctrl+z\nkey F8\nwait\nwait 0.2\nscreenshot said.png\n\
        key F8\nwait 0.1\nkey F8\nwait\npicture before.png\nload m-1.safetensors\nwait\npicture copy.png\nclose";
    let args = ["view", "m.safetensors", "--size", "480x320", "--renderer", "cpu"];
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    // Names go on after the highest, and no file is replaced.
    assert_eq!(std::fs::read(at.join("m-4.png")).unwrap(), b"mine");
    let [first, second] = ["m-5.png", "m-6.png"].map(|name| png::read(&at.join(name)).unwrap());
    assert!(first == second);
    let [before, copy] = ["before.png", "copy.png"].map(|name| png::read(&at.join(name)).unwrap());
    assert!(difference(&before, &copy) < 0.01 && difference(&first, &before) > 1.0);
    ok(at, &["mesh", "m.safetensors", "-o", "asked.ply"]);
    assert!(std::fs::read(at.join("m-1.ply")).unwrap() == std::fs::read(at.join("asked.ply")).unwrap());
    // One video is whole, the other was stopped.
    let videos: Vec<_> =
        ["mp4", "gif"].iter().flat_map(|e| [at.join(format!("m-1.{e}")), at.join(format!("m-2.{e}"))]).collect();
    let written: Vec<_> = videos.iter().filter(|f| f.exists()).collect();
    assert!(written.len() == 1 && written[0].to_string_lossy().contains("m-1."), "{written:?}");
    assert!(std::fs::metadata(written[0]).unwrap().len() > 2000);
    let recent = std::fs::read_to_string(at.join("nstr/recent.json")).unwrap();
    let place = |name: &str| recent.find(name).unwrap_or_else(|| panic!("{name} in {recent}"));
    assert!(place("m-1.safetensors") < place("/m.safetensors"));
}

#[test]
fn points_are_read_and_aids_are_drawn() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    std::fs::copy(scene("bracket.stl"), at.join("bracket.stl")).unwrap();
    let script = "wait\nscreenshot plain.png\nkey b\nkey g\nwait 0.5\nscreenshot aids.png\nkey b\nkey g\n\
        click 94,150\nwait 0.5\nscreenshot point.png\nkey escape\n\
        key 9\nwait 3\nwait\npicture error.png\nkey 1\nwait\npicture shaded.png\n\
        key f2\nwait\npicture front.png\nkey o\nwait\npicture parallel.png\nclose";
    let args = ["view", "m.safetensors", "--size", "480x320", "--renderer", "cpu"];
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    let read = |name: &str| png::read(&at.join(name)).unwrap();
    let plain = read("plain.png");
    assert!(difference(&plain, &read("aids.png")) > 1.0, "boxes and grid");
    // The panel's first lines name the model; below them the point has moved the layers down.
    let (point, below) = (read("point.png"), |x: u32, y: u32| x > 196 && (70..280).contains(&y));
    let changed = |x: u32, y: u32| point.pixel(x, y) != plain.pixel(x, y);
    let count = (0..320).flat_map(|y| (0..480).map(move |x| (x, y))).filter(|(x, y)| below(*x, *y) && changed(*x, *y));
    assert!(count.count() > 1500, "the panel shows the point");
    // The fit is close to its mesh, which lies beside the model: mostly the dark end of the colour map.
    let (error, shaded) = (read("error.png"), read("shaded.png"));
    let centre = |image: &Rgba8| image.pixel(94, 150)[..3].iter().map(|v| u32::from(*v)).sum::<u32>();
    assert!(difference(&error, &shaded) > 1.0 && centre(&error) < centre(&shaded));
    assert!(
        difference(&read("front.png"), &shaded) > 1.0 && difference(&read("front.png"), &read("parallel.png")) > 0.05
    );
}

/// Other vector widths and numbers of threads fit a slightly different field. Against 1 and 5 threads and AVX2, 0.3 % of the
/// pixels differ by more than 32 of 255, and 1.4 % of those of normals by more than 48, all at silhouettes and creases.
/// `NSTR_BLESS=1` stores new snapshots.
#[test]
fn images_match_the_stored_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path());
    let file = folder.path().join("m.safetensors");
    let scene = Arc::new(Scene::of_model(&file, Arc::new(Model::load(&file).unwrap())).unwrap());
    // The camera follows the cube, which depends on the mesh only, not on the fit.
    let mut camera = ViewCamera::home(scene.cube.bounds(), Up::Y).unwrap();
    camera.zoom(6.0);
    let centre = (scene.cube.bounds().0 + scene.cube.bounds().1) * 0.5;
    let cut = |show| Some(Section { normal: glam::DVec3::X, offset: centre.x, show });
    let request = RenderRequest::shaded(scene, camera.camera((160, 120)), Quality::Full(8));
    let normals = RenderRequest { mode: DisplayMode::Normals, background: Background::Black, ..request.clone() };
    for (name, steps, share, request) in [
        ("shaded", 32, 0.01, request.clone()),
        ("normals", 48, 0.03, normals),
        ("section", 32, 0.01, RenderRequest { section: cut(SectionView::Cut), shadows: true, ..request.clone() }),
        ("section_field", 32, 0.01, RenderRequest { section: cut(SectionView::Field), ..request.clone() }),
    ] {
        let stored = format!("{}/tests/snapshots/viewer_{name}.png", env!("CARGO_MANIFEST_DIR"));
        testing::check_snapshot(Path::new(&stored), &render_image(request).unwrap(), steps, share).unwrap();
    }
}

#[test]
fn camera_paths_are_loaded_by_option_and_by_dropping() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let file = at.join("m.safetensors");
    let scene = Scene::of_model(&file, Arc::new(Model::load(&file).unwrap())).unwrap();
    let mut camera = ViewCamera::home(scene.bounds(), Up::Y).unwrap();
    let keys = [0.9, 0.7, 0.7].map(|yaw| {
        camera.orbit(yaw, 0.1);
        camera
    });
    // Size of the image in a window of 480×320.
    let size = (188, 294);
    let path = CameraPath { keys: keys.to_vec(), seconds_between_keys: 0.08, ..CameraPath::default() };
    path.save(&at.join("tour.json"), size).unwrap();
    std::fs::write(at.join("bad.json"), "{\"frames\": []}").unwrap();
    let script = "wait\npicture first.png\nkey F6\nwait\npicture last.png\nkey r\nwait\npicture home.png\n\
        load bad.json\nwait 0.3\nscreenshot said.png\nwait\npicture still.png\n\
        load tour.json\nwait\npicture again.png\nclose";
    let args = ["view", "m.safetensors", "--size", "480x320", "--path", "tour.json", "--look", "plain"];
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    let read = |name: &str| png::read(&at.join(name)).unwrap();
    let [first, last, home] = ["first.png", "last.png", "home.png"].map(read);
    assert_eq!((first.width, first.height), size);
    // The window shows the images that `nstr render --path` makes of the file.
    ok(at, &["render", "m.safetensors", "-o", "frames/", "--path", "tour.json", "--spp", "16", "--look", "plain"]);
    let mut frames: Vec<_> = std::fs::read_dir(at.join("frames")).unwrap().map(|e| e.unwrap().path()).collect();
    frames.sort();
    assert_eq!(frames.len(), 5);
    for (seen, rendered) in [(&first, &frames[0]), (&last, &frames[4])] {
        let off = difference(seen, &png::read(rendered).unwrap());
        assert!(off < 0.6, "{off}");
    }
    assert!(difference(&first, &last) > 3.0 && difference(&first, &home) > 3.0);
    // A file without a path changes nothing; a message appears over the image.
    assert!(read("still.png") == home && read("again.png") == first);
    let (said, x) = (read("said.png"), size.0 / 2);
    assert!((230..294).any(|y| said.pixel(x - 40, y)[0] < 120 && home.pixel(x - 40, y)[0] > 200));
    let args = ["view", "m.safetensors", "--path", "bad.json"];
    let refused = display.nstr(at, &args, "close").unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bad.json"));
}

#[test]
fn shaders_render_the_same_images() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let pictures = |renderer: &str, [layer, background, script]: [&str; 3], names: [&str; 2]| {
        let args = ["view", "m.safetensors", "--size", "480x320", "--renderer", renderer];
        let background: &[&str] = if background.is_empty() { &[] } else { &["--background", background] };
        let args = [&args[..], &["--layer", layer], background].concat();
        // Pictures of 80×160 pixels: software drivers take seconds for each of a pixel's samples.
        done(&display.nstr(at, &args, &format!("resize 372x186\n{script}"))?);
        Some(names.map(|name| png::read(&at.join(name)).unwrap()))
    };
    // No shader is compiled in both processes: one shows colours, the other layers.
    let shaded = "wait\npicture 1.png\ndrag left 20,70 60,80\nwait\npicture orbit.png\nclose";
    let shaded = (["colour", "white", shaded], ["1.png", "orbit.png"]);
    let layers = "wait\npicture 2.png\nkey 4\nwait\npicture 4.png\nscreenshot window.png\nclose";
    let layers = (["normal", "transparent", layers], ["2.png", "4.png"]);
    // From above, so that much of the ground is seen, with the shadow on it.
    let graded = "drag left 20,60 20,90\nwait\npicture 3.png\ndrag left 20,70 60,80\nwait\npicture 5.png\nclose";
    let graded = (["colour", "", graded], ["3.png", "5.png"]);
    for (asked, names) in [shaded, layers, graded] {
        let Some(cpu) = pictures("cpu", asked, names) else { return };
        let gpu = pictures("gpu", asked, names).unwrap();
        for ((gpu, cpu), name) in gpu.iter().zip(&cpu).zip(names) {
            if asked[0] == "colour" {
                let off = difference(gpu, cpu);
                assert!(off < 0.8, "{name}: {off}");
                continue;
            }
            // Of other layers the CPU alone refines edges, a few of the pixels.
            let (a, b) = (gpu.data.as_chunks::<4>().0, cpu.data.as_chunks::<4>().0);
            let differs = |(a, b): &(&[u8; 4], &[u8; 4])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > 12);
            let share = a.iter().zip(b).filter(differs).count() as f64 / a.len() as f64;
            assert!(share < 0.2, "{name}: {share}");
        }
        assert!(difference(&gpu[0], &gpu[1]) > 3.0, "the drag turned the model, the key changed the layer");
        // A transparent background is transparent in the file and a chequerboard in the window.
        let [_, background, _] = asked;
        let corner = match background {
            "white" => [255; 4],
            "transparent" => [0; 4],
            _ => cpu[0].pixel(2, 2),
        };
        assert_eq!(gpu[0].pixel(2, 2), corner);
    }
    let window = png::read(&at.join("window.png")).unwrap();
    assert_eq!(window.width, 372);
    let grey = [window.pixel(2, 2), window.pixel(10, 2)].map(|p| p[0]);
    assert!(grey[0].abs_diff(107) <= 1 && grey[1].abs_diff(128) <= 1, "{grey:?}");
}

#[test]
fn a_real_pointer_turns_the_model() {
    let Some(display) = Display::open() else { return };
    if Command::new("xdotool").arg("version").output().is_err() {
        return skip(Requirement::Display, "xdotool is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let script = "wait\npicture before.png\nwait 4\nwait\npicture after.png\nclose";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while !at.join("before.png").exists() && start.elapsed() < Duration::from_secs(120) {
                std::thread::sleep(Duration::from_millis(100));
            }
            let tool = |words: &str| {
                display.command("xdotool", at).args(words.split(' ')).output().unwrap();
            };
            tool("search --sync --name nstr windowfocus");
            tool("mousemove 60 150 mousedown 1 mousemove 90 160 mousemove 120 170 mouseup 1");
            tool("key 2");
        });
        let Some(output) = display.nstr(at, &["view", "m.safetensors", "--size", "480x320"], script) else { return };
        done(&output);
        let [before, after] = ["before.png", "after.png"].map(|name| png::read(&at.join(name)).unwrap());
        assert!(difference(&before, &after) > 5.0, "turned, and displayed as normals");
    });
}

#[test]
fn a_fit_in_a_window_stops_and_saves_when_the_window_closes() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mesh = scene("bracket.stl");
    let args = ["view", &mesh, "-o", "live.safetensors", "--preset", "sdf-tiny", "--steps", "1000000"];
    let script = "wait picture\nwait 2\nscreenshot live.png\nkey space\nwait 1\nkey space\nwait 0.5\nclose";
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    let text = ok(at, &["inspect", "live.safetensors"]);
    assert!(text.contains("parameters"), "{text}");
    assert!(at.join("live.checkpoint.safetensors").exists());
    // The default width of 1280 less what bars of the screen, which is as wide, may take.
    assert_eq!(png::read(&at.join("live.png")).unwrap().width, 1272);
    // An existing model is not overwritten unless it is named.
    std::fs::rename(at.join("live.safetensors"), at.join("bracket.safetensors")).unwrap();
    let refused = display.nstr(at, &["view", &mesh], "close").unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("-o"));
}

#[test]
fn a_watched_fit_leaves_painting_its_share_and_closes_the_window() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mesh = scene("bracket.stl");
    let args = ["view", &mesh, "-o", "live.safetensors", "--preset", "sdf-tiny", "--time", "8s", "--close"];
    // The camera moves for a part of the time.
    let script = "wait picture\ndrag left 300,300 420,330\ndrag left 300,300 420,330\nwait 1\nkey 2";
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("painting took")).unwrap_or_else(|| panic!("{said}"));
    let share: f64 = line.split("painting took ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // 15 %, what a moving camera may borrow, and the last snapshot and its picture; without a budget it is some 70 %.
    assert!(share > 0.0 && share <= 40.0, "{line}");
    assert!(!said.contains("XDG_RUNTIME_DIR"), "{said}");
    assert!(at.join("live.safetensors").exists());
    let refused = display.nstr(at, &["view", "live.safetensors", "--close"], "close").unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_measured_session_runs_by_itself() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let output = display
        .command(env!("CARGO_BIN_EXE_nstr"), at)
        .args(["view", "m.safetensors", "--size", "480x320", "--bench", "--json", "bench.json"])
        .output()
        .unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("no graphics adapter") {
        return skip(Requirement::Gpu, "no Vulkan driver (mesa-vulkan-drivers)");
    }
    done(&output);
    let text = std::fs::read_to_string(at.join("bench.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
    let number = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {text}"));
    for name in ["pictures_per_second", "first_change_ms", "clean_s", "present_ms"] {
        assert!(number(name) > 0.0, "{name}: {text}");
    }
    assert!(number("scale") > 0.05 && number("scale") <= 1.0, "{text}");
    assert_eq!(figures["picture"], serde_json::json!([188, 294]));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("different pictures a second") && table.contains("188 x 294"), "{table}");
}

#[test]
fn a_transparent_background_is_chequered_in_window_pixels() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    // Seen while moving, from pictures of any resolution, and at rest.
    let script = "wait\nscreenshot rest.png\ndrag left 60,150 100,160\nscreenshot moved.png\nwait\nclose";
    let args = ["view", "m.safetensors", "--size", "480x320", "--background", "transparent"];
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    for name in ["rest.png", "moved.png"] {
        let shot = png::read(&at.join(name)).unwrap();
        for x in 0..160 {
            let grey = if (x / 8) % 2 == 0 { 107u8 } else { 128 };
            assert!(shot.pixel(x, 2)[0].abs_diff(grey) <= 1, "{name} at {x}: {:?}", shot.pixel(x, 2));
        }
    }
}

#[test]
fn on_wayland_images_are_the_same_and_sizes_are_in_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let (x11, runtimes) = (Display::open(), [1, 2].map(|scale| (scale, tempfile::tempdir().unwrap())));
    let mut pictures = Vec::new();
    // The smallest window of each scale, and one that is a little larger.
    let mut run = |display: &Display, name: &str, scale: u32| {
        let sizes = [(480 * scale, 320 * scale), (520 * scale, 350 * scale)];
        let [first, second] = sizes.map(|(width, height)| format!("{width}x{height}"));
        let script = format!(
            "wait\npicture {name}.png\nscreenshot {name}-0.png\nresize {second}\nwait\nscreenshot {name}-1.png\nclose"
        );
        // Normals, for they take one sample a pixel.
        let args = ["view", "m.safetensors", "--size", &first, "--layer", "normal", "--renderer", "cpu"];
        let Some(output) = display.nstr(at, &args, &script) else { return };
        done(&output);
        for (number, size) in sizes.into_iter().enumerate() {
            let shot = png::read(&at.join(format!("{name}-{number}.png"))).unwrap();
            assert_eq!((shot.width, shot.height), size, "{name}");
        }
        pictures.push(png::read(&at.join(format!("{name}.png"))).unwrap());
    };
    x11.iter().for_each(|display| run(display, "x11", 1));
    for (scale, runtime) in &runtimes {
        Display::wayland(runtime.path(), *scale).iter().for_each(|d| run(d, &format!("wayland-{scale}"), *scale));
    }
    // The panel takes more pixels at twice the scale, so that only images of one scale are comparable.
    if let [a, b, ..] = pictures.as_slice() {
        assert!(x11.is_none() || difference(a, b) < 0.05, "{}", difference(a, b));
    }
}

#[test]
fn without_a_display_an_error_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    for (set, word) in [(None, "neither DISPLAY nor WAYLAND_DISPLAY"), (Some(":4999"), "DISPLAY=:4999")] {
        let mut command = command(at, &["view", "m.safetensors"]);
        for name in ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"] {
            command.env_remove(name);
        }
        let output = command.envs(set.map(|s| ("DISPLAY", s))).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(word) && !said.contains("panicked"), "{said}");
    }
}

//! The built viewer on a virtual display: `Xvfb`, Mesa's software Vulkan, scripts, and a real pointer by `xdotool`. What is
//! not installed is said and skipped.
#![cfg(feature = "viewer")]

#[allow(dead_code, reason = "shared with the other tests of the command")]
mod common;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{command, ok, scene};
use nstr::render::image::{Rgba8, png};

/// A virtual display, as long as it lives.
struct Display {
    name: String,
    server: Child,
}

impl Display {
    /// A free one; `None`, said, where there is no Xvfb.
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
                .args([&name, "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut server) = server else {
                println!("skipped: Xvfb is not installed");
                return None;
            };
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(10) && server.try_wait().unwrap().is_none() {
                if Path::new(&socket).exists() {
                    return Some(Self { name, server });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        println!("skipped: no virtual display could be opened");
        None
    }

    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Runs `nstr` in `folder` with a script; `None`, said, where no driver can draw.
    fn nstr(&self, folder: &Path, args: &[&str], script: &str) -> Option<Output> {
        std::fs::write(folder.join("script.txt"), script).unwrap();
        let output = self
            .command(env!("CARGO_BIN_EXE_nstr"), folder)
            .args(args)
            .args(["--script", "script.txt"])
            .output()
            .unwrap();
        if String::from_utf8_lossy(&output.stderr).contains("no graphics adapter") {
            println!("skipped: no Vulkan driver (mesa-vulkan-drivers)");
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

/// A small model in `folder`.
fn model(folder: &Path) {
    let mesh = scene("bracket.stl");
    ok(folder, &["fit", &mesh, "-o", "m.safetensors", "--preset", "sdf-tiny", "--steps", "400", "--no-eval"]);
}

/// Mean absolute difference of two pictures of one size, 0 to 255.
fn difference(a: &Rgba8, b: &Rgba8) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let sum: u64 = a.data.iter().zip(&b.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.data.len() as f64
}

#[test]
fn what_is_seen_follows_keys_and_pointer() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let script = "wait\nscreenshot window.png\npicture 1.png\n\
        key 2\nwait\npicture 2.png\nkey 3\nwait\npicture 3.png\nkey 4\nwait\npicture 4.png\nkey 5\nwait\npicture 5.png\n\
        key 6\nwait\npicture 6.png\nkey 7\nwait\npicture 7.png\nkey 8\nwait\npicture 8.png\n\
        key 1\ndrag left 140,200 200,230\nwait\npicture orbit.png\nkey ctrl+c\n\
        drag right 140,200 170,180\nwait\npicture pan.png\nwheel 3\nwait\npicture zoom.png\nhold d 0.3\nwait\n\
        picture fly.png\nkey ctrl+v\nwait\npicture paste.png\nkey r\nwait\npicture reset.png\n\
        key 9\nkey ]\nwait\nkey h\nwait 0.3\nscreenshot help.png\nkey escape\n\
        key F5\ndrag left 140,200 180,200\nkey F5\nkey F6\nwait\nkey r\nkey 1\n\
        key t\nwait\npicture wide.png\nkey t\nwait\npicture all.exr\n\
        resize 700x500\nwait\npicture small.png\nminimise\nrestore\nwait\nscreenshot last.png\nclose";
    let args = ["view", "m.safetensors", "--size", "580x420"];
    let Some(output) = display.nstr(at, &args, script) else { return };
    done(&output);
    let read = |name: &str| png::read(&at.join(name)).unwrap();
    let first = read("1.png");
    // The same as `nstr render` shows: orientation, gamma, background, place.
    let size = format!("{}x{}", first.width, first.height);
    ok(at, &["render", "m.safetensors", "-o", "render.png", "--size", &size, "--spp", "16"]);
    let (off, moved) = (difference(&first, &read("render.png")), difference(&first, &read("orbit.png")));
    assert!(off < 0.6 && off < moved / 4.0, "{off} to render, {moved} by moving");
    let layers: Vec<Rgba8> = (1..9).map(|i| read(&format!("{i}.png"))).collect();
    for (i, a) in layers.iter().enumerate() {
        for (j, b) in layers.iter().enumerate().skip(i + 1) {
            // Without its term in the loss F learns nothing: the residual is the gradient.
            let same = (i, j) == (4, 6);
            assert!(same || difference(a, b) > 0.5, "layers {} and {} look alike", i + 1, j + 1);
        }
    }
    let path = ["1.png", "orbit.png", "pan.png", "zoom.png", "fly.png"].map(read);
    assert!(path.windows(2).all(|w| difference(&w[0], &w[1]) > 0.5), "each move changes the picture");
    assert!(read("reset.png") == first, "the same view is the same picture");
    assert!(difference(&read("paste.png"), &path[1]) < 0.05, "the pasted camera is the copied one");
    // The picture and the panel share the window without overlap.
    let window = read("window.png");
    assert_eq!((window.width, window.height), (580, 420));
    assert_eq!(window.pixel(4, 4), [255; 4]);
    assert!(window.pixel(window.width - 3, 240)[0] < 60 && window.pixel(4, 417)[0] < 60);
    let close = |a: [u8; 4], b: [u8; 4]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 1);
    assert!((0..first.height).all(|y| (0..first.width).all(|x| close(window.pixel(x, y), first.pixel(x, y)))));
    assert!(difference(&read("help.png"), &window) > 3.0);
    assert!(read("wide.png").width > first.width + 200);
    let (small, last) = (read("small.png"), read("last.png"));
    assert!(small.height > first.height && (last.width, last.height) == (700, 500));
    assert!(std::fs::metadata(at.join("all.exr")).unwrap().len() > 10_000);
}

#[test]
fn shaders_paint_the_same_pictures() {
    let Some(display) = Display::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    // 9 without a capture is the shaded picture; the section makes another shader's branch, not another shader.
    let script = "wait\npicture 1.png\nkey 2\nwait\npicture 2.png\nkey 4\nwait\npicture 4.png\nkey 1\n\
        drag left 100,150 160,170\nwait\npicture orbit.png\nscreenshot window.png\nclose";
    let pictures = |renderer: &str| {
        let args = ["view", "m.safetensors", "--size", "480x320", "--renderer", renderer];
        done(&display.nstr(at, &args, script)?);
        Some(["1", "2", "4", "orbit"].map(|name| png::read(&at.join(format!("{name}.png"))).unwrap()))
    };
    let Some(cpu) = pictures("cpu") else { return };
    let gpu = pictures("gpu").unwrap();
    for (i, (gpu, cpu)) in gpu.iter().zip(&cpu).enumerate() {
        let off = difference(gpu, cpu);
        assert!(off < 0.8, "picture {i}: {off}");
    }
    assert!(difference(&gpu[0], &gpu[3]) > 3.0, "the drag turned it");
    assert!(png::read(&at.join("window.png")).unwrap().width == 480);
}

#[test]
fn a_real_pointer_turns_the_model() {
    let Some(display) = Display::open() else { return };
    if Command::new("xdotool").arg("version").output().is_err() {
        return println!("skipped: xdotool is not installed");
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
            tool("mousemove 150 200 mousedown 1 mousemove 190 210 mousemove 230 220 mouseup 1");
            tool("key 2");
        });
        let Some(output) = display.nstr(at, &["view", "m.safetensors", "--size", "640x480"], script) else { return };
        done(&output);
        let [before, after] = ["before.png", "after.png"].map(|name| png::read(&at.join(name)).unwrap());
        assert!(difference(&before, &after) > 5.0, "turned, and in the colours of normals");
    });
}

#[test]
fn a_fit_that_is_looked_at_stops_and_saves_when_the_window_closes() {
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
    assert!(png::read(&at.join("live.png")).unwrap().width == 1280);
    // A model that is there is not written over without being named.
    std::fs::rename(at.join("live.safetensors"), at.join("bracket.safetensors")).unwrap();
    let refused = display.nstr(at, &["view", &mesh], "close").unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("-o"));
}

#[test]
fn without_a_display_it_says_so() {
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

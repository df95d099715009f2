//! Rendering of the camera path to a video, on a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nstr_camera::camera::Camera;
use nstr_image::colour::Background;
use nstr_image::video::Video;
use nstr_image::{Rgba8, gif};
use nstr_pipeline::renderer::CpuRenderer;
use nstr_pipeline::time_left::TimeLeft;

use crate::camera_path::FRAME_RATE;
use crate::cpu_backend::{downscaled, render_frame};
use crate::display_mode::DisplayMode;
use crate::edges::EdgeRefiner;
use crate::progressive::edge_pass;
use crate::render_backend::RenderRequest;
use crate::render_thread::Waker;
use crate::tonemap::{ColourRanges, colour_ranges, tonemap};

/// Format of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VideoFormat {
    /// MP4, through an installed ffmpeg.
    Mp4,
    /// GIF, of every second frame and at most [`GIF_SIDE`] pixels a side.
    Gif,
}

/// Longest side of a GIF: larger ones take hundreds of megabytes.
const GIF_SIDE: u32 = 640;
/// Cameras along the path whose false colours give the range of all frames.
const RANGE_CAMERAS: usize = 12;
/// Pixels along an edge for one of the pictures that the range is taken from.
const RANGE_DIVISOR: u32 = 6;

impl VideoFormat {
    /// The format that this computer can write best.
    pub fn available() -> Self {
        if nstr_image::video::is_available() { Self::Mp4 } else { Self::Gif }
    }

    /// Ending of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Gif => "gif",
        }
    }

    /// Path frames for one of the video.
    fn stride(self) -> usize {
        match self {
            Self::Mp4 => 1,
            Self::Gif => 2,
        }
    }

    /// Cameras of the video's frames, of those of the path.
    fn cameras(self, path: &[Camera]) -> Vec<Camera> {
        let shrink = |camera: &Camera| match self {
            Self::Mp4 => *camera,
            Self::Gif => {
                let longest = camera.width.max(camera.height);
                let side = |v: u32| (u64::from(v) * u64::from(GIF_SIDE) / u64::from(longest.max(1))).max(1) as u32;
                if longest > GIF_SIDE { camera.resized(side(camera.width), side(camera.height)) } else { *camera }
            }
        };
        path.iter().step_by(self.stride()).map(shrink).collect()
    }
}

/// Done and all frames of a video, and the time left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VideoProgress {
    /// Rendered frames.
    pub done: usize,
    /// All frames.
    pub frames: usize,
    /// Time left by the speed so far; `None` as long as too little is known.
    pub left: Option<Duration>,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicUsize,
    stop: AtomicBool,
}

/// Video that is being rendered.
#[derive(Debug)]
pub(crate) struct VideoExport {
    shared: Arc<Shared>,
    frames: usize,
    start: Instant,
    estimate: TimeLeft,
    thread: Option<JoinHandle<String>>,
}

impl VideoExport {
    /// Starts to render what `request` shows from the cameras of a path, 25 a second, to `file`; calls `wake` after every frame.
    ///
    /// # Errors
    /// A message for the user: what cannot be rendered from other cameras, no thread to render in.
    pub fn start(
        file: PathBuf,
        format: VideoFormat,
        request: RenderRequest,
        path: &[Camera],
        wake: Waker,
    ) -> Result<Self, String> {
        if request.mode == DisplayMode::Error {
            return Err("the layer error belongs to one camera: choose another layer for a video".into());
        }
        let cameras = format.cameras(path);
        if cameras.len() < 2 {
            return Err("a video needs a camera path of at least two keys: F5 adds one".into());
        }
        let shared = Arc::new(Shared::default());
        let (frames, of_thread) = (cameras.len(), shared.clone());
        let work = move || {
            let written = write(&file, format, &request, &cameras, &of_thread, &wake);
            let said = match written {
                Ok(true) => format!("wrote {} ({} frames)", file.display(), cameras.len()),
                Ok(false) => format!("stopped: {} was not written", file.display()),
                Err(reason) => reason,
            };
            wake();
            said
        };
        let thread = std::thread::Builder::new().name("video".into()).spawn(work);
        let thread = Some(thread.map_err(|e| format!("cannot start a thread to render in: {e}"))?);
        Ok(Self { shared, frames, start: Instant::now(), estimate: TimeLeft::default(), thread })
    }

    /// Frames so far and the time left.
    pub fn progress(&mut self) -> VideoProgress {
        let done = self.shared.done.load(Ordering::Relaxed);
        let now = self.start.elapsed().as_secs_f64();
        self.estimate.update(now, done as f64 / self.frames.max(1) as f64);
        let left = self.estimate.left(now).map(Duration::from_secs_f64);
        VideoProgress { done, frames: self.frames, left }
    }

    /// Stops after the frame that is being rendered; nothing is written.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Message for the user once the thread has ended.
    pub fn take_message(&mut self) -> Option<String> {
        let thread = self.thread.take_if(|t| t.is_finished())?;
        Some(thread.join().unwrap_or_else(|_| "rendering the video failed".into()))
    }

    /// Stops and waits for the thread.
    pub fn abandon(mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // Its message has no reader any more.
            let _ = thread.join();
        }
    }
}

/// Renders and writes the video; `false` if it was stopped. `Err` is a message for the user.
fn write(
    file: &Path,
    format: VideoFormat,
    request: &RenderRequest,
    cameras: &[Camera],
    shared: &Shared,
    wake: &Waker,
) -> Result<bool, String> {
    let first = cameras.first().ok_or("no frame to write")?;
    // Before anything is rendered: the program may be missing, the folder not writable.
    let mut video = match format {
        VideoFormat::Mp4 => {
            Some(Video::start(file, (first.width, first.height), FRAME_RATE).map_err(|e| e.to_string())?)
        }
        VideoFormat::Gif => None,
    };
    let renderer = request.scene.renderer().map_err(|e| e.to_string())?;
    let ranges = ranges(&renderer, request, cameras)?;
    let mut pictures = Vec::new();
    for camera in cameras {
        if shared.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let picture = still(&renderer, request, camera, ranges)?;
        match &mut video {
            Some(video) => video.push(&picture).map_err(|e| e.to_string())?,
            None => pictures.push(picture),
        }
        shared.done.fetch_add(1, Ordering::Relaxed);
        wake();
    }
    match video {
        Some(video) => video.finish(),
        None => gif::write(file, &pictures, (100.0 / FRAME_RATE) as u16 * format.stride() as u16),
    }
    .map_err(|e| e.to_string())?;
    Ok(true)
}

/// The picture that the window would show from `camera`: one sample a pixel, and those of the request at edges.
fn still(
    renderer: &CpuRenderer<'_>,
    request: &RenderRequest,
    camera: &Camera,
    ranges: Option<ColourRanges>,
) -> Result<Rgba8, String> {
    let request = RenderRequest { camera: *camera, ..request.clone() };
    let layers = request.mode.layers_with_depth();
    let frame = render_frame(renderer, camera, &request, layers, (1, 0), Background::Transparent);
    let frame = frame.map_err(|e| e.to_string())?;
    let Some(pass) = edge_pass(&request) else { return Ok(tonemap(&frame, &[], &request, camera, ranges).image) };
    let of_colours = ranges.unwrap_or_else(|| colour_ranges(&frame, request.mode));
    let mut edges = EdgeRefiner::new(&frame, &request, of_colours);
    while edges.advance(renderer, &request, pass).map_err(|e| e.to_string())? < 1.0 {}
    let refined = if edges.frame.colour.is_empty() { &frame } else { &edges.frame };
    Ok(tonemap(refined, &edges.patches, &request, camera, ranges).image)
}

/// Ranges of false colours over the whole path, so that a colour stands for one value in all frames; `None` for colours.
fn ranges(
    renderer: &CpuRenderer<'_>,
    request: &RenderRequest,
    cameras: &[Camera],
) -> Result<Option<ColourRanges>, String> {
    if matches!(request.mode, DisplayMode::Shaded | DisplayMode::Normals) {
        return Ok(None);
    }
    let mut all: Option<ColourRanges> = None;
    for camera in cameras.iter().step_by(cameras.len().div_ceil(RANGE_CAMERAS)) {
        let coarse = downscaled(camera, RANGE_DIVISOR);
        let layers = request.mode.layers_with_depth();
        let frame = render_frame(renderer, &coarse, request, layers, (1, 0), Background::Transparent);
        let seen = colour_ranges(&frame.map_err(|e| e.to_string())?, request.mode);
        all = Some(all.map_or(seen, |all| std::array::from_fn(|i| (all[i].0.min(seen[i].0), all[i].1.max(seen[i].1)))));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use glam::{DVec3, Vec3};
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;
    use crate::render_backend::Quality;
    use crate::scene::{Scene, SceneField};

    fn cameras(count: usize, size: (u32, u32)) -> Vec<Camera> {
        let camera = |i: usize| {
            let angle = i as f64 * 0.1;
            let eye = DVec3::new(0.5 + 2.0 * angle.sin(), 0.6, 0.5 + 2.0 * angle.cos());
            let pose = Camera::look_at(eye, DVec3::splat(0.5), DVec3::Y).unwrap();
            Camera::with_fov_y(size.0, size.1, 40.0, pose).unwrap()
        };
        (0..count).map(camera).collect()
    }

    fn request(camera: Camera) -> RenderRequest {
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Arc::new(Scene::new(SceneField::Sdf(Arc::new(ball)), Cube::default()));
        RenderRequest::shaded(scene, camera, Quality::Full(2))
    }

    fn wait(video: &mut VideoExport) -> String {
        loop {
            if let Some(said) = video.take_message() {
                return said;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn quiet() -> Waker {
        Arc::new(|| ())
    }

    #[test]
    fn a_path_becomes_a_file_with_all_frames() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tour.gif");
        let path = cameras(9, (40, 30));
        let mut video = VideoExport::start(file.clone(), VideoFormat::Gif, request(path[0]), &path, quiet()).unwrap();
        let said = wait(&mut video);
        assert!(said.contains("wrote") && said.contains("tour.gif") && said.contains("5 frames"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap()[..4], *b"GIF8");
        let VideoProgress { done, frames, left } = video.progress();
        assert_eq!((done, frames, left), (5, 5, Some(Duration::ZERO)));
    }

    #[test]
    fn a_stopped_video_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tour.gif");
        let path = cameras(2000, (64, 48));
        let mut video = VideoExport::start(file.clone(), VideoFormat::Gif, request(path[0]), &path, quiet()).unwrap();
        video.stop();
        assert!(wait(&mut video).contains("was not written"));
        assert!(!file.exists());
        assert!(video.progress().done < 1000);
        VideoExport::start(file.clone(), VideoFormat::Gif, request(path[0]), &path, quiet()).unwrap().abandon();
        assert!(!file.exists());
    }

    #[test]
    fn what_has_no_video_is_refused() {
        let path = cameras(3, (40, 30));
        let error = RenderRequest { mode: DisplayMode::Error, ..request(path[0]) };
        let start =
            |request, path: &[Camera]| VideoExport::start("x.gif".into(), VideoFormat::Gif, request, path, quiet());
        assert!(start(error, &path).unwrap_err().contains("another layer"));
        assert!(start(request(path[0]), &path[..1]).unwrap_err().contains("F5"));
        let mut video =
            VideoExport::start("/nowhere/x.mp4".into(), VideoFormat::Mp4, request(path[0]), &path, quiet()).unwrap();
        assert!(wait(&mut video).contains("x.mp4"));
    }

    #[test]
    fn small_gifs_keep_their_size_and_large_ones_shrink() {
        let size = |format: VideoFormat, size| {
            let path = format.cameras(&cameras(5, size));
            (path.len(), path[0].width, path[0].height)
        };
        assert_eq!(size(VideoFormat::Mp4, (1280, 800)), (5, 1280, 800));
        assert_eq!(size(VideoFormat::Gif, (1280, 800)), (3, 640, 400));
        assert_eq!(size(VideoFormat::Gif, (320, 200)), (3, 320, 200));
    }

    #[test]
    fn false_colours_have_one_range_along_the_path() {
        let path = cameras(20, (60, 48));
        let request = RenderRequest { mode: DisplayMode::Depth, ..request(path[0]) };
        let renderer = request.scene.renderer().unwrap();
        let ranges = ranges(&renderer, &request, &path).unwrap().unwrap();
        assert!(ranges[0].0 > 1.6 && ranges[0].1 < 2.1 && ranges[0].0 < ranges[0].1, "{ranges:?}");
    }
}

//! Frames of a video through an installed `ffmpeg`: a grey look at candidates first, then the chosen ones in full.
//!
//! Both passes go through the same `fps` filter, so that a candidate's number means the same frame in each.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::SfmError;
use crate::gray::{Gray, MEASURED_SIDE};
use crate::motion::{displacement, thumbnail};
use crate::process::{self, Task};
use crate::selection::Candidate;
use crate::sharpness::blur;

/// Candidates for each frame that is wanted.
const CANDIDATES: f64 = 6.0;
/// Candidates a second where the video does not say how long it is.
const UNKNOWN_RATE: f64 = 10.0;
/// Least candidates a second: slower ones would lose the motion between them.
const MIN_RATE: f64 = 3.0;
/// Frames a second where the video does not say.
const USUAL_RATE: f64 = 30.0;
/// Motion, in widths of the picture, from which on a frame becomes the one that further motion is measured from: below it, noise
/// would add up to motion.
const ANCHOR: f64 = 0.008;
/// Most pixels of a grey candidate.
const MAX_PIXELS: usize = 1 << 24;

/// Contents of a video as ffmpeg states them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VideoInfo {
    /// Seconds.
    pub duration: Option<f64>,
    /// Frames a second.
    pub rate: Option<f64>,
}

/// Frames to write.
pub(crate) struct ChosenFrames<'a> {
    /// Candidates a second.
    pub rate: f64,
    /// Numbers of the candidates.
    pub indices: &'a [usize],
    /// Factor by which they are made smaller.
    pub downscale: u32,
}

/// An installed ffmpeg.
pub(crate) struct Ffmpeg {
    program: PathBuf,
}

impl Ffmpeg {
    /// The program, tried out.
    ///
    /// # Errors
    /// [`SfmError::Missing`] with what to install.
    pub fn find(program: &Path) -> Result<Self, SfmError> {
        let tried = Command::new(program).arg("-version").stdin(Stdio::null()).output();
        match tried {
            Ok(output) if output.status.success() => Ok(Self { program: program.into() }),
            Ok(output) => Err(missing(program, &format!("does not run ({})", output.status))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(missing(program, "is not there")),
            Err(e) => Err(missing(program, &format!("does not run ({e})"))),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostdin"]);
        command
    }

    /// Length and rate of a video.
    ///
    /// # Errors
    /// A file in which ffmpeg finds no video.
    pub fn info(&self, video: &Path) -> Result<VideoInfo, SfmError> {
        let mut command = self.command();
        // Without an output this is an error of its own, after the description.
        let output = command.arg("-i").arg(file_of(video)).stdin(Stdio::null()).output();
        let output = output.map_err(|e| missing(&self.program, &format!("does not run ({e})")))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        parse_info(&text).ok_or_else(|| {
            let last = text.lines().rev().map(str::trim).find(|l| !l.is_empty() && !l.contains("output file"));
            let said = last.map_or(String::new(), |l| format!(" ({})", nstr_files::excerpt(l)));
            SfmError::input(video, format!("ffmpeg finds no video in it{said}; give a video, or a folder of images"))
        })
    }

    /// Blur and motion of frames at `rate` a second. `watch` is given the number of frames so far and returns `false` to stop.
    pub fn candidates(
        &self,
        video: &Path,
        rate: f64,
        log: &Path,
        mut watch: impl FnMut(usize) -> bool,
    ) -> Result<Vec<Candidate>, SfmError> {
        let mut command = self.command();
        let scale = format!(
            "scale='min({MEASURED_SIDE},iw)':'min({MEASURED_SIDE},ih)':force_original_aspect_ratio=decrease:flags=area"
        );
        command.args(["-loglevel", "warning", "-i"]).arg(file_of(video)).args(["-map", "0:v:0", "-an", "-sn", "-dn"]);
        command.args(["-vf", &format!("fps={rate},{scale}"), "-c:v", "pgm", "-pix_fmt", "gray"]);
        command.args(["-f", "image2pipe", "pipe:1"]);
        let task = Task { command, program: self.name(), action: "reading the video", log };
        let walk = std::cell::RefCell::new(Walk::default());
        process::run_reading(
            task,
            read_pgm,
            |frame| {
                walk.borrow_mut().add(&frame);
                Ok(())
            },
            |_| watch(walk.borrow().candidates.len()),
        )?;
        Ok(walk.into_inner().candidates)
    }

    /// Writes candidates as `frame_00001.jpg` and so on into `folder`, and returns the names.
    pub fn extract(
        &self,
        video: &Path,
        frames: &ChosenFrames,
        folder: &Path,
        log: &Path,
        mut watch: impl FnMut(usize) -> bool,
    ) -> Result<Vec<String>, SfmError> {
        let ChosenFrames { rate, indices: chosen, downscale } = *frames;
        let whole = video.canonicalize().map_err(SfmError::io(video))?;
        let list: Vec<String> = chosen.iter().map(|i| format!("eq(n,{i})")).collect();
        let mut filter = format!("fps={rate},select='{}',setpts=N", list.join("+"));
        if downscale > 1 {
            filter += &format!(",scale=trunc(iw/{downscale}):trunc(ih/{downscale}):flags=area");
        }
        let mut command = self.command();
        command.args(["-loglevel", "warning", "-progress", "pipe:1", "-y", "-i"]).arg(file_of(&whole));
        command.args(["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", &filter]);
        command.args(["-frames:v", &chosen.len().to_string(), "-pix_fmt", "yuvj420p", "-q:v", "2", "-f", "image2"]);
        // Relative, because a % in the folder's name would be taken as a number's place.
        command.arg("frame_%05d.jpg").current_dir(folder);
        let task = Task { command, program: self.name(), action: "writing the chosen frames", log };
        let mut done = 0;
        process::run(task, |line| {
            let frame = line.and_then(|l| l.strip_prefix("frame=")).and_then(|n| n.trim().parse().ok());
            done = frame.unwrap_or(done);
            watch(done)
        })?;
        let names: Vec<String> = (1..=chosen.len()).map(|i| format!("frame_{i:05}.jpg")).collect();
        match names.iter().find(|name| !folder.join(name).is_file()) {
            None => Ok(names),
            Some(name) => Err(SfmError::Failed {
                program: self.name(),
                action: "writing the chosen frames",
                reason: format!("{name} is missing though it reported success: {}", process::last_words(log)),
                log: log.into(),
            }),
        }
    }

    fn name(&self) -> String {
        self.program.display().to_string()
    }
}

/// Candidates a second of a video from which `count` frames are wanted.
pub(crate) fn candidate_rate(info: &VideoInfo, count: usize) -> f64 {
    let most = info.rate.unwrap_or(USUAL_RATE);
    let wanted = info.duration.map_or(UNKNOWN_RATE, |d| CANDIDATES * count as f64 / d.max(1e-3));
    // Two digits, which read the same in both passes.
    (wanted.max(MIN_RATE).min(most) * 100.0).round().max(1.0) / 100.0
}

fn missing(program: &Path, fault: &str) -> SfmError {
    SfmError::Missing {
        reason: format!(
            "videos need the program ffmpeg, and {} {fault}: install it (apt install ffmpeg, brew install ffmpeg) or name it with \
             --ffmpeg; a folder of images needs none",
            program.display()
        ),
    }
}

/// A path as ffmpeg's own kind of address, in which no character has a meaning.
fn file_of(path: &Path) -> std::ffi::OsString {
    let mut address = std::ffi::OsString::from("file:");
    address.push(path);
    address
}

/// Length and rate from ffmpeg's description; `None` where there is no video.
fn parse_info(text: &str) -> Option<VideoInfo> {
    let stream = text.lines().find(|l| l.contains("Stream #") && l.contains("Video:"))?;
    let before = |unit: &str| {
        let part = stream.split(',').map(str::trim).find(|part| part.ends_with(unit))?;
        part.trim_end_matches(unit).trim().parse::<f64>().ok().filter(|v| *v > 0.0 && v.is_finite())
    };
    let duration = text.lines().find_map(|l| l.trim().strip_prefix("Duration:"));
    let duration = duration.and_then(|l| {
        let mut seconds = 0.0;
        for part in l.split(',').next()?.trim().split(':') {
            seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
        }
        Some(seconds).filter(|s| *s > 0.0)
    });
    Some(VideoInfo { duration, rate: before(" fps").or_else(|| before(" tbr")) })
}

/// Candidates with the motion that adds up.
#[derive(Default)]
struct Walk {
    candidates: Vec<Candidate>,
    anchor: Option<Gray>,
    way: f64,
}

impl Walk {
    fn add(&mut self, frame: &Gray) {
        let small = thumbnail(frame);
        let mut way = self.way;
        match &self.anchor {
            None => self.anchor = Some(small),
            Some(anchor) => {
                let moved = displacement(anchor, &small).unwrap_or(0.0);
                if moved >= ANCHOR {
                    way += moved;
                    (self.way, self.anchor) = (way, Some(small));
                }
            }
        }
        self.candidates.push(Candidate { blur: blur(frame), way });
    }
}

/// The next image of a stream of binary PGM files; `None` at its end.
fn read_pgm(pipe: &mut dyn Read) -> std::io::Result<Option<Gray>> {
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut first = [0; 1];
    if pipe.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut header = vec![first[0]];
    // P5, width, height, maximum: four words, one blank after the last.
    let mut words = 0;
    while words < 4 {
        let mut byte = [0; 1];
        pipe.read_exact(&mut byte)?;
        if byte[0].is_ascii_whitespace() && !header.last().is_some_and(u8::is_ascii_whitespace) {
            words += 1;
        }
        header.push(byte[0]);
        if header.len() > 64 {
            return Err(invalid());
        }
    }
    let text = String::from_utf8(header).map_err(|_| invalid())?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let ["P5", width, height, "255"] = words[..] else { return Err(invalid()) };
    let (width, height): (usize, usize) =
        (width.parse().map_err(|_| invalid())?, height.parse().map_err(|_| invalid())?);
    let count = width.checked_mul(height).filter(|n| (1..=MAX_PIXELS).contains(n)).ok_or_else(invalid)?;
    let mut bytes = vec![0; count];
    pipe.read_exact(&mut bytes)?;
    Ok(Some(Gray { width, height, data: bytes.into_iter().map(f32::from).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::textured;

    /// The frames of a PGM stream up to its end or a fault.
    fn all_pgm(mut bytes: &[u8]) -> Vec<Gray> {
        std::iter::from_fn(|| read_pgm(&mut bytes).ok().flatten()).collect()
    }

    #[test]
    fn descriptions_are_read() {
        let text = "Input #0, mov,mp4, from 'a.mp4':\n  Duration: 00:01:02.50, start: 0.000000, bitrate: 17000 kb/s\n  \
                    Stream #0:1(und): Audio: aac\n  Stream #0:0[0x1](und): Video: hevc (Main) (hvc1 / 0x31637668), \
                    yuv420p(tv, bt709), 1920x1080, 17010 kb/s, 29.97 fps, 29.97 tbr, 600 tbn (default)\n";
        assert_eq!(parse_info(text), Some(VideoInfo { duration: Some(62.5), rate: Some(29.97) }));
        let bare = "  Duration: N/A, bitrate: N/A\n  Stream #0:0: Video: mjpeg, yuvj420p, 640x480, 25 tbr\n";
        assert_eq!(parse_info(bare), Some(VideoInfo { duration: None, rate: Some(25.0) }));
        assert_eq!(parse_info("Stream #0:0: Audio: pcm_s16le\nat least one output file"), None);
    }

    #[test]
    fn candidates_follow_length_and_rate() {
        let rate = |duration, rate, count| candidate_rate(&VideoInfo { duration, rate }, count);
        assert_eq!(rate(Some(60.0), Some(30.0), 100), 10.0);
        assert_eq!(rate(Some(5.0), Some(30.0), 100), 30.0);
        assert_eq!(rate(Some(6000.0), Some(30.0), 100), 3.0);
        assert_eq!(rate(None, None, 100), 10.0);
    }

    #[test]
    fn streams_of_grey_images() {
        let bytes = b"P5\n2 1\n255\nabP5\n1 2\n255\ncd";
        let frames = all_pgm(bytes);
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].width, frames[1].height, frames[1].data[1]), (2, 2, f32::from(b'd')));
        assert!(all_pgm(b"P6\n2 1\n255\nab").is_empty() && all_pgm(b"P5\n9999999 99999999\n255\nab").is_empty());
        assert!(all_pgm(&bytes[..12]).is_empty());
    }

    #[test]
    fn noise_does_not_add_up_to_motion() {
        let mut walk = Walk::default();
        for i in 0..20usize {
            let noise = |x: usize, y: usize| ((x * 31 + y * 17 + i * 101) % 7) as f32;
            let still = textured(320, 240, 0.0, 0.0);
            walk.add(&Gray::from_fn(320, 240, |x, y| still.at(x, y) + noise(x, y)));
        }
        assert_eq!(walk.way, 0.0);
        for i in 0..20 {
            walk.add(&textured(320, 240, 2.0 * f64::from(i), 0.0));
        }
        // 38 pixels of 320.
        assert!((walk.way - 38.0 / 320.0).abs() < 0.02, "{}", walk.way);
        assert_eq!(walk.candidates.len(), 40);
    }
}

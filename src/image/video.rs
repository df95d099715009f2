//! MP4 through an installed `ffmpeg`, which gets the frames through a pipe as they come.
//!
//! Encoded as 4:2:0 with BT.709 matrix and limited range, which every player shows. That format wants even sizes: an odd
//! image gets its last column or row twice. Transparent parts lie on white.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nstr_files::Temporary;

use crate::{ImageError, Rgba8};

/// The program that encodes.
const FFMPEG: &str = "ffmpeg";
/// Most of ffmpeg's words that go into an error.
const MESSAGE: u64 = 2000;

/// Writes an animation of `rate` frames a second.
///
/// # Errors
/// [`ImageError`] naming the file: no frame, frames of several sizes, no ffmpeg, or a failure of ffmpeg. The file at `path`
/// is then unchanged.
pub fn write(path: &Path, frames: &[Rgba8], rate: f64) -> Result<(), ImageError> {
    let first = frames.first().ok_or_else(|| content(path, "no frame to write".into()))?;
    let mut video = Video::start(path, (first.width, first.height), rate)?;
    frames.iter().try_for_each(|frame| video.push(frame))?;
    video.finish()
}

/// Whether the program that encodes is installed.
pub fn is_available() -> bool {
    codec(FFMPEG.as_ref()).is_ok()
}

/// A video that is being written, frame by frame; given up where it is dropped before [`Video::finish`].
pub struct Video {
    path: PathBuf,
    size: (u32, u32),
    frames: usize,
    /// The unfinished file; it is removed with the video where that is not finished.
    part: Option<Temporary>,
    child: Child,
    message: File,
}

fn content(path: &Path, reason: String) -> ImageError {
    ImageError::Content { path: path.into(), reason }
}

/// `n` or the even number above.
fn even(n: u32) -> usize {
    n.next_multiple_of(2) as usize
}

impl Video {
    /// Starts ffmpeg for images of `size` shown at `rate` a second (above 0, at most 1000).
    ///
    /// # Errors
    /// A rate or size out of range, no ffmpeg, or a folder that cannot be written.
    pub fn start(path: &Path, size: (u32, u32), rate: f64) -> Result<Self, ImageError> {
        Self::start_with(FFMPEG.as_ref(), path, size, rate)
    }

    fn start_with(program: &OsStr, path: &Path, size: (u32, u32), rate: f64) -> Result<Self, ImageError> {
        if !(rate > 0.0 && rate <= 1000.0) {
            return Err(content(path, format!("{rate} frames a second; expected above 0 and at most 1000")));
        }
        if size.0 == 0 || size.1 == 0 || size.0 > 16_384 || size.1 > 16_384 {
            return Err(content(path, format!("{}x{} pixels; expected 1 to 16384 a side", size.0, size.1)));
        }
        let codec = codec(program).map_err(|e| content(path, absent(&e)))?;
        let part = nstr_files::temporary(path).map_err(ImageError::io(path))?;
        let message = tempfile::tempfile().map_err(ImageError::io(path))?;
        let words = message.try_clone().map_err(ImageError::io(path))?;
        let child = Command::new(program)
            .args(["-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"])
            .args(["-s", &format!("{}x{}", even(size.0), even(size.1)), "-framerate", &rate.to_string()])
            .args(["-i", "pipe:0", "-an"])
            .args(codec)
            .args(["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p"])
            .args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"])
            .args(["-movflags", "+faststart", "-f", "mp4"])
            .arg(part.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(words)
            .spawn()
            .map_err(|e| content(path, absent(&e)))?;
        Ok(Self { path: path.into(), size, frames: 0, part: Some(part), child, message })
    }

    /// Adds a frame of the size that the video was started with.
    ///
    /// # Errors
    /// A frame of another size, or a failure of ffmpeg.
    pub fn push(&mut self, frame: &Rgba8) -> Result<(), ImageError> {
        if (frame.width, frame.height) != self.size {
            let ((w, h), (fw, fh)) = (self.size, (frame.width, frame.height));
            return Err(content(&self.path, format!("a frame of {fw}x{fh} in a video of {w}x{h}")));
        }
        let bytes = raw(frame);
        let sent = self.child.stdin.as_mut().map_or(Ok(()), |pipe| pipe.write_all(&bytes));
        self.frames += 1;
        // A broken pipe only says that ffmpeg has ended; why, it says itself.
        sent.map_err(|e| self.failed(&e.to_string()))
    }

    /// Ends the stream and puts the video in its place.
    ///
    /// # Errors
    /// No frame, a failure of ffmpeg, or a file that cannot be written.
    pub fn finish(mut self) -> Result<(), ImageError> {
        if self.frames == 0 {
            return Err(content(&self.path, "no frame to write".into()));
        }
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(ImageError::io(&self.path))?;
        if !status.success() {
            return Err(self.failed(&status.to_string()));
        }
        self.part.take().map_or(Ok(()), Temporary::commit).map_err(ImageError::io(&self.path))
    }

    /// The error of a failed run, in the words of ffmpeg or, where it printed nothing, `otherwise`.
    fn failed(&mut self, otherwise: &str) -> ImageError {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let mut words = Vec::new();
        let _ = self.message.rewind().and_then(|()| (&self.message).take(MESSAGE).read_to_end(&mut words));
        let words = String::from_utf8_lossy(&words);
        // By the name that the user knows.
        let part = self.part.as_ref().map(|part| part.path().display().to_string());
        let words = part.map_or(words.to_string(), |part| words.replace(&part, &self.path.display().to_string()));
        let reason = if words.trim().is_empty() { otherwise } else { words.trim() };
        ImageError::Format { path: self.path.clone(), reason: format!("ffmpeg failed: {reason}") }
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Remedies where ffmpeg is missing.
fn absent(error: &io::Error) -> String {
    let remedy =
        "install it (for example apt install ffmpeg, brew install ffmpeg), or write a .gif or a folder of frames";
    match error.kind() {
        io::ErrorKind::NotFound => format!("writing .mp4 needs the program ffmpeg, which is not on the PATH: {remedy}"),
        _ => format!("writing .mp4 needs the program ffmpeg, which does not run ({error}): {remedy}"),
    }
}

/// Options of the best encoder that this ffmpeg has: x264 at a high quality, else its default for MP4.
fn codec(program: &OsStr) -> io::Result<&'static [&'static str]> {
    let list = Command::new(program).args(["-hide_banner", "-encoders"]).stdin(Stdio::null()).output()?;
    let x264 = list.stdout.windows(7).any(|w| w == b"libx264");
    Ok(if x264 { &["-c:v", "libx264", "-crf", "17"] } else { &["-q:v", "2"] })
}

/// Red, green and blue of every pixel over white, made even.
fn raw(frame: &Rgba8) -> Vec<u8> {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let (columns, rows) = (even(frame.width), even(frame.height));
    let over = |v: u8, a: u8| ((u16::from(v) * u16::from(a) + 255 * (255 - u16::from(a)) + 127) / 255) as u8;
    let mut bytes = Vec::with_capacity(3 * columns * rows);
    for y in 0..rows {
        let row = &frame.data[4 * w * y.min(h - 1)..][..4 * w];
        for x in 0..columns {
            let p = &row[4 * x.min(w - 1)..][..4];
            bytes.extend(p[..3].iter().map(|v| over(*v, p[3])));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_files::testing::{Requirement, skip};

    fn frames(count: u8, w: u32, h: u32) -> Vec<Rgba8> {
        (0..count).map(|k| Rgba8::from_fn(w, h, |i| [k * 40, (i % 251) as u8, 7, 255])).collect()
    }

    #[test]
    fn odd_sizes_repeat_their_last_column_and_row_and_transparency_is_white() {
        let frame = Rgba8::from_fn(3, 1, |i| [i as u8, 10, 20, if i == 1 { 0 } else { 255 }]);
        let row = [0, 10, 20, 255, 255, 255, 2, 10, 20, 2, 10, 20];
        assert_eq!(raw(&frame), [row, row].concat());
        assert_eq!(raw(&Rgba8::from_fn(2, 2, |_| [0, 0, 0, 128]))[0], 127);
    }

    #[test]
    fn a_missing_ffmpeg_names_the_remedy_and_keeps_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        std::fs::write(&path, b"old").unwrap();
        let message = Video::start_with("no-such-ffmpeg".as_ref(), &path, (4, 4), 30.0).err().unwrap().to_string();
        assert!(message.contains("a.mp4") && message.contains("install") && message.contains(".gif"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn unusable_videos_are_errors() {
        let path = Path::new("never.mp4");
        assert!(write(path, &[], 30.0).is_err());
        for (size, rate) in [((4, 4), 0.0), ((4, 4), f64::NAN), ((4, 4), 1e9), ((0, 4), 30.0), ((4, 1 << 20), 30.0)] {
            assert!(Video::start(path, size, rate).is_err());
        }
        assert!(!path.exists());
    }

    /// A stand-in for ffmpeg that runs `script` with the file to write as `$out`.
    #[cfg(unix)]
    fn stand_in(dir: &Path, script: &str) -> PathBuf {
        let program = dir.join("ffmpeg");
        let list = "case \"$*\" in *-encoders*) echo ' V..... libx264 H.264'; exit 0;; esac";
        std::fs::write(&program, format!("#!/bin/sh\n{list}\nfor out; do :; done\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        // Until no other test's child, forked while the script was open for writing, holds it.
        while Command::new(&program).arg("-encoders").output().is_err() {}
        program
    }

    #[cfg(unix)]
    #[test]
    fn frames_arrive_in_order_and_failures_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (tools, out) = (dir.path().join("tools"), dir.path().join("out"));
        std::fs::create_dir_all(&tools).unwrap();
        std::fs::create_dir_all(&out).unwrap();
        let path = out.join("a.mp4");
        let run = |script: &str, frames: &[Rgba8]| {
            let program = stand_in(&tools, script);
            let mut video = Video::start_with(program.as_ref(), &path, (5, 3), 24.0)?;
            frames.iter().try_for_each(|f| video.push(f))?;
            video.finish()
        };
        let all = frames(6, 5, 3);
        run("{ echo \"$@\"; cat; } > \"$out\"", &all).unwrap();
        let got = std::fs::read(&path).unwrap();
        let line = got.iter().position(|b| *b == b'\n').unwrap() + 1;
        let words = String::from_utf8_lossy(&got[..line]);
        assert!(words.contains("-s 6x4 -framerate 24 ") && words.contains("libx264") && words.contains("yuv420p"));
        assert_eq!(got[line..], all.iter().flat_map(raw).collect::<Vec<_>>());
        let message = run("cat > /dev/null; echo 'no space for x' >&2; exit 3", &all).unwrap_err().to_string();
        assert!(message.contains("a.mp4") && message.contains("no space for x"), "{message}");
        let message = run("cat > /dev/null; echo \"$out: no space\" >&2; exit 3", &all).unwrap_err().to_string();
        assert!(message.contains("a.mp4: no space") && !message.contains(".part"), "{message}");
        assert!(run("exit 3", &frames(200, 5, 3)).is_err());
        assert!(run("cat > \"$out\"", &frames(2, 4, 3)).is_err());
        assert!(run("cat > \"$out\"", &[]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), got, "a failed run keeps what was there");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
    }

    /// With a real ffmpeg, where there is one.
    #[test]
    fn an_installed_ffmpeg_writes_a_video() {
        if Command::new(FFMPEG).arg("-version").output().is_err() {
            skip(Requirement::Ffmpeg, "ffmpeg is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        write(&path, &frames(6, 65, 49), 12.5).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[4..8], b"ftyp");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

//! Memory that the images of a capture take, held against what the machine has before any is decoded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::CaptureError;
use crate::frame_record::FrameRecord;
use crate::image;

/// Bytes of a pixel that is held: colour with alpha, and the mask.
const HELD: u64 = 5;
/// Bytes of a pixel's depth, where there is a map of them.
const DEPTH: u64 = 4;
/// Bytes of a pixel while it is decoded: values as read, and the pixel itself.
const DECODING: u64 = 8;
/// Fraction of the free memory that images may take; the fit needs the rest.
const SHARE: f64 = 0.75;
/// Bytes that images may take where the system does not say how much is free.
const OTHERWISE: u64 = 12 << 30;

/// Checks that the images of all frames fit into memory, by their headers.
pub(super) fn check(records: &[&FrameRecord], source: &Path, downscale: u32) -> Result<(), CaptureError> {
    check_against(records, source, downscale, limit(), rayon::current_num_threads())
}

fn check_against(
    records: &[&FrameRecord],
    source: &Path,
    downscale: u32,
    limit: u64,
    threads: usize,
) -> Result<(), CaptureError> {
    // A picture that several frames name is looked at once; those in the capture's own file are there already.
    let mut paths: Vec<&PathBuf> = records.iter().filter(|r| r.decoded.is_none()).map(|r| &r.image).collect();
    paths.sort();
    paths.dedup();
    let sizes: Result<HashMap<&PathBuf, u64>, CaptureError> =
        paths.par_iter().map(|path| image::size(path).map(|(w, h)| (*path, u64::from(w) * u64::from(h)))).collect();
    let sizes = sizes?;
    let pixels = |r: &&FrameRecord| match &r.decoded {
        Some(image) => u64::from(image.width) * u64::from(image.height),
        None => sizes[&r.image],
    };
    let held = |r: &&FrameRecord| {
        let factor = u64::from(r.factor(downscale).max(1));
        // A depth map is held at the size of the picture on disk at most.
        let depth = if r.depth.is_some() { pixels(r) * DEPTH } else { 0 };
        pixels(r) / (factor * factor) * HELD + depth
    };
    let mut decoding: Vec<u64> = records.iter().map(|r| pixels(r) * DECODING).collect();
    decoding.sort_unstable_by(|a, b| b.cmp(a));
    let (held, decoding): (u64, u64) = (records.iter().map(held).sum(), decoding.iter().take(threads.max(1)).sum());
    if held + decoding <= limit {
        return Ok(());
    }
    let [needed, limit] = [held + decoding, limit].map(|bytes| bytes as f64 / f64::from(1 << 30));
    let reason = format!(
        "its {} images take {needed:.1} GiB of memory, and {limit:.1} GiB are free for them; make them smaller with \
         --downscale N or fewer with --every N",
        records.len()
    );
    Err(CaptureError::field(source, "images", reason))
}

/// Bytes that images may take on this machine.
fn limit() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let free = read("/proc/meminfo").as_deref().and_then(available);
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    // The limit of a container, which the machine's figures know nothing of.
    let group = number("/sys/fs/cgroup/memory.max").map(|most| {
        let inactive = read("/sys/fs/cgroup/memory.stat").as_deref().and_then(inactive_files).unwrap_or(0);
        let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0).saturating_sub(inactive);
        most.saturating_sub(used)
    });
    match [free, group].into_iter().flatten().min() {
        Some(bytes) => (bytes as f64 * SHARE) as u64,
        None => OTHERWISE,
    }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes of cached files that a group gives back when it needs them.
fn inactive_files(text: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix("inactive_file "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lens::Lens;
    use glam::DMat4;

    fn record(image: &Path) -> FrameRecord {
        FrameRecord {
            name: "a".into(),
            at: String::new(),
            image: image.into(),
            masks: Vec::new(),
            depth: None,
            shown: Vec::new(),
            size: None,
            focal: [None, None],
            centre: [None, None],
            lens: Lens::Pinhole,
            camera_to_world: DMat4::IDENTITY,
            reduced: 1,
            shrunk: 1,
            decoded: None,
        }
    }

    #[test]
    fn one_picture_named_many_times_counts_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        nstr_image::png::write(&path, &nstr_image::Rgba8::from_fn(100, 50, |_| [1, 2, 3, 255])).unwrap();
        let record = record(&path);
        let source = Path::new("transforms.json");
        let check = |count: usize, downscale: u32, limit: u64| {
            check_against(&vec![&record; count], source, downscale, limit, 2)
        };
        // 5000 pixels: 25 kB held each, and 40 kB on each of two threads.
        assert!(check(1, 1, 65_000).is_ok() && check(1, 1, 64_999).is_err());
        assert!(check(8, 1, 280_000).is_ok());
        let said = check(8, 1, 279_999).unwrap_err().to_string();
        assert!(
            said.contains("transforms.json") && said.contains("8 images") && said.contains("--downscale"),
            "{said}"
        );
        assert!(check(8, 10, 82_000).is_ok());
    }

    #[test]
    fn free_memory_is_read_where_the_system_tells() {
        let text = "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    8000000 kB\n";
        assert_eq!(available(text), Some(8_192_000_000));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(inactive_files("anon 5\ninactive_file 4096\n"), Some(4096));
        assert!(limit() > 0);
    }
}

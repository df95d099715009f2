//! Report of a measured session: how fluently the window follows its user.

use std::fmt;

use serde::Serialize;

/// Figures of one motion of the camera, and of the rest after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MotionReport {
    /// Seconds from the first to the last event.
    pub seconds: f64,
    /// Presented pictures that differ from the one before, a second.
    pub pictures_per_second: f64,
    /// Presented frames a second, whether their picture is new or not.
    pub presents_per_second: f64,
    /// Mean width of the presented pictures over that of their place in the window, 0 to 1.
    pub scale: f64,
    /// 95th percentile of the time between two different pictures, milliseconds.
    pub gap_p95_ms: f64,
    /// Seconds from the last event to the presented refined picture.
    pub clean_s: f64,
    /// Processor time of all threads for each different picture, milliseconds, which other programs hardly change; `None` where the system
    /// does not tell.
    pub cpu_ms_per_picture: Option<f64>,
    /// Processor time of all threads from the last event to the refined picture, seconds.
    pub clean_cpu_s: Option<f64>,
}

/// Figures of a measured session. Those without a motion's name are of the drag.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BenchReport {
    /// Presented pictures that differ from the one before, a second.
    pub pictures_per_second: f64,
    /// Mean width of the presented pictures over that of their place in the window, 0 to 1.
    pub scale: f64,
    /// Median time from an event at rest to the first presented picture that differs, milliseconds.
    pub first_change_ms: f64,
    /// Seconds from the release of the drag to the presented refined picture.
    pub clean_s: f64,
    /// A drag that turns the camera around the object.
    pub drag: MotionReport,
    /// A flight past the object by a held key.
    pub fly: MotionReport,
    /// The times that `first_change_ms` is the median of.
    pub first_changes_ms: Vec<f64>,
    /// Seconds from the start of the viewer to the first picture.
    pub first_picture_s: f64,
    /// Seconds from the start of the viewer to the first refined picture.
    pub first_refined_s: f64,
    /// Mean time that laying out and presenting a frame of the drag took, milliseconds.
    pub present_ms: f64,
    /// Size of the picture in the window, pixels.
    pub picture: [u32; 2],
    /// Samples a pixel of the refined picture.
    pub samples: u32,
    /// Renderer.
    pub renderer: String,
    /// Adapter that presents.
    pub presenter: String,
    /// Threads that the machine runs at once.
    pub threads: usize,
}

impl fmt::Display for BenchReport {
    /// A short table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [width, height] = self.picture;
        let Self { renderer, presenter, threads, .. } = self;
        writeln!(f, "picture {width} x {height}, rendered by {renderer}, presented by {presenter}, {threads} threads")?;
        writeln!(f, "{:<32}{:>10}{:>10}", "", "drag", "fly")?;
        let mut row = |name: &str, digits: usize, value: fn(&MotionReport) -> f64| {
            writeln!(f, "{name:<32}{:>10.digits$}{:>10.digits$}", value(&self.drag), value(&self.fly))
        };
        row("different pictures a second", 1, |m| m.pictures_per_second)?;
        row("presented frames a second", 1, |m| m.presents_per_second)?;
        row("scale (width over window's)", 3, |m| m.scale)?;
        row("gap between pictures, p95, ms", 0, |m| m.gap_p95_ms)?;
        row("end of motion to refined, s", 2, |m| m.clean_s)?;
        row("processor time a picture, ms", 1, |m| m.cpu_ms_per_picture.unwrap_or(f64::NAN))?;
        row("processor time to refined, s", 2, |m| m.clean_cpu_s.unwrap_or(f64::NAN))?;
        writeln!(f, "{:<32}{:>10.0}", "event to first change, ms", self.first_change_ms)?;
        writeln!(f, "{:<32}{:>10.1}", "presenting a frame, ms", self.present_ms)?;
        writeln!(f, "{:<32}{:>10.2}", "start to first picture, s", self.first_picture_s)?;
        write!(f, "{:<32}{:>10.2}", "start to refined picture, s", self.first_refined_s)
    }
}

/// Pictures presented during a motion; times in seconds since any one moment.
#[derive(Debug, Default)]
pub(crate) struct MotionRecord {
    start: f64,
    end: f64,
    /// Processor time at the start and at the end.
    cpu: (Option<f64>, Option<f64>),
    is_over: bool,
    /// Frames until the end.
    presents: u32,
    /// Time and scale of each picture that differs from the one before.
    pictures: Vec<(f64, f64)>,
    last_hash: Option<u64>,
}

impl MotionRecord {
    /// Begins at `now`, with a picture of this hash on the screen.
    pub fn new(now: f64, hash: Option<u64>) -> Self {
        Self { start: now, end: now, cpu: (cpu_seconds(), None), last_hash: hash, ..Self::default() }
    }

    /// Notes a presented frame.
    pub fn presented(&mut self, now: f64, hash: u64, scale: f64) {
        self.presents += u32::from(!self.is_over);
        if self.last_hash.replace(hash) != Some(hash) {
            self.pictures.push((now, scale));
        }
    }

    /// Time of the first picture that differed from the one before the motion.
    pub fn first_change(&self) -> Option<f64> {
        self.pictures.first().map(|p| p.0 - self.start)
    }

    /// Time since the start.
    pub fn seconds(&self, now: f64) -> f64 {
        now - self.start
    }

    /// Ends the motion.
    pub fn end(&mut self, now: f64) {
        (self.end, self.is_over) = (now, true);
        self.cpu.1 = cpu_seconds();
    }

    /// The figures, for a refined picture that was presented at `clean`.
    pub fn report(&self, clean: f64) -> MotionReport {
        let seconds = self.end - self.start;
        let moving: Vec<(f64, f64)> = self.pictures.iter().copied().filter(|p| p.0 <= self.end).collect();
        let mut gaps: Vec<f64> = moving.windows(2).map(|w| w[1].0 - w[0].0).collect();
        gaps.sort_by(f64::total_cmp);
        let p95 = gaps.get((gaps.len() * 95 / 100).min(gaps.len().saturating_sub(1))).copied();
        MotionReport {
            seconds,
            pictures_per_second: moving.len() as f64 / seconds.max(1e-9),
            presents_per_second: f64::from(self.presents) / seconds.max(1e-9),
            scale: moving.iter().map(|p| p.1).sum::<f64>() / moving.len().max(1) as f64,
            gap_p95_ms: 1e3 * p95.unwrap_or(seconds),
            clean_s: clean - self.end,
            cpu_ms_per_picture: self.cpu.0.zip(self.cpu.1).map(|(a, b)| 1e3 * (b - a) / moving.len().max(1) as f64),
            clean_cpu_s: self.cpu.1.zip(cpu_seconds()).map(|(a, b)| b - a),
        }
    }
}

/// Processor time of this process, seconds; `None` where the system does not tell.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name, in brackets, may hold spaces; user and system time are the 12th and 13th field after it, in hundredths.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / 100.0)
}

/// Middle value; 0 without any.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Hash of bytes, for telling pictures apart: fast, and the same on every machine.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mix = |h: u64, v: u64| (h.rotate_left(5) ^ v).wrapping_mul(0x517c_c1b7_2722_0a95);
    let whole = words.iter().fold(bytes.len() as u64, |h, w| mix(h, u64::from_le_bytes(*w)));
    rest.iter().fold(whole, |h, b| mix(h, u64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_that_differ_are_counted() {
        let mut motion = MotionRecord::new(10.0, Some(7));
        // At 50 frames a second every second frame has a new picture, of half the size.
        for i in 0..100 {
            motion.presented(10.02 + 0.02 * f64::from(i), 100 + i as u64 / 2, 0.5);
        }
        motion.end(12.01);
        // After the release others follow, which are not counted.
        motion.presented(12.5, 1, 1.0);
        let report = motion.report(12.6);
        assert!((report.pictures_per_second - 50.0 / 2.01).abs() < 1e-9, "{report:?}");
        assert!((report.presents_per_second - 100.0 / 2.01).abs() < 1e-9);
        assert!((report.gap_p95_ms - 40.0).abs() < 1e-6 && (report.clean_s - 0.59).abs() < 1e-9);
        assert_eq!(report.scale, 0.5);
        assert!((motion.first_change().unwrap() - 0.02).abs() < 1e-9);
        // The picture from before the motion is no change.
        let mut still = MotionRecord::new(0.0, Some(7));
        still.presented(0.1, 7, 1.0);
        still.end(1.0);
        assert_eq!((still.first_change(), still.report(1.0).pictures_per_second), (None, 0.0));
    }

    #[test]
    fn hashes_differ_with_any_byte() {
        let bytes: Vec<u8> = (0..100).collect();
        for i in 0..100 {
            let mut other = bytes.clone();
            other[i] ^= 1;
            assert_ne!(hash(&bytes), hash(&other), "{i}");
        }
        assert_ne!(hash(&[0; 8]), hash(&[0; 16]));
    }
}

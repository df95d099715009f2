//! Spectrograms as images: time to the right, frequency upwards, level as colour.

use nstr_image::Rgba8;
use nstr_image::bitmap_font;
use nstr_image::colormap::sequential_colormap;
use rayon::prelude::*;

use crate::audio::AudioSignal;
use crate::stft::Stft;

/// Samples of the Hann window.
pub const WINDOW: usize = 1024;
/// Most samples from one window to the next.
const HOP: usize = 256;
/// Level in dB, relative to the reference's peak, of the darkest colour.
pub const FLOOR_DB: f64 = -90.0;
/// Rows of a panel.
pub const ROWS: usize = 256;
/// Least and most columns of a panel.
pub const COLUMNS: (usize, usize) = (320, 1200);
/// Columns on the left of a panel and on the right for axes; rows above each panel and below all.
const LEFT: u32 = 46;
const RIGHT: u32 = 64;
const ABOVE: u32 = 26;
/// Rows from the top of a line of text above a panel to the panel.
const TITLE: u32 = bitmap_font::HEIGHT + 8;
const BELOW: u32 = 24;
const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [40; 3];

/// Sounds that have no common spectrogram.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpectrogramError {
    /// Rates, channels or lengths differ, or there is nothing to show.
    #[error(
        "the reference has {reference}, the fit {fit}; expected the same rate, channels and number of frames, at least one"
    )]
    Shape {
        /// Frames, channels and rate of the reference.
        reference: String,
        /// Those of the fit.
        fit: String,
    },
}

/// Mean power of a mono signal over time and frequency.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrogram {
    /// Columns: time.
    pub columns: usize,
    /// `[row][column]`, [`ROWS`] rows from Nyquist down to 0 Hz.
    pub power: Vec<f64>,
}

impl Spectrogram {
    /// Power of a signal: windows of [`WINDOW`] samples at most 256 apart, means of those that share a column and of the
    /// frequencies that share a row. Columns are as many as samples, within [`COLUMNS`].
    ///
    /// An empty signal is one of silence.
    pub fn new(signal: &[f32]) -> Self {
        let len = signal.len().max(1);
        let sample = |i: usize| signal.get(i).copied().unwrap_or(0.0) as f64;
        let columns = len.clamp(COLUMNS.0, COLUMNS.1);
        let stft = Stft::new(WINDOW);
        let strips: Vec<Vec<f64>> = (0..columns)
            .into_par_iter()
            .map_init(
                || stft.scratch(),
                |room, column| {
                    // Windows of this column lie evenly in its stretch of the signal.
                    let stretch = len as f64 / columns as f64;
                    let windows = (stretch / HOP as f64).ceil().max(1.0) as usize;
                    let mut rows = vec![0.0; ROWS];
                    for k in 0..windows {
                        let at = (column as f64 + (k as f64 + 0.5) / windows as f64) * stretch;
                        let spectrum = stft.at(len, sample, at as usize, room);
                        for (bin, value) in spectrum.iter().enumerate() {
                            rows[row_of(bin)] += value.norm_sqr() / windows as f64;
                        }
                    }
                    rows
                },
            )
            .collect();
        // A row holds two frequencies; the highest row Nyquist too.
        let share = |row: usize| (0..stft.bins()).filter(|&bin| row_of(bin) == row).count() as f64;
        let shares: Vec<f64> = (0..ROWS).map(share).collect();
        let power = (0..ROWS * columns).map(|i| strips[i % columns][i / columns] / shares[i / columns]).collect();
        Self { columns, power }
    }

    /// Greatest power.
    pub fn peak(&self) -> f64 {
        self.power.iter().copied().fold(0.0, f64::max)
    }

    /// The panel in false colours from [`FLOOR_DB`] below `peak` up to it; silence is dark whatever the peak.
    pub fn panel(&self, peak: f64) -> Rgba8 {
        Rgba8::from_fn(self.columns as u32, ROWS as u32, |i| {
            let db = 10.0 * (self.power[i] / peak).log10();
            // The NaN of 0 / 0 is dark.
            let [r, g, b] = level_colour(db);
            [r, g, b, 255]
        })
    }
}

/// Row of a frequency.
fn row_of(bin: usize) -> usize {
    ROWS - 1 - (bin * ROWS / (WINDOW / 2)).min(ROWS - 1)
}

fn level_colour(db: f64) -> [u8; 3] {
    sequential_colormap((1.0 - db / FLOOR_DB) as f32).map(|v| (v * 255.0).round() as u8)
}

/// The spectrogram of a sound, its channels mixed, in dB relative to its own peak, with axes.
pub fn picture(sound: &AudioSignal) -> Rgba8 {
    let power = Spectrogram::new(&sound.mono());
    sheet(sound, &[("", &power)], power.peak())
}

/// Three spectrograms below each other, channels mixed: the reference, the fit, and their difference (of the signals, so
/// that phase counts too), all in dB relative to the reference's peak, with axes.
///
/// # Errors
/// [`SpectrogramError`] where the sounds differ in rate, channels or length, or are empty.
pub fn comparison(reference: &AudioSignal, fit: &AudioSignal) -> Result<Rgba8, SpectrogramError> {
    let shape = |s: &AudioSignal| (s.rate, s.channels, s.data.len());
    if shape(reference) != shape(fit) || reference.frames() == 0 {
        let words = |s: &AudioSignal| format!("{} frames of {} channels at {} Hz", s.frames(), s.channels, s.rate);
        return Err(SpectrogramError::Shape { reference: words(reference), fit: words(fit) });
    }
    let (r, e) = (reference.mono(), fit.mono());
    let apart: Vec<f32> = r.iter().zip(&e).map(|(r, e)| r - e).collect();
    let [r, e, d] = [r, e, apart].map(|signal| Spectrogram::new(&signal));
    let peak = r.peak();
    Ok(sheet(reference, &[("reference", &r), ("fit", &e), ("difference", &d)], peak))
}

/// Panels below each other with titles, ticks and the scale of colours.
fn sheet(sound: &AudioSignal, panels: &[(&str, &Spectrogram)], peak: f64) -> Rgba8 {
    let columns = panels.iter().map(|p| p.1.columns).max().unwrap_or(0) as u32;
    let height = (ABOVE + ROWS as u32) * panels.len() as u32 + BELOW;
    let [r, g, b] = PAPER;
    let mut out = Rgba8::from_fn(LEFT + columns + RIGHT, height, |_| [r, g, b, 255]);
    for (k, (title, power)) in panels.iter().enumerate() {
        let top = ABOVE + (ABOVE + ROWS as u32) * k as u32;
        paste(&mut out, &power.panel(peak), LEFT, top);
        bitmap_font::draw(&mut out, LEFT, top - TITLE, title, INK, 1);
        frequency_axis(&mut out, top, sound.rate);
    }
    time_axis(&mut out, columns, sound.seconds());
    level_scale(&mut out, LEFT + columns + 14);
    out
}

fn paste(out: &mut Rgba8, panel: &Rgba8, x: u32, y: u32) {
    let row_bytes = 4 * panel.width as usize;
    for (row, from) in panel.data.chunks_exact(row_bytes).enumerate() {
        let at = ((y as usize + row) * out.width as usize + x as usize) * 4;
        out.data[at..at + row_bytes].copy_from_slice(from);
    }
}

fn frequency_axis(out: &mut Rgba8, top: u32, rate: u32) {
    let nyquist = 0.5 * f64::from(rate);
    let step = tick_step(nyquist, 5.0);
    for k in 0..=(nyquist / step) as u32 {
        let hz = f64::from(k) * step;
        let y = top + ((1.0 - hz / nyquist) * (ROWS - 1) as f64).round() as u32;
        bitmap_font::rectangle(out, LEFT - 5, y, (5, 1), INK);
        let text = if nyquist >= 2000.0 { decimal(hz / 1000.0, step / 1000.0) } else { decimal(hz, step) };
        bitmap_font::draw(
            out,
            (LEFT - 8).saturating_sub(bitmap_font::width(&text, 1)),
            y - bitmap_font::HEIGHT / 2,
            &text,
            INK,
            1,
        );
    }
    let unit = if nyquist >= 2000.0 { "kHz" } else { "Hz" };
    bitmap_font::draw(out, LEFT - 8 - bitmap_font::width(unit, 1), top - TITLE, unit, INK, 1);
}

fn time_axis(out: &mut Rgba8, columns: u32, seconds: f64) {
    let top = out.height - BELOW;
    let step = tick_step(seconds, (f64::from(columns) / 120.0).max(2.0));
    for k in 0..=(seconds / step) as u32 {
        let t = f64::from(k) * step;
        let x = LEFT + (t / seconds * f64::from(columns - 1)).round() as u32;
        bitmap_font::rectangle(out, x, top, (1, 5), INK);
        let text = decimal(t, step) + if k == 0 { " s" } else { "" };
        let shift = if k == 0 { 0 } else { bitmap_font::width(&text, 1) / 2 };
        bitmap_font::draw(out, x - shift, top + 8, &text, INK, 1);
    }
}

/// The colours of levels, beside the first panel.
fn level_scale(out: &mut Rgba8, x: u32) {
    bitmap_font::draw(out, x, ABOVE - TITLE, "dB", INK, 1);
    for row in 0..ROWS as u32 {
        let db = FLOOR_DB * f64::from(row) / (ROWS - 1) as f64;
        bitmap_font::rectangle(out, x, ABOVE + row, (10, 1), level_colour(db));
    }
    for db in [0.0, -30.0, -60.0, FLOOR_DB] {
        let y = ABOVE + (db / FLOOR_DB * (ROWS - 1) as f64).round() as u32;
        bitmap_font::rectangle(out, x + 10, y, (4, 1), INK);
        bitmap_font::draw(out, x + 17, y - bitmap_font::HEIGHT / 2, &format!("{db:.0}"), INK, 1);
    }
}

/// A step of 1, 2 or 5 times a power of ten that gives at most `count` steps in `range`.
fn tick_step(range: f64, count: f64) -> f64 {
    let rough = (range / count).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(10.0 * power)
}

/// A multiple of `step` with as many digits as it needs.
fn decimal(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SampleFormat;
    use crate::synthetic::sweep_audio;

    fn loudest_row(power: &Spectrogram, column: usize) -> usize {
        (0..ROWS)
            .max_by(|a, b| power.power[a * power.columns + column].total_cmp(&power.power[b * power.columns + column]))
            .unwrap()
    }

    #[test]
    fn a_sweep_is_where_its_frequency_is() {
        let (rate, seconds) = (16_000, 2.0);
        let sound = sweep_audio(rate, seconds);
        let power = Spectrogram::new(&sound.data);
        assert_eq!(power.columns, COLUMNS.1);
        for column in [100, 500, 900, 1100] {
            let t = (column as f64 + 0.5) / power.columns as f64 * seconds;
            let hz = crate::synthetic::Sweep::new(rate, seconds).frequency(t);
            let row = (1.0 - hz / 8000.0) * ROWS as f64;
            assert!((loudest_row(&power, column) as f64 + 0.5 - row).abs() < 3.0, "{column}: {hz} Hz");
        }
    }

    #[test]
    fn equal_sounds_differ_in_nothing() {
        let sound = sweep_audio(8000, 0.3);
        let image = comparison(&sound, &sound).unwrap();
        let dark = level_colour(FLOOR_DB);
        let third = ABOVE + 2 * (ABOVE + ROWS as u32);
        let black = |y: u32| (LEFT..LEFT + 1200).all(|x| image.pixel(x, y)[..3] == dark);
        assert!((third..third + ROWS as u32).all(black) && !(ABOVE..ABOVE + ROWS as u32).all(black));
    }

    #[test]
    fn short_silent_and_unlike_sounds() {
        let sound = |data: Vec<f32>, rate| AudioSignal { rate, channels: 1, format: SampleFormat::Pcm16, data };
        for data in [vec![], vec![0.5], vec![0.0; 5000], vec![1.0; 33]] {
            let image = picture(&sound(data, 48_000));
            assert!(image.is_opaque() && image.width >= LEFT + COLUMNS.0 as u32);
        }
        let said = comparison(&sound(vec![0.0; 9], 8000), &sound(vec![0.0; 9], 9000)).unwrap_err().to_string();
        assert!(said.contains("8000 Hz") && said.contains("9000 Hz"), "{said}");
        assert!(comparison(&sound(vec![], 1), &sound(vec![], 1)).is_err());
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(tick_step(22_050.0, 5.0), 5000.0);
        assert_eq!(tick_step(8000.0, 5.0), 2000.0);
        assert!((tick_step(0.35, 10.0) - 0.05).abs() < 1e-12);
        assert_eq!((decimal(0.35, 0.05), decimal(5.0, 5.0)), ("0.35".into(), "5".into()));
    }
}

//! Sounds as float arrays: readers for WAV, AIFF and FLAC, a writer for WAV.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::decode::decode_noted;
use crate::error::{SignalError, extension};
use crate::wave::MAX_CHANNELS;

/// Most samples (frames times channels) in one sound.
pub const MAX_SAMPLES: u64 = 1 << 28;

/// Highest rate that is written.
const MAX_RATE: u32 = 1 << 24;

/// Storage format of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleFormat {
    /// 16-bit integers.
    Pcm16,
    /// 24-bit integers.
    Pcm24,
    /// 32-bit floats.
    Float32,
}

/// A sound of floats.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioSignal {
    /// Frames a second.
    pub rate: u32,
    /// Samples a frame.
    pub channels: usize,
    /// Format that [`AudioSignal::write`] stores: the first of the three that holds what the file held, or the nearest to it.
    pub format: SampleFormat,
    /// `[frame][channel]`, full scale 1.
    pub data: Vec<f32>,
}

/// Reads a sound; see [`read_audio_noted`], whose notes are dropped.
///
/// # Errors
/// Those of [`read_audio_noted`].
pub fn read_audio(path: &Path) -> Result<AudioSignal, SignalError> {
    read_audio_noted(path).map(|(sound, _)| sound)
}

/// Reads a sound, with one sentence for everything that is wrong with the file; the format follows from the content.
///
/// - WAV (RIFF, RF64, BW64, Wave64) and AIFF, AIFC: 8, 16, 24 or 32-bit integers, 32 or 64-bit floats, A-law, µ-law; in WAV also
///   Microsoft's and IMA's ADPCM. Lengths in the file that can't be true, or of 0 or 2³² − 1, mean "to the end".
/// - FLAC. The checksum must hold where the file has one and is whole; one that ends early is read as far as it goes.
///
/// Integers of n bits are divided by 2ⁿ⁻¹, so −1 can occur and 1 cannot.
///
/// # Errors
/// [`SignalError`] where the file is not such a sound, is damaged, has no frame or more than 2²⁸ samples, or holds a NaN or
/// infinite sample.
pub fn read_audio_noted(path: &Path) -> Result<(AudioSignal, Vec<String>), SignalError> {
    let bytes = nstr_files::read(path).map_err(SignalError::read(path))?;
    from_bytes(path, bytes)
}

/// Decodes a sound that was read from `path`.
pub(super) fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<(AudioSignal, Vec<String>), SignalError> {
    let (sound, notes) = decode_noted(bytes).map_err(|reason| SignalError::decode(path, reason))?;
    sound.check_finite(path)?;
    Ok((sound, notes))
}

impl AudioSignal {
    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.data.len().checked_div(self.channels).unwrap_or(0)
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.frames() as f64 / self.rate as f64
    }

    /// Mean of the channels, frame by frame.
    pub fn mono(&self) -> Vec<f32> {
        let mean = |frame: &[f32]| frame.iter().sum::<f32>() / self.channels as f32;
        self.data.chunks_exact(self.channels.max(1)).map(mean).collect()
    }

    /// Writes a `.wav` file in the sound's own format, whole or not at all, and returns how many samples were clipped.
    ///
    /// Integers are rounded to the nearest and clipped to full scale (so is 1 itself, by one step); floats are stored as
    /// they are.
    ///
    /// # Errors
    /// [`SignalError`] where the name has another extension, the sound has no frame, a wrong number of samples or one that
    /// is not finite, a rate of 0 or above 16 MHz, more than 18 channels, more than WAV can hold (4 GiB), or the file can't be
    /// written.
    pub fn write(&self, path: &Path) -> Result<usize, SignalError> {
        if extension(path) != "wav" {
            let reason = format!("{:?} is not an audio format that is written; name the file .wav", extension(path));
            return Err(SignalError::field(path, "extension", reason));
        }
        self.check_shape(path)?;
        self.check_finite(path)?;
        let (bytes, clipped) = self.wav_bytes().map_err(|reason| SignalError::field(path, "samples", reason))?;
        nstr_files::write(path, &bytes).map_err(SignalError::write(path))?;
        Ok(clipped)
    }

    fn wav_bytes(&self) -> Result<(Vec<u8>, usize), String> {
        let (tag, width) = match self.format {
            SampleFormat::Pcm16 => (1u16, 2),
            SampleFormat::Pcm24 => (1, 3),
            SampleFormat::Float32 => (3, 4),
        };
        let large = || "more than a WAV file can hold (4 GiB); cut the sound".to_string();
        let count = self.data.len().checked_mul(width).and_then(|n| u32::try_from(n).ok()).ok_or_else(large)?;
        let block = (self.channels * width) as u16;
        let speed = self.rate * u32::from(block);
        // "WAVE", the chunks `fmt `, `fact` and `data` with their heads, and the last one's padding.
        let length = (count + (count & 1)).checked_add(4 + 8 + 18 + 8 + 4 + 8).ok_or_else(large)?;
        let mut bytes = Vec::with_capacity(length as usize + 8);
        let frames = self.frames() as u32;
        bytes.extend(b"RIFF");
        bytes.extend(length.to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(18u32.to_le_bytes());
        bytes.extend([tag, self.channels as u16].map(u16::to_le_bytes).concat());
        bytes.extend([self.rate, speed].map(u32::to_le_bytes).concat());
        // Bytes a frame, bits a sample, no extension.
        bytes.extend([block, 8 * width as u16, 0].map(u16::to_le_bytes).concat());
        bytes.extend(b"fact");
        bytes.extend([4, frames].map(u32::to_le_bytes).concat());
        bytes.extend(b"data");
        bytes.extend(count.to_le_bytes());
        let clipped = self.push_samples(&mut bytes);
        bytes.extend((count & 1 == 1).then_some(0));
        Ok((bytes, clipped))
    }

    /// Appends the samples and returns how many were clipped.
    fn push_samples(&self, bytes: &mut Vec<u8>) -> usize {
        let (full, width) = match self.format {
            SampleFormat::Pcm16 => (f64::from(1 << 15), 2),
            SampleFormat::Pcm24 => (f64::from(1 << 23), 3),
            SampleFormat::Float32 => {
                bytes.extend(self.data.iter().flat_map(|v| v.to_le_bytes()));
                return 0;
            }
        };
        let mut clipped = 0;
        for &v in &self.data {
            let step = (v as f64 * full).round();
            let held = step.clamp(-full, full - 1.0);
            clipped += usize::from(step != held);
            bytes.extend_from_slice(&(held as i32).to_le_bytes()[..width]);
        }
        clipped
    }

    fn check_shape(&self, path: &Path) -> Result<(), SignalError> {
        let fail = |field, reason: String| Err(SignalError::field(path, field, reason));
        if !(1..=MAX_RATE).contains(&self.rate) {
            return fail("rate", format!("{} frames a second; expected 1 to {MAX_RATE}", self.rate));
        }
        if self.channels > MAX_CHANNELS.into() {
            return fail("channels", format!("{}; expected {MAX_CHANNELS} or fewer", self.channels));
        }
        if self.channels == 0 || self.data.is_empty() || !self.data.len().is_multiple_of(self.channels) {
            let reason = format!("{} samples in {} channels; expected whole frames", self.data.len(), self.channels);
            return fail("samples", reason + ", at least one");
        }
        Ok(())
    }

    fn check_finite(&self, path: &Path) -> Result<(), SignalError> {
        let Some(first) = self.data.iter().position(|v| !v.is_finite()) else {
            return Ok(());
        };
        let count = self.data.iter().filter(|v| !v.is_finite()).count();
        let (frame, channel, value) = (first / self.channels, first % self.channels, self.data[first]);
        let reason = format!("{count} are not finite, the first {value} in channel {channel} of frame {frame}");
        Err(SignalError::field(path, "samples", reason + "; mend the sound where it was made"))
    }
}

#[cfg(test)]
#[path = "audio_tests.rs"]
mod tests;

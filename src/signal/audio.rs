//! Sounds as float arrays: readers for WAV and FLAC, a writer for WAV.

use std::io::Cursor;
use std::path::Path;

use serde::{Deserialize, Serialize};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known as codec};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::MediaSourceStream;
use symphonia::default::codecs::{FlacDecoder, PcmDecoder};
use symphonia::default::formats::{FlacReader, WavReader};

use crate::error::{SignalError, extension};

/// Most samples (frames times channels) in one sound.
pub const MAX_SAMPLES: u64 = 1 << 28;

/// Most channels of a WAV sound, as many as there are names for positions.
const MAX_CHANNELS: u16 = 18;
/// Highest rate that is written.
const MAX_RATE: u32 = 1 << 24;
/// The tag of a WAV whose positions are named.
const EXTENSIBLE: [u8; 2] = [0xFE, 0xFF];

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

/// Reads a WAV (8, 16, 24 or 32-bit integers, 32 or 64-bit floats, A-law, µ-law) or FLAC sound; the format follows from the
/// content.
///
/// Integers of n bits are divided by 2ⁿ⁻¹, so −1 can occur and 1 cannot. A WAV without a stated length (written to a pipe)
/// ends where its file ends. The checksum of a FLAC file must hold where it has one.
///
/// # Errors
/// [`SignalError`] where the file is not such a sound, is damaged or truncated, has no frame or more than 2²⁸ samples, or
/// holds a NaN or infinite sample.
pub fn read_audio(path: &Path) -> Result<AudioSignal, SignalError> {
    let bytes = std::fs::read(path).map_err(SignalError::read(path))?;
    let sound = decode(bytes).map_err(|reason| SignalError::decode(path, reason))?;
    sound.check_finite(path)?;
    Ok(sound)
}

/// An open file and its decoder.
struct Source {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    channels: usize,
    rate: u32,
    format: SampleFormat,
    /// Frames that the header states.
    frames: Option<u64>,
}

fn decode(bytes: Vec<u8>) -> Result<AudioSignal, String> {
    let mut source = open(bytes)?;
    let too_many = || format!("more than {MAX_SAMPLES} samples; cut the sound");
    if source.frames.is_some_and(|f| f.saturating_mul(source.channels as u64) > MAX_SAMPLES) {
        return Err(too_many());
    }
    let (mut data, mut packet_data) = (Vec::new(), Vec::new());
    while let Some(packet) = next_packet(&mut source)? {
        let buffer = source.decoder.decode(&packet).map_err(|e| reason(&e))?;
        if buffer.spec().channels().count() != source.channels {
            return Err("the number of channels changes; convert the file to WAV".into());
        }
        buffer.copy_to_vec_interleaved(&mut packet_data);
        data.extend_from_slice(&packet_data);
        if data.len() as u64 > MAX_SAMPLES {
            return Err(too_many());
        }
    }
    let Source { channels, rate, format, frames, .. } = source;
    let found = (data.len() / channels) as u64;
    if let Some(stated) = frames.filter(|&f| f != found) {
        return Err(format!("{found} frames where the header states {stated}: truncated or damaged; export it again"));
    }
    if found == 0 {
        return Err("the sound has no frame; export it again".into());
    }
    if source.decoder.finalize().verify_ok == Some(false) {
        return Err("its samples do not match its checksum: the file is damaged; export it again".into());
    }
    Ok(AudioSignal { rate, channels, format, data })
}

fn reason(error: &Error) -> String {
    match error {
        Error::IoError(_) => "the file ends too early: it is truncated; export it again".into(),
        other => format!("{other}; export the sound again as 16-bit WAV"),
    }
}

fn next_packet(source: &mut Source) -> Result<Option<symphonia::core::packet::Packet>, String> {
    match source.reader.next_packet() {
        // A WAV of unstated length just ends.
        Err(Error::IoError(_)) if source.frames.is_none() => Ok(None),
        other => other.map_err(|e| reason(&e)),
    }
}

fn open(mut bytes: Vec<u8>) -> Result<Source, String> {
    let wav = match &bytes[..] {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => true,
        [b'f', b'L', b'a', b'C', ..] => false,
        [] => return Err("the file is empty".into()),
        _ => return Err("not a WAV or FLAC sound; convert it, for example by `ffmpeg -i FILE sound.wav`".into()),
    };
    if wav {
        plain_channels(&mut bytes)?;
    }
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let options = FormatOptions::default();
    let reader: Box<dyn FormatReader> = match wav {
        true => Box::new(WavReader::try_new(stream, options).map_err(|e| reason(&e))?),
        false => Box::new(FlacReader::try_new(stream, options).map_err(|e| reason(&e))?),
    };
    let track = reader.tracks().first().ok_or("no audio in it")?;
    let Some(CodecParameters::Audio(params)) = track.codec_params.as_ref() else {
        return Err("no audio in it; export it again".into());
    };
    let (rate, channels) = (params.sample_rate.unwrap_or(0), params.channels.as_ref().map_or(0, |c| c.count()));
    if rate == 0 || channels == 0 {
        return Err(format!("its header states {channels} channels at {rate} Hz; expected 1 or more of both"));
    }
    let verify = AudioDecoderOptions::default().verify(true);
    let decoder: Box<dyn AudioDecoder> = match wav {
        true => Box::new(PcmDecoder::try_new(params, &verify).map_err(|e| reason(&e))?),
        false => Box::new(FlacDecoder::try_new(params, &verify).map_err(|e| reason(&e))?),
    };
    // A WAV written to a pipe has no length; the count in its chunk `fact` is then no better than a guess.
    let frames = track.num_frames.filter(|_| !wav || track.duration.is_some());
    let format = sample_format(params);
    Ok(Source { decoder, channels, rate, format, frames, reader })
}

/// Gives the channels of a WAV the first positions there are: where they sound is of no use here, and the reader counts the
/// positions, not the channels, with no regard to masks that are damaged.
fn plain_channels(bytes: &mut [u8]) -> Result<(), String> {
    let mut at = 12;
    while let Some(&[a, b, c, d, l0, l1, l2, l3]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        match &[a, b, c, d] {
            b"data" => break,
            b"fmt " => {
                let chunk = &mut bytes[at + 8..];
                let Some(&[t0, t1, n0, n1]) = chunk.first_chunk() else { break };
                let count = u16::from_le_bytes([n0, n1]);
                if !(1..=MAX_CHANNELS).contains(&count) {
                    return Err(format!("its header states {count} channels; expected 1 to {MAX_CHANNELS}"));
                }
                if let Some(mask) = chunk.get_mut(20..24).filter(|_| [t0, t1] == EXTENSIBLE) {
                    mask.copy_from_slice(&((1u32 << count) - 1).to_le_bytes());
                }
            }
            _ => {}
        }
        at += 8 + len + (len & 1);
    }
    Ok(())
}

/// The first format that holds the file's samples, or the nearest.
fn sample_format(params: &AudioCodecParameters) -> SampleFormat {
    match params.codec {
        codec::CODEC_ID_PCM_F32LE | codec::CODEC_ID_PCM_F64LE => SampleFormat::Float32,
        codec::CODEC_ID_PCM_ALAW | codec::CODEC_ID_PCM_MULAW => SampleFormat::Pcm16,
        _ => match params.bits_per_sample {
            Some(..=16) => SampleFormat::Pcm16,
            Some(17..=24) => SampleFormat::Pcm24,
            _ => SampleFormat::Float32,
        },
    }
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

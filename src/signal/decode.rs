//! Decoding of sounds of every format that is read; damage and truncation are told apart.

use std::io::Cursor;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known as codec};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;
use symphonia::default::codecs::{AdpcmDecoder, FlacDecoder, PcmDecoder};
use symphonia::default::formats::{AiffReader, FlacReader, WavReader};

use crate::aiff::{self, is_aiff};
use crate::audio::{AudioSignal, MAX_SAMPLES, SampleFormat};
use crate::wave::{self, is_wave};

/// Samples that a FLAC of any length may have, and those that each of its bytes may stand for: a block of silence takes 14
/// bytes for 8192 samples.
const FREE_SAMPLES: u64 = 1 << 24;
const MAX_SAMPLES_PER_BYTE: u64 = 1500;

/// First bytes of formats that are not read, from the given place on, with their names.
const FOREIGN: [(usize, &[u8], &str); 15] = [
    (0, b"ID3", "an MP3 sound"),
    (0, b"\xFF\xFB", "an MP3 sound"),
    (0, b"\xFF\xF3", "an MP3 sound"),
    (0, b"\xFF\xF1", "an AAC sound"),
    (0, b"\xFF\xF9", "an AAC sound"),
    (0, b"OggS", "an Ogg sound"),
    (4, b"ftyp", "an MPEG-4 sound or film"),
    (0, b"caff", "a CAF sound"),
    (0, b"wvpk", "a WavPack sound"),
    (0, b"MAC ", "a Monkey's Audio sound"),
    (0, b".snd", "an AU sound"),
    (0, b"RIFX", "a big-endian WAV sound"),
    (0, b"\x30\x26\xB2\x75", "a WMA sound"),
    (0, b"#!AMR", "an AMR sound"),
    (0, b"\x1A\x45\xDF\xA3", "a Matroska or WebM sound or film"),
];

/// True where a file begins like a sound that is read; 16 bytes are enough.
pub(crate) fn is_sound(bytes: &[u8]) -> bool {
    is_wave(bytes) || is_aiff(bytes) || bytes.starts_with(b"fLaC")
}

/// An open file and its decoder.
struct Source {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    channels: usize,
    rate: u32,
    format: SampleFormat,
    /// Frames that the header states; of a compressed WAV those without the padding of its last block.
    frames: Option<u64>,
    /// A FLAC of this many bytes, which may end early.
    flac: Option<usize>,
    notes: Vec<String>,
}

/// Decodes a sound, with one sentence for everything that is wrong with its file.
///
/// # Errors
/// Files of other formats and damaged ones; the message says how.
pub(crate) fn decode_noted(bytes: Vec<u8>) -> Result<(AudioSignal, Vec<String>), String> {
    let mut source = open(bytes)?;
    let too_many = || format!("more than {MAX_SAMPLES} samples; cut the sound");
    if source.frames.is_some_and(|f| f.saturating_mul(source.channels as u64) > MAX_SAMPLES) {
        return Err(too_many());
    }
    let most = source.flac.map_or(MAX_SAMPLES, |length| FREE_SAMPLES.max(length as u64 * MAX_SAMPLES_PER_BYTE));
    let (mut data, mut packet_data) = (Vec::new(), Vec::new());
    // The fault of the last packet, which is forgiven where nothing follows, and the place of the first.
    let (mut broken, mut first) = (None, None);
    while let Some(packet) = next_packet(&mut source)? {
        if let Some(reason) = broken {
            return Err(reason);
        }
        let at = packet.pts.get() as u64;
        if source.flac.is_some() && at != *first.get_or_insert(at) + (data.len() / source.channels) as u64 {
            return Err(format!("frames before frame {at} are missing: the file is damaged; export it again"));
        }
        let buffer = match source.decoder.decode(&packet) {
            Ok(buffer) => buffer,
            Err(e) if source.flac.is_some() => {
                broken = Some(reason(&e));
                continue;
            }
            Err(e) => return Err(reason(&e)),
        };
        if buffer.spec().channels().count() != source.channels {
            return Err("the number of channels changes; convert the file to WAV".into());
        }
        buffer.copy_to_vec_interleaved(&mut packet_data);
        data.extend_from_slice(&packet_data);
        if data.len() as u64 > MAX_SAMPLES {
            return Err(too_many());
        }
        if data.len() as u64 > most {
            return Err("more samples than a file of this length can hold: it is damaged; export it again".into());
        }
    }
    finish(source, data, broken)
}

/// The sound of the samples that were found, after checks of their number.
fn finish(
    mut source: Source,
    mut data: Vec<f32>,
    broken: Option<String>,
) -> Result<(AudioSignal, Vec<String>), String> {
    let found = (data.len() / source.channels) as u64;
    if found == 0 {
        return Err(broken.unwrap_or_else(|| "the sound has no frame; export it again".into()));
    }
    match source.frames {
        Some(stated) if source.flac.is_none() => data.truncate((stated as usize).saturating_mul(source.channels)),
        Some(stated) if stated > found => {
            source
                .notes
                .push(format!("{found} of {stated} frames are there: the file is truncated; get the whole file"));
        }
        Some(stated) if stated < found => {
            source.notes.push(format!("{found} frames are there where the header states {stated}: all are read"));
        }
        _ => {}
    }
    let is_whole = broken.is_none() && source.frames.is_none_or(|stated| stated <= found);
    if let Some(reason) = broken.filter(|_| source.notes.is_empty()) {
        source.notes.push(format!("the last frames can't be decoded and are left out: {reason}"));
    }
    if is_whole && source.decoder.finalize().verify_ok == Some(false) {
        return Err("its samples do not match its checksum: the file is damaged; export it again".into());
    }
    let Source { channels, rate, format, notes, .. } = source;
    Ok((AudioSignal { rate, channels, format, data }, notes))
}

fn reason(error: &Error) -> String {
    match error {
        Error::IoError(_) => "the file ends too early: it is truncated; export it again".into(),
        other => format!("{other}; export the sound again as 16-bit WAV"),
    }
}

fn next_packet(source: &mut Source) -> Result<Option<Packet>, String> {
    match source.reader.next_packet() {
        // A FLAC that is cut off just ends.
        Err(Error::IoError(_)) if source.flac.is_some() => Ok(None),
        other => other.map_err(|e| reason(&e)),
    }
}

/// The file without an ID3 tag in front of a format that has none.
fn untagged(mut bytes: Vec<u8>) -> Vec<u8> {
    // The length is in seven bits a byte, without the tag's head.
    if let Some(&[b'I', b'D', b'3', _, _, _, a, b, c, d]) = bytes.first_chunk()
        && [a, b, c, d].into_iter().all(|v| v < 0x80)
    {
        let length = [a, b, c, d].into_iter().fold(0, |sum, v| sum << 7 | usize::from(v)) + 10;
        if bytes.get(length..).is_some_and(is_sound) {
            bytes.drain(..length);
        }
    }
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Source, String> {
    let bytes = untagged(bytes);
    let options = FormatOptions::default;
    let stream = |bytes: Vec<u8>| MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let (mut flac, mut frames, mut notes) = (None, None, Vec::new());
    let mut of_wave = |wave: wave::Wave| {
        (frames, notes) = (wave.frames, wave.notes);
        WavReader::try_new(stream(wave.bytes), options()).map(|reader| Box::new(reader) as Box<dyn FormatReader>)
    };
    let reader: Box<dyn FormatReader> = if is_wave(&bytes) {
        of_wave(wave::rewritten(bytes)?).map_err(|e| reason(&e))?
    } else if is_aiff(&bytes) {
        match aiff::rewritten(bytes)? {
            aiff::Rewritten::Wave(wave) => of_wave(wave).map_err(|e| reason(&e))?,
            aiff::Rewritten::Aiff(bytes, said) => {
                notes = said;
                Box::new(AiffReader::try_new(stream(bytes), options()).map_err(|e| reason(&e))?)
            }
        }
    } else if bytes.starts_with(b"fLaC") {
        flac = Some(bytes.len());
        Box::new(FlacReader::try_new(stream(bytes), options()).map_err(|e| reason(&e))?)
    } else {
        return Err(foreign(&bytes));
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
    let decoder: Box<dyn AudioDecoder> = match params.codec {
        codec::CODEC_ID_FLAC => Box::new(FlacDecoder::try_new(params, &verify).map_err(|e| reason(&e))?),
        codec::CODEC_ID_ADPCM_MS | codec::CODEC_ID_ADPCM_IMA_WAV => {
            Box::new(AdpcmDecoder::try_new(params, &verify).map_err(|e| reason(&e))?)
        }
        _ => Box::new(PcmDecoder::try_new(params, &verify).map_err(|e| reason(&e))?),
    };
    let frames = if flac.is_some() { track.num_frames } else { frames };
    let format = sample_format(params);
    Ok(Source { decoder, channels, rate, format, frames, reader, flac, notes })
}

/// The message about a file that is no sound that is read.
fn foreign(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the file is empty".into();
    }
    let found = FOREIGN.into_iter().find(|&(at, magic, _)| bytes.get(at..).is_some_and(|b| b.starts_with(magic)));
    let lead = found.map_or(String::new(), |(_, _, name)| format!("{name}, "));
    format!("{lead}not a WAV, AIFF or FLAC sound; convert it, for example by `ffmpeg -i FILE sound.wav`")
}

/// The first format that holds the file's samples, or the nearest.
fn sample_format(params: &AudioCodecParameters) -> SampleFormat {
    match params.codec {
        codec::CODEC_ID_PCM_F32LE | codec::CODEC_ID_PCM_F64LE => SampleFormat::Float32,
        codec::CODEC_ID_PCM_F32BE | codec::CODEC_ID_PCM_F64BE => SampleFormat::Float32,
        codec::CODEC_ID_PCM_ALAW | codec::CODEC_ID_PCM_MULAW => SampleFormat::Pcm16,
        codec::CODEC_ID_ADPCM_MS | codec::CODEC_ID_ADPCM_IMA_WAV => SampleFormat::Pcm16,
        _ => match params.bits_per_sample {
            Some(..=16) => SampleFormat::Pcm16,
            Some(17..=24) => SampleFormat::Pcm24,
            _ => SampleFormat::Float32,
        },
    }
}

use std::path::PathBuf;

use nstr_files::testing::data_dir;
use proptest::prelude::*;

use super::*;

fn decode(bytes: Vec<u8>) -> Result<AudioSignal, String> {
    decode_noted(bytes).map(|(sound, _)| sound)
}

fn oracle(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle")).join(name)
}

fn sound(channels: usize, format: SampleFormat, data: Vec<f32>) -> AudioSignal {
    AudioSignal { rate: 8000, channels, format, data }
}

#[derive(Deserialize)]
struct Case {
    file: String,
    rate: u32,
    channels: usize,
    subtype: String,
    samples: Vec<f64>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(oracle("sounds.json")).unwrap()).unwrap()
}

#[test]
fn agrees_with_libsndfile() {
    let all = cases();
    assert!(all.len() >= 12);
    for case in all {
        let sound = read_audio(&oracle("sounds").join(&case.file)).unwrap();
        assert_eq!((sound.rate, sound.channels), (case.rate, case.channels), "{}", case.file);
        let want: Vec<f32> = case.samples.iter().map(|&v| v as f32).collect();
        assert_eq!(sound.data, want, "{}", case.file);
        let format = match case.subtype.as_str() {
            "PCM_24" => SampleFormat::Pcm24,
            "PCM_32" | "FLOAT" | "DOUBLE" => SampleFormat::Float32,
            _ => SampleFormat::Pcm16,
        };
        assert_eq!(sound.format, format, "{}", case.file);
    }
}

#[test]
fn sounds_come_back_and_clipping_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    for (format, step) in [(SampleFormat::Pcm16, 1.0 / 32_768.0), (SampleFormat::Pcm24, 1.0 / 8_388_608.0)] {
        let exact = sound(3, format, vec![-1.0, 1.0 - step, 0.0, step, -3.0 * step, 0.5]);
        assert_eq!(exact.write(&path).unwrap(), 0);
        assert_eq!(read_audio(&path).unwrap(), exact);
        let loud = sound(1, format, vec![1.5, 1.0, -1.5, 0.4 * step, 0.0]);
        assert_eq!(loud.write(&path).unwrap(), 3);
        assert_eq!(read_audio(&path).unwrap().data, [1.0 - step, 1.0 - step, -1.0, 0.0, 0.0]);
    }
    let float = sound(2, SampleFormat::Float32, vec![1.5, -7.25, 1e-30, 0.1]);
    assert_eq!(float.write(&path).unwrap(), 0);
    assert_eq!(read_audio(&path).unwrap(), float);
    assert_eq!((float.frames(), float.seconds(), float.mono()[0]), (2, 2.0 / 8000.0, -2.875));
}

#[test]
fn sounds_that_cannot_be_written_leave_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    std::fs::write(&path, b"old").unwrap();
    let pcm = SampleFormat::Pcm16;
    let wrong = [
        sound(1, pcm, vec![]),
        sound(2, pcm, vec![0.0; 3]),
        sound(0, pcm, vec![0.0]),
        sound(19, pcm, vec![0.0; 19]),
        AudioSignal { rate: 0, ..sound(1, pcm, vec![0.0]) },
        AudioSignal { rate: u32::MAX, ..sound(1, pcm, vec![0.0]) },
    ];
    for sound in wrong {
        assert!(sound.write(&path).unwrap_err().to_string().contains("a.wav"));
    }
    let said = sound(2, pcm, vec![0.0, 0.0, 0.0, f32::NAN]).write(&path).unwrap_err().to_string();
    assert!(said.contains("1 are not finite") && said.contains("channel 1 of frame 1"), "{said}");
    assert!(sound(1, pcm, vec![0.0]).write(&dir.path().join("a.mp3")).unwrap_err().to_string().contains(".wav"));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn broken_files_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.wav");
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let said = read_audio(&path).unwrap_err().to_string();
        assert!(said.contains("b.wav"), "{said}");
        said
    };
    assert!(said(b"").contains("empty"));
    let foreign: [(&[u8], &str); 6] = [
        (b"ID3\x04 an mp3", "MP3"),
        (b"OggS\0", "Ogg"),
        (b"\0\0\0\x20ftypM4A ", "MPEG-4"),
        (b"caff\0\x01", "CAF"),
        (b"RIFX\0\0\0\0WAVE", "big-endian"),
        (b"RIFF\0\0\0\0AVI ", "not a WAV, AIFF or FLAC"),
    ];
    for (bytes, name) in foreign {
        let said = said(bytes);
        assert!(said.contains(name) && said.contains("not a WAV, AIFF or FLAC") && said.contains("ffmpeg"), "{said}");
    }
    for case in cases() {
        let bytes = std::fs::read(oracle("sounds").join(&case.file)).unwrap();
        let whole = decode(bytes.clone()).unwrap();
        for cut in 0..bytes.len() {
            // What is read of a file that is cut off is the beginning of the sound.
            if let Ok((part, notes)) = decode_noted(bytes[..cut].to_vec()) {
                assert!(whole.data.starts_with(&part.data), "{} {cut}", case.file);
                // The last byte of an odd WAV is padding.
                let is_less = part.data.len() < whole.data.len() || cut + 1 < bytes.len();
                assert!(!is_less || notes.len() == 1, "{} {cut} {notes:?}", case.file);
            }
        }
    }
    let bytes = std::fs::read(oracle("sounds/s16.wav")).unwrap();
    assert!(said(&bytes[..30]).contains("truncated"), "{}", said(&bytes[..30]));
    let data = sound(1, SampleFormat::Float32, vec![0.0, f32::NAN, f32::INFINITY]).wav_bytes().unwrap().0;
    assert!(said(&data).contains("2 are not finite, the first NaN in channel 0 of frame 1"));
    let mut none = sound(1, SampleFormat::Pcm16, vec![0.0]).wav_bytes().unwrap().0;
    none.truncate(none.len() - 2);
    let (riff, data) = ((none.len() as u32 - 8).to_le_bytes(), none.len() - 4);
    none[4..8].copy_from_slice(&riff);
    none[data..].fill(0);
    assert!(said(&none).contains("no frame"), "{}", said(&none));
}

#[test]
fn damage_to_flac_is_noticed_and_pipes_state_no_length() {
    let flac = std::fs::read(oracle("sounds/s16.flac")).unwrap();
    let mut bad_sum = flac.clone();
    // The checksum ends the first block: marker 4, head 4, block 34.
    bad_sum[41] ^= 1;
    assert!(decode(bad_sum).unwrap_err().contains("checksum"));
    let mut bad_sample = flac.clone();
    let last = flac.len() - 8;
    bad_sample[last] ^= 1;
    let whole = decode(flac.clone()).unwrap();
    for bytes in [bad_sample, flac[..last].to_vec()] {
        // The last frame can't be trusted: an error, or a note and what is before it.
        if let Ok((part, notes)) = decode_noted(bytes) {
            assert!(whole.data.starts_with(&part.data) && part.data.len() < whole.data.len());
            assert!(notes.len() == 1, "{notes:?}");
        }
    }
    // Players skip a tag in front.
    let tagged = [b"ID3\x04\0\0\0\0\0\x03abc", &flac[..]].concat();
    assert_eq!(decode_noted(tagged).unwrap(), (whole, vec![]));
    let whole = sound(2, SampleFormat::Pcm16, vec![0.25; 6000]);
    let mut piped = whole.wav_bytes().unwrap().0;
    piped[4..8].fill(0xFF);
    let at = piped.len() - 12_000;
    piped[at - 4..at].fill(0xFF);
    assert_eq!(decode(piped).unwrap(), whole);
}

#[test]
fn masks_of_positions_do_not_count() {
    let path = oracle("sounds/s24x.wav");
    let (good, mut bytes) = (read_audio(&path).unwrap(), std::fs::read(path).unwrap());
    for mask in [0u32, 1, u32::MAX, 1 << 31] {
        bytes[40..44].copy_from_slice(&mask.to_le_bytes());
        assert_eq!(decode(bytes.clone()).unwrap(), good);
    }
    for channels in [0u16, 19, u16::MAX] {
        bytes[22..24].copy_from_slice(&channels.to_le_bytes());
        assert!(decode(bytes.clone()).unwrap_err().contains(&channels.to_string()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_never_panic(
        kind in 0..12usize,
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0.0..1.0f64,
        flips in proptest::collection::vec((0.0..1.0f64, any::<u8>()), 0..8),
    ) {
        let starts: [&[u8]; 8] = [
            b"RIFF\xff\xff\0\0WAVEfmt ",
            b"RIFF\xff\xff\xff\xffWAVE",
            b"RIFF\0\0\0\0WAVEfmt \x32\0\0\0\x02\0\x01\0",
            b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
            b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\0\0",
            b"FORM\0\0\0\0AIFCCOMM\0\0\0\x18",
            b"FORM\xff\xff\xff\xffAIFFSSND",
            b"fLaC\0\0\0\x22",
        ];
        for start in starts {
            let _ = decode([start, &noise].concat());
        }
        let case = &cases()[kind];
        let mut bytes = std::fs::read(oracle("sounds").join(&case.file)).unwrap();
        for (place, value) in flips {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        let _ = decode(bytes.clone());
        bytes.truncate((cut * bytes.len() as f64) as usize);
        let _ = decode(bytes);
    }
}

/// Real sounds, where there are any.
#[test]
fn real_sounds_read() {
    let Some(folder) = data_dir("audio") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sound = read_audio(&path).unwrap();
        let energy: f64 = sound.data.iter().map(|&v| v as f64 * v as f64).sum();
        let shape = (sound.rate, sound.channels, sound.frames(), sound.format);
        println!("{} {shape:?} {energy:.12}", path.file_name().unwrap().display());
        assert!(sound.frames() > 0 && sound.data.iter().all(|v| v.abs() <= 1.0));
    }
}

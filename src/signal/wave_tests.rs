use super::*;
use crate::decode::decode_noted;

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let padding = vec![0; data.len() % 2];
    [&kind[..], &(data.len() as u32).to_le_bytes(), data, &padding].concat()
}

/// The chunk `fmt ` of `channels` at 8000 Hz, with an extension.
fn format(tag: u16, channels: u16, block: u16, bits: u16, extension: &[u8]) -> Vec<u8> {
    let mut data = [tag, channels].map(u16::to_le_bytes).concat();
    data.extend(8000u32.to_le_bytes());
    data.extend((8000 * u32::from(block)).to_le_bytes());
    data.extend([block, bits].map(u16::to_le_bytes).concat());
    data.extend(extension);
    chunk(b"fmt ", &data)
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunks = chunks.concat();
    [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WAVE", &chunks].concat()
}

fn samples(count: i16) -> Vec<u8> {
    (1..=count).flat_map(|v| (v * 64).to_le_bytes()).collect()
}

fn values(count: i16) -> Vec<f32> {
    (1..=count).map(|v| f32::from(v) / 512.0).collect()
}

fn mono(count: i16) -> Vec<u8> {
    riff(&[format(PCM, 1, 2, 16, &[]), chunk(b"data", &samples(count))])
}

/// The samples and the notes of a file.
fn read(bytes: &[u8]) -> (Vec<f32>, Vec<String>) {
    let (sound, notes) = decode_noted(bytes.to_vec()).unwrap();
    assert_eq!(sound.rate, 8000);
    (sound.data, notes)
}

fn with(mut bytes: Vec<u8>, at: usize, length: u32) -> Vec<u8> {
    bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[test]
fn lengths_of_the_container_do_not_count() {
    let good = mono(20);
    let size = good.len() as u32 - 8;
    for length in [0, u32::MAX, 0x7FFF_FFFF, size - 8, size + 100, 3] {
        assert_eq!(read(&with(good.clone(), 4, length)), (values(20), vec![]), "{length}");
    }
}

#[test]
fn lengths_of_the_samples_that_lie_mean_to_the_end() {
    let good = mono(20);
    for length in [0, u32::MAX] {
        assert_eq!(read(&with(good.clone(), 40, length)), (values(20), vec![]));
    }
    for length in [0x7FFF_FFFF, 48, 32] {
        let (data, notes) = read(&with(good.clone(), 40, length));
        assert_eq!(data, values(20), "{length}");
        assert!(
            notes.len() == 1 && notes[0].contains("40 are there") && notes[0].contains(&length.to_string()),
            "{notes:?}"
        );
    }
    // A file that was cut off, also within a sample.
    for cut in [4, 5] {
        let (data, notes) = read(&good[..good.len() - cut]);
        assert_eq!((data, notes.len()), (values(20 - (cut as i16 + 1) / 2), 1));
    }
}

#[test]
fn what_follows_the_samples_is_not_sound() {
    let fmt = || format(PCM, 1, 1, 8, &[]);
    let want = vec![0.5, -0.5, 0.0];
    let data = [0xC0, 0x40, 0x80];
    let padded = chunk(b"data", &data);
    let unpadded = &padded[..padded.len() - 1];
    let list = chunk(b"LIST", b"INFOISFT\x04\0\0\0abc\0");
    for tail in
        [list.clone(), list[..7].to_vec(), list[..14].to_vec(), vec![0; 50], b"TAG of a player".to_vec(), vec![]]
    {
        let bytes = riff(&[fmt(), padded.clone(), tail]);
        assert_eq!(read(&bytes), (want.clone(), vec![]));
    }
    for chunks in [vec![fmt(), unpadded.to_vec()], vec![fmt(), unpadded.to_vec(), list.clone()]] {
        assert_eq!(read(&riff(&chunks)), (want.clone(), vec![]));
    }
    // Bytes behind the container.
    assert_eq!(read(&[riff(&[fmt(), padded.clone()]), vec![9; 20]].concat()), (want.clone(), vec![]));
    // An odd chunk in front whose padding is missing.
    let odd = chunk(b"note", b"abc");
    assert_eq!(read(&riff(&[odd[..11].to_vec(), fmt(), padded])), (want, vec![]));
    let empty = riff(&[fmt(), chunk(b"data", &[]), list]);
    assert!(decode_noted(empty).unwrap_err().contains("no frame"));
    assert!(decode_noted(riff(&[chunk(b"data", &data)])).is_err());
}

#[test]
fn formats_that_other_decoders_read() {
    // An extension that is too long, 12 bits in two bytes, floats with an extension, and A-law without its own.
    let data = chunk(b"data", &samples(4));
    for fmt in [format(PCM, 1, 2, 16, &[4, 0, 1, 2, 3, 4]), format(PCM, 1, 2, 12, &[]), format(PCM, 1, 0, 16, &[0, 0])]
    {
        assert_eq!(read(&riff(&[fmt, data.clone()])), (values(4), vec![]));
    }
    let float = chunk(b"data", &0.25f32.to_le_bytes());
    assert_eq!(read(&riff(&[format(3, 1, 4, 32, &[2, 0, 1, 1]), float])), (vec![0.25], vec![]));
    assert_eq!(read(&riff(&[format(ALAW, 1, 1, 8, &[]), chunk(b"data", &[0xD5])])).0, [8.0 / 32_768.0]);
    let nine = decode_noted(riff(&[format(PCM, 19, 38, 16, &[]), data])).unwrap_err();
    assert!(nine.contains("19 channels"), "{nine}");
}

#[test]
fn rf64_and_bw64() {
    let data = samples(6);
    for kind in [b"RF64", b"BW64"] {
        for stated in [12u64, 0, u64::MAX] {
            let mut sizes = [1000u64, stated].map(u64::to_le_bytes).concat();
            sizes.extend([6u64, 0].map(u64::to_le_bytes).concat());
            let mut bytes = riff(&[chunk(b"ds64", &sizes), format(PCM, 1, 2, 16, &[]), chunk(b"data", &data)]);
            bytes[..4].copy_from_slice(kind);
            bytes[4..8].fill(0xFF);
            let at = bytes.len() - 16;
            assert_eq!(read(&with(bytes, at, u32::MAX)), (values(6), vec![]));
        }
    }
}

#[test]
fn wave64() {
    let part = |kind: &[u8; 4], data: &[u8]| {
        let length = (data.len() as u64 + 24).to_le_bytes();
        let padding = vec![0; data.len().next_multiple_of(8) - data.len()];
        [&kind[..], &W64_TAIL, &length, data, &padding].concat()
    };
    let fmt = &format(PCM, 1, 2, 16, &[])[8..];
    let file = |length: Option<u64>| {
        let mut body = [part(b"junk", &[1; 5]), part(b"fmt ", fmt), part(b"data", &samples(5))].concat();
        if let Some(length) = length {
            let at = body.len() - 16 - 8;
            body[at..at + 8].copy_from_slice(&length.to_le_bytes());
        }
        let size = (body.len() as u64 + 40).to_le_bytes();
        [&W64_RIFF[..], &size, b"wave", &W64_TAIL, &body].concat()
    };
    assert_eq!(read(&file(None)), (values(5), vec![]));
    // Ten bytes and six of padding are read where the length says nothing.
    for length in [0, u64::MAX] {
        let (data, notes) = read(&file(Some(length)));
        assert_eq!((&data[..5], data.len(), notes), (&values(5)[..], 8, vec![]));
    }
    let (data, notes) = read(&file(Some(1 << 40)));
    assert_eq!((&data[..5], notes.len()), (&values(5)[..], 1));
    let whole = file(None);
    assert!((0..whole.len() - 16).all(|cut| decode_noted(whole[..cut].to_vec()).is_err()));
}

/// The chunk `fmt ` of Microsoft's ADPCM.
fn ms_format(channels: u16, block: u16) -> Vec<u8> {
    let mut extension = [32u16, 0, 7].map(u16::to_le_bytes).concat();
    extension.extend(MS_COEFFICIENTS.map(i16::to_le_bytes).concat());
    format(ADPCM_MS, channels, block, 4, &extension)
}

#[test]
fn adpcm_of_both_kinds() {
    // Predictor 0 repeats the sample before; steps of 16 at the least. First two samples 300 and 200, then +1, −1 and 0 steps.
    let block = [0, 16, 0, 200, 0, 44, 1, 0x1F, 0x00];
    let bytes = riff(&[ms_format(1, 9), chunk(b"data", &block)]);
    let want = [300, 200, 216, 200, 200, 200].map(|v: i32| v as f32 / 32_768.0);
    assert_eq!(read(&bytes), (want.to_vec(), vec![]));
    // The chunk `fact` says how many of the block's frames count; it can't add any.
    for (stated, found) in [(4u32, 4), (100, 6), (0, 6)] {
        let bytes = riff(&[ms_format(1, 9), chunk(b"fact", &stated.to_le_bytes()), chunk(b"data", &block)]);
        assert_eq!(read(&bytes).0, want[..found]);
    }
    // The last block is cut off after its first byte of samples.
    let cut = riff(&[ms_format(1, 9), chunk(b"data", &[&block[..], &block[..8]].concat())]);
    assert_eq!(read(&cut).0, [&want[..], &want[..4]].concat());
    // IMA: step 7 from index 0; codes of half a step (0) and of one and a half (1, then index −1) rounded as the standard says.
    let ima = |channels, block, data: &[u8]| {
        riff(&[format(ADPCM_IMA, channels, block, 4, &[2, 0, 9, 0]), chunk(b"data", data)])
    };
    // 100, then code 0 (+0: 7 >> 3), code 4 (+7, with 7 >> 3 = 0).
    let (data, notes) = read(&ima(1, 5, &[100, 0, 0, 0, 0x40]));
    assert_eq!((data, notes), ([100, 100, 107].map(|v: i32| v as f32 / 32_768.0).to_vec(), vec![]));
    let (data, _) = read(&ima(2, 16, &[100, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!((data.len(), data[0] * 32_768.0, data[17] * 32_768.0), (18, 100.0, 200.0));
}

#[test]
fn compressed_blocks_that_would_break_the_decoder_are_refused() {
    let said = |fmt: Vec<u8>, data: &[u8]| decode_noted(riff(&[fmt, chunk(b"data", data)])).unwrap_err();
    assert!(said(ms_format(1, 9), &[7, 16, 0, 0, 0, 0, 0, 0, 0]).contains("predictor"));
    assert!(said(ms_format(3, 40), &[0; 40]).contains("3 channels"));
    assert!(said(ms_format(2, 13), &[0; 13]).contains("13 bytes"));
    let ima = |channels, block| format(ADPCM_IMA, channels, block, 4, &[2, 0, 9, 0]);
    assert!(said(ima(2, 12), &[0; 12]).contains("12 bytes"));
    assert!(said(ima(1, 0), &[0; 12]).contains("0 bytes"));
    let own = format(ADPCM_MS, 1, 9, 4, &[32, 0, 0, 0, 7, 0, 1, 1]);
    assert!(said(own, &[0; 9]).contains("coefficients of its own"));
}

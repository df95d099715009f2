use ::png::{BitDepth, ColorType};
use nstr_files::testing::data_dir;
use nstr_image::testing::{
    exif_data, exr_file, exr_window, grey_jpeg as jpeg_sample, jpeg_of_blocks, jpeg_with_exif, rgb_tiff, rgb_webp,
};
use proptest::prelude::*;

use super::*;

fn decode(bytes: &[u8]) -> Result<ImageSignal, String> {
    decode_noted(bytes).map(|(picture, _)| picture)
}

fn picture(
    width: usize,
    height: usize,
    channels: usize,
    encoding: PixelEncoding,
    value: impl Fn(usize) -> f32,
) -> ImageSignal {
    ImageSignal { width, height, channels, encoding, data: (0..width * height * channels).map(value).collect() }
}

/// A PNG of 2x1 pixels.
fn png_file(colour: ColorType, depth: BitDepth, palette: &[u8], transparent: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette.to_vec());
    }
    if !transparent.is_empty() {
        encoder.set_trns(transparent.to_vec());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

#[test]
fn every_kind_of_png() {
    use BitDepth::{Eight, One, Sixteen};
    use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    let byte = |v: &[f32]| v.iter().map(|v| v / 255.0).collect::<Vec<_>>();
    let palette = &[10, 20, 30, 40, 50, 60];
    let sixteen = [1u16, 515, 65_535, 7, 8, 9];
    let deep: Vec<u8> = sixteen.iter().flat_map(|v| v.to_be_bytes()).collect();
    let deep_values: Vec<f32> = sixteen.iter().map(|&v| v as f32 / 65_535.0).collect();
    let cases = [
        (png_file(Grayscale, Eight, &[], &[], &[7, 9]), 1, byte(&[7.0, 9.0])),
        (png_file(Grayscale, One, &[], &[], &[0b0100_0000]), 1, vec![0.0, 1.0]),
        (png_file(Grayscale, Sixteen, &[], &[], &deep[..4]), 1, deep_values[..2].to_vec()),
        (png_file(Grayscale, Eight, &[], &[0, 9], &[7, 9]), 4, byte(&[7.0, 7.0, 7.0, 255.0, 9.0, 9.0, 9.0, 0.0])),
        (png_file(GrayscaleAlpha, Eight, &[], &[], &[7, 8, 9, 0]), 4, byte(&[7.0, 7.0, 7.0, 8.0, 9.0, 9.0, 9.0, 0.0])),
        (png_file(GrayscaleAlpha, Eight, &[], &[], &[7, 255, 9, 255]), 1, byte(&[7.0, 9.0])),
        (png_file(Rgb, Eight, &[], &[], &[1, 2, 3, 4, 5, 6]), 3, byte(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        (png_file(Rgb, Sixteen, &[], &[], &deep), 3, deep_values),
        (png_file(Indexed, Eight, palette, &[], &[1, 0]), 3, byte(&[40.0, 50.0, 60.0, 10.0, 20.0, 30.0])),
        (png_file(Indexed, Eight, palette, &[0], &[1, 0]), 4, byte(&[40.0, 50.0, 60.0, 255.0, 10.0, 20.0, 30.0, 0.0])),
        (png_file(Rgba, Eight, &[], &[], &[1, 2, 3, 255, 4, 5, 6, 255]), 3, byte(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
    ];
    for (bytes, channels, data) in cases {
        let want = ImageSignal { width: 2, height: 1, channels, encoding: PixelEncoding::Srgb, data };
        assert_eq!(decode(&bytes).unwrap(), want);
        assert!((0..bytes.len() - 12).all(|cut| decode(&bytes[..cut]).is_err()));
    }
}

#[test]
fn jpeg_and_exr() {
    let grey = decode(&jpeg_sample()).unwrap();
    assert_eq!(grey, picture(8, 8, 1, PixelEncoding::Srgb, |_| 200.0 / 255.0));
    let rgb = decode(&exr_file(&[&["B", "G", "R"]], true)).unwrap();
    assert_eq!((rgb.width, rgb.height, rgb.channels, rgb.encoding), (3, 2, 3, PixelEncoding::Linear));
    assert_eq!(rgb.data[3..6], [21.0, 11.0, 1.0]);
    assert_eq!(decode(&exr_file(&[&["Y"]], false)).unwrap().data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}

#[test]
fn pictures_stand_upright() {
    // Three blocks of 8x8 below each other: 200, 128, 200.
    let stored = jpeg_of_blocks(3);
    for number in 1..=8 {
        let (upright, notes) = decode_noted(&jpeg_with_exif(&stored, &exif_data(number, number % 2 == 0))).unwrap();
        let size = if number < 5 { (8, 24) } else { (24, 8) };
        assert_eq!((upright.width, upright.height, notes.len()), (size.0, size.1, usize::from(number > 1)));
        let middle = |x: usize, y: usize| if number < 5 { (8..16).contains(&y) } else { (8..16).contains(&x) };
        let value = |i: usize| if middle(i % size.0, i / size.0) { 128.0 / 255.0 } else { 200.0 / 255.0 };
        assert_eq!(upright.data, (0..192).map(value).collect::<Vec<f32>>(), "{number}");
    }
    let mut png = png_file(ColorType::Grayscale, BitDepth::Eight, &[], &[], &[7, 9]);
    // Behind the signature and the header, with a checksum that no decoder believes.
    let exif = exif_data(3, true);
    let chunk = [&(exif.len() as u32).to_be_bytes()[..], b"eXIf", &exif, b"crc!"].concat();
    png.splice(33..33, chunk);
    assert_eq!(decode(&png).unwrap().data, [9.0 / 255.0, 7.0 / 255.0]);
}

#[test]
fn tiff_and_webp() {
    let data = [10, 20, 30, 40, 50, 60];
    for bytes in [rgb_tiff((2, 1), &data), rgb_webp((2, 1), &data)] {
        let want = picture(2, 1, 3, PixelEncoding::Srgb, |i| f32::from(data[i]) / 255.0);
        assert_eq!(decode_noted(&bytes), Ok((want, vec![])));
    }
}

#[test]
fn truncated_jpegs_are_read_with_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("IMG_1.JPG");
    let whole = jpeg_of_blocks(3);
    std::fs::write(&path, &whole[..whole.len() - 2]).unwrap();
    let (read, notes) = read_image_noted(&path).unwrap();
    assert_eq!((Some(read), notes.len()), (decode(&whole).ok(), 1));
}

#[test]
fn exr_pictures_have_the_size_of_the_display_window() {
    let cropped = exr_window([0, 0, 3, 2], [1, 0, 1, 2], &["R", "G", "B"], |_, _| 0.5);
    let read = decode(&cropped).unwrap();
    assert_eq!((read.width, read.height, read.channels), (3, 2, 4));
    assert_eq!(read.data[..8], [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0]);
}

#[test]
fn values_that_are_not_finite_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.exr");
    let channels = vec![("Y".to_string(), vec![0.0, 1.0, f32::NAN, f32::INFINITY])];
    std::fs::write(&path, exr::encode((2, 2), channels).unwrap()).unwrap();
    let said = read_image(&path).unwrap_err().to_string();
    assert!(said.contains("bad.exr") && said.contains("2 values") && said.contains("x 0, y 1"), "{said}");
}

#[test]
fn files_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (png, exr) = (dir.path().join("a.png"), dir.path().join("a.EXR"));
    for channels in [1, 3, 4] {
        let encoded = picture(5, 3, channels, PixelEncoding::Srgb, |i| (i * 17 % 256) as f32 / 255.0);
        encoded.write(&png).unwrap();
        assert_eq!(read_image(&png).unwrap(), encoded);
        let linear = picture(5, 3, channels, PixelEncoding::Linear, |i| i as f32 * 0.37 - 1.0);
        linear.write(&exr).unwrap();
        assert_eq!(read_image(&exr).unwrap(), linear);
        encoded.write(&exr).unwrap();
        read_image(&exr).unwrap().write(&png).unwrap();
        let there_and_back = read_image(&png).unwrap();
        for (a, b) in encoded.data.chunks_exact(channels).zip(there_and_back.data.chunks_exact(channels)) {
            // What is transparent has no colour in premultiplied values.
            let seen = channels < 4 || a[3] > 0.0;
            assert!(!seen || a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.6 / 255.0), "{a:?} {b:?}");
        }
    }
}

#[test]
fn scales_are_converted() {
    let linear = picture(2, 1, 4, PixelEncoding::Linear, |i| [0.5, 0.25, -1.0, 0.5, 2.0, 0.0, 0.0, 1.0][i]);
    assert_eq!(linear.to_rgba8().data, [255, 188, 0, 128, 255, 0, 0, 255]);
    assert_eq!(
        picture(2, 1, 1, PixelEncoding::Srgb, |i| [1.5, 0.5][i]).to_rgba8().data,
        [255, 255, 255, 255, 128, 128, 128, 255]
    );
}

#[test]
fn pictures_that_cannot_be_written_leave_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let good = picture(2, 2, 1, PixelEncoding::Srgb, |_| 0.5);
    std::fs::write(&path, b"old").unwrap();
    let mut wrong =
        vec![ImageSignal { data: vec![0.0; 3], ..good.clone() }, ImageSignal { channels: 2, ..good.clone() }];
    wrong.push(ImageSignal { data: vec![0.0, 0.0, f32::NAN, 0.0], ..good.clone() });
    wrong.push(ImageSignal { width: 0, height: usize::MAX, channels: 1, data: vec![], ..good });
    for picture in &wrong {
        assert!(picture.write(&path).unwrap_err().to_string().contains("a.png"));
    }
    assert!(good.write(&dir.path().join("a.bmp")).unwrap_err().to_string().contains(".exr"));
    assert!(matches!(good.write(&dir.path().join("no/a.png")), Err(SignalError::Write { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn crops_and_reductions() {
    let whole = picture(5, 3, 3, PixelEncoding::Srgb, |i| i as f32);
    let part = whole.crop(1, 1, 2, 2).unwrap();
    let pixel = |x: usize, y: usize| [0, 1, 2].map(|c| ((y * 5 + x) * 3 + c) as f32);
    assert_eq!(part.data, [pixel(1, 1), pixel(2, 1), pixel(1, 2), pixel(2, 2)].concat());
    for (x, y, w, h) in [(0, 0, 6, 1), (4, 2, 1, 2), (0, 0, 0, 1), (usize::MAX, 0, 2, 1)] {
        assert_eq!(whole.crop(x, y, w, h), None);
    }
    let half = whole.reduced(2).unwrap();
    assert_eq!((half.width, half.height, half.data[0], half.data[3]), (2, 1, 9.0, 15.0));
    assert_eq!(whole.reduced(1).as_ref(), Some(&whole));
    assert!(whole.reduced(0).is_none() && whole.reduced(4).is_none());
    // A transparent red beside an opaque blue: half transparent, and still pure blue.
    let sides = picture(2, 1, 4, PixelEncoding::Srgb, |i| [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.8, 1.0][i]);
    let tall = ImageSignal { height: 2, data: [sides.data.clone(), sides.data.clone()].concat(), ..sides.clone() };
    assert_eq!(tall.reduced(2).unwrap().data, [0.0, 0.0, 0.8, 0.5]);
    let linear = ImageSignal { encoding: PixelEncoding::Linear, ..tall };
    assert_eq!(linear.reduced(2).unwrap().data, [0.5, 0.0, 0.4, 0.5]);
}

#[test]
fn absurd_sizes_are_refused() {
    let mut bytes = png_file(ColorType::Grayscale, BitDepth::Eight, &[], &[], &[7, 9]);
    for side in [0u32, 1 << 30] {
        bytes[16..20].copy_from_slice(&side.to_be_bytes());
        bytes[20..24].copy_from_slice(&side.to_be_bytes());
        assert!(decode(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_never_panic(
        kind in 0..8usize,
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0.0..1.0f64,
        flips in proptest::collection::vec((0.0..1.0f64, any::<u8>()), 0..8),
    ) {
        let magic: [&[u8]; 7] = [
            b"\x89PNG\r\n\x1a\n",
            b"\xFF\xD8",
            b"\x76\x2f\x31\x01\x02\0\0\0",
            b"II*\0\x08\0\0\0",
            b"MM\0\x2B\0\x08\0\0\0\0\0\0\0\0\0\x10",
            b"RIFF\0\0\0\0WEBPVP8L",
            b"RIFF\0\0\0\0WEBPVP8X\x0A\0\0\0",
        ];
        for magic in magic {
            let _ = decode(&[magic, &noise].concat());
        }
        let mut bytes = match kind {
            0 => png_file(ColorType::Rgb, BitDepth::Sixteen, &[], &[], &[7; 12]),
            1 => png_file(ColorType::Indexed, BitDepth::Eight, &[1, 2, 3, 4, 5, 6], &[0], &[1, 0]),
            2 => jpeg_sample(),
            3 => exr_file(&[&["R", "G", "B"]], true),
            4 => rgb_tiff((3, 2), &[7; 18]),
            5 => rgb_webp((3, 2), &[7; 18]),
            6 => exr_window([0, 0, 3, 2], [1, 1, 1, 1], &["Y"], |x, _| x as f32),
            _ => exr_file(&[&["Y", "A"], &["R"]], false),
        };
        for (place, value) in flips {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        let _ = decode(&bytes);
        bytes.truncate((cut * bytes.len() as f64) as usize);
        let _ = decode(&bytes);
    }
}

/// Real pictures, where there are any: sizes as their file states, values in range.
#[test]
fn real_pictures_read() {
    let Some(folder) = data_dir("image") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let picture = read_image(&path).unwrap();
        assert_eq!(picture.data.len(), picture.width * picture.height * picture.channels);
        let (low, high) = picture.data.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let mean = picture.data.iter().map(|&v| v as f64).sum::<f64>() / picture.data.len() as f64;
        let size = (picture.width, picture.height, picture.channels);
        println!("{} {size:?} {:?} {low} to {high}, mean {mean}", path.display(), picture.encoding);
        assert!(picture.encoding == PixelEncoding::Linear || (low >= 0.0 && high <= 1.0));
    }
}

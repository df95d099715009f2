//! Error maps: where two images differ, in false colours.

use crate::Rgba8;
use crate::colormap::error_colormap;

/// Absolute difference of two buffers `[pixel][channels]` (rows from the top) as an opaque image of `size`.
///
/// A pixel shows the mean of its channels' absolute differences on [`error_colormap`], black for 0 to pale yellow
/// for `full` and more; NaN counts as `full`. `None` where a buffer's length is not width × height × `channels`, where there is
/// no channel, or where `full` is not above 0.
pub fn error_map<T: Copy + Into<f64>>(
    measured: &[T],
    reference: &[T],
    size: (u32, u32),
    channels: usize,
    full: f64,
) -> Option<Rgba8> {
    let values = size.0 as usize * size.1 as usize * channels;
    if measured.len() != values || reference.len() != values || channels == 0 || full.is_nan() || full <= 0.0 {
        return None;
    }
    Some(Rgba8::from_fn(size.0, size.1, |i| {
        let pixel = i * channels..(i + 1) * channels;
        let pairs = measured[pixel.clone()].iter().zip(&reference[pixel]);
        let sum: f64 = pairs.map(|(&a, &b)| (a.into() - b.into()).abs()).sum();
        let share = sum / channels as f64 / full;
        let [r, g, b] = error_colormap(share as f32);
        [r, g, b, 1.0].map(|v| (v * 255.0).round() as u8)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_error() {
        let reference = [0.5f32; 12];
        let mut measured = reference;
        measured[3..6].copy_from_slice(&[0.6, 0.4, 0.5]);
        measured[6] = f32::NAN;
        measured[9..].fill(0.0);
        let map = error_map(&measured, &reference, (2, 2), 3, 0.2).unwrap();
        let shown = |t: f32| error_colormap(t).map(|v| (v * 255.0).round() as u8);
        let want = [shown(0.0), shown(0.2 / 3.0 / 0.2), shown(1.0), shown(1.0)];
        for (pixel, want) in map.data.chunks_exact(4).zip(want) {
            assert!(pixel[..3].iter().zip(want).all(|(a, b)| a.abs_diff(b) <= 1) && pixel[3] == 255, "{pixel:?}");
        }
    }

    #[test]
    fn buffers_that_do_not_fit_have_no_map() {
        let v = [0.5f64; 12];
        assert!(error_map(&v, &v[..9], (2, 2), 3, 0.1).is_none());
        assert!(error_map(&v, &v, (2, 2), 0, 0.1).is_none());
        assert!(error_map(&v, &v, (2, 2), 3, 0.0).is_none());
        assert!(error_map(&v, &v, (2, 2), 3, 0.1).is_some());
    }
}

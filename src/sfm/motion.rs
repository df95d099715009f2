//! Motion between two frames: the median displacement of blocks, by the least squared difference.

use crate::gray::Gray;

/// Longest side at which motion is measured.
const SIDE: usize = 160;
/// Edge of a block, in pixels.
const BLOCK: usize = 16;
/// Farthest displacement that is looked for along each axis, in pixels: 7.5 % of the side.
const REACH: isize = 12;
/// Least standard deviation of a block's values: others look the same wherever they are.
const TEXTURE: f32 = 4.0;

/// Thumbnail that motion is measured on.
pub(crate) fn thumbnail(image: &Gray) -> Gray {
    image.reduced(SIDE)
}

/// Median displacement of the textured blocks from thumbnail `a` to `b`, as a fraction of the longest side. What moves farther than
/// 7.5 % counts as that, and so do frames of which nothing is found again. `None` where no block has a texture, or sizes differ.
pub(crate) fn displacement(a: &Gray, b: &Gray) -> Option<f64> {
    if (a.width, a.height) != (b.width, b.height) {
        return None;
    }
    let reach = REACH as usize;
    let starts = |length: usize| (reach..(length + 1).saturating_sub(BLOCK + reach)).step_by(BLOCK);
    let mut found: Vec<f64> = Vec::new();
    for y in starts(a.height) {
        for x in starts(a.width) {
            found.extend(block_displacement(a, b, x, y));
        }
    }
    if found.is_empty() {
        return None;
    }
    found.sort_by(f64::total_cmp);
    Some(found[found.len() / 2] / a.width.max(a.height) as f64)
}

/// Displacement of the block at `(x, y)` in pixels; `None` without texture.
fn block_displacement(a: &Gray, b: &Gray, x: usize, y: usize) -> Option<f64> {
    let block = values(a, x, y);
    let deviation = (block.iter().map(|v| v * v).sum::<f32>() / block.len() as f32).sqrt();
    if deviation < TEXTURE {
        return None;
    }
    let side = 2 * REACH + 1;
    let difference = |dx: isize, dy: isize| {
        let other = values(b, x.wrapping_add_signed(dx), y.wrapping_add_signed(dy));
        block.iter().zip(&other).map(|(p, q)| (p - q) * (p - q)).sum::<f32>()
    };
    let at = |i: isize| (i % side - REACH, i / side - REACH);
    let all: Vec<f32> = (0..side * side).map(|i| difference(at(i).0, at(i).1)).collect();
    let best = (0..side * side).min_by(|i, j| all[*i as usize].total_cmp(&all[*j as usize]))?;
    let (dx, dy) = at(best);
    if all[best as usize] == 0.0 {
        return Some((dx as f64).hypot(dy as f64));
    }
    let value = |dx: isize, dy: isize| all[((dy + REACH) * side + dx + REACH) as usize];
    // Between pixels by the parabola through the neighbours.
    let refined = |d: isize, before: f32, after: f32| {
        let bend = before - 2.0 * value(dx, dy) + after;
        d as f64 + if bend > 0.0 { f64::from(0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
    };
    let fx = if dx.abs() < REACH { refined(dx, value(dx - 1, dy), value(dx + 1, dy)) } else { dx as f64 };
    let fy = if dy.abs() < REACH { refined(dy, value(dx, dy - 1), value(dx, dy + 1)) } else { dy as f64 };
    // A block of which most is lost is nowhere near.
    let is_lost = all[best as usize] > 0.5 * deviation * deviation * block.len() as f32;
    Some(if is_lost { REACH as f64 } else { fx.hypot(fy).min(REACH as f64) })
}

/// Values of a block without their mean, which changes with the exposure.
fn values(image: &Gray, x: usize, y: usize) -> [f32; BLOCK * BLOCK] {
    let mut out = [0.0; BLOCK * BLOCK];
    for (row, to) in out.chunks_exact_mut(BLOCK).enumerate() {
        let at = (y + row) * image.width + x;
        to.copy_from_slice(&image.data[at..at + BLOCK]);
    }
    let mean = out.iter().sum::<f32>() / out.len() as f32;
    out.iter_mut().for_each(|v| *v -= mean);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::textured;

    #[test]
    fn a_shift_is_found_whatever_the_exposure() {
        let (a, b) = (textured(160, 120, 0.0, 0.0), textured(160, 120, 3.0, -4.0));
        let brighter = Gray { data: b.data.iter().map(|v| v + 20.0).collect(), ..b };
        let found = displacement(&a, &brighter).unwrap();
        assert!((found * 160.0 - 5.0).abs() < 0.3, "{}", found * 160.0);
        assert_eq!(displacement(&a, &a), Some(0.0));
    }

    #[test]
    fn half_a_pixel_is_seen() {
        // Averages of a finer image lie between pixels.
        let fine = |shift: f64| textured(640, 480, shift, 0.0).reduced(160);
        let found = displacement(&fine(0.0), &fine(2.0)).unwrap() * 160.0;
        assert!((0.3..0.7).contains(&found), "{found}");
    }

    #[test]
    fn far_and_nowhere() {
        let a = textured(160, 120, 0.0, 0.0);
        let other = textured(160, 120, 5000.0, 9000.0);
        assert!(displacement(&a, &other).unwrap() * 160.0 > 8.0);
        let flat = Gray::from_fn(160, 120, |_, _| 7.0);
        assert_eq!(displacement(&flat, &a), None);
        assert_eq!(displacement(&Gray::from_fn(8, 8, |x, _| x as f32), &Gray::from_fn(8, 8, |x, _| x as f32)), None);
    }
}

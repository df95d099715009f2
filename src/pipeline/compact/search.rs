//! Search for the quantisation noise of a wanted loss, or of a wanted size.
//!
//! The *noise* is the factor of all steps, see [`StepPlan`](nstr_fit::sensitivity::StepPlan). The mean of squared errors that
//! quantisation adds grows about in proportion to it, and the size falls by about as many bits as values are halved in precision.

use super::excess;

/// Loss that counts as reached, as a share of the wanted one.
const NEAR: f64 = 0.94;
/// Share that is aimed at: the measurement is not quite smooth.
const AIM: f64 = 0.98;
/// Measurements of a loss, at most.
const MOST_LOSSES: usize = 10;
/// Size that counts as reached, as a share of the largest one.
const NEAR_SIZE: f64 = 0.997;
/// Codings for a size, at most.
const MOST_SIZES: usize = 24;
/// Largest factor of the noise from one try to the next.
const STRIDE: f64 = 64.0;

/// Noise, and what was found with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found<T> {
    pub noise: f64,
    pub value: T,
}

/// The largest noise found whose loss in dB, as `measure` tells, is at most `wanted`; near that unless the measurement jumps. Where
/// every try loses more, the one that loses least.
pub(super) fn noise_for_loss<E>(
    start: f64,
    wanted: f64,
    mut measure: impl FnMut(f64) -> Result<f64, E>,
) -> Result<Found<f64>, E> {
    let mut noise = start;
    let (mut below, mut above): (Option<Found<f64>>, Option<Found<f64>>) = (None, None);
    for _ in 0..MOST_LOSSES {
        let found = Found { noise, value: measure(noise)? };
        if found.value <= wanted {
            if below.is_none_or(|b| found.noise > b.noise) {
                below = Some(found);
            }
            if found.value >= NEAR * wanted {
                break;
            }
        } else if above.is_none_or(|a| found.noise < a.noise) {
            above = Some(found);
        }
        // Losses near 0 and below are the measurement's own noise.
        let ratio = |found: Found<f64>| excess(AIM * wanted) / excess(found.value.max(1e-3 * wanted));
        noise = match (below, above) {
            (Some(b), Some(a)) if b.noise < a.noise => {
                // On a straight line of logarithms between both, well inside of them.
                let (x, y) = (ratio(b).ln(), ratio(a).ln());
                let share = if x > y { (x / (x - y)).clamp(0.1, 0.9) } else { 0.5 };
                b.noise * (a.noise / b.noise).powf(share)
            }
            (Some(b), _) => b.noise * ratio(b).clamp(1.02, STRIDE),
            (None, Some(a)) => a.noise * ratio(a).clamp(1.0 / STRIDE, 0.98),
            (None, None) => noise,
        };
    }
    Ok(below.or(above).unwrap_or(Found { noise, value: f64::NAN }))
}

/// The smallest noise found whose size in bytes, as `measure` tells, is at most `most`; `least` where that is enough. `None` where
/// no noise makes the file small enough.
pub(super) fn noise_for_size<E>(
    start: f64,
    least: f64,
    most: u64,
    mut measure: impl FnMut(f64) -> Result<u64, E>,
) -> Result<Option<Found<u64>>, E> {
    let mut noise = start.max(least);
    // The largest noise of too large files, and the smallest of those that fit.
    let (mut large, mut fitting): (Option<Found<u64>>, Option<Found<u64>>) = (None, None);
    // Tries in succession on the same side: a straight line then misses again and again.
    let (mut last, mut repeated) = (false, 0);
    for _ in 0..MOST_SIZES {
        let found = Found { noise, value: measure(noise)? };
        let fits = found.value <= most;
        repeated = if fits == last { repeated + 1 } else { 0 };
        last = fits;
        if fits {
            if fitting.is_none_or(|f| found.noise < f.noise) {
                fitting = Some(found);
            }
            if found.value as f64 >= NEAR_SIZE * most as f64 || noise <= least {
                break;
            }
        } else if large.is_none_or(|l| found.noise > l.noise) {
            large = Some(found);
        }
        noise = match (large, fitting) {
            (Some(l), Some(f)) if l.noise < f.noise => {
                if f.noise / l.noise < 1.001 {
                    break;
                }
                let span = (l.value as f64 - f.value as f64).max(1.0);
                let line = (l.value as f64 - most as f64 * (1.0 + NEAR_SIZE) / 2.0) / span;
                let share = if repeated > 1 { 0.5 } else { line.clamp(0.05, 0.95) };
                l.noise * (f.noise / l.noise).powf(share)
            }
            (Some(l), _) => {
                if l.noise > start.max(least) * 1e18 {
                    break;
                }
                l.noise * (1.1 * l.value as f64 / most as f64).powi(4).clamp(1.5, STRIDE)
            }
            (None, Some(f)) => {
                (f.noise / (1.1 * most as f64 / f.value.max(1) as f64).powi(4).clamp(1.5, STRIDE)).max(least)
            }
            (None, None) => noise,
        };
    }
    Ok(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loss of a field whose own error is 1 when quantisation adds `noise`, in proportion up to 1 and faster beyond.
    fn loss(noise: f64) -> f64 {
        10.0 * (1.0 + noise + noise * noise).log10()
    }

    #[test]
    fn a_loss_is_reached_from_any_start() {
        for wanted in [0.01, 0.1, 0.2, 1.0, 3.0] {
            for start in [1e-9, 1e-3, 0.02, 1.0, 1e4] {
                let mut tries = 0;
                let found = noise_for_loss(start, wanted, |noise| {
                    tries += 1;
                    Ok::<_, ()>(loss(noise))
                });
                let found = found.unwrap();
                assert!(found.value <= wanted && found.value == loss(found.noise), "{wanted} from {start}: {found:?}");
                assert!(found.value > 0.9 * wanted, "{wanted} from {start}: {found:?} after {tries}");
            }
        }
        // From a good guess two or three measurements suffice.
        let mut tries = 0;
        noise_for_loss(0.0233, 0.1, |noise| {
            tries += 1;
            Ok::<_, ()>(loss(noise))
        })
        .unwrap();
        assert!(tries <= 3, "{tries}");
    }

    #[test]
    fn losses_that_cannot_be_reached_end_with_the_least() {
        let never = noise_for_loss(1.0, 0.1, |noise| Ok::<_, ()>(0.2 + loss(noise))).unwrap();
        assert!(never.value > 0.1 && never.value < 0.21, "{never:?}");
        let always = noise_for_loss(1.0, 0.1, |_| Ok::<_, ()>(-0.01)).unwrap();
        assert!(always.value == -0.01 && always.noise > 1e6, "{always:?}");
        assert_eq!(noise_for_loss(1.0, 0.1, |_| Err::<f64, _>("no")), Err("no"));
    }

    /// Bytes of a million values of unit variance in steps of √noise, and 4000 that stay.
    fn size(noise: f64) -> u64 {
        (4000.0 + 125_000.0 * (0.5 * (1.0 + 1.0 / noise).log2())) as u64
    }

    #[test]
    fn a_size_is_never_exceeded_and_nearly_used() {
        for most in [4100, 10_000, 123_456, 500_000, 2_000_000] {
            for start in [1e-9, 1e-3, 0.1, 1e3] {
                let found = noise_for_size(start, 1e-12, most, |noise| Ok::<_, ()>(size(noise))).unwrap().unwrap();
                assert!(found.value <= most && found.value == size(found.noise), "{most} from {start}: {found:?}");
                assert!(found.value * 100 >= most * 97 || found.noise == 1e-12, "{most} from {start}: {found:?}");
            }
        }
        let none = noise_for_size(1e-3, 1e-9, 3999, |noise| Ok::<_, ()>(size(noise))).unwrap();
        assert_eq!(none, None);
        let least = noise_for_size(1e-3, 1e-9, 1 << 40, |noise| Ok::<_, ()>(size(noise))).unwrap().unwrap();
        assert_eq!(least.noise, 1e-9);
    }
}

//! Standard normal numbers for samples (Box & Muller 1958), in f64.
//!
//! `nstr_spec::init` has its own in f32: it maps the generator's bits to (0, 1) by another rule, on which the initial
//! parameters of every saved seed depend.

use glam::DVec3;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Two independent numbers.
fn pair(rng: &mut Pcg64) -> [f64; 2] {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    let (r, a) = ((-2.0 * u.ln()).sqrt(), v * std::f64::consts::TAU);
    [r * a.cos(), r * a.sin()]
}

/// One number; takes two uniform ones.
pub(crate) fn normal(rng: &mut Pcg64) -> f64 {
    pair(rng)[0]
}

/// Three independent numbers; takes four uniform ones.
pub(crate) fn normal3(rng: &mut Pcg64) -> DVec3 {
    let ([a, b], [c, _]) = (pair(rng), pair(rng));
    DVec3::new(a, b, c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn moments_and_independence() {
        let mut rng = Pcg64::seed_from_u64(5);
        let count = 100_000;
        let (mut mean, mut square, mut cross, mut fourth) = (DVec3::ZERO, DVec3::ZERO, DVec3::ZERO, DVec3::ZERO);
        for _ in 0..count {
            let v = normal3(&mut rng);
            mean += v;
            square += v * v;
            cross += v * DVec3::new(v.z, v.x, v.y);
            fourth += v * v * v * v;
        }
        let n = f64::from(count);
        // Five deviations of each estimate.
        assert!((mean / n).abs().max_element() < 5.0 / n.sqrt(), "{mean}");
        assert!((square / n - 1.0).abs().max_element() < 5.0 * (2.0 / n).sqrt(), "{square}");
        assert!((cross / n).abs().max_element() < 5.0 / n.sqrt(), "{cross}");
        assert!((fourth / n - 3.0).abs().max_element() < 5.0 * (96.0 / n).sqrt(), "{fourth}");
    }
}

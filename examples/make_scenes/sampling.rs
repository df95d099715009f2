//! Fixed sample points, directions around a normal, and powers: what the renderers of the pictures share.

use glam::{DVec2, DVec3, dvec3};

/// Point `i` of `n` of the Hammersley set in the unit square.
pub fn hammersley(i: usize, n: usize) -> DVec2 {
    DVec2::new((i as f64 + 0.5) / n as f64, (i as u32).reverse_bits() as f64 / 2f64.powi(32) + 0.5 / n as f64)
}

/// Point `i` of `n`, spread evenly over the unit disc.
pub fn disc(i: usize, n: usize) -> DVec2 {
    let u = hammersley(i, n);
    DVec2::from_angle(std::f64::consts::TAU * u.y) * u.x.sqrt()
}

/// `n` cosine-distributed directions around z.
pub fn hemisphere(n: usize) -> Vec<DVec3> {
    (0..n).map(|i| disc(i, n)).map(|q| q.extend((1.0 - q.length_squared()).max(0.0).sqrt())).collect()
}

/// `n` directions towards a disc around the unit vector `axis`; `size` is the tangent of its half-angle.
pub fn cone(axis: DVec3, size: f64, n: usize) -> Vec<DVec3> {
    let [a, b] = basis(axis);
    (0..n).map(|i| disc(i, n) * size).map(|q| (axis + a * q.x + b * q.y).normalize()).collect()
}

/// Two unit vectors that complete the unit vector `n` (Duff et al., "Building an Orthonormal Basis, Revisited", Journal of
/// Computer Graphics Techniques 6 (2017)).
pub fn basis(n: DVec3) -> [DVec3; 2] {
    let sign = 1f64.copysign(n.z);
    let a = -1.0 / (sign + n.z);
    let b = n.x * n.y * a;
    [dvec3(1.0 + sign * n.x * n.x * a, sign * b, -sign * n.x), dvec3(b, sign + n.y * n.y * a, -n.y)]
}

/// `x` to the power `n` by repeated products: the same on every machine.
pub fn power(x: f64, n: i32) -> f64 {
    let (mut result, mut base, mut n) = (1.0, x, n);
    while n > 0 {
        if n & 1 == 1 {
            result *= base;
        }
        base *= base;
        n >>= 1;
    }
    result
}

/// 0 below `low`, 1 above `high`, and a cubic between them.
pub fn smoothstep(low: f64, high: f64, x: f64) -> f64 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

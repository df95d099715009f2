//! Encodings of a viewing direction: real spherical harmonics, or sines and cosines of its multiples.

use nstr_spec::DirectionEncoding;

/// Writes the encoding of the unit vector `d` into the first [`DirectionEncoding::width`] values of `out`.
pub fn encode(encoding: DirectionEncoding, d: [f32; 3], out: &mut [f32]) {
    match encoding {
        DirectionEncoding::Sh(degree) => harmonics(degree, d, out),
        DirectionEncoding::Frequency(octaves) => {
            out[..3].copy_from_slice(&d);
            for (i, to) in out[3..].chunks_exact_mut(6).take(octaves).enumerate() {
                let factor = std::f32::consts::PI * (1u32 << i) as f32;
                for j in 0..3 {
                    (to[2 * j], to[2 * j + 1]) = (factor * d[j]).sin_cos();
                }
            }
        }
    }
}

/// Orthonormal real spherical harmonics of degrees 0 to 3 (Sloan 2013, appendix A2), those below `degree`.
fn harmonics(degree: usize, [x, y, z]: [f32; 3], out: &mut [f32]) {
    let (xx, yy, zz) = (x * x, y * y, z * z);
    let all = [
        0.282_094_8,
        -0.488_602_5 * y,
        0.488_602_5 * z,
        -0.488_602_5 * x,
        1.092_548_4 * x * y,
        -1.092_548_4 * y * z,
        0.315_391_57 * (3.0 * zz - 1.0),
        -1.092_548_4 * x * z,
        0.546_274_2 * (xx - yy),
        -0.590_043_6 * y * (3.0 * xx - yy),
        2.890_611_4 * x * y * z,
        -0.457_045_8 * y * (5.0 * zz - 1.0),
        0.373_176_33 * z * (5.0 * zz - 3.0),
        -0.457_045_8 * x * (5.0 * zz - 1.0),
        1.445_305_7 * z * (xx - yy),
        -0.590_043_6 * x * (xx - 3.0 * yy),
    ];
    let count = degree * degree;
    out[..count].copy_from_slice(&all[..count]);
}

/// Gradient in the direction of what [`encode`] writes, from its adjoint `code` (at least [`DirectionEncoding::width`] values).
///
/// Harmonics are polynomials of x, y and z here, off the sphere too; what a rotation of the direction changes is the part of
/// the gradient across it.
pub fn encode_adjoint(encoding: DirectionEncoding, d: [f32; 3], code: &[f32]) -> [f32; 3] {
    match encoding {
        DirectionEncoding::Sh(degree) => harmonics_adjoint(degree, d, code),
        DirectionEncoding::Frequency(octaves) => {
            let mut gradient = [code[0], code[1], code[2]];
            for (i, from) in code[3..].chunks_exact(6).take(octaves).enumerate() {
                let factor = std::f32::consts::PI * (1u32 << i) as f32;
                for j in 0..3 {
                    let (sin, cos) = (factor * d[j]).sin_cos();
                    gradient[j] += factor * (cos * from[2 * j] - sin * from[2 * j + 1]);
                }
            }
            gradient
        }
    }
}

/// The derivatives of the harmonics, in the order of [`harmonics`].
fn harmonics_adjoint(degree: usize, [x, y, z]: [f32; 3], code: &[f32]) -> [f32; 3] {
    let (xx, yy, zz) = (x * x, y * y, z * z);
    let slopes: [[f32; 3]; 16] = [
        [0.0; 3],
        [0.0, -0.488_602_5, 0.0],
        [0.0, 0.0, 0.488_602_5],
        [-0.488_602_5, 0.0, 0.0],
        [1.092_548_4 * y, 1.092_548_4 * x, 0.0],
        [0.0, -1.092_548_4 * z, -1.092_548_4 * y],
        [0.0, 0.0, 6.0 * 0.315_391_57 * z],
        [-1.092_548_4 * z, 0.0, -1.092_548_4 * x],
        [2.0 * 0.546_274_2 * x, -2.0 * 0.546_274_2 * y, 0.0],
        [-6.0 * 0.590_043_6 * x * y, -3.0 * 0.590_043_6 * (xx - yy), 0.0],
        [2.890_611_4 * y * z, 2.890_611_4 * x * z, 2.890_611_4 * x * y],
        [0.0, -0.457_045_8 * (5.0 * zz - 1.0), -10.0 * 0.457_045_8 * y * z],
        [0.0, 0.0, 0.373_176_33 * (15.0 * zz - 3.0)],
        [-0.457_045_8 * (5.0 * zz - 1.0), 0.0, -10.0 * 0.457_045_8 * x * z],
        [2.0 * 1.445_305_7 * x * z, -2.0 * 1.445_305_7 * y * z, 1.445_305_7 * (xx - yy)],
        [-3.0 * 0.590_043_6 * (xx - yy), 6.0 * 0.590_043_6 * x * y, 0.0],
    ];
    let mut gradient = [0.0; 3];
    for (slope, c) in slopes.iter().zip(code).take(degree * degree) {
        for j in 0..3 {
            gradient[j] += slope[j] * c;
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central differences of every value along every axis.
    #[test]
    fn the_adjoint_is_the_slope() {
        let encodings = (1..=4).map(DirectionEncoding::Sh).chain((0..3).map(DirectionEncoding::Frequency));
        for encoding in encodings {
            let (d, h) = ([0.36, -0.48, 0.8], 1e-3);
            for value in 0..encoding.width() {
                let mut code = [0.0; 32];
                code[value] = 1.0;
                let slope = encode_adjoint(encoding, d, &code);
                for axis in 0..3 {
                    let at = |step: f32| {
                        let mut moved = d;
                        moved[axis] += step;
                        let mut out = [0.0; 32];
                        encode(encoding, moved, &mut out);
                        out[value]
                    };
                    let numeric = (at(h) - at(-h)) / (2.0 * h);
                    assert!((numeric - slope[axis]).abs() < 2e-3, "{encoding:?} {value} {axis}: {numeric} {slope:?}");
                }
            }
        }
    }

    /// The integral of any two of them over the sphere is 1 or 0 (midpoint rule over latitude and longitude).
    #[test]
    fn harmonics_are_orthonormal() {
        const N: usize = 200;
        let mut sums = [[0.0f64; 16]; 16];
        for i in 0..N {
            let z = -1.0 + (2.0 * i as f64 + 1.0) / N as f64;
            let r = (1.0 - z * z).sqrt();
            for j in 0..N {
                let (s, c) = (std::f64::consts::TAU * (j as f64 + 0.5) / N as f64).sin_cos();
                let mut y = [0.0; 16];
                encode(DirectionEncoding::Sh(4), [(r * c) as f32, (r * s) as f32, z as f32], &mut y);
                for a in 0..16 {
                    for b in 0..16 {
                        sums[a][b] += f64::from(y[a] * y[b]) * 4.0 * std::f64::consts::PI / (N * N) as f64;
                    }
                }
            }
        }
        for (a, row) in sums.iter().enumerate() {
            for (b, sum) in row.iter().enumerate() {
                let want = if a == b { 1.0 } else { 0.0 };
                assert!((sum - want).abs() < 2e-3, "<Y{a}, Y{b}> = {sum}");
            }
        }
    }

    #[test]
    fn frequencies_are_sines_and_cosines() {
        let mut out = [0.0; 15];
        encode(DirectionEncoding::Frequency(2), [0.6, 0.0, -0.8], &mut out);
        let pi = std::f32::consts::PI;
        assert_eq!(out[..3], [0.6, 0.0, -0.8]);
        assert!((out[3] - (0.6 * pi).sin()).abs() < 1e-6 && (out[14] - (-1.6 * pi).cos()).abs() < 1e-6);
    }
}

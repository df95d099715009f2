//! Random points of a mesh's surface, uniform by area.

use std::borrow::Borrow;

use glam::DVec3;
use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;

use crate::TriMesh;

/// A point of the surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceSample {
    /// Position, in mesh units.
    pub position: DVec3,
    /// Unit normal of the face.
    pub normal: DVec3,
    /// Index of the face.
    pub face: u32,
}

/// Draws points uniform by area from a mesh held in any way (`&TriMesh`, `Arc<TriMesh>`).
#[derive(Clone, Debug)]
pub struct SurfaceSampler<M = TriMesh> {
    mesh: M,
    /// Faces with area, and the running sum of areas up to and with each.
    faces: Vec<u32>,
    cumulative: Vec<f64>,
    /// Lengths are multiplied by it before they are squared.
    scale: f64,
}

/// Samples that share one stream of random numbers.
const CHUNK: usize = 4096;

impl<M: Borrow<TriMesh> + Sync> SurfaceSampler<M> {
    /// Sums the areas of `mesh`; `None` if no face has any.
    pub fn new(mesh: M) -> Option<Self> {
        let (mut faces, mut cumulative, mut sum) = (Vec::new(), Vec::new(), 0.0);
        let whole: &TriMesh = mesh.borrow();
        let scale = whole.working_scale();
        for f in 0..whole.faces.len() {
            if whole.faces[f].iter().any(|&v| v as usize >= whole.positions.len()) {
                continue;
            }
            let [a, b, c] = whole.triangle(f);
            let area = ((b - a) * scale).cross((c - a) * scale).length() * 0.5;
            if area > 0.0 && area.is_finite() {
                sum += area;
                faces.push(f as u32);
                cumulative.push(sum);
            }
        }
        (sum > 0.0 && sum.is_finite()).then_some(Self { mesh, faces, cumulative, scale })
    }

    /// Total area.
    pub fn area(&self) -> f64 {
        self.scaled_area() / self.scale / self.scale
    }

    fn scaled_area(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or(0.0)
    }

    /// One point.
    pub fn draw(&self, rng: &mut Pcg64) -> SurfaceSample {
        let at: f64 = rng.random::<f64>() * self.scaled_area();
        let index = self.cumulative.partition_point(|&c| c <= at).min(self.faces.len() - 1);
        let face = self.faces[index];
        let [a, b, c] = self.mesh.borrow().triangle(face as usize);
        let (mut u, mut v): (f64, f64) = (rng.random(), rng.random());
        if u + v > 1.0 {
            (u, v) = (1.0 - u, 1.0 - v);
        }
        let (ab, ac) = (b - a, c - a);
        SurfaceSample {
            position: a + ab * u + ac * v,
            normal: (ab * self.scale).cross(ac * self.scale).normalize_or_zero(),
            face,
        }
    }

    /// `count` points, in parallel: the same for the same seed, whatever the number of threads.
    pub fn sample(&self, count: usize, seed: u64) -> Vec<SurfaceSample> {
        (0..count.div_ceil(CHUNK))
            .into_par_iter()
            .flat_map_iter(|chunk| {
                // Each chunk has its own stream of the generator.
                let mut rng = Pcg64::new(seed as u128 ^ 0xcafe_f00d_d15e_a5e5, chunk as u128);
                (0..CHUNK.min(count - chunk * CHUNK)).map(move |_| self.draw(&mut rng))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn density_follows_area_and_seed_repeats() {
        let mesh = testing::cuboid(DVec3::ZERO, DVec3::new(1.0, 2.0, 3.0));
        let sampler = SurfaceSampler::new(&mesh).unwrap();
        assert!((sampler.area() - 22.0).abs() < 1e-12);
        let samples = sampler.sample(50_000, 9);
        let mut count = vec![0.0; mesh.faces.len()];
        for s in &samples {
            count[s.face as usize] += 1.0;
            let [a, b, c] = mesh.triangle(s.face as usize);
            assert!(((s.position - a).dot(s.normal)).abs() < 1e-12);
            assert!((s.normal - (b - a).cross(c - a).normalize()).length() < 1e-12);
        }
        for (f, n) in count.iter().enumerate() {
            let [a, b, c] = mesh.triangle(f);
            let want = (b - a).cross(c - a).length() * 0.5 / 22.0 * 50_000.0;
            assert!((n - want).abs() < 5.0 * want.sqrt(), "{n} {want}");
        }
        assert_eq!(samples, sampler.sample(50_000, 9));
        assert_eq!(samples[..5000], sampler.sample(5000, 9)[..]);
        assert_ne!(samples[0], sampler.sample(1, 10)[0]);
    }

    #[test]
    fn no_area_no_sampler() {
        assert!(SurfaceSampler::new(&TriMesh::default()).is_none());
        let flat = TriMesh { positions: vec![DVec3::ZERO, DVec3::X, DVec3::X * 2.0], faces: vec![[0, 1, 2]] };
        assert!(SurfaceSampler::new(&flat).is_none());
    }
}

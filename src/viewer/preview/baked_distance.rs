//! Signed distances baked into a grid near the surface, interpolated linearly.

use std::sync::Arc;

use glam::Vec3;
use nstr_render::cpu::DistanceGrid;
use nstr_space::fields::DistanceField;
use rayon::prelude::*;

use crate::preview::{cell_of, vertex};

/// Vertices along an axis.
const VERTICES: usize = 192;
/// Vertices that one call evaluates, and a batch of them.
const PART: usize = 1 << 16;
const BATCH: usize = 2048;
/// Distance to the surface in cells up to which vertices are evaluated; beyond, the distance grid's bound will do.
const BAND: f32 = 3.0;

/// Grid of values, x fastest.
pub(crate) struct ValueGrid {
    n: usize,
    values: Vec<f32>,
}

impl ValueGrid {
    /// Value at a point of the unit cube.
    #[inline]
    fn at(&self, p: Vec3) -> f32 {
        let (n, (i, f)) = (self.n, cell_of(self.n, p));
        let row = |i: usize| self.values[i] + (self.values[i + 1] - self.values[i]) * f.x;
        let plane = |i: usize| {
            let (a, b) = (row(i), row(i + n));
            a + (b - a) * f.y
        };
        let (a, b) = (plane(i), plane(i + n * n));
        a + (b - a) * f.z
    }

    /// Gradient by differences over two cells, so that it varies smoothly.
    fn gradient(&self, p: Vec3) -> Vec3 {
        let h = 1.0 / (self.n - 1) as f32;
        let along = |axis: Vec3| {
            let (hi, lo) = ((p + axis * h).min(Vec3::ONE), (p - axis * h).max(Vec3::ZERO));
            (self.at(hi) - self.at(lo)) / (hi - lo).dot(axis).max(1e-6)
        };
        Vec3::new(along(Vec3::X), along(Vec3::Y), along(Vec3::Z))
    }
}

/// A [`ValueGrid`] that is being filled.
pub(crate) struct DistanceBake {
    grid: ValueGrid,
    /// Vertices to evaluate.
    wanted: Vec<u32>,
    done: usize,
}

impl DistanceBake {
    /// Takes values far from the surface from the distance grid of a field with the given Lipschitz bound; without a grid all
    /// vertices are evaluated.
    pub fn new(coarse: Option<&DistanceGrid>, lipschitz: f32) -> Self {
        let n = VERTICES;
        let band = BAND / (n - 1) as f32;
        let bound = |i: usize| {
            let (radius, sign) = coarse?.safe_radius(vertex(n, i));
            (radius > band).then_some(sign * radius * lipschitz)
        };
        let values: Vec<f32> = (0..n * n * n).into_par_iter().map(|i| bound(i).unwrap_or(f32::NAN)).collect();
        let wanted = (0u32..).zip(&values).filter(|(_, v)| v.is_nan()).map(|(i, _)| i).collect();
        Self { grid: ValueGrid { n, values }, wanted, done: 0 }
    }

    /// Evaluates the next vertices; `false` once all are done.
    pub fn advance(&mut self, source: &dyn DistanceField) -> bool {
        let n = self.grid.n;
        let part = &self.wanted[self.done..(self.done + PART).min(self.wanted.len())];
        let evaluated: Vec<f32> = part
            .par_chunks(BATCH)
            .flat_map_iter(|batch| {
                let points: Vec<Vec3> = batch.iter().map(|i| vertex(n, *i as usize)).collect();
                let mut values = vec![0.0; points.len()];
                source.distance(&points, &mut values);
                values
            })
            .collect();
        for (i, value) in part.iter().zip(evaluated) {
            self.grid.values[*i as usize] = value;
        }
        self.done += part.len();
        self.done < self.wanted.len()
    }

    /// The filled grid.
    pub fn finish(self) -> ValueGrid {
        self.grid
    }
}

/// Signed distance field of a grid; the spectrum is that of the field it was made from.
pub(crate) struct BakedDistance {
    grid: Arc<ValueGrid>,
    source: Arc<dyn DistanceField + Send + Sync>,
    exact_gradients: bool,
}

impl BakedDistance {
    /// The field of `grid`, which was made from `source`; `exact_gradients` asks the source for gradients.
    pub fn new(grid: Arc<ValueGrid>, source: Arc<dyn DistanceField + Send + Sync>, exact_gradients: bool) -> Self {
        Self { grid, source, exact_gradients }
    }
}

impl DistanceField for BakedDistance {
    fn distance(&self, points: &[Vec3], distance: &mut [f32]) {
        points.iter().zip(distance).for_each(|(p, d)| *d = self.grid.at(*p));
    }

    fn distance_gradient(&self, points: &[Vec3], distance: &mut [f32], gradient: &mut [Vec3]) {
        if self.exact_gradients {
            return self.source.distance_gradient(points, distance, gradient);
        }
        self.distance(points, distance);
        points.iter().zip(gradient).for_each(|(p, g)| *g = self.grid.gradient(*p));
    }

    fn spectrum_width(&self) -> usize {
        self.source.spectrum_width()
    }

    fn spectrum(&self, points: &[Vec3], spectrum: &mut [f32], gradient_norm: &mut [f32], residual: &mut [f32]) {
        self.source.spectrum(points, spectrum, gradient_norm, residual);
    }

    fn lipschitz(&self) -> f32 {
        self.source.lipschitz()
    }
}

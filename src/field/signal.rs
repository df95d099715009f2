//! A trained field of an image or audio, evaluated at its samples.

use nstr_kernel::{FusedField, Outputs, PackedWeights};
use nstr_spec::FieldSpec;

use crate::model::Model;

/// Points that are evaluated at once: bounds the memory of large images.
const PART: usize = 1 << 16;

/// A field on the unit interval or square.
#[derive(Debug)]
pub struct NeuralSignal {
    fused: FusedField,
    weights: PackedWeights,
    grid: Vec<f32>,
}

/// Part of a regular lattice of samples: along each axis `count` samples from `first` on, of `size` in all. Sample `i` lies
/// at `(i + 1/2) / size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRegion {
    /// Samples along each axis of the whole lattice; the second is 1 for audio.
    pub size: [usize; 2],
    /// First sample along each axis.
    pub first: [usize; 2],
    /// Samples along each axis.
    pub count: [usize; 2],
}

impl SampleRegion {
    /// The whole lattice.
    pub fn whole(size: [usize; 2]) -> Self {
        Self { size, first: [0; 2], count: size }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.count[0] * self.count[1]
    }

    /// True if the region holds no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Field coordinates of sample `i` of the region, the first axis fastest.
    pub fn position(&self, i: usize) -> [f32; 2] {
        let at = [i % self.count[0], i / self.count[0]];
        std::array::from_fn(|j| ((self.first[j] + at[j]) as f64 + 0.5) as f32 / self.size[j] as f32)
    }
}

impl NeuralSignal {
    /// Prepares the kernels; `grid` and `net` have the spec's lengths.
    pub fn new(spec: &FieldSpec, grid: Vec<f32>, net: &[f32]) -> Self {
        let fused = FusedField::new(spec);
        let weights = fused.pack(net);
        Self { fused, weights, grid }
    }

    /// The field of a model.
    pub fn of(model: &Model) -> Self {
        Self::new(&model.spec, model.grid.clone(), &model.net)
    }

    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        self.fused.spec()
    }

    /// Values at the samples of `region`, `[sample][outputs]`, on all threads. The field has one coordinate or two.
    pub fn sample(&self, region: &SampleRegion) -> Vec<f32> {
        self.rows(region, Outputs::Value)
    }

    /// Values at `x` (`[point][dim]`), `[point][outputs]`, on all threads.
    pub fn at(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len() / self.spec().dim * self.spec().outputs];
        self.fused.evaluate_parallel(&self.weights, &self.grid, x, Outputs::Value, &mut out);
        out
    }

    /// Full outputs (see [`FieldSpec::full_columns`]) at the samples of `region`, on all threads.
    pub fn full(&self, region: &SampleRegion) -> Vec<f32> {
        self.rows(region, Outputs::Full)
    }

    fn rows(&self, region: &SampleRegion, kind: Outputs) -> Vec<f32> {
        let (dim, width) = (self.spec().dim, self.fused.width(kind));
        let mut out = vec![0.0; region.len() * width];
        let mut x = Vec::with_capacity(PART * dim);
        for (part, out) in out.chunks_mut(PART * width).enumerate() {
            let first = part * PART;
            x.clear();
            x.extend((first..first + out.len() / width).flat_map(|i| region.position(i).into_iter().take(dim)));
            self.fused.evaluate_parallel(&self.weights, &self.grid, &x, kind, out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::config::preset;
    use nstr_spec::init;

    #[test]
    fn a_region_holds_the_same_values_as_the_whole() {
        let config = preset("image-tiny").unwrap();
        let (grid, net) = init::parameters(&config.spec(), &config.init);
        let field = NeuralSignal::new(&config.spec(), grid, &net);
        let whole = field.sample(&SampleRegion::whole([20, 11]));
        let region = SampleRegion { size: [20, 11], first: [3, 4], count: [9, 5] };
        let part = field.sample(&region);
        for (i, values) in part.chunks(3).enumerate() {
            let at = (4 + i / 9) * 20 + 3 + i % 9;
            assert!(values.iter().zip(&whole[at * 3..]).all(|(a, b)| (a - b).abs() < 1e-6));
        }
        assert_eq!(region.position(0), [3.5 / 20.0, 4.5 / 11.0]);
    }
}

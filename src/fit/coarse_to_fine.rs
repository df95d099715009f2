//! Coarse-to-fine latent levels: while poses are found, a field begins with its coarsest level, and finer ones come in one after
//! the other (Lin et al. 2021, "BARF", eq. 14, there for the octaves of an encoding).
//!
//! Features of a level are multiplied by a weight that rises from 0 to 1. What is learned meanwhile is smooth, and so are the
//! gradients in positions, which the cells of fine levels would tear apart before poses are known to within one.

use nstr_spec::FieldSpec;

/// Weight of each level at a progress from the beginning (0) to all levels (1).
///
/// Half a cosine each, one after the other; the first is there from the beginning.
fn level_weights(levels: usize, progress: f64) -> Vec<f32> {
    let reached = 1.0 + progress * levels.saturating_sub(1) as f64;
    let weight = |level: usize| {
        let along = (reached - level as f64).clamp(0.0, 1.0);
        (0.5 * (1.0 - (std::f64::consts::PI * along).cos())) as f32
    };
    (0..levels).map(weight).collect()
}

/// Weight of each number of the grid, [`FieldSpec::grid_len`] of them; `None` from `progress` 1 on, where all are 1, and for a
/// latent that is no sequence of levels from coarse to fine.
pub(crate) fn grid_weights(spec: &FieldSpec, progress: f64) -> Option<Vec<f32>> {
    let levels = &spec.latent.levels;
    let rises = levels.windows(2).all(|pair| pair[0].resolution < pair[1].resolution);
    if progress.is_nan() || progress >= 1.0 || levels.len() < 2 || !rises {
        return None;
    }
    let starts = spec.latent.offsets(spec.dim);
    let mut all = Vec::with_capacity(spec.grid_len());
    for (weight, range) in level_weights(levels.len(), progress).into_iter().zip(starts.windows(2)) {
        all.resize(all.len() + (range[1] - range[0]) * spec.latent.features, weight);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::config::preset;

    #[test]
    fn levels_come_in_one_after_the_other() {
        assert_eq!(level_weights(3, 0.0), [1.0, 0.0, 0.0]);
        assert_eq!(level_weights(3, 0.25), [1.0, 0.5, 0.0]);
        assert_eq!(level_weights(3, 0.5), [1.0, 1.0, 0.0]);
        assert_eq!(level_weights(3, 1.0), [1.0; 3]);
    }

    #[test]
    fn every_number_of_a_level_has_its_weight() {
        let spec = preset("radiance-tiny").unwrap().spec();
        let (starts, features) = (spec.latent.offsets(3), spec.latent.features);
        let weights = grid_weights(&spec, 0.5).unwrap();
        assert_eq!(weights.len(), spec.grid_len());
        let levels = level_weights(spec.latent.levels.len(), 0.5);
        for (l, weight) in levels.iter().enumerate() {
            assert!(weights[starts[l] * features..starts[l + 1] * features].iter().all(|w| w == weight));
        }
        assert!(levels[0] == 1.0 && levels[levels.len() - 1] == 0.0);
        assert!(grid_weights(&spec, 1.0).is_none());
        for flat in ["radiance-planes", "radiance-vm"] {
            assert!(grid_weights(&preset(flat).unwrap().spec(), 0.0).is_none(), "{flat}");
        }
    }
}

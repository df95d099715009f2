//! What a user chooses about the latent grid, and the levels that follow from it.

use serde::{Deserialize, Serialize};

use super::config::{ConfigError, whole};
use crate::kernel::spec::{Interpolation, LatentSpec, LevelSpec};

/// Layout of the latent grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatentKind {
    /// One level.
    Dense,
    /// Several levels, every vertex its own entry.
    Pyramid,
    /// Several levels; those with more vertices than `table` share entries by a hash.
    Hash,
}

/// The latent grid as a user configures it. The levels' cells grow geometrically from `coarsest` to `cells`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentConfig {
    /// Layout.
    pub kind: LatentKind,
    /// Features an entry.
    pub features: usize,
    /// Cells along each axis, of the finest level.
    pub cells: u32,
    /// Cells along each axis of the coarsest level (`pyramid`, `hash`).
    pub coarsest: u32,
    /// Levels (`pyramid`, `hash`).
    pub levels: usize,
    /// Most entries of a level, a power of two (`hash`).
    pub table: u32,
    /// Blending between vertices.
    pub interpolation: Interpolation,
}

impl LatentConfig {
    /// One level; the other options hold what another kind would usually take.
    pub fn dense(cells: u32, features: usize) -> Self {
        let interpolation = Interpolation::Linear;
        LatentConfig { kind: LatentKind::Dense, features, cells, coarsest: 8, levels: 1, table: 4096, interpolation }
    }

    /// Levels from `coarsest` to `finest` cells, each of at most `table` entries.
    pub fn hash([coarsest, finest]: [u32; 2], levels: usize, features: usize, table: u32) -> Self {
        Self {
            kind: LatentKind::Hash,
            features,
            cells: finest,
            coarsest,
            levels,
            table,
            ..Self::dense(finest, features)
        }
    }
    /// The usual layout of a kind for at most about `budget` parameters: dense with 32 features; a pyramid of 3 levels
    /// of 16 features, halving; 8 hashed levels of 2 features from 8 to 128 cells.
    pub fn usual(kind: LatentKind, dim: usize, budget: usize) -> Self {
        let make = |size: u32| match kind {
            LatentKind::Dense => Self::dense(size, 32),
            LatentKind::Pyramid => {
                LatentConfig { kind, coarsest: (size / 4).max(1), levels: 3, ..Self::dense(size, 16) }
            }
            LatentKind::Hash => LatentConfig { kind, levels: 8, table: 1 << size.min(24), ..Self::dense(128, 2) },
        };
        let fits = |size: &u32| make(*size).spec(dim).len(dim) <= budget;
        make((1..=512).take_while(fits).last().unwrap_or(1))
    }

    /// Checks what [`LatentConfig::spec`] computes with.
    pub fn validate(&self) -> Result<(), ConfigError> {
        whole("latent.levels", self.levels, 1, 32)?;
        whole("latent.cells", self.cells as usize, 1, 8192)?;
        let coarsest = if self.kind == LatentKind::Dense { 8192 } else { self.cells as usize };
        whole("latent.coarsest", self.coarsest as usize, 1, coarsest)
    }

    /// The levels.
    pub fn spec(&self, dim: usize) -> LatentSpec {
        let count = if self.kind == LatentKind::Dense { 1 } else { self.levels };
        let growth = f64::from(self.cells) / f64::from(self.coarsest);
        let cells = |l: usize| match l + 1 == count {
            true => self.cells,
            false => (f64::from(self.coarsest) * growth.powf(l as f64 / (count - 1) as f64)).round() as u32,
        };
        let level = |l| {
            let dense = LevelSpec { cells: cells(l), table: None };
            let hashed = self.kind == LatentKind::Hash && dense.entries(dim) > self.table as usize;
            LevelSpec { table: hashed.then_some(self.table), ..dense }
        };
        LatentSpec {
            levels: (0..count).map(level).collect(),
            features: self.features,
            interpolation: self.interpolation,
        }
    }
}

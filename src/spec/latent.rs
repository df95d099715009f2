//! Options of the latent grid, and the levels that follow from them.

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, MAX_RESOLUTION, check_range};
use crate::{Axes, Interpolation, LatentSpec, LevelSpec};

/// Layout of the latent grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatentKind {
    /// No grid.
    None,
    /// One level.
    Dense,
    /// Several levels, every vertex its own entry.
    Pyramid,
    /// Several levels; those with more vertices than `hashmap_size` share entries by a hash.
    Hash,
    /// A plane for each pair of axes, their features side by side (tri-plane, Chan et al. 2022); three dimensions.
    Planes,
    /// Each of those planes times a line along the third axis (TensoRF-VM, Chen et al. 2022, eq. 4); three dimensions.
    Vm,
    /// The product of a line along each axis (TensoRF-CP, eq. 3); two or three dimensions.
    Cp,
}

/// The latent grid as a user configures it. The levels' cells grow geometrically from `base_resolution` to `resolution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentConfig {
    /// Layout.
    pub kind: LatentKind,
    /// Features an entry; of `vm` and `cp` the components of the decomposition.
    pub features: usize,
    /// Cells along each axis, of the finest level.
    #[serde(alias = "cells")]
    pub resolution: u32,
    /// Cells along each axis of the coarsest level (`pyramid`, `hash`).
    #[serde(alias = "coarsest")]
    pub base_resolution: u32,
    /// Levels (`pyramid`, `hash`).
    pub levels: usize,
    /// Most entries of a level, a power of two (`hash`).
    #[serde(alias = "table")]
    pub hashmap_size: u32,
    /// Blending between vertices.
    pub interpolation: Interpolation,
}

impl LatentConfig {
    /// One level; the other options hold what another kind would usually take.
    pub fn dense(resolution: u32, features: usize) -> Self {
        LatentConfig {
            kind: LatentKind::Dense,
            features,
            resolution,
            base_resolution: 8,
            levels: 1,
            hashmap_size: 4096,
            interpolation: Interpolation::Linear,
        }
    }

    /// Levels from `coarsest` to `finest` cells along an axis, each of at most `hashmap_size` entries.
    pub fn hash([coarsest, finest]: [u32; 2], levels: usize, features: usize, hashmap_size: u32) -> Self {
        Self {
            kind: LatentKind::Hash,
            base_resolution: coarsest,
            levels,
            hashmap_size,
            ..Self::dense(finest, features)
        }
    }

    /// The usual layout of a kind for at most about `budget` parameters: dense with 32 features; a pyramid of 3 levels
    /// of 16 features, halving; 8 hashed levels of 2 features from 8 to 128 cells; planes of 32 features, or 16 where they
    /// are multiplied by lines; lines of 64.
    pub fn with_parameter_budget(kind: LatentKind, dim: usize, budget: usize) -> Self {
        let make = |size: u32| match kind {
            LatentKind::None => LatentConfig { kind, ..Self::dense(1, 1) },
            LatentKind::Planes => LatentConfig { kind, ..Self::dense(size, 32) },
            LatentKind::Vm => LatentConfig { kind, ..Self::dense(size, 16) },
            LatentKind::Cp => LatentConfig { kind, ..Self::dense(size, 64) },
            LatentKind::Dense => Self::dense(size, 32),
            LatentKind::Pyramid => {
                LatentConfig { kind, base_resolution: (size / 4).max(1), levels: 3, ..Self::dense(size, 16) }
            }
            LatentKind::Hash => {
                LatentConfig { kind, levels: 8, hashmap_size: 1 << size.min(24), ..Self::dense(128, 2) }
            }
        };
        let fits = |size: &u32| make(*size).spec(dim).len(dim) <= budget;
        make((1..=512).take_while(fits).last().unwrap_or(1))
    }

    /// Checks the numbers that [`LatentConfig::spec`] computes with.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for an option out of its range, or for a kind that does not fit `dim`.
    pub fn validate(&self, dim: usize) -> Result<(), ConfigError> {
        check_range("latent.levels", self.levels, 1, 32)?;
        check_range("latent.resolution", self.resolution as usize, 1, MAX_RESOLUTION as usize)?;
        let highest = if self.is_multiresolution() { self.resolution } else { MAX_RESOLUTION } as usize;
        check_range("latent.base_resolution", self.base_resolution as usize, 1, highest)?;
        let (kind, least) = match self.kind {
            LatentKind::Planes => ("planes", 3),
            LatentKind::Vm => ("vm", 3),
            LatentKind::Cp => ("cp", 2),
            _ => return Ok(()),
        };
        check_range(&format!("dim, with latent.kind={kind},"), dim, least, 3)
    }

    /// True for kinds with levels from coarse to fine.
    pub fn is_multiresolution(&self) -> bool {
        matches!(self.kind, LatentKind::Pyramid | LatentKind::Hash)
    }

    /// The levels.
    pub fn spec(&self, dim: usize) -> LatentSpec {
        let over = |axes: u8| LevelSpec { axes: Axes(axes), ..LevelSpec::new(self.resolution, None) };
        let (levels, product) = match self.kind {
            LatentKind::None => (Vec::new(), 1),
            LatentKind::Dense => (vec![LevelSpec::new(self.resolution, None)], 1),
            LatentKind::Pyramid | LatentKind::Hash => (self.multiresolution(dim), 1),
            LatentKind::Planes => ([0b011, 0b101, 0b110].map(over).to_vec(), 1),
            LatentKind::Vm => ([0b011, 0b100, 0b101, 0b010, 0b110, 0b001].map(over).to_vec(), 2),
            LatentKind::Cp => ([0b001, 0b010, 0b100][..dim.min(3)].iter().map(|a| over(*a)).collect(), dim),
        };
        LatentSpec { levels, features: self.features, interpolation: self.interpolation, product }
    }

    /// Levels whose cells grow geometrically.
    fn multiresolution(&self, dim: usize) -> Vec<LevelSpec> {
        let growth = f64::from(self.resolution) / f64::from(self.base_resolution);
        let resolution = |l: usize| match l + 1 == self.levels {
            true => self.resolution,
            false => {
                (f64::from(self.base_resolution) * growth.powf(l as f64 / (self.levels - 1) as f64)).round() as u32
            }
        };
        let level = |l| {
            let dense = LevelSpec::new(resolution(l), None);
            let hashed = self.kind == LatentKind::Hash && dense.entries(dim) > self.hashmap_size as usize;
            LevelSpec { hashmap_size: hashed.then_some(self.hashmap_size), ..dense }
        };
        (0..self.levels).map(level).collect()
    }
}

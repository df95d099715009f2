//! Inside or outside of a mesh: the methods, the choice between them, and the reason for the choice.

use std::fmt;
use std::str::FromStr;

use glam::DVec3;
use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};

use crate::bvh::Bvh;
use crate::closest::Stack;
use crate::query::QueryOptions;
use crate::ray_crossings::crossings;
use crate::report::figure;
use crate::topology::Topology;
use crate::visibility::Visibility;
use crate::voxels::{CellState, VoxelGrid};
use crate::winding::{DEFAULT_BETA, Winding};

/// Method that tells inside from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignMethod {
    /// `winding` where the faces' orientation can be trusted, `visibility` where not.
    #[default]
    Auto,
    /// Inside where the generalised winding number exceeds ½ in magnitude (so a mesh turned inside out reads the same).
    Winding,
    /// Inside where nothing can be reached from outside; open faces without an inside are thickened.
    Visibility,
    /// Inside where most of several rays cross an odd number of faces (wrong for faces given twice).
    Parity,
    /// No inside: a shell of the stated thickness around every face.
    Unsigned,
}

impl fmt::Display for SignMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Winding => "winding",
            Self::Visibility => "visibility",
            Self::Parity => "parity",
            Self::Unsigned => "unsigned",
        })
    }
}

/// An unknown name of a sign method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown sign method '{}': choose auto, winding, visibility, parity or unsigned", nstr_files::excerpt(.0))]
pub struct UnknownSignMethod(String);

impl FromStr for SignMethod {
    type Err = UnknownSignMethod;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let all = [Self::Auto, Self::Winding, Self::Visibility, Self::Parity, Self::Unsigned];
        all.into_iter().find(|m| m.to_string().eq_ignore_ascii_case(s)).ok_or_else(|| UnknownSignMethod(s.into()))
    }
}

/// Verdict on the orientation of the faces, as a mesh report gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrientationVerdict {
    /// The winding number can be relied on.
    pub trusted: bool,
    /// The reason as a clause: "every edge is shared by two opposite faces".
    pub reason: String,
}

/// A sign function for one hierarchy.
#[derive(Clone, Debug)]
pub struct Sign {
    pub(crate) kind: SignKind,
    method: SignMethod,
    explanation: String,
}

#[derive(Clone, Debug)]
pub(crate) enum SignKind {
    /// The grid exists where the faces form a closed surface: the winding number is then constant in each free cell.
    Winding(Winding, Option<VoxelGrid>),
    Visibility(Box<Visibility>),
    Parity,
    Unsigned,
}

/// Directions of the parity rays; none lies in a plane that meshes like to use.
const RAYS: [[f64; 3]; 5] = [
    [0.891_3, 0.305_7, 0.334_9],
    [-0.412_7, 0.811_9, -0.412_1],
    [0.213_1, -0.377_7, 0.901_1],
    [-0.651_3, -0.541_9, -0.531_7],
    [0.481_9, 0.587_3, -0.650_3],
];

impl Sign {
    /// Prepares the sign of points against `bvh`, whose faces hang together as `topology` says. `thickness` is the
    /// shell's full thickness in mesh units.
    pub(crate) fn build(bvh: &Bvh, topology: &Topology, options: &QueryOptions, thickness: f64) -> Self {
        let &Topology { closed, repeated, .. } = topology;
        let (method, why) = match (options.method, &options.orientation) {
            (SignMethod::Auto, Some(t)) if t.trusted => (SignMethod::Winding, format!("auto: {}", t.reason)),
            (SignMethod::Auto, Some(t)) => (SignMethod::Visibility, format!("auto: {}", t.reason)),
            (SignMethod::Auto, None) if repeated > 0.01 => (
                SignMethod::Visibility,
                format!("auto: {:.0} % of the faces are given more than once", repeated * 100.0),
            ),
            (SignMethod::Auto, None) if closed => {
                (SignMethod::Winding, "auto: every edge is shared by opposite faces".to_string())
            }
            (SignMethod::Auto, None) => {
                (SignMethod::Visibility, "auto: the faces do not form a closed, oriented surface".to_string())
            }
            (chosen, _) => (chosen, "as asked".to_string()),
        };
        let (kind, what) = match method {
            SignMethod::Winding | SignMethod::Auto => {
                let winding = Winding::new(bvh, DEFAULT_BETA);
                let grid = closed.then(|| winding_grid(bvh, &winding));
                let closure =
                    if closed { "a closed surface" } else { "an open one: inside ends halfway across its holes" };
                (SignKind::Winding(winding, grid), format!("winding number of {closure}"))
            }
            SignMethod::Visibility => {
                let visibility = Visibility::build(bvh, options.resolution, thickness * bvh.frame().scale);
                let what = visibility.describe(thickness, options.thickness);
                (SignKind::Visibility(Box::new(visibility)), what)
            }
            SignMethod::Parity => (SignKind::Parity, format!("majority of {} rays by parity", RAYS.len())),
            SignMethod::Unsigned => {
                let thickness = figure(thickness, thickness, 4);
                (SignKind::Unsigned, format!("no inside: a shell {thickness} thick around every face"))
            }
        };
        Self { kind, method, explanation: format!("{method} ({why}): {what}") }
    }

    /// The method in use; never `Auto`.
    pub fn method(&self) -> SignMethod {
        self.method
    }

    /// The method and the reason for it, in one line.
    pub fn explanation(&self) -> &str {
        &self.explanation
    }

    /// True where the local point `p` is inside; `closest` is its closest point on the mesh where known.
    #[inline(always)]
    pub(crate) fn inside<S: Simd>(
        &self,
        simd: S,
        bvh: &Bvh,
        p: DVec3,
        closest: Option<DVec3>,
        stack: &mut Stack,
    ) -> bool {
        match &self.kind {
            SignKind::Winding(winding, grid) => match grid.as_ref().map_or(CellState::Boundary, |g| g.at(p)) {
                CellState::Inside => true,
                CellState::Outside => false,
                CellState::Boundary => winding.at(simd, bvh, p, stack).abs() > 0.5,
            },
            SignKind::Visibility(v) => v.inside(simd, bvh, p, closest, stack),
            SignKind::Parity => parity(simd, bvh, p, stack),
            SignKind::Unsigned => false,
        }
    }
}

#[inline(always)]
fn parity<S: Simd>(simd: S, bvh: &Bvh, p: DVec3, stack: &mut Stack) -> bool {
    let (lo, hi) = bvh.local_bounds();
    if p.cmplt(lo.as_dvec3()).any() || p.cmpgt(hi.as_dvec3()).any() {
        return false;
    }
    let (mut odd, mut all) = (0, 0);
    for ray in RAYS {
        if let Some(count) = crossings(simd, bvh, p, DVec3::from_array(ray) * 4.0, stack) {
            odd += count % 2;
            all += 1;
        }
    }
    2 * odd > all
}

fn winding_grid(bvh: &Bvh, winding: &Winding) -> VoxelGrid {
    let resolution = ((bvh.face_count() as f64).sqrt() * 0.6) as usize;
    VoxelGrid::new(bvh, resolution.clamp(64, 192), |grid, component| {
        struct At<'a>(&'a Winding, &'a Bvh, DVec3);
        impl WithSimd for At<'_> {
            type Output = f32;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                self.0.at(simd, self.1, self.2, &mut Stack::new())
            }
        }
        Arch::new().dispatch(At(winding, bvh, grid.centre(component.sample))).abs() > 0.5
    })
}

//! The sign of triangle soups by exterior visibility.
//!
//! Most ShapeNet faces come twice with opposite orientation, so orientation says nothing. Instead:
//! 1. A fine grid is cut by the faces (conservatively). Cells that can be reached from outside without entering a
//!    boundary cell are outside; free cells that cannot are inside, cavities too. Gaps narrower than a cell are closed.
//! 2. A point in a boundary cell looks at the free cells near it, first straight away from its closest face, then nearest
//!    cell first. The first one seen past no face decides, so solids are sharp, not stepped. A point that sees none lies
//!    between faces less than a cell apart, and is inside.
//! 3. Each face is judged by points just off both of its sides. One side inside: a *solid face*. Both outside, or a solid
//!    face whose opposite is nearer than a quarter of the thickness: an *open face*. Both inside: *hidden*, and left out.
//! 4. The field is the union of the solid and the thickened open faces: outside min(d_solid, d_open − t/2), inside
//!    −min(d_solid, d_open + t/2).

use glam::DVec3;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::bvh::Bvh;
use crate::closest::Stack;
use crate::ray_crossings::is_blocked;
use crate::report::figure;
use crate::voxels::{CellState, VoxelGrid};

/// Faces of a hierarchy with the same role.
#[derive(Clone, Debug)]
pub(crate) enum FaceSubset {
    None,
    All,
    Some(Box<Bvh>),
}

impl FaceSubset {
    fn of(bvh: &Bvh, ids: &[u32]) -> Self {
        match ids.len() {
            0 => Self::None,
            n if n == bvh.face_count() => Self::All,
            _ => Self::Some(Box::new(bvh.subset(ids))),
        }
    }

    /// The hierarchy of the subset, `whole` being that of all faces.
    #[inline(always)]
    pub fn get<'a>(&'a self, whole: &'a Bvh) -> Option<&'a Bvh> {
        match self {
            Self::None => None,
            Self::All => Some(whole),
            Self::Some(b) => Some(b),
        }
    }
}

/// Sign of a soup, and the roles of its faces.
#[derive(Clone, Debug)]
pub(crate) struct Visibility {
    grid: VoxelGrid,
    /// Steps to neighbouring cells, nearest first.
    steps: Vec<[i32; 3]>,
    pub solid_faces: FaceSubset,
    pub open_faces: FaceSubset,
    counts: [usize; 3],
}

#[derive(Clone, Copy, PartialEq)]
struct Role {
    solid: bool,
    open: bool,
}

impl Visibility {
    /// Judges the faces of `bvh`; `thickness` in local units.
    pub fn build(bvh: &Bvh, resolution: usize, thickness: f64) -> Self {
        let grid = VoxelGrid::new(bvh, resolution.min(1024), |_, _| true);
        let mut steps: Vec<[i32; 3]> = (0..125).map(|i| [i % 5 - 2, i / 5 % 5 - 2, i / 25 - 2]).collect();
        steps.sort_by_key(|s| s.iter().map(|x| x * x).sum::<i32>());
        steps.retain(|s| s.iter().map(|x| x * x).sum::<i32>() <= 9);
        let mut this =
            Self { grid, steps, solid_faces: FaceSubset::None, open_faces: FaceSubset::None, counts: [0; 3] };
        let ids: Vec<u32> = bvh.face_ids().collect();
        let roles: Vec<Role> = ids
            .par_chunks(256)
            .flat_map_iter(|faces| Arch::new().dispatch(Judge { visibility: &this, bvh, faces, thickness }))
            .collect();
        let pick = |keep: fn(&Role) -> bool| -> Vec<u32> {
            ids.iter().zip(&roles).filter(|(_, r)| keep(r)).map(|(&f, _)| f).collect()
        };
        let (solid_faces, open_faces) = (pick(|r| r.solid), pick(|r| r.open));
        let hidden = roles.iter().filter(|r| !r.solid && !r.open).count();
        this.counts = [solid_faces.len(), open_faces.len(), hidden];
        this.solid_faces = FaceSubset::of(bvh, &solid_faces);
        this.open_faces = FaceSubset::of(bvh, &open_faces);
        if solid_faces.is_empty() && open_faces.is_empty() {
            // Only faces without area: a shell around them is all that can be made.
            this.open_faces = FaceSubset::All;
        }
        this
    }

    pub fn describe(&self, thickness: f64, fraction: f64) -> String {
        let [solid, open, hidden] = self.counts;
        let thickness = figure(thickness, thickness, 4);
        format!(
            "exterior visibility on {}x{}x{} cells; {solid} solid faces, {open} open faces thickened to {thickness} \
             ({:.2} % of the diagonal), {hidden} hidden faces left out",
            self.grid.dims[0],
            self.grid.dims[1],
            self.grid.dims[2],
            fraction * 100.0
        )
    }

    #[inline(always)]
    pub fn inside<S: Simd>(&self, simd: S, bvh: &Bvh, p: DVec3, closest: Option<DVec3>, stack: &mut Stack) -> bool {
        let Some(home) = self.grid.locate(p) else { return false };
        match self.grid.state(home) {
            CellState::Inside => return true,
            CellState::Outside => return false,
            CellState::Boundary => {}
        }
        let away = closest.map(|c| p - c).filter(|a| a.length_squared() > 1e-24);
        if let Some(away) = away {
            let step = away.normalize() * self.grid.cell;
            for k in 1..=3 {
                let q = p + step * k as f64;
                let state = self.grid.at(q);
                if state != CellState::Boundary {
                    if !is_blocked(simd, bvh, p, q, stack) {
                        return state == CellState::Inside;
                    }
                    break;
                }
            }
        }
        for s in &self.steps {
            let cell: [i64; 3] = std::array::from_fn(|k| home[k] as i64 + s[k] as i64);
            if (0..3).any(|k| cell[k] < 0 || cell[k] >= self.grid.dims[k] as i64) {
                continue;
            }
            let cell = cell.map(|x| x as usize);
            let state = self.grid.state(cell);
            if state != CellState::Boundary && !is_blocked(simd, bvh, p, self.grid.centre(cell), stack) {
                return state == CellState::Inside;
            }
        }
        true
    }
}

struct Judge<'a> {
    visibility: &'a Visibility,
    bvh: &'a Bvh,
    faces: &'a [u32],
    thickness: f64,
}

impl WithSimd for Judge<'_> {
    type Output = Vec<Role>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<Role> {
        let mut stack = Stack::with_capacity(64);
        let mut out = Vec::with_capacity(self.faces.len());
        for &f in self.faces {
            out.push(self.role(simd, f, &mut stack));
        }
        out
    }
}

impl Judge<'_> {
    /// True where the point beside `p` is inside.
    #[inline(always)]
    fn side<S: Simd>(&self, simd: S, p: DVec3, offset: DVec3, stack: &mut Stack) -> bool {
        self.visibility.inside(simd, self.bvh, p + offset, Some(p), stack)
    }

    #[inline(always)]
    fn role<S: Simd>(&self, simd: S, face: u32, stack: &mut Stack) -> Role {
        let [a, b, c] = self.bvh.corners(face);
        let normal = (b - a).cross(c - a);
        let area2 = normal.length();
        if area2 < 1e-14 {
            return Role { solid: false, open: false };
        }
        let n = normal / area2;
        let cell = self.visibility.grid.cell;
        // About one point for every two cells' area, spread over the face by a sequence of low discrepancy.
        let count = ((area2 / (4.0 * cell * cell)) as usize).clamp(1, 32);
        let (near, far) = (cell * 1e-3, (self.thickness * 0.25).max(cell * 1e-3));
        let (mut solid, mut open, mut hidden) = (0, 0, 0);
        for i in 0..count {
            let (mut u, mut v) = match count {
                1 => (1.0 / 3.0, 1.0 / 3.0),
                _ => ((0.5 + i as f64 * 0.754_877_67).fract(), (0.5 + i as f64 * 0.569_840_29).fract()),
            };
            if u + v > 1.0 {
                (u, v) = (1.0 - u, 1.0 - v);
            }
            let p = a + (b - a) * u + (c - a) * v;
            let front = self.side(simd, p, n * near, stack);
            let back = self.side(simd, p, n * -near, stack);
            if front != back {
                // Through a solid thinner than this the far side is outside again.
                let through = if front { n * far } else { n * -far };
                if self.side(simd, p, through, stack) { solid += 1 } else { open += 1 }
            } else if front {
                hidden += 1;
            } else {
                open += 1;
            }
        }
        Role { solid: solid > 0, open: 4 * open >= (solid + open + hidden) && open > 0 }
    }
}

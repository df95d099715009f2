//! The sign of triangle soups by exterior visibility.
//!
//! Most ShapeNet faces come twice with opposite orientation, so orientation says nothing. What is decided instead:
//! 1. A fine grid is cut by the faces (conservatively). Cells that can be reached from outside without entering a
//!    touched cell are outside; free cells that cannot are inside, cavities too. Gaps narrower than a cell are closed.
//! 2. A point in a touched cell looks at the free cells near it, first straight away from its closest face, then nearest
//!    cell first. The first one seen past no face decides, so walls are sharp, not stepped. A point that sees none lies
//!    between walls less than a cell apart, and is inside.
//! 3. Each face is judged by points just off both of its sides. One side inside: a *wall*. Both outside, or a wall with
//!    its opposite wall nearer than a quarter of the thickness: a *sheet*. Both inside: *hidden*, and left out.
//! 4. The field is the union of the solid and the thickened sheets: outside min(d_wall, d_sheet − t/2), inside
//!    −min(d_wall, d_sheet + t/2).

use glam::DVec3;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::bvh::Bvh;
use crate::closest::Stack;
use crate::crossing::blocked;
use crate::voxels::{Cell, Grid};

/// Faces of a hierarchy that play one part.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    None,
    All,
    Some(Box<Bvh>),
}

impl Part {
    fn of(bvh: &Bvh, ids: &[u32]) -> Self {
        match ids.len() {
            0 => Self::None,
            n if n == bvh.face_count() => Self::All,
            _ => Self::Some(Box::new(bvh.subset(ids))),
        }
    }

    /// The hierarchy of the part, `whole` being that of all faces.
    #[inline(always)]
    pub fn get<'a>(&'a self, whole: &'a Bvh) -> Option<&'a Bvh> {
        match self {
            Self::None => None,
            Self::All => Some(whole),
            Self::Some(b) => Some(b),
        }
    }
}

/// Sign and parts of a soup.
#[derive(Clone, Debug)]
pub(crate) struct Visibility {
    grid: Grid,
    /// Steps to neighbouring cells, nearest first.
    steps: Vec<[i32; 3]>,
    pub walls: Part,
    pub sheets: Part,
    counts: [usize; 3],
}

#[derive(Clone, Copy, PartialEq)]
struct Role {
    wall: bool,
    sheet: bool,
}

impl Visibility {
    /// Judges the faces of `bvh`; `thickness` in local units.
    pub fn build(bvh: &Bvh, resolution: usize, thickness: f64) -> Self {
        let grid = Grid::new(bvh, resolution.min(1024), |_, _| true);
        let mut steps: Vec<[i32; 3]> = (0..125).map(|i| [i % 5 - 2, i / 5 % 5 - 2, i / 25 - 2]).collect();
        steps.sort_by_key(|s| s.iter().map(|x| x * x).sum::<i32>());
        steps.retain(|s| s.iter().map(|x| x * x).sum::<i32>() <= 9);
        let mut this = Self { grid, steps, walls: Part::None, sheets: Part::None, counts: [0; 3] };
        let ids: Vec<u32> = bvh.face_ids().collect();
        let roles: Vec<Role> = ids
            .par_chunks(256)
            .flat_map_iter(|faces| Arch::new().dispatch(Judge { visibility: &this, bvh, faces, thickness }))
            .collect();
        let pick = |keep: fn(&Role) -> bool| -> Vec<u32> {
            ids.iter().zip(&roles).filter(|(_, r)| keep(r)).map(|(&f, _)| f).collect()
        };
        let (walls, sheets) = (pick(|r| r.wall), pick(|r| r.sheet));
        let hidden = roles.iter().filter(|r| !r.wall && !r.sheet).count();
        this.counts = [walls.len(), sheets.len(), hidden];
        this.walls = Part::of(bvh, &walls);
        this.sheets = Part::of(bvh, &sheets);
        if walls.is_empty() && sheets.is_empty() {
            // Only faces without area: a shell around them is all that can be made.
            this.sheets = Part::All;
        }
        this
    }

    pub fn describe(&self, thickness: f64, fraction: f64) -> String {
        let [walls, sheets, hidden] = self.counts;
        format!(
            "exterior visibility on {}x{}x{} cells; {walls} wall faces, {sheets} sheet faces thickened to {thickness:.4} \
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
            Cell::Inside => return true,
            Cell::Outside => return false,
            Cell::Touched => {}
        }
        let away = closest.map(|c| p - c).filter(|a| a.length_squared() > 1e-24);
        if let Some(away) = away {
            let step = away.normalize() * self.grid.cell;
            for k in 1..=3 {
                let q = p + step * k as f64;
                let state = self.grid.at(q);
                if state != Cell::Touched {
                    if !blocked(simd, bvh, p, q, stack) {
                        return state == Cell::Inside;
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
            if state != Cell::Touched && !blocked(simd, bvh, p, self.grid.centre(cell), stack) {
                return state == Cell::Inside;
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
    /// Whether the point beside `p` is inside.
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
            return Role { wall: false, sheet: false };
        }
        let n = normal / area2;
        let cell = self.visibility.grid.cell;
        // About one point for every two cells' area, spread over the face by a sequence of low discrepancy.
        let count = ((area2 / (4.0 * cell * cell)) as usize).clamp(1, 32);
        let (near, far) = (cell * 1e-3, (self.thickness * 0.25).max(cell * 1e-3));
        let (mut wall, mut sheet, mut hidden) = (0, 0, 0);
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
                // Through a wall thinner than this the far side is outside again.
                let through = if front { n * far } else { n * -far };
                if self.side(simd, p, through, stack) { wall += 1 } else { sheet += 1 }
            } else if front {
                hidden += 1;
            } else {
                sheet += 1;
            }
        }
        Role { wall: wall > 0, sheet: 4 * sheet >= (wall + sheet + hidden) && sheet > 0 }
    }
}

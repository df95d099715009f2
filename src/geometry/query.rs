//! Signed distance to a mesh in batches: the one door through which fits, metrics and commands ask.

use glam::DVec3;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::TriMesh;
use crate::bvh::Bvh;
use crate::closest::{Closest, Cursor, Hit, Stack, nearest};
use crate::sign::{Kind, Sign, SignOptions};

/// Settings of a [`DistanceQuery`].
pub type QueryOptions = SignOptions;

/// Points that share one dispatch and, in parallel, one task.
const CHUNK: usize = 1024;

/// Why no query can be made of a mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No face has three finite corners.
    #[error("the mesh has no usable face (of {0}): a distance needs at least one triangle with finite corners")]
    NoFaces(usize),
    /// The thickness is not a positive fraction.
    #[error("the sheet thickness must be a fraction of the diagonal from 0 to 1")]
    Thickness,
}

/// Distance and sign of points against one mesh. All points and distances are in mesh units; inside is negative.
#[derive(Clone, Debug)]
pub struct DistanceQuery {
    bvh: Bvh,
    sign: Sign,
    /// Half the shell's thickness, in local units.
    half: f64,
}

impl DistanceQuery {
    /// Builds the hierarchy and prepares the sign, on all of rayon's threads.
    pub fn new(mesh: &TriMesh, options: &QueryOptions) -> Result<Self, QueryError> {
        if !(0.0..=1.0).contains(&options.thickness) {
            return Err(QueryError::Thickness);
        }
        let bvh = Bvh::new(mesh);
        if bvh.face_count() == 0 {
            return Err(QueryError::NoFaces(mesh.faces.len()));
        }
        let (lo, hi) = bvh.local_bounds();
        let thickness = (hi - lo).as_dvec3().length() * options.thickness;
        let sign = Sign::build(&bvh, options, thickness / bvh.frame().scale);
        Ok(Self { bvh, sign, half: thickness * 0.5 })
    }

    /// The hierarchy.
    pub fn bvh(&self) -> &Bvh {
        &self.bvh
    }

    /// The sign function and its explanation.
    pub fn sign(&self) -> &Sign {
        &self.sign
    }

    /// Closest point of the mesh to `p`.
    pub fn closest(&self, p: DVec3) -> Option<Closest> {
        self.bvh.closest(p)
    }

    /// Closest point no farther than `max_distance`.
    pub fn closest_within(&self, p: DVec3, max_distance: f64) -> Option<Closest> {
        self.bvh.closest_within(p, max_distance)
    }

    /// Closest points of a batch, in parallel; `None` for points that are not finite.
    pub fn closest_batch<P: Copy + Into<DVec3> + Sync>(&self, points: &[P]) -> Vec<Option<Closest>> {
        self.sorted(points, None, true, |order| ClosestOp { query: self, order })
    }

    /// Signed distance of each point into `out` (same length), in parallel. Points that are not finite give NaN.
    pub fn signed_distances<P: Copy + Into<DVec3> + Sync>(&self, points: &[P], out: &mut [f32]) {
        self.distances(points, None, true, out);
    }

    /// The same on the calling thread alone. `upper[i]`, where given, is a known upper bound of the unsigned distance of
    /// point `i` to the mesh: it only speeds up the search.
    pub fn signed_distances_serial<P: Copy + Into<DVec3> + Sync>(
        &self,
        points: &[P],
        upper: Option<&[f32]>,
        out: &mut [f32],
    ) {
        self.distances(points, upper, false, out);
    }

    fn distances<P: Copy + Into<DVec3> + Sync>(
        &self,
        points: &[P],
        upper: Option<&[f32]>,
        parallel: bool,
        out: &mut [f32],
    ) {
        let values = self.sorted(points, upper, parallel, |order| DistanceOp { query: self, order });
        out.iter_mut().zip(values).for_each(|(o, v)| *o = v);
    }

    /// Whether each point is inside (signed distance below 0), in parallel; cheaper than distances where only the sign
    /// counts.
    pub fn inside<P: Copy + Into<DVec3> + Sync>(&self, points: &[P]) -> Vec<bool> {
        let sheets = matches!(&self.sign.kind, Kind::Visibility(v) if v.sheets.get(&self.bvh).is_some());
        if sheets || matches!(self.sign.kind, Kind::Unsigned) {
            let mut out = vec![0.0; points.len()];
            self.signed_distances(points, &mut out);
            return out.into_iter().map(|d| d < 0.0).collect();
        }
        self.sorted(points, None, true, |order| InsideOp { query: self, order })
    }

    /// Runs `op` over the points in Morton order, so that neighbours follow each other, and undoes the order.
    fn sorted<'a, P, R, O>(
        &'a self,
        points: &[P],
        upper: Option<&[f32]>,
        parallel: bool,
        op: impl Fn(Vec<Item>) -> O + Sync,
    ) -> Vec<R>
    where
        P: Copy + Into<DVec3> + Sync,
        R: Clone + Send + Default,
        O: WithSimd<Output = Vec<R>> + 'a,
    {
        let frame = self.bvh.frame();
        let local = |i: usize| frame.to_local(points[i].into());
        let key = |i: usize| (morton(local(i)) << 32) | i as u64;
        let mut keys: Vec<u64>;
        if parallel {
            keys = (0..points.len()).into_par_iter().map(key).collect();
            keys.par_sort_unstable();
        } else {
            keys = (0..points.len()).map(key).collect();
            keys.sort_unstable();
        }
        let bound = |i: usize| upper.map_or(f64::INFINITY, |u| u[i] as f64 * frame.scale * (1.0 + 1e-6) + 1e-7);
        let run = |keys: &[u64]| -> Vec<R> {
            let items =
                keys.iter().map(|&k| k as u32 as usize).map(|i| Item { p: local(i), limit: bound(i) }).collect();
            Arch::new().dispatch(op(items))
        };
        let results: Vec<Vec<R>> = match parallel {
            true => keys.par_chunks(CHUNK).map(run).collect(),
            false => keys.chunks(CHUNK).map(run).collect(),
        };
        let mut out = vec![R::default(); points.len()];
        for (&k, r) in keys.iter().zip(results.into_iter().flatten()) {
            out[k as u32 as usize] = r;
        }
        out
    }
}

/// A point in the local frame and how far its answer can be.
struct Item {
    p: DVec3,
    limit: f64,
}

/// Interleaved bits of a local point's cell among 1024³ over [-2, 2]³.
fn morton(p: DVec3) -> u64 {
    let spread = |x: f64| {
        let mut v = ((x + 2.0) * 256.0).clamp(0.0, 1023.0) as u64;
        v = (v | v << 16) & 0x0300_00ff;
        v = (v | v << 8) & 0x0300_f00f;
        v = (v | v << 4) & 0x030c_30c3;
        (v | v << 2) & 0x0924_9249
    };
    spread(p.x) | spread(p.y) << 1 | spread(p.z) << 2
}

struct ClosestOp<'a> {
    query: &'a DistanceQuery,
    order: Vec<Item>,
}

impl WithSimd for ClosestOp<'_> {
    type Output = Vec<Option<Closest>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let bvh = &self.query.bvh;
        let (mut cursor, mut stack) = (Cursor::NONE, Stack::with_capacity(128));
        let mut out = Vec::with_capacity(self.order.len());
        for item in &self.order {
            let hit = nearest(simd, bvh, item.p, item.limit, &mut cursor, &mut stack);
            out.push(hit.map(|h| bvh.closest_of(&h)));
        }
        out
    }
}

struct InsideOp<'a> {
    query: &'a DistanceQuery,
    order: Vec<Item>,
}

impl WithSimd for InsideOp<'_> {
    type Output = Vec<bool>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<bool> {
        let mut stack = Stack::with_capacity(128);
        let mut out = Vec::with_capacity(self.order.len());
        for item in &self.order {
            let p = item.p;
            out.push(p.is_finite() && self.query.sign.inside(simd, &self.query.bvh, p, None, &mut stack));
        }
        out
    }
}

/// Nearest point of a part, if there is one; a bound that rounding made too tight is dropped.
#[inline(always)]
fn search<S: Simd>(
    simd: S,
    part: Option<&Bvh>,
    p: DVec3,
    limit: f64,
    cursor: &mut Cursor,
    stack: &mut Stack,
) -> Option<Hit> {
    let part = part?;
    let mut limit = limit;
    loop {
        let hit = nearest(simd, part, p, limit, cursor, stack);
        if hit.is_some() || limit == f64::INFINITY {
            return hit;
        }
        limit = f64::INFINITY;
    }
}

struct DistanceOp<'a> {
    query: &'a DistanceQuery,
    order: Vec<Item>,
}

impl WithSimd for DistanceOp<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let DistanceQuery { bvh, sign, half } = self.query;
        let inverse = 1.0 / bvh.frame().scale;
        let mut cursors = [Cursor::NONE; 2];
        let mut stack = Stack::with_capacity(128);
        let (walls, sheets) = match &sign.kind {
            Kind::Visibility(v) => (v.walls.get(bvh), v.sheets.get(bvh)),
            Kind::Unsigned => (None, Some(bvh)),
            _ => (Some(bvh), None),
        };
        // With all faces in one part, that part's answer is the mesh's.
        let whole = match (walls, sheets) {
            (Some(w), None) => std::ptr::eq(w, bvh),
            (None, Some(s)) => std::ptr::eq(s, bvh),
            _ => false,
        };
        let mut out = Vec::with_capacity(self.order.len());
        for item in &self.order {
            let p = item.p;
            // The bound speaks of all faces, not of one part of them.
            let limit = if whole { item.limit } else { f64::INFINITY };
            let [wall, sheet] = [walls, sheets].map(|part| part.map(|b| std::ptr::eq(b, bvh)).unwrap_or(false));
            let on_wall = search(simd, walls, p, limit, &mut cursors[0], &mut stack);
            let on_sheet = search(simd, sheets, p, limit, &mut cursors[1], &mut stack);
            if on_wall.is_none() && on_sheet.is_none() {
                out.push(f32::NAN);
                continue;
            }
            let closest = if wall {
                on_wall
            } else if sheet {
                on_sheet
            } else {
                match (on_wall, on_sheet) {
                    (Some(a), Some(b)) => Some(if a.distance < b.distance { a } else { b }),
                    (a, b) => a.or(b),
                }
            };
            let inside = sign.inside(simd, bvh, p, closest.map(|h| h.point), &mut stack);
            let d_wall = on_wall.map_or(f64::INFINITY, |h| h.distance);
            let d_sheet = on_sheet.map_or(f64::INFINITY, |h| h.distance);
            let value = if inside { -d_wall.min(d_sheet + half) } else { d_wall.min(d_sheet - half) };
            out.push((value * inverse) as f32);
        }
        out
    }
}

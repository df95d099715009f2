//! Signed distance to a mesh, closest points and inside tests, in batches.
//!
//! Distances are those to the surface of the solid: faces inside it (see [`crate::hidden_faces`]) are left out.

use std::sync::Arc;

use glam::{DVec3, UVec3};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::TriMesh;
use crate::bvh::Bvh;
use crate::closest::{Closest, Cursor, Hit, Stack, nearest};
use crate::hidden_faces::{HiddenFaces, OuterSurface, outer_surface};
use crate::morton::morton_code;
use crate::sign::{OrientationVerdict, Sign, SignKind, SignMethod};
use crate::topology::Topology;

/// Settings of a [`DistanceQuery`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryOptions {
    /// Method that tells inside from outside.
    pub method: SignMethod,
    /// The caller's verdict on orientation, for `auto`; without one, edges are checked here.
    #[serde(alias = "trust")]
    pub orientation: Option<OrientationVerdict>,
    /// Cells along the longest edge of the box for `visibility`, 16 to 1024: gaps narrower than a cell are closed.
    pub resolution: usize,
    /// Full thickness given to open faces without an inside, as a fraction of the box's diagonal.
    pub thickness: f64,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self { method: SignMethod::Auto, orientation: None, resolution: 256, thickness: 0.005 }
    }
}

/// Points that share one dispatch and, in parallel, one task.
const CHUNK: usize = 1024;

/// A mesh or a setting that no query can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No face has three finite corners.
    #[error("the mesh has no usable face (of {0}): a distance needs at least one triangle with finite corners")]
    NoFaces(usize),
    /// The thickness is not a positive fraction.
    #[error("the thickness of open faces must be a fraction of the diagonal from 0 to 1")]
    Thickness,
}

/// Distance and sign of points against one mesh. Points are in mesh units, signed distances in units of
/// [`DistanceQuery::unit`]; inside is negative.
#[derive(Clone, Debug)]
pub struct DistanceQuery {
    /// All faces of the mesh, for the sign.
    bvh: Bvh,
    sign: Sign,
    /// The surface of the solid where faces of the mesh lie inside it.
    outer: Option<OuterSurface>,
    hidden: HiddenFaces,
    /// Half the shell's thickness, in local units.
    half: f64,
    /// Mesh units per unit of the signed distances.
    unit: f64,
}

/// Sizes of meshes whose distances 32-bit floats hold in mesh units.
const ORDINARY: std::ops::Range<f64> = 1e-30..1e30;

impl DistanceQuery {
    /// Builds the hierarchy and prepares the sign, on all of rayon's threads.
    ///
    /// # Errors
    /// [`QueryError`] for a mesh without a usable face and for a thickness outside 0 to 1.
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
        let topology = Topology::new(&bvh);
        let sign = Sign::build(&bvh, &topology, options, thickness / bvh.frame().scale);
        let (outer, hidden) = match &sign.kind {
            SignKind::Winding(winding, _) if topology.closed => outer_surface(mesh, &bvh, winding, &topology),
            _ => (None, HiddenFaces::default()),
        };
        let size = 2.0 / bvh.frame().scale;
        let unit = if ORDINARY.contains(&size) { 1.0 } else { size.log2().floor().exp2() };
        Ok(Self { bvh, sign, outer, hidden, half: thickness * 0.5, unit })
    }

    /// Mesh units per unit of the signed distances: 1, but for meshes so large or small that 32-bit floats would not hold
    /// their distances, which are then given in units of a power of two.
    pub fn unit(&self) -> f64 {
        self.unit
    }

    /// The hierarchy of all faces of the mesh.
    pub fn bvh(&self) -> &Bvh {
        &self.bvh
    }

    /// The surface of the solid, to which distances are measured, where faces of the mesh lie inside the solid; `None`
    /// where the mesh itself is the surface. Samples and measurements of a solid are taken from it.
    pub fn surface(&self) -> Option<&Arc<TriMesh>> {
        self.outer.as_ref().map(|outer| &outer.mesh)
    }

    /// Counts of the faces that lie inside the solid.
    pub fn hidden_faces(&self) -> &HiddenFaces {
        &self.hidden
    }

    /// The faces that distances are measured to.
    fn measured(&self) -> &Bvh {
        self.outer.as_ref().map_or(&self.bvh, |outer| &outer.bvh)
    }

    /// A closest point of the measured faces as one of the mesh.
    fn of_mesh(&self, closest: Closest) -> Closest {
        match &self.outer {
            Some(outer) => outer.on_whole(&self.bvh, closest),
            None => closest,
        }
    }

    /// The sign function and its explanation.
    pub fn sign(&self) -> &Sign {
        &self.sign
    }

    /// Closest point of the surface to `p`, on a face of the mesh.
    pub fn closest(&self, p: DVec3) -> Option<Closest> {
        self.measured().closest(p).map(|c| self.of_mesh(c))
    }

    /// Closest point no farther than `max_distance`.
    pub fn closest_within(&self, p: DVec3, max_distance: f64) -> Option<Closest> {
        self.measured().closest_within(p, max_distance).map(|c| self.of_mesh(c))
    }

    /// Closest points of a batch, in parallel; `None` for points that are not finite.
    pub fn closest_batch<P: Copy + Into<DVec3> + Sync>(&self, points: &[P]) -> Vec<Option<Closest>> {
        let mut found = self.sorted(points, None, true, &ClosestPoint { bvh: self.measured() });
        if self.outer.is_some() {
            found.iter_mut().for_each(|c| *c = c.map(|c| self.of_mesh(c)));
        }
        found
    }

    /// Signed distance of each point into `out` (same length), in parallel. Points that are not finite give NaN.
    pub fn signed_distances<P: Copy + Into<DVec3> + Sync>(&self, points: &[P], out: &mut [f32]) {
        self.distances(points, None, true, out);
    }

    /// The same on the calling thread alone. `upper[i]`, where given, is a known upper bound of the unsigned distance of
    /// point `i` to the surface: it only speeds up the search.
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
        let values = self.sorted(points, upper, parallel, &SignedDistance::new(self));
        out.iter_mut().zip(values).for_each(|(o, v)| *o = v);
    }

    /// True for each point that is inside (signed distance below 0), in parallel; cheaper than distances where only the
    /// sign counts.
    pub fn inside<P: Copy + Into<DVec3> + Sync>(&self, points: &[P]) -> Vec<bool> {
        let thickened = matches!(&self.sign.kind, SignKind::Visibility(v) if v.open_faces.get(&self.bvh).is_some());
        if thickened || matches!(self.sign.kind, SignKind::Unsigned) {
            let mut out = vec![0.0; points.len()];
            self.signed_distances(points, &mut out);
            return out.into_iter().map(|d| d < 0.0).collect();
        }
        self.sorted(points, None, true, &Inside { bvh: &self.bvh, sign: &self.sign })
    }

    /// Asks `query` of the points in Morton order, so that neighbours follow each other, and undoes the order.
    fn sorted<P: Copy + Into<DVec3> + Sync, Q: PointQuery>(
        &self,
        points: &[P],
        upper: Option<&[f32]>,
        parallel: bool,
        query: &Q,
    ) -> Vec<Q::Answer> {
        let frame = self.bvh.frame();
        let local = |i: usize| frame.to_local(points[i].into());
        let key = |i: usize| (u64::from(morton_code(cell(local(i)))) << 32) | i as u64;
        let mut keys: Vec<u64>;
        if parallel {
            keys = (0..points.len()).into_par_iter().map(key).collect();
            keys.par_sort_unstable();
        } else {
            keys = (0..points.len()).map(key).collect();
            keys.sort_unstable();
        }
        let bound =
            |i: usize| upper.map_or(f64::INFINITY, |u| u[i] as f64 * self.unit * frame.scale * (1.0 + 1e-6) + 1e-7);
        let run = |keys: &[u64]| -> Vec<Q::Answer> {
            let points =
                keys.iter().map(|&k| k as u32 as usize).map(|i| QueryPoint { p: local(i), limit: bound(i) }).collect();
            Arch::new().dispatch(Batch { query, points })
        };
        let results: Vec<Vec<Q::Answer>> = match parallel {
            true => keys.par_chunks(CHUNK).map(run).collect(),
            false => keys.chunks(CHUNK).map(run).collect(),
        };
        let mut out = vec![Q::Answer::default(); points.len()];
        for (&k, r) in keys.iter().zip(results.into_iter().flatten()) {
            out[k as u32 as usize] = r;
        }
        out
    }
}

/// A point in the local frame, and an upper bound of its distance to the mesh in local units.
struct QueryPoint {
    p: DVec3,
    limit: f64,
}

/// Cell of a local point among 1024³ over [−2, 2]³.
fn cell(p: DVec3) -> UVec3 {
    UVec3::from(p.to_array().map(|x| ((x + 2.0) * 256.0).clamp(0.0, 1023.0) as u32))
}

/// State that one point of a coherent batch leaves to the next.
struct Scratch {
    /// One cursor a hierarchy that is searched.
    cursors: [Cursor; 2],
    stack: Stack,
}

/// A question about single points, asked in batches of a vector instruction set.
trait PointQuery: Sync {
    type Answer: Clone + Default + Send;

    fn answer<S: Simd>(&self, simd: S, point: &QueryPoint, scratch: &mut Scratch) -> Self::Answer;
}

/// One query of several points on the calling thread.
struct Batch<'a, Q> {
    query: &'a Q,
    points: Vec<QueryPoint>,
}

impl<Q: PointQuery> WithSimd for Batch<'_, Q> {
    type Output = Vec<Q::Answer>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let mut scratch = Scratch { cursors: [Cursor::NONE; 2], stack: Stack::with_capacity(128) };
        let mut out = Vec::with_capacity(self.points.len());
        for point in &self.points {
            out.push(self.query.answer(simd, point, &mut scratch));
        }
        out
    }
}

struct ClosestPoint<'a> {
    bvh: &'a Bvh,
}

impl PointQuery for ClosestPoint<'_> {
    type Answer = Option<Closest>;

    #[inline(always)]
    fn answer<S: Simd>(&self, simd: S, point: &QueryPoint, scratch: &mut Scratch) -> Option<Closest> {
        let hit = nearest(simd, self.bvh, point.p, point.limit, &mut scratch.cursors[0], &mut scratch.stack);
        hit.map(|h| self.bvh.closest_of(&h))
    }
}

struct Inside<'a> {
    bvh: &'a Bvh,
    sign: &'a Sign,
}

impl PointQuery for Inside<'_> {
    type Answer = bool;

    #[inline(always)]
    fn answer<S: Simd>(&self, simd: S, point: &QueryPoint, scratch: &mut Scratch) -> bool {
        point.p.is_finite() && self.sign.inside(simd, self.bvh, point.p, None, &mut scratch.stack)
    }
}

struct SignedDistance<'a> {
    bvh: &'a Bvh,
    sign: &'a Sign,
    /// All faces that distances are measured to.
    all: &'a Bvh,
    /// Faces that bound a solid, and faces that are thickened by `half` on both sides.
    solid: Option<&'a Bvh>,
    open: Option<&'a Bvh>,
    /// All of them are in one of the two, whose answer is then the surface's.
    whole: bool,
    half: f64,
    /// Units of the signed distances per local unit.
    inverse: f64,
}

impl<'a> SignedDistance<'a> {
    fn new(query: &'a DistanceQuery) -> Self {
        let DistanceQuery { bvh, sign, half, .. } = query;
        let all = query.measured();
        let (solid, open) = match &sign.kind {
            SignKind::Visibility(v) => (v.solid_faces.get(bvh), v.open_faces.get(bvh)),
            SignKind::Unsigned => (None, Some(all)),
            _ => (Some(all), None),
        };
        let whole = match (solid, open) {
            (Some(part), None) | (None, Some(part)) => std::ptr::eq(part, all),
            _ => false,
        };
        Self { bvh, sign, all, solid, open, whole, half: *half, inverse: 1.0 / bvh.frame().scale / query.unit }
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

impl PointQuery for SignedDistance<'_> {
    type Answer = f32;

    #[inline(always)]
    fn answer<S: Simd>(&self, simd: S, point: &QueryPoint, scratch: &mut Scratch) -> f32 {
        let Scratch { cursors: [solid_cursor, open_cursor], stack } = scratch;
        let (p, half) = (point.p, self.half);
        // The bound holds for all faces, not for a part of them.
        let limit = if self.whole { point.limit } else { f64::INFINITY };
        let on_solid = search(simd, self.solid, p, limit, solid_cursor, stack);
        let on_open = search(simd, self.open, p, limit, open_cursor, stack);
        if on_solid.is_none() && on_open.is_none() {
            return f32::NAN;
        }
        let is_all = |part: Option<&Bvh>| part.is_some_and(|part| std::ptr::eq(part, self.all));
        let closest = if is_all(self.solid) {
            on_solid
        } else if is_all(self.open) {
            on_open
        } else {
            match (on_solid, on_open) {
                (Some(a), Some(b)) => Some(if a.distance < b.distance { a } else { b }),
                (a, b) => a.or(b),
            }
        };
        let inside = self.sign.inside(simd, self.bvh, p, closest.map(|h| h.point), stack);
        let to_solid = on_solid.map_or(f64::INFINITY, |h| h.distance);
        let to_open = on_open.map_or(f64::INFINITY, |h| h.distance);
        let value = if inside { -to_solid.min(to_open + half) } else { to_solid.min(to_open - half) };
        (value * self.inverse) as f32
    }
}

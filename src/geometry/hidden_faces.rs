//! Faces that lie inside a solid, and the surface of the solid without them.
//!
//! Where closed parts of a mesh overlap, the solid is their union, and what of one part's faces lies inside another is no
//! surface of it: the winding number has both of its sides inside. What is left is found in four steps.
//! 1. Pairs of faces that meet in more than a shared corner or edge are searched in the tree (`intersections`).
//! 2. Each face of a pair is cut along the lines where others meet it, into convex pieces that no face crosses (`pieces`).
//! 3. The other faces form patches, joined by their shared edges, that no face crosses either.
//! 4. The winding number on either side of one point tells about a whole piece or patch (`layers`).
//!
//! A piece with both sides inside is hidden. Of pieces that lie on one another one stands for all, and where they face
//! each other they cancel, as the winding number has it. The rest stays as it is: sheets outside of all solids, and
//! places where the winding number is no whole number. It is one everywhere where the mesh is closed; nothing is hidden
//! in an open one, and nothing by another sign than the winding number's. A mesh without hidden faces is its own surface,
//! face by face.
//!
//! Positions are taken as equal to within 10⁻⁶ of the longest edge of the mesh's box, so that faces meant to touch do so
//! in spite of rounding in a file. Since no more than a set of triangles is wanted, on which distances are measured and
//! points drawn, the pieces of neighbours need not fit together beyond that.

mod intersections;
mod layers;
mod pieces;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use glam::DVec3;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use serde::Serialize;

use crate::TriMesh;
use crate::bvh::Bvh;
use crate::closest::{Closest, Stack, closest_on_triangle};
use crate::forest::Forest;
use crate::topology::Topology;
use crate::winding::Winding;
use intersections::{Flat, meeting_pairs};
use layers::{Layers, Verdict};

/// Distance below which positions are taken as equal, in local units: 10⁻⁶ of the longest edge of the box.
const TOLERANCE: f64 = 2e-6;
/// Pieces narrower than this are left out of a face that is cut: their neighbours lie as near.
const LEAST_WIDTH: f64 = 4.0 * TOLERANCE;

/// Counts of the faces that lie inside the solid, and the size of its surface without them. All are 0 for a mesh that is
/// its own surface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HiddenFaces {
    /// Faces wholly inside the solid.
    pub inside: usize,
    /// Faces partly inside, or partly on another face: they are cut.
    pub cut: usize,
    /// Faces that lie on another one, which stands for both.
    pub repeated: usize,
    /// Area of the surface of the solid, in square mesh units.
    pub area: f64,
    /// Volume of the solid, in cubic mesh units; negative where its faces are inside out.
    pub volume: f64,
    /// Faces meet each other in so many places that none was looked at: all count as surface.
    pub unresolved: bool,
}

impl HiddenFaces {
    /// A note on the faces that are left out, or could not be; `None` where the mesh is its own surface.
    pub fn note(&self) -> Option<String> {
        if self.unresolved {
            let text = "faces cross each other in too many places to tell which lie inside the solid: all count as its \
                        surface; unite the parts before, e.g. by a boolean union in the program that made them";
            return Some(text.into());
        }
        let faces = |n: usize| if n == 1 { "1 face".into() } else { format!("{n} faces") };
        let counts = [(self.inside, "inside it"), (self.cut, "partly inside it"), (self.repeated, "on other faces")];
        let list: Vec<String> =
            counts.iter().filter(|c| c.0 > 0).map(|&(n, place)| format!("{} {place}", faces(n))).collect();
        (!list.is_empty()).then(|| {
            format!(
                "the solid is the union of parts that overlap or touch: {}, left out of its surface (area {:.6}, volume {:.6})",
                list.join(", "),
                self.area,
                self.volume
            )
        })
    }
}

/// The surface of a solid some of whose faces are hidden.
#[derive(Clone, Debug)]
pub(crate) struct OuterSurface {
    /// What is left of the faces, in their order: whole ones, and in place of those that are cut the pieces.
    pub mesh: Arc<TriMesh>,
    /// The hierarchy over its faces, in the local frame of the whole mesh's.
    pub bvh: Bvh,
    /// The face of the whole mesh that each face is (a piece of).
    source: Vec<u32>,
}

impl OuterSurface {
    /// A closest point of this surface as one of the whole mesh, whose hierarchy is `whole`.
    pub fn on_whole(&self, whole: &Bvh, closest: Closest) -> Closest {
        let face = self.source[closest.face as usize];
        let barycentric = if self.bvh.faces[closest.face as usize] == whole.faces[face as usize] {
            closest.barycentric
        } else {
            closest_on_triangle(whole.frame().to_local(closest.point), whole.corners(face)).1
        };
        Closest { face, barycentric, ..closest }
    }
}

/// Finds the hidden faces of the closed `mesh`, whose hierarchy, winding number and shared edges are given. `None` where
/// the mesh is its own surface or where too many faces cross to tell.
pub(crate) fn outer_surface(
    mesh: &TriMesh,
    bvh: &Bvh,
    winding: &Winding,
    topology: &Topology,
) -> (Option<OuterSurface>, HiddenFaces) {
    let unresolved = HiddenFaces { unresolved: true, ..HiddenFaces::default() };
    let Some(fates) = fates(bvh, winding, topology) else { return (None, unresolved) };
    match fates.iter().all(|f| matches!(f, Fate::Stays)) {
        true => (None, HiddenFaces::default()),
        false => assemble(mesh, bvh, &fates),
    }
}

/// What becomes of a face.
#[derive(Clone, Debug)]
enum Fate {
    Stays,
    /// Inside the solid.
    Hidden,
    /// On another face, which stands for it.
    Repeated,
    /// Without area: part of the surface by its neighbours alone.
    Flat,
    /// Convex pieces of it stay, in local coordinates.
    Cut(Vec<Vec<DVec3>>),
}

/// Faces with the same corners, of which the search looks at one.
struct Repetitions {
    /// For each face the one that stands for it, itself where it is alone.
    stands: Vec<u32>,
    /// Faces that may be kept where several lie on one another: not those that stand for as many faces turned one way
    /// as the other.
    eligible: Vec<bool>,
}

impl Repetitions {
    fn new(bvh: &Bvh, topology: &Topology) -> Self {
        let n = bvh.faces.len();
        let (mut stands, mut eligible) = ((0..n as u32).collect::<Vec<u32>>(), vec![true; n]);
        for same in topology.repetitions() {
            let turned = |f: u32| {
                let [a, b, c] = bvh.faces[f as usize].map(|v| topology.merged[v as usize]);
                (a < b) ^ (b < c) ^ (a < c)
            };
            let odd = same.iter().filter(|s| turned(s.1)).count();
            // The first one of those that are more.
            let majority = 2 * odd > same.len();
            let first = same.iter().find(|s| turned(s.1) == majority).unwrap_or(&same[0]).1;
            for &(_, f) in same {
                stands[f as usize] = first;
                eligible[f as usize] = f == first && 2 * odd != same.len();
            }
        }
        Self { stands, eligible }
    }

    fn is_spare(&self, f: u32) -> bool {
        self.stands[f as usize] != f
    }
}

/// The fate of each face of the mesh; `None` where that would take too long.
fn fates(bvh: &Bvh, winding: &Winding, topology: &Topology) -> Option<Vec<Fate>> {
    let n = bvh.faces.len();
    let repetitions = Repetitions::new(bvh, topology);
    let pairs = meeting_pairs(bvh, &topology.merged, &|f| repetitions.is_spare(f))?;
    let mut links: Vec<[u32; 2]> = pairs.iter().flat_map(|&[f, g]| [[f, g], [g, f]]).collect();
    links.par_sort_unstable();
    let mut crossed = vec![false; n];
    links.iter().for_each(|l| crossed[l[0] as usize] = true);
    let mut patches = Forest::new(n);
    for &[f, g] in &topology.neighbours {
        if [f, g].iter().all(|&f| !crossed[f as usize] && !repetitions.is_spare(f)) {
            patches.join(f, g);
        }
    }
    let largest = largest_of_patches(bvh, &mut patches, |f| !crossed[f as usize] && !repetitions.is_spare(f));
    if links.is_empty() && largest.len() < 2 && topology.repetitions().next().is_none() {
        // One surface that does not meet itself.
        return Some(vec![Fate::Stays; n]);
    }
    let mut jobs: Vec<Job<'_>> = largest.iter().map(|&face| Job { face, others: &[] }).collect();
    jobs.extend(links.chunk_by(|a, b| a[0] == b[0]).map(|others| Job { face: others[0][0], others }));
    let layers = Layers { bvh, winding, eligible: &repetitions.eligible };
    // Splits are bounded by what is proportional to the input: a few for each place where faces meet.
    let splits = AtomicI64::new(16 * (links.len() as i64) + 100_000);
    let found: Option<Vec<Vec<Fate>>> = jobs
        .par_chunks(64)
        .map(|jobs| Arch::new().dispatch(Judge { layers: &layers, jobs, splits: &splits }))
        .collect();
    let mut fates = vec![Fate::Stays; n];
    for (job, fate) in jobs.iter().zip(found?.into_iter().flatten()) {
        fates[job.face as usize] = fate;
    }
    // The largest face of a patch tells about all of it.
    let mut hidden = vec![false; n];
    for &f in &largest {
        hidden[patches.root(f) as usize] = matches!(fates[f as usize], Fate::Hidden);
    }
    for f in bvh.face_ids() {
        let standing = repetitions.stands[f as usize];
        if standing == f && !crossed[f as usize] {
            let flat = || Flat::new(bvh.corners(f)).is_none();
            fates[f as usize] = match hidden[patches.root(f) as usize] {
                true => Fate::Hidden,
                false if flat() => Fate::Flat,
                false => Fate::Stays,
            };
        }
    }
    for f in bvh.face_ids() {
        if repetitions.is_spare(f) {
            let standing = repetitions.stands[f as usize];
            fates[f as usize] = match &fates[standing as usize] {
                // Where nothing is known, or on a sheet of as many faces one way as the other, all stay.
                Fate::Stays if !repetitions.eligible[standing as usize] => Fate::Stays,
                Fate::Hidden => Fate::Hidden,
                Fate::Flat => Fate::Flat,
                _ => Fate::Repeated,
            };
        }
    }
    let changes = fates.iter().any(|f| !matches!(f, Fate::Stays | Fate::Flat));
    if !changes {
        fates.fill(Fate::Stays);
    }
    Some(fates)
}

/// The largest face of each patch of the faces that `belongs` picks, without patches that have no area; in rising order.
fn largest_of_patches(bvh: &Bvh, patches: &mut Forest, belongs: impl Fn(u32) -> bool) -> Vec<u32> {
    let area = |f: u32| {
        let [a, b, c] = bvh.corners(f);
        (b - a).cross(c - a).length_squared()
    };
    let mut largest = vec![u32::MAX; bvh.faces.len()];
    let mut ids: Vec<u32> = bvh.face_ids().filter(|&f| belongs(f)).collect();
    ids.sort_unstable();
    for f in ids {
        let best = &mut largest[patches.root(f) as usize];
        if *best == u32::MAX || area(f) > area(*best) {
            *best = f;
        }
    }
    largest.retain(|&f| f != u32::MAX && Flat::new(bvh.corners(f)).is_some());
    largest.sort_unstable();
    largest
}

/// A face to judge, and the pairs of it with the faces that meet it.
struct Job<'a> {
    face: u32,
    others: &'a [[u32; 2]],
}

struct Judge<'a> {
    layers: &'a Layers<'a>,
    jobs: &'a [Job<'a>],
    splits: &'a AtomicI64,
}

impl WithSimd for Judge<'_> {
    type Output = Option<Vec<Fate>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let mut stack = Stack::with_capacity(64);
        let mut out = Vec::with_capacity(self.jobs.len());
        for job in self.jobs {
            out.push(self.fate(simd, job, &mut stack)?);
        }
        Some(out)
    }
}

impl Judge<'_> {
    #[inline(always)]
    fn fate<S: Simd>(&self, simd: S, job: &Job<'_>, stack: &mut Stack) -> Option<Fate> {
        let Some(flat) = Flat::new(self.layers.bvh.corners(job.face)) else { return Some(Fate::Flat) };
        let others = job.others.iter().filter_map(|pair| Flat::new(self.layers.bvh.corners(pair[1])));
        let pieces = pieces::pieces(&flat, others, self.splits)?;
        let mut verdicts = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            verdicts.push(self.layers.verdict(simd, job.face, piece, flat.normal, stack));
        }
        let stays = verdicts.iter().filter(|v| v.stays()).count();
        Some(if stays == pieces.len() {
            Fate::Stays
        } else if stays > 0 {
            Fate::Cut(pieces.into_iter().zip(verdicts).filter(|(_, v)| v.stays()).map(|(p, _)| p).collect())
        } else if verdicts.contains(&Verdict::Hidden) {
            Fate::Hidden
        } else {
            Fate::Repeated
        })
    }
}

/// The surface of the faces and pieces that stay, with its counts.
fn assemble(mesh: &TriMesh, bvh: &Bvh, fates: &[Fate]) -> (Option<OuterSurface>, HiddenFaces) {
    let mut hidden = HiddenFaces::default();
    let (mut local, mut outer) = (bvh.positions.to_vec(), TriMesh { positions: mesh.positions.clone(), faces: vec![] });
    let mut source = Vec::new();
    let mut ids: Vec<u32> = bvh.face_ids().collect();
    ids.sort_unstable();
    for f in ids {
        match &fates[f as usize] {
            Fate::Stays => {
                outer.faces.push(mesh.faces[f as usize]);
                source.push(f);
            }
            Fate::Hidden => hidden.inside += 1,
            Fate::Repeated => hidden.repeated += 1,
            Fate::Flat => {}
            Fate::Cut(pieces) => {
                hidden.cut += 1;
                for piece in pieces {
                    let first = local.len() as u32;
                    local.extend(piece);
                    outer.positions.extend(piece.iter().map(|&p| bvh.frame().to_mesh(p)));
                    outer.faces.extend((1..piece.len() as u32 - 1).map(|k| [first, first + k, first + k + 1]));
                    source.resize(outer.faces.len(), f);
                }
            }
        }
    }
    if outer.faces.is_empty() {
        return (None, HiddenFaces::default());
    }
    let center = bvh.frame().center;
    for f in 0..outer.faces.len() {
        let [a, b, c] = outer.triangle(f).map(|p| p - center);
        hidden.area += (b - a).cross(c - a).length() * 0.5;
        hidden.volume += a.dot(b.cross(c)) / 6.0;
    }
    let bvh = bvh.with_faces(local, &outer.faces);
    (Some(OuterSurface { mesh: Arc::new(outer), bvh, source }), hidden)
}

#[cfg(test)]
mod tests;

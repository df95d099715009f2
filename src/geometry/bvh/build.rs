//! Builds the hierarchy: a binary tree by the binned surface-area heuristic (Wald 2007), then collapsed to 16-wide nodes.

use glam::{DVec3, Vec3};
use rayon::prelude::*;

use crate::bvh::{Bvh, LEAF, Packet, WIDTH, WideNode};

const BINS: usize = 16;
/// Ranges above this many faces split on two threads.
const PARALLEL: usize = 4096;
/// Above this many faces with one centre, copies of a face are looked for.
const MANY: usize = 4 * WIDTH;
/// Below this depth ranges are halved by count, which bounds the tree's height on adversarial input.
const MAX_SAH_DEPTH: usize = 48;

#[derive(Clone, Copy)]
struct Bounds {
    lo: Vec3,
    hi: Vec3,
}

impl Bounds {
    const EMPTY: Self = Self { lo: Vec3::INFINITY, hi: Vec3::NEG_INFINITY };

    fn join(self, o: Self) -> Self {
        Self { lo: self.lo.min(o.lo), hi: self.hi.max(o.hi) }
    }

    fn area(self) -> f32 {
        let e = (self.hi - self.lo).max(Vec3::ZERO);
        e.x * e.y + e.y * e.z + e.z * e.x
    }
}

#[derive(Clone, Copy)]
struct Prim {
    bounds: Bounds,
    face: u32,
}

impl Prim {
    fn centre(&self) -> Vec3 {
        (self.bounds.lo + self.bounds.hi) * 0.5
    }
}

struct Tree {
    bounds: Bounds,
    kind: Kind,
}

enum Kind {
    Leaf { first: u32, count: u32 },
    Inner(Box<[Tree; 2]>),
}

/// Fills `nodes`, `packets` and `ranges` of `bvh` from the faces `ids`.
pub(super) fn build(bvh: &mut Bvh, ids: &[u32]) {
    if ids.is_empty() {
        return;
    }
    let mut prims: Vec<Prim> = ids
        .par_iter()
        .map(|&face| {
            let [a, b, c] = bvh.corners(face).map(|p| p.as_vec3());
            Prim { bounds: Bounds { lo: a.min(b).min(c), hi: a.max(b).max(c) }, face }
        })
        .collect();
    let tree = split(bvh, &mut prims, 0, 0);
    let mut leaves = Vec::with_capacity(ids.len() / 8);
    collapse(bvh, &tree, &mut leaves);
    bvh.count = leaves.iter().map(|&(_, count)| count as usize).sum();
    let bvh_ref = &*bvh;
    let packets = leaves.par_iter().map(|&(first, count)| packet(bvh_ref, &prims[first as usize..][..count as usize]));
    bvh.packets = packets.collect();
}

fn split(bvh: &Bvh, prims: &mut [Prim], first: u32, depth: usize) -> Tree {
    let bounds = prims.iter().fold(Bounds::EMPTY, |b, p| b.join(p.bounds));
    if prims.len() <= WIDTH {
        return Tree { bounds, kind: Kind::Leaf { first, count: prims.len() as u32 } };
    }
    let parted = if depth < MAX_SAH_DEPTH { partition(prims) } else { None };
    if parted.is_none() && prims.len() > MANY {
        let kept = drop_copies(bvh, prims);
        if kept < prims.len() {
            return split(bvh, &mut prims[..kept], first, depth);
        }
    }
    let middle = parted.unwrap_or(prims.len() / 2);
    let parallel = prims.len() > PARALLEL;
    let (left, right) = prims.split_at_mut(middle);
    let second = first + middle as u32;
    let children = if parallel {
        let (l, r) = rayon::join(|| split(bvh, left, first, depth + 1), || split(bvh, right, second, depth + 1));
        [l, r]
    } else {
        [split(bvh, left, first, depth + 1), split(bvh, right, second, depth + 1)]
    };
    Tree { bounds, kind: Kind::Inner(Box::new(children)) }
}

/// Moves all but [`WIDTH`] copies of each face to the end; returns the number of the others. `prims` is as it was where
/// there are no more copies.
///
/// Every query would visit all copies of the face that is closest, and the winding number of so many is beyond doubt.
fn drop_copies(bvh: &Bvh, prims: &mut [Prim]) -> usize {
    // The corners as they are stored, from the lowest one on: copies may begin at any.
    let key = |prim: &Prim| {
        let corners = bvh.corners(prim.face).map(|p| (p.as_vec3() + 0.0).to_array().map(f32::to_bits));
        let start = (0..3).min_by_key(|&k| corners[k]).unwrap_or(0);
        [0, 1, 2].map(|k| corners[(start + k) % 3])
    };
    let mut order: Vec<_> = prims.iter().enumerate().map(|(i, prim)| (key(prim), i)).collect();
    order.sort_unstable();
    let mut kept = vec![true; prims.len()];
    for copies in order.chunk_by(|a, b| a.0 == b.0) {
        copies.iter().skip(WIDTH).for_each(|&(_, i)| kept[i] = false);
    }
    let all = prims.to_vec();
    let of = |wanted: bool| all.iter().zip(&kept).filter(move |(_, kept)| **kept == wanted).map(|(prim, _)| *prim);
    prims.iter_mut().zip(of(true).chain(of(false))).for_each(|(to, prim)| *to = prim);
    of(true).count()
}

/// Reorders `prims` around the cheapest of the binned planes and returns the left count; `None` if all centres coincide.
fn partition(prims: &mut [Prim]) -> Option<usize> {
    let centres = prims.iter().fold(Bounds::EMPTY, |b, p| {
        let c = p.centre();
        b.join(Bounds { lo: c, hi: c })
    });
    let extent = centres.hi - centres.lo;
    let scale = Vec3::select(extent.cmpgt(Vec3::ZERO), (BINS as f32 * 0.9999) / extent, Vec3::ZERO);
    let bin = |p: &Prim| ((p.centre() - centres.lo) * scale).min(Vec3::splat(BINS as f32 - 1.0));
    let mut bins = [[(Bounds::EMPTY, 0usize); BINS]; 3];
    for p in prims.iter() {
        let at = bin(p).to_array();
        for k in 0..3 {
            let slot = &mut bins[k][at[k] as usize];
            slot.0 = slot.0.join(p.bounds);
            slot.1 += 1;
        }
    }
    let mut best = (f32::INFINITY, 0, 0);
    for k in (0..3).filter(|&k| extent[k] > 0.0) {
        let mut right = [(0.0f32, 0usize); BINS];
        let mut acc = (Bounds::EMPTY, 0);
        for i in (1..BINS).rev() {
            acc = (acc.0.join(bins[k][i].0), acc.1 + bins[k][i].1);
            right[i] = (acc.0.area(), acc.1);
        }
        let mut acc = (Bounds::EMPTY, 0);
        for (i, r) in right.iter().enumerate().skip(1) {
            acc = (acc.0.join(bins[k][i - 1].0), acc.1 + bins[k][i - 1].1);
            if acc.1 == 0 || r.1 == 0 {
                continue;
            }
            let cost = acc.0.area() * acc.1 as f32 + r.0 * r.1 as f32;
            if cost < best.0 {
                best = (cost, k, i);
            }
        }
    }
    if best.2 == 0 {
        return None;
    }
    let mut left = 0;
    for i in 0..prims.len() {
        if (bin(&prims[i])[best.1] as usize) < best.2 {
            prims.swap(i, left);
            left += 1;
        }
    }
    (left > 0 && left < prims.len()).then_some(left)
}

/// Adds the wide node of `tree` and all below it; returns its index.
fn collapse(bvh: &mut Bvh, tree: &Tree, leaves: &mut Vec<(u32, u32)>) -> u32 {
    let mut children: Vec<&Tree> = vec![tree];
    // Open the largest inner child until the node is full.
    while children.len() < WIDTH {
        let inner = children.iter().enumerate().filter(|(_, c)| matches!(c.kind, Kind::Inner(_)));
        let Some((i, _)) = inner.max_by(|a, b| a.1.bounds.area().total_cmp(&b.1.bounds.area())) else { break };
        if let Kind::Inner(pair) = &children[i].kind {
            children[i] = &pair[0];
            children.push(&pair[1]);
        }
    }
    let index = bvh.nodes.len();
    bvh.nodes.push(WideNode {
        lo: [[f32::INFINITY; WIDTH]; 3],
        hi: [[f32::NEG_INFINITY; WIDTH]; 3],
        child: [0; WIDTH],
        count: children.len() as u32,
    });
    bvh.ranges.push([[0; 2]; WIDTH]);
    for (i, child) in children.into_iter().enumerate() {
        let before = leaves.len() as u32;
        let link = match &child.kind {
            Kind::Leaf { first, count } => {
                leaves.push((*first, *count));
                LEAF | before
            }
            Kind::Inner(_) => collapse(bvh, child, leaves),
        };
        let node = &mut bvh.nodes[index];
        node.child[i] = link;
        for k in 0..3 {
            node.lo[k][i] = child.bounds.lo[k];
            node.hi[k][i] = child.bounds.hi[k];
        }
        bvh.ranges[index][i] = [before, leaves.len() as u32];
    }
    index as u32
}

fn packet(bvh: &Bvh, prims: &[Prim]) -> Packet {
    let mut out = Packet {
        a: [[0.0; WIDTH]; 3],
        ab: [[0.0; WIDTH]; 3],
        ac: [[0.0; WIDTH]; 3],
        n: [[0.0; WIDTH]; 3],
        area2: [-1.0; WIDTH],
        inv: [[0.0; WIDTH]; 3],
        face: [0; WIDTH],
        count: prims.len() as u32,
    };
    for i in 0..WIDTH {
        let face = prims.get(i).unwrap_or(&prims[0]).face;
        // Edges come from the rounded corners, so that neighbours share exactly the same edge.
        let [a, b, c] = bvh.corners(face).map(|p| p.as_vec3().as_dvec3());
        let (ab, ac, bc) = (b - a, c - a, c - b);
        let cross = ab.cross(ac);
        let longest = ab.length_squared().max(ac.length_squared()).max(bc.length_squared());
        let area2 = cross.length();
        let set = |to: &mut [[f32; WIDTH]; 3], v: DVec3| (0..3).for_each(|k| to[k][i] = v[k] as f32);
        set(&mut out.a, a);
        set(&mut out.ab, ab);
        set(&mut out.ac, ac);
        // A needle thinner than rounding has no trustworthy normal; its edges stand for it.
        if area2 > 1e-7 * longest && area2 > 1e-30 {
            set(&mut out.n, cross / area2);
            out.area2[i] = area2 as f32;
        }
        let inverse = |e: DVec3| if e.length_squared() > 1e-37 { (1.0 / e.length_squared()) as f32 } else { 0.0 };
        for (k, e) in [ab, ac, bc].into_iter().enumerate() {
            out.inv[k][i] = inverse(e);
        }
        out.face[i] = face;
    }
    out
}

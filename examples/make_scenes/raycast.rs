//! Rays against triangles by a binary hierarchy of boxes: first hits and shadows.
//!
//! Only exact arithmetic (no sines, no fused steps): every machine sees the same.

use glam::DVec3;

/// Most triangles of a leaf.
const LEAF: usize = 4;
/// Margin around a triangle's edges that still counts as a hit, as a fraction of its size: neighbours leave no gap.
const SLACK: f64 = 1e-9;

/// A box with what is in it.
struct Node {
    lo: DVec3,
    hi: DVec3,
    /// First triangle of a leaf, or the second child (the first one follows its parent).
    at: usize,
    /// Triangles of a leaf; 0 for a node with children.
    count: usize,
}

/// First hit of a ray on a triangle.
#[derive(Clone, Copy)]
pub struct Hit {
    /// Distance in lengths of the ray's direction.
    pub t: f64,
    /// Index of the triangle.
    pub face: usize,
    /// Weights of its corners.
    pub weights: [f64; 3],
}

/// The hierarchy.
pub struct Tracer {
    nodes: Vec<Node>,
    /// Index, first corner and two edges, in tree order.
    triangles: Vec<(usize, [DVec3; 3])>,
}

fn bounds(triangles: &[(usize, [DVec3; 3])]) -> (DVec3, DVec3) {
    let corners = triangles.iter().flat_map(|t| t.1);
    corners.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(lo, hi), p| (lo.min(p), hi.max(p)))
}

fn half_area((lo, hi): (DVec3, DVec3)) -> f64 {
    let d = hi - lo;
    d.x * d.y + d.y * d.z + d.z * d.x
}

/// Sorts `triangles` along their longest axis and says where to cut (surface area heuristic).
fn cut(triangles: &mut [(usize, [DVec3; 3])]) -> usize {
    let centre = |t: &[DVec3; 3]| t[0] + t[1] + t[2];
    let (lo, hi) = triangles
        .iter()
        .map(|t| centre(&t.1))
        .fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(lo, hi), p| (lo.min(p), hi.max(p)));
    let axis = (hi - lo).max_position();
    triangles.sort_by(|a, b| centre(&a.1)[axis].total_cmp(&centre(&b.1)[axis]).then(a.0.cmp(&b.0)));
    let n = triangles.len();
    let grow = |(lo, hi): (DVec3, DVec3), t: &(usize, [DVec3; 3])| {
        t.1.iter().fold((lo, hi), |(lo, hi), &p| (lo.min(p), hi.max(p)))
    };
    let empty = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    let mut below = Vec::with_capacity(n);
    triangles.iter().fold(empty, |b, t| {
        let b = grow(b, t);
        below.push(half_area(b));
        b
    });
    let (mut best, mut at, mut above) = (f64::INFINITY, n / 2, empty);
    for i in (1..n).rev() {
        above = grow(above, &triangles[i]);
        let cost = below[i - 1] * i as f64 + half_area(above) * (n - i) as f64;
        if cost < best {
            (best, at) = (cost, i);
        }
    }
    at
}

impl Tracer {
    pub fn new(triangles: impl Iterator<Item = [DVec3; 3]>) -> Self {
        let mut tracer = Self { nodes: Vec::new(), triangles: triangles.enumerate().collect() };
        let mut triangles = std::mem::take(&mut tracer.triangles);
        tracer.build(&mut triangles, 0);
        tracer.triangles = triangles.into_iter().map(|(i, [a, b, c])| (i, [a, b - a, c - a])).collect();
        tracer
    }

    fn build(&mut self, triangles: &mut [(usize, [DVec3; 3])], first: usize) {
        let (lo, hi) = bounds(triangles);
        let node = self.nodes.len();
        self.nodes.push(Node { lo, hi, at: first, count: triangles.len() });
        if triangles.len() > LEAF {
            let at = cut(triangles);
            let (left, right) = triangles.split_at_mut(at);
            self.build(left, first);
            (self.nodes[node].at, self.nodes[node].count) = (self.nodes.len(), 0);
            self.build(right, first + at);
        }
    }

    /// The nearest triangle along the ray.
    pub fn first(&self, origin: DVec3, direction: DVec3) -> Option<Hit> {
        let mut nearest: Option<Hit> = None;
        self.walk(origin, direction, |hit| {
            nearest = Some(hit);
            Some(hit.t)
        });
        nearest
    }

    /// `true` where anything lies along the ray.
    pub fn blocked(&self, origin: DVec3, direction: DVec3) -> bool {
        let mut any = false;
        self.walk(origin, direction, |_| {
            any = true;
            None
        });
        any
    }

    /// Calls `found` with ever nearer hits; it returns the distance from which on it wants no more, or `None` to stop.
    fn walk(&self, origin: DVec3, direction: DVec3, mut found: impl FnMut(Hit) -> Option<f64>) {
        let safe = |x: f64| if x.abs() < 1e-12 { 1e-12f64.copysign(x) } else { x };
        let inverse = DVec3::from_array(direction.to_array().map(|x| 1.0 / safe(x)));
        let entry = |node: &Node, limit: f64| {
            let (a, b) = ((node.lo - origin) * inverse, (node.hi - origin) * inverse);
            let (near, far) = (a.min(b).max_element().max(0.0), a.max(b).min_element().min(limit));
            (near <= far).then_some(near)
        };
        let mut limit = f64::INFINITY;
        let mut stack = vec![0];
        while let Some(i) = stack.pop() {
            let node = &self.nodes[i];
            // The limit may have come nearer since this node was put off.
            if entry(node, limit).is_none() {
                continue;
            }
            if node.count == 0 {
                let (left, right) = (entry(&self.nodes[i + 1], limit), entry(&self.nodes[node.at], limit));
                match (left, right) {
                    (Some(a), Some(b)) if a <= b => stack.extend([node.at, i + 1]),
                    (Some(_), Some(_)) => stack.extend([i + 1, node.at]),
                    (Some(_), None) => stack.push(i + 1),
                    (None, Some(_)) => stack.push(node.at),
                    (None, None) => {}
                }
                continue;
            }
            for triangle in &self.triangles[node.at..node.at + node.count] {
                if let Some(hit) = meet(origin, direction, triangle, limit) {
                    match found(hit) {
                        Some(t) => limit = t,
                        None => return,
                    }
                }
            }
        }
    }
}

/// Möller and Trumbore, "Fast, Minimum Storage Ray/Triangle Intersection", Journal of Graphics Tools 2 (1997).
fn meet(origin: DVec3, direction: DVec3, &(face, [a, ab, ac]): &(usize, [DVec3; 3]), limit: f64) -> Option<Hit> {
    let p = direction.cross(ac);
    let determinant = ab.dot(p);
    if determinant == 0.0 {
        return None;
    }
    let inverse = 1.0 / determinant;
    let s = origin - a;
    let u = s.dot(p) * inverse;
    let q = s.cross(ab);
    let v = direction.dot(q) * inverse;
    let t = ac.dot(q) * inverse;
    let weights = [1.0 - u - v, u, v];
    (weights.iter().all(|&w| w >= -SLACK) && t > 0.0 && t < limit).then_some(Hit { t, face, weights })
}

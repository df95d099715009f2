//! Convex pieces of a face, cut along the lines where other faces meet it.
//!
//! The pieces are the leaves of a binary space partition of the face: each line cuts the pieces that it goes through, and
//! within these on to their borders. Where lines are many, cuts across the longer side of the pieces halve their number
//! first, so that a face that thousands of others meet takes no longer than they do one by one.

use std::sync::atomic::{AtomicI64, Ordering};

use glam::{DVec2, DVec3};

use super::intersections::{Flat, Meeting, meeting};
use super::{LEAST_WIDTH, TOLERANCE};

/// Lines in a piece above which their number is halved first.
const MANY: usize = 32;

/// A segment in the plane of a face, with the line through it: `normal · x = offset`.
#[derive(Clone, Copy)]
struct Cut {
    ends: [DVec2; 2],
    normal: DVec2,
    offset: f64,
}

impl Cut {
    fn new(ends: [DVec2; 2]) -> Self {
        let normal = (ends[1] - ends[0]).perp().normalize_or_zero();
        Self { ends, normal, offset: normal.dot(ends[0]) }
    }

    fn height(&self, p: DVec2) -> f64 {
        self.normal.dot(p) - self.offset
    }

    fn length(&self) -> f64 {
        self.ends[0].distance(self.ends[1])
    }

    /// True where points of the polygon lie on both sides of the line.
    fn divides(&self, polygon: &[DVec2]) -> bool {
        let side = |sign: f64| polygon.iter().any(|&p| sign * self.height(p) > TOLERANCE);
        side(1.0) && side(-1.0)
    }

    /// The parts of the segment `other` before and behind the line; none for one along it.
    fn divide(&self, other: &Cut) -> [Option<Cut>; 2] {
        let [p, q] = other.ends;
        let (hp, hq) = (self.height(p), self.height(q));
        let on = |h: f64| h.abs() <= TOLERANCE;
        if on(hp) && on(hq) {
            return [None, None];
        }
        if (hp > 0.0 || on(hp)) && (hq > 0.0 || on(hq)) {
            return [Some(*other), None];
        }
        if (hp < 0.0 || on(hp)) && (hq < 0.0 || on(hq)) {
            return [None, Some(*other)];
        }
        let middle = p.lerp(q, hp / (hp - hq));
        let part = |end: DVec2| Some(Cut { ends: [end, middle], ..*other }).filter(|c| c.length() > TOLERANCE);
        if hp > 0.0 { [part(p), part(q)] } else { [part(q), part(p)] }
    }

    /// The parts of a convex polygon before and behind the line. Corners near the line belong to both.
    fn divide_polygon(&self, polygon: &[DVec2]) -> [Vec<DVec2>; 2] {
        let mut parts = [Vec::with_capacity(polygon.len() + 1), Vec::with_capacity(polygon.len() + 1)];
        for (i, &p) in polygon.iter().enumerate() {
            let q = polygon[(i + 1) % polygon.len()];
            let (hp, hq) = (self.height(p), self.height(q));
            if hp >= -TOLERANCE {
                parts[0].push(p);
            }
            if hp <= TOLERANCE {
                parts[1].push(p);
            }
            if hp.min(hq) < -TOLERANCE && hp.max(hq) > TOLERANCE {
                let x = p.lerp(q, hp / (hp - hq));
                parts.iter_mut().for_each(|part| part.push(x));
            }
        }
        parts
    }
}

/// Orthonormal coordinates in the plane of a face.
struct Plane {
    origin: DVec3,
    axes: [DVec3; 2],
}

impl Plane {
    fn of(flat: &Flat) -> Self {
        let [a, b, _] = flat.corners;
        let x = (b - a).normalize_or_zero();
        Self { origin: a, axes: [x, flat.normal.cross(x)] }
    }

    fn down(&self, p: DVec3) -> DVec2 {
        DVec2::from(self.axes.map(|axis| axis.dot(p - self.origin)))
    }

    fn up(&self, p: DVec2) -> DVec3 {
        self.origin + self.axes[0] * p.x + self.axes[1] * p.y
    }
}

/// The convex pieces into which the faces `others` cut `face`; the whole face as one piece where they don't cut it.
/// Pieces too narrow to matter are left out. `None` once `splits` are used up.
pub(super) fn pieces(face: &Flat, others: impl Iterator<Item = Flat>, splits: &AtomicI64) -> Option<Vec<Vec<DVec3>>> {
    let plane = Plane::of(face);
    let mut cuts = Vec::new();
    let mut add = |segment: [DVec3; 2]| {
        cuts.extend(face.clip(segment).map(|ends| Cut::new(ends.map(|p| plane.down(p)))));
    };
    for other in others {
        match meeting(face, &other) {
            Meeting::Apart => {}
            Meeting::Across(segment) => add(segment),
            Meeting::Along => {
                let [a, b, c] = other.corners;
                [[a, b], [b, c], [c, a]].into_iter().for_each(&mut add);
            }
        }
    }
    let polygons = partition(face.corners.map(|p| plane.down(p)).to_vec(), cuts, splits)?;
    let wide: Vec<_> = polygons.iter().filter(|p| width(p) >= LEAST_WIDTH).collect();
    Some(match polygons.len() == 1 || wide.is_empty() {
        true => vec![face.corners.to_vec()],
        false => wide.into_iter().map(|polygon| polygon.iter().map(|&p| plane.up(p)).collect()).collect(),
    })
}

/// The parts of a convex polygon that none of the cuts goes through.
fn partition(polygon: Vec<DVec2>, cuts: Vec<Cut>, splits: &AtomicI64) -> Option<Vec<Vec<DVec2>>> {
    let (mut done, mut open) = (Vec::new(), vec![(polygon, cuts)]);
    while let Some((polygon, mut cuts)) = open.pop() {
        cuts.retain(|c| c.divides(&polygon));
        let Some(line) = choose(&cuts, &polygon) else {
            done.push(polygon);
            continue;
        };
        if splits.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return None;
        }
        let [front, behind] = line.divide_polygon(&polygon);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for [a, b] in cuts.iter().map(|c| line.divide(c)) {
            before.extend(a);
            after.extend(b);
        }
        open.push((behind, after));
        open.push((front, before));
    }
    Some(done)
}

/// The line to cut a polygon along: that of the longest cut, or where they are many one that halves their number.
fn choose(cuts: &[Cut], polygon: &[DVec2]) -> Option<Cut> {
    if cuts.len() > MANY {
        let middle = |c: &Cut| (c.ends[0] + c.ends[1]) * 0.5;
        let (lo, hi) = cuts
            .iter()
            .fold((DVec2::INFINITY, DVec2::NEG_INFINITY), |(lo, hi), c| (lo.min(middle(c)), hi.max(middle(c))));
        let normal = if hi.x - lo.x >= hi.y - lo.y { DVec2::X } else { DVec2::Y };
        let mut at: Vec<f64> = cuts.iter().map(|c| normal.dot(middle(c))).collect();
        let half = at.len() / 2;
        let offset = *at.select_nth_unstable_by(half, f64::total_cmp).1;
        let line = Cut { ends: [DVec2::ZERO; 2], normal, offset };
        let (mut before, mut after) = (0, 0);
        for parts in cuts.iter().map(|c| line.divide(c)) {
            before += usize::from(parts[0].is_some());
            after += usize::from(parts[1].is_some());
        }
        if line.divides(polygon) && 4 * before.max(after) <= 3 * cuts.len() {
            return Some(line);
        }
    }
    cuts.iter().copied().max_by(|a, b| a.length().total_cmp(&b.length()))
}

/// Least extent of a convex polygon across one of its edges.
fn width(polygon: &[DVec2]) -> f64 {
    (0..polygon.len())
        .map(|i| Cut::new([polygon[i], polygon[(i + 1) % polygon.len()]]))
        .filter(|edge| edge.length() > 0.0)
        .map(|edge| polygon.iter().map(|&p| edge.height(p).abs()).fold(0.0, f64::max))
        .fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn area(polygon: &[DVec2]) -> f64 {
        (1..polygon.len() - 1).map(|i| (polygon[i] - polygon[0]).perp_dot(polygon[i + 1] - polygon[0]) * 0.5).sum()
    }

    #[test]
    fn pieces_cover_the_polygon_and_no_cut_goes_through_them() {
        let square = vec![DVec2::new(-1.0, -1.0), DVec2::new(1.0, -1.0), DVec2::ONE, DVec2::new(-1.0, 1.0)];
        for count in [1, 5, 60] {
            let ends: Vec<DVec2> = testing::points(2 * count, 3, 0.9).iter().map(|p| p.truncate()).collect();
            let cuts: Vec<Cut> = ends.chunks(2).map(|e| Cut::new([e[0], e[1]])).collect();
            let done = partition(square.clone(), cuts.clone(), &AtomicI64::new(1 << 40)).unwrap();
            assert!(done.len() > count);
            assert!((done.iter().map(|p| area(p)).sum::<f64>() - 4.0).abs() < 1e-4);
            // Points along the cuts lie deep in no piece.
            for (cut, piece) in cuts.iter().flat_map(|c| done.iter().map(move |p| (c, p))) {
                for i in 0..20 {
                    let at = cut.ends[0].lerp(cut.ends[1], i as f64 / 19.0);
                    let edges = (0..piece.len()).map(|i| Cut::new([piece[i], piece[(i + 1) % piece.len()]]));
                    let depth = edges.filter(|e| e.length() > 1e-9).map(|e| e.height(at)).fold(f64::INFINITY, f64::min);
                    assert!(depth < 3.0 * TOLERANCE, "{depth}");
                }
            }
        }
        let crossing: Vec<Cut> = (0..100).map(|i| Cut::new([DVec2::new(-2.0, i as f64 * 1e-3), DVec2::ONE])).collect();
        assert!(partition(square, crossing, &AtomicI64::new(50)).is_none());
    }

    #[test]
    fn a_width_is_the_least_extent() {
        let flat = [DVec2::ZERO, DVec2::new(1.0, 0.0), DVec2::new(1.0, 1e-3), DVec2::new(0.0, 1e-3)];
        assert!((width(&flat) - 1e-3).abs() < 1e-12);
    }
}

//! Triangulation of polygons in space that uses every corner.
//!
//! A polygon with n corners always becomes n − 2 triangles, so that each of its edges stays an edge of exactly one
//! of them and the mesh keeps the neighbours it had: corners on a straight edge are kept (ear clipping alone drops
//! them, which opens cracks along T-junctions). Polygons without a usable plane become fans, and so do tangled ones, which
//! no cut covers and which ear clipping would take quadratic time or more for.

use std::collections::HashMap;

use earcut::Earcut;
use glam::{DVec2, DVec3};

use crate::tangle::is_tangled;

/// Corners up to which polygons are cut without a look at their crossings: no order of so few takes long.
const FEW: usize = 8;
/// Corners above which ear clipping, which counts in 32 bits, is not tried.
const MOST: usize = 1 << 24;

/// Splits polygons; reuse one for many polygons to save allocations.
#[derive(Default)]
pub struct Triangulator {
    earcut: Option<Earcut<f64>>,
    flat: Vec<[f64; 2]>,
    indices: Vec<u32>,
    triangles: Vec<[u32; 3]>,
    /// Polygons so far that cross or repeat themselves.
    pub tangled: usize,
}

impl Triangulator {
    /// Triangles of the polygon with these corners (in order, either way round, convex or not, nearly planar), as
    /// `n − 2` triples of positions in `corners`, wound as the polygon is. Empty for fewer than three corners.
    pub fn polygon(&mut self, corners: &[DVec3]) -> &[[u32; 3]] {
        self.triangles.clear();
        match corners.len() {
            0..3 => {}
            3 => self.triangles.push([0, 1, 2]),
            n => {
                if !self.flatten(corners) {
                    fan(n, 0, &mut self.triangles);
                } else if let Some(apex) = self.convex_apex() {
                    fan(n, apex, &mut self.triangles);
                } else if n > FEW && (n > MOST || is_tangled(&self.flat)) {
                    self.tangled += 1;
                    fan(n, 0, &mut self.triangles);
                } else {
                    self.clip_ears(n);
                }
            }
        }
        &self.triangles
    }

    /// Projects on the plane of the Newell normal, scaled to unit size and seen counter-clockwise; false without one.
    fn flatten(&mut self, corners: &[DVec3]) -> bool {
        let origin = corners[0];
        let size = corners.iter().map(|&p| (p - origin).abs().max_element()).fold(0.0, f64::max);
        if size == 0.0 || !size.is_finite() {
            return false;
        }
        let local = |i: usize| (corners[i % corners.len()] - origin) / size;
        let normal = (0..corners.len()).map(|i| local(i).cross(local(i + 1))).sum::<DVec3>();
        let Some(normal) = normal.try_normalize() else { return false };
        let (u, v) = normal.any_orthonormal_pair();
        self.flat.clear();
        self.flat.extend((0..corners.len()).map(local).map(|p| [p.dot(u), p.dot(v)]));
        true
    }

    fn at(&self, i: usize) -> DVec2 {
        DVec2::from(self.flat[i % self.flat.len()])
    }

    fn area(&self, a: usize, b: usize, c: usize) -> f64 {
        (self.at(b) - self.at(a)).perp_dot(self.at(c) - self.at(a))
    }

    /// A corner from which a fan covers the polygon: any of a quadrilateral's two diagonals that lies inside, else the
    /// first corner of a convex polygon.
    fn convex_apex(&self) -> Option<usize> {
        let n = self.flat.len();
        if n == 4 {
            return (0..2).find(|&a| self.area(a, a + 1, a + 2) > 0.0 && self.area(a, a + 2, a + 3) > 0.0);
        }
        let turns_left = (0..n).all(|i| self.area(i, i + 1, i + 2) >= 0.0);
        let fan_is_upright = (1..n - 1).all(|i| self.area(0, i, i + 1) > 0.0);
        (turns_left && fan_is_upright).then_some(0)
    }

    fn clip_ears(&mut self, n: usize) {
        let earcut = self.earcut.get_or_insert_with(Earcut::new);
        earcut.earcut_slice(&self.flat, &[] as &[u32], &mut self.indices);
        self.triangles.extend(self.indices.chunks_exact(3).map(|t| [t[0], t[1], t[2]]));
        for t in 0..self.triangles.len() {
            let [a, b, c] = self.triangles[t].map(|i| i as usize);
            if self.area(a, b, c) < 0.0 {
                self.triangles[t].swap(1, 2);
            }
        }
        if !self.restore_dropped(n) {
            self.triangles.clear();
            fan(n, 0, &mut self.triangles);
        }
    }

    /// Puts corners that ear clipping dropped (those on straight lines) back by splitting the triangle on whose edge
    /// they lie. False if the result does not use every corner.
    fn restore_dropped(&mut self, n: usize) -> bool {
        if self.triangles.len() + 2 == n {
            return true;
        }
        let mut used = vec![false; n];
        self.triangles.iter().flatten().for_each(|&i| used[i as usize] = true);
        let Some(start) = used.iter().position(|&u| u) else { return false };
        let mut sides = Sides::new(&self.triangles);
        let mut run = Vec::new();
        let mut before = start;
        for i in (start + 1..=start + n).map(|i| i % n) {
            if !used[i] {
                run.push(i as u32);
                continue;
            }
            if !run.is_empty() && !self.split_edge(&mut sides, before as u32, i as u32, &run) {
                return false;
            }
            run.clear();
            before = i;
        }
        self.triangles.len() + 2 == n
    }

    fn split_edge(&mut self, sides: &mut Sides, a: u32, b: u32, run: &[u32]) -> bool {
        let Some(t) = sides.0.remove(&(a, b)) else { return false };
        let Some(k) = (0..3).find(|&k| self.triangles[t][k] == a) else { return false };
        let opposite = self.triangles[t][(k + 2) % 3];
        self.triangles[t] = [a, run[0], opposite];
        sides.add(t, self.triangles[t]);
        for (i, &v) in run.iter().enumerate() {
            let next = run.get(i + 1).copied().unwrap_or(b);
            sides.add(self.triangles.len(), [v, next, opposite]);
            self.triangles.push([v, next, opposite]);
        }
        true
    }
}

/// The triangle on each side (from, to).
struct Sides(HashMap<(u32, u32), usize>);

impl Sides {
    fn new(triangles: &[[u32; 3]]) -> Self {
        let mut sides = Self(HashMap::with_capacity(3 * triangles.len()));
        // The first of several on one side counts, so it is put in last.
        triangles.iter().enumerate().rev().for_each(|(t, corners)| sides.add(t, *corners));
        sides
    }

    fn add(&mut self, triangle: usize, corners: [u32; 3]) {
        (0..3).for_each(|k| _ = self.0.insert((corners[k], corners[(k + 1) % 3]), triangle));
    }
}

fn fan(n: usize, apex: usize, out: &mut Vec<[u32; 3]>) {
    let corner = |i: usize| ((apex + i) % n) as u32;
    out.extend((1..n - 1).map(|i| [corner(0), corner(i), corner(i + 1)]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn area_vector(points: &[DVec3], t: &[u32; 3]) -> DVec3 {
        let [a, b, c] = t.map(|i| points[i as usize]);
        (b - a).cross(c - a) * 0.5
    }

    /// Each polygon edge in exactly one triangle, each inner edge in two of opposite direction.
    fn assert_closed(n: usize, triangles: &[[u32; 3]]) {
        assert_eq!(triangles.len(), n - 2);
        let mut edges: HashMap<(u32, u32), i32> = HashMap::new();
        for t in triangles {
            for k in 0..3 {
                let (a, b) = (t[k], t[(k + 1) % 3]);
                *edges.entry((a.min(b), a.max(b))).or_default() += if a < b { 1 } else { -1 };
            }
        }
        for i in 0..n as u32 {
            let j = (i + 1) % n as u32;
            let net = edges.remove(&(i.min(j), i.max(j))).unwrap_or(0);
            assert_eq!(net, if i < j { 1 } else { -1 }, "edge {i}-{j}");
        }
        assert!(edges.values().all(|&net| net == 0));
    }

    #[test]
    fn concave_l_shape_keeps_its_area_in_any_plane() {
        let outline = [(0., 0.), (2., 0.), (2., 1.), (1., 1.), (1., 2.), (0., 2.)];
        for turn in [DVec3::X, DVec3::Y, DVec3::new(1., 2., 3.).normalize()] {
            let rotation = glam::DQuat::from_rotation_arc(DVec3::Z, turn);
            let points: Vec<_> = outline.iter().map(|&(x, y)| rotation * DVec3::new(x, y, 5.0)).collect();
            let mut t = Triangulator::default();
            let triangles = t.polygon(&points).to_vec();
            assert_closed(6, &triangles);
            let total: f64 = triangles.iter().map(|t| area_vector(&points, t).length()).sum();
            assert!((total - 3.0).abs() < 1e-12, "area {total}");
        }
    }

    #[test]
    fn corners_on_straight_edges_survive() {
        // A concave polygon with extra corners on its straight edges, as neighbours with finer edges leave them.
        let outline =
            [(0., 0.), (1., 0.), (2., 0.), (2., 1.), (1.5, 1.), (1., 1.), (1., 2.), (0., 2.), (0., 1.), (0., 0.5)];
        let points: Vec<_> = outline.iter().map(|&(x, y)| DVec3::new(x, y, 0.)).collect();
        let mut t = Triangulator::default();
        let triangles = t.polygon(&points).to_vec();
        assert_closed(points.len(), &triangles);
        let total: f64 = triangles.iter().map(|t| area_vector(&points, t).z).sum();
        assert!((total - 3.0).abs() < 1e-12);
        assert!(triangles.iter().all(|t| area_vector(&points, t).z >= 0.0));
    }

    #[test]
    fn arrowhead_quad_is_cut_along_its_inner_diagonal() {
        let points = [(0., 0.), (2., 1.), (0., 2.), (0.5, 1.)].map(|(x, y)| DVec3::new(x, y, 0.));
        for shift in 0..4 {
            let turned: Vec<_> = (0..4).map(|i| points[(i + shift) % 4]).collect();
            let mut t = Triangulator::default();
            assert!(t.polygon(&turned).iter().all(|t| area_vector(&turned, t).z > 0.0));
        }
    }

    #[test]
    fn polygons_without_a_plane_become_fans() {
        let mut t = Triangulator::default();
        assert_eq!(t.polygon(&[DVec3::ONE; 5]).len(), 3);
        let line: Vec<_> = (0..6).map(|i| DVec3::splat(i as f64)).collect();
        assert_eq!(t.polygon(&line).len(), 4);
        let huge = [(-1., -1.), (1., -1.), (1., 1.), (-1., 1.)].map(|(x, y)| DVec3::new(x, y, 0.) * f64::MAX);
        assert_eq!(t.polygon(&huge).len(), 2);
        assert!(t.polygon(&line[..2]).is_empty());
    }

    #[test]
    fn tangled_polygons_become_fans_in_linear_time() {
        let mut t = Triangulator::default();
        let corner = |i: usize| [DVec3::ZERO, DVec3::X, DVec3::Y][i % 3];
        for n in [9, 8000, 200_000] {
            let turns: Vec<DVec3> = (0..n).map(corner).collect();
            assert_eq!(t.polygon(&turns).len(), n - 2);
        }
        // Every corner of a grid once, in leaps.
        let leaps: Vec<DVec3> = (0..40_000u64)
            .map(|i| i * 16_411 % 40_000)
            .map(|i| DVec3::new((i % 200) as f64, (i / 200) as f64, 0.0))
            .collect();
        assert_eq!(t.polygon(&leaps).len(), leaps.len() - 2);
        assert_eq!(t.tangled, 4);
    }

    #[test]
    fn a_long_outline_with_straight_edges_is_cut_in_full() {
        // A comb: 4 corners a tooth, and 3 on every straight edge.
        let teeth = 500;
        let mut outline = Vec::new();
        for i in 0..teeth {
            let x = i as f64;
            for (from, to) in [([x, 0.0], [x, 3.0]), ([x, 3.0], [x + 0.5, 3.0]), ([x + 0.5, 3.0], [x + 0.5, 0.0])] {
                for k in 0..4 {
                    let s = f64::from(k) * 0.25;
                    outline.push(DVec3::new(from[0] + s * (to[0] - from[0]), from[1] + s * (to[1] - from[1]), 0.0));
                }
            }
            outline.push(DVec3::new(x + 0.5, 0.0, 0.0));
        }
        outline.extend([DVec3::new(teeth as f64, -1.0, 0.0), DVec3::new(0.0, -1.0, 0.0)]);
        let mut t = Triangulator::default();
        let triangles = t.polygon(&outline).to_vec();
        assert_eq!(t.tangled, 0);
        assert_closed(outline.len(), &triangles);
        let total: f64 = triangles.iter().map(|t| area_vector(&outline, t).length()).sum();
        // Teeth of 3 × 0.5, and a back whose last step slopes down to its corner.
        let want = 1.5 * teeth as f64 + teeth as f64 - 0.5 * 0.5;
        assert!((total - want).abs() < 1e-6 * want, "{total} {want}");
    }

    proptest! {
        /// Star-shaped polygons (random radii at increasing angles) are simple, mostly concave, and of known area.
        #[test]
        fn star_shaped_polygons_keep_their_area(radii in prop::collection::vec(0.1f64..1.0, 3..60), tilt in 0.0f64..6.0) {
            let n = radii.len();
            let rotation = glam::DQuat::from_euler(glam::EulerRot::XYZ, tilt, tilt * 2.0, tilt * 3.0);
            let points: Vec<_> = radii.iter().enumerate().map(|(i, r)| {
                let a = i as f64 / n as f64 * std::f64::consts::TAU;
                rotation * DVec3::new(r * a.cos(), r * a.sin(), 0.3)
            }).collect();
            let step = std::f64::consts::TAU / n as f64;
            let expected: f64 = (0..n).map(|i| 0.5 * radii[i] * radii[(i + 1) % n] * step.sin()).sum();
            let mut t = Triangulator::default();
            let triangles = t.polygon(&points).to_vec();
            prop_assert_eq!(triangles.len(), n - 2);
            let total: f64 = triangles.iter().map(|t| area_vector(&points, t).length()).sum();
            // Three corners 120° apart can leave the centre outside: the signed sum is then the area all the same.
            prop_assert!((total - expected).abs() < 1e-9 || n < 5, "{} instead of {}", total, expected);
            assert_closed(n, &triangles);
        }

        #[test]
        fn arbitrary_corners_never_panic(raw in prop::collection::vec(prop::array::uniform3(-4i8..4), 0..12)) {
            let points: Vec<_> = raw.iter().map(|p| DVec3::new(p[0] as f64, p[1] as f64, p[2] as f64)).collect();
            let mut t = Triangulator::default();
            prop_assert_eq!(t.polygon(&points).len(), points.len().saturating_sub(2));
        }
    }
}

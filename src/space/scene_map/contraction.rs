//! Piecewise projective contraction of space into the cube from −2 to 2 (MERF, Reiser et al. 2023).
//!
//! With `n = max |v_i|`: points with n ≤ 1 stay where they are. Of others the coordinates are divided by n, but for the largest,
//! which becomes `±(2 − 1/n)`. The map is projective in the inner cube and in the six regions before its faces, so that lines
//! are straight in each. It is continuous across the faces of the inner cube, not from one outer region to the next: there a
//! path goes on elsewhere, which counts no length.

use glam::DVec3;

use super::projective_line::ProjectiveLine;
use crate::volume_path::VolumePath;

/// Intervals of a ray shorter than this, relative to their place, are left out.
const SHORTEST: f64 = 1e-12;

/// Axis of the coordinate with the largest absolute value; the first of equal ones.
#[inline]
fn largest_axis(v: DVec3) -> usize {
    let v = v.abs();
    if v.x >= v.y && v.x >= v.z {
        0
    } else if v.y >= v.z {
        1
    } else {
        2
    }
}

/// Region of a point: `None` for the inner cube, else the axis and the sign of the largest coordinate.
#[inline]
fn region(v: DVec3) -> Option<(usize, f64)> {
    let axis = largest_axis(v);
    (v[axis].abs() > 1.0).then(|| (axis, v[axis].signum()))
}

/// A point contracted.
#[inline]
pub(super) fn contracted(v: DVec3) -> DVec3 {
    let Some((axis, sign)) = region(v) else { return v };
    let n = v[axis].abs();
    let mut c = v / n;
    c[axis] = sign * (2.0 - 1.0 / n);
    c
}

/// The point that is contracted to `c`; `None` at infinity and in the corners beside the regions, which nothing is mapped to.
pub(super) fn expanded(c: DVec3) -> Option<DVec3> {
    let Some((axis, sign)) = region(c) else { return (!c.is_nan()).then_some(c) };
    let left = 2.0 - c[axis].abs();
    let beside = (1..3).any(|k| c[(axis + k) % 3].abs() > 1.0);
    if left.is_nan() || left <= 0.0 || beside {
        return None;
    }
    let mut v = c / left;
    v[axis] = sign / left;
    Some(v)
}

/// Length before contraction over that after it, about a contracted point: the cube root of the volumes' ratio.
pub(super) fn stretch(c: DVec3) -> f64 {
    match region(c) {
        None => 1.0,
        Some((axis, _)) => (2.0 - c[axis].abs()).max(0.0).powf(-4.0 / 3.0),
    }
}

/// Gradient with respect to the point before contraction, of what has the gradient `g` at the contracted point `c`.
pub(super) fn gradient(c: DVec3, g: DVec3) -> DVec3 {
    let Some((axis, sign)) = region(c) else { return g };
    let inverse = (2.0 - c[axis].abs()).max(0.0);
    let across: f64 = (1..3).map(|k| (axis + k) % 3).map(|j| g[j] * c[j]).sum();
    let mut out = g * inverse;
    out[axis] = inverse * (g[axis] * inverse - sign * across);
    out
}

/// The line `v + t·d`, as it lies in a region, in unit-cube coordinates.
fn line(v: DVec3, d: DVec3, region: Option<(usize, f64)>) -> ProjectiveLine {
    let Some((axis, sign)) = region else {
        return ProjectiveLine { numerator: ((v + 2.0) * 0.25, d * 0.25), denominator: (1.0, 0.0) };
    };
    let (n0, n1) = (sign * v[axis], sign * d[axis]);
    let (mut p0, mut p1) = (v, d);
    // ±(2 − 1/n) over the common denominator n.
    (p0[axis], p1[axis]) = (2.0 * v[axis] - sign, 2.0 * d[axis]);
    ProjectiveLine { numerator: ((p0 + 2.0 * n0) * 0.25, (p1 + 2.0 * n1) * 0.25), denominator: (n0, n1) }
}

/// Adds the pieces of the ray `v + t·d`, t from 0 to infinity, to a path.
pub(super) fn path(mut path: VolumePath, v: DVec3, d: DVec3) -> VolumePath {
    // Where the ray can change from region to region: |v_i| = 1 and v_i = ±v_j.
    let mut breaks = [f64::INFINITY; 12];
    for i in 0..3 {
        let j = (i + 1) % 3;
        let crossings =
            [(1.0 - v[i]) / d[i], (-1.0 - v[i]) / d[i], (v[j] - v[i]) / (d[i] - d[j]), (-v[j] - v[i]) / (d[i] + d[j])];
        for (to, t) in breaks[4 * i..4 * i + 4].iter_mut().zip(crossings) {
            // Not where the ray never crosses, or did so before its origin.
            if t > 0.0 {
                *to = t;
            }
        }
    }
    breaks.sort_unstable_by(f64::total_cmp);
    let (mut from, mut arc) = (0.0, 0.0);
    // The region that the ray has been in since `from`.
    let mut current = None;
    let mut reached = 0.0;
    let last = breaks.iter().position(|t| *t == f64::INFINITY).unwrap_or(breaks.len());
    for to in breaks[..last].iter().copied().chain([f64::INFINITY]) {
        if to < f64::INFINITY && to - reached <= SHORTEST * to.max(1.0) {
            continue;
        }
        let middle = if to == f64::INFINITY { 2.0 * reached + 1.0 } else { 0.5 * (reached + to) };
        let found = region(v + d * middle);
        if current.is_some_and(|c| c != found) {
            arc = add(&mut path, line(v, d, current.flatten()), from, reached, arc);
            from = reached;
        }
        current = Some(found);
        reached = to;
    }
    add(&mut path, line(v, d, current.flatten()), from, reached, arc);
    path
}

/// Adds a piece; the arc length at its end.
fn add(path: &mut VolumePath, line: ProjectiveLine, from: f64, to: f64, arc: f64) -> f64 {
    let Some((piece, end)) = line.piece(from, to, arc) else { return arc };
    path.push(piece);
    end
}

//! The winding number on both sides of a piece of a face.
//!
//! It is taken at a point of the piece itself: the faces that the piece lies on, its own among them, add half of a turn to
//! one side and take it from the other, and all others add their solid angles, in double precision where they are near. So
//! no distance has to be chosen at which to look from either side, and faces that pass as near as rounding do no harm.

use glam::DVec3;
use pulp::Simd;

use super::TOLERANCE;
use super::intersections::Flat;
use crate::bvh::Bvh;
use crate::closest::Stack;
use crate::winding::{Winding, solid_angle};

/// Distance, in local units, from which single precision is enough for a solid angle.
const NEAR: f32 = 4e-3;
/// Deviation of a winding number from a whole one that tells nothing any more.
const UNCLEAR: f64 = 0.2;

/// Role of a piece of a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Inside on one side alone.
    Surface,
    /// The same, but another face that lies on it is the one to keep.
    Repeated,
    /// Inside on both sides.
    Hidden,
    /// Outside on both sides.
    Sheet,
    /// The winding number is no whole number.
    Unclear,
}

impl Verdict {
    pub fn stays(self) -> bool {
        matches!(self, Self::Surface | Self::Sheet | Self::Unclear)
    }
}

pub(super) struct Layers<'a> {
    pub bvh: &'a Bvh,
    pub winding: &'a Winding,
    /// Faces that may be kept where several lie on one another.
    pub eligible: &'a [bool],
}

impl Layers<'_> {
    /// Judges the convex `piece` of `face`, which has this normal.
    #[inline(always)]
    pub fn verdict<S: Simd>(&self, simd: S, face: u32, piece: &[DVec3], normal: DVec3, stack: &mut Stack) -> Verdict {
        let p = piece.iter().sum::<DVec3>() / piece.len() as f64;
        let mut sum = Sum { p, near: 0.0, net: 0, first: u32::MAX };
        let beyond = self.winding.beyond(simd, self.bvh, p, NEAR, stack, |packet| {
            packet.face[..packet.count as usize].iter().for_each(|&g| self.add(&mut sum, g, face, piece, normal));
        });
        let (on, half) = (beyond + sum.near, 0.5 * f64::from(sum.net));
        let sides = [on - half, on + half];
        if !sides.iter().all(|w| (w - w.round()).abs() < UNCLEAR) {
            return Verdict::Unclear;
        }
        match sides.map(|w| w.abs() > 0.5) {
            [true, true] => Verdict::Hidden,
            [false, false] => Verdict::Sheet,
            _ if sum.net > 0 && sum.first == face => Verdict::Surface,
            _ => Verdict::Repeated,
        }
    }

    /// Adds face `g` to the sum around a piece of `face`.
    fn add(&self, sum: &mut Sum, g: u32, face: u32, piece: &[DVec3], normal: DVec3) {
        let corners = self.bvh.corners(g);
        if g != face && !Flat::new(corners).is_some_and(|other| holds(&other, sum.p, piece, normal)) {
            sum.near += solid_angle(sum.p, corners);
            return;
        }
        let [a, b, c] = corners;
        let same = g == face || (b - a).cross(c - a).dot(normal) > 0.0;
        sum.net += if same { 1 } else { -1 };
        if same && self.eligible[g as usize] {
            sum.first = sum.first.min(g);
        }
    }
}

/// What the faces near a piece add up to at its point `p`.
struct Sum {
    p: DVec3,
    /// Winding number of those that the piece does not lie on.
    near: f64,
    /// Faces that it lies on: those that face its way, less those that face the other way.
    net: i32,
    /// The first of the former that may be kept.
    first: u32,
}

/// True where the piece around `p` lies on the face `other`.
fn holds(other: &Flat, p: DVec3, piece: &[DVec3], normal: DVec3) -> bool {
    other.height(p).abs() <= 2.0 * TOLERANCE
        && other.normal.dot(normal).abs() > 0.5
        && (0..3).all(|k| other.inward(k).dot(p - other.corners[k]) >= 0.0)
        // All of it: a piece that ends where it meets the other at an angle is near it at its border alone.
        && piece.iter().all(|&q| other.height(q).abs() <= 2.0 * TOLERANCE)
}

//! Smooth path through the places of given cameras, turning as they are turned.
//!
//! Positions, rotations (as quaternions) and focal lengths are piecewise cubic between the cameras, with the slopes of Fritsch
//! & Butland (1984): each number stays between those of the two cameras at hand, so that the path never leaves the box
//! around neighbouring cameras for a place where none was. Frames are evenly spaced in a measure of movement and turning.
//!
//! Cameras are taken in their order where that is a walk, as frames of a video are; else in the order of a short tour from
//! the first one on: to the nearest next, improved by 2-opt exchanges (Croes 1958).

use glam::{DMat3, DMat4, DQuat, DVec2, DVec3};

use crate::camera::{Camera, CameraError};

/// Frames for each camera that the path passes, at least: more cameras are thinned out evenly.
const FRAMES_A_KEY: usize = 4;
/// Most cameras that are put in order.
const MAX_ORDERED: usize = 512;
/// Length of the cameras' own order over that of the tour up to which it is kept.
const WALK: f64 = 1.5;
/// Rounds of exchanges, at most.
const EXCHANGES: usize = 50;
/// Least step of the measure between neighbours, of the mean one, so that cameras in one place are passed too.
const MIN_STEP: f64 = 1e-3;

/// Numbers of a key: position, rotation, logarithms of the focal lengths over the image's height.
const NUMBERS: usize = 9;

/// A smooth path through cameras.
#[derive(Clone, Debug)]
pub struct CameraSpline {
    keys: Vec<[f64; NUMBERS]>,
    /// Slope of each number at each key.
    slopes: Vec<[f64; NUMBERS]>,
    /// Place of each key along the path, ascending from 0.
    knots: Vec<f64>,
    size: (u32, u32),
}

impl CameraSpline {
    /// A path through `cameras` for about `frames` images.
    ///
    /// # Errors
    /// No cameras, and those that [`Camera::validate`] denies.
    pub fn through(cameras: &[Camera], frames: usize) -> Result<Self, CameraError> {
        let Some(first) = cameras.first() else {
            return Err(CameraError::Invalid { field: "cameras", reason: "none; expected at least 1".into() });
        };
        cameras.iter().try_for_each(Camera::validate)?;
        let known = evenly(cameras, MAX_ORDERED);
        let measure = Measure::of(&known);
        let ordered: Vec<Camera> = order(&known, &measure).into_iter().map(|i| known[i]).collect();
        let ordered = evenly(&ordered, (frames / FRAMES_A_KEY).max(2));
        let mut keys: Vec<[f64; NUMBERS]> = Vec::with_capacity(ordered.len());
        for camera in &ordered {
            let mut rotation = rotation(camera);
            // A rotation has two quaternions; the nearer one gives the shorter way.
            if let Some(last) = keys.last()
                && DQuat::from_xyzw(last[3], last[4], last[5], last[6]).dot(rotation) < 0.0
            {
                rotation = -rotation;
            }
            let (eye, focal) = (camera.position(), camera.focal / f64::from(camera.height));
            let DQuat { x, y, z, w } = rotation;
            keys.push([eye.x, eye.y, eye.z, x, y, z, w, focal.x.ln(), focal.y.ln()]);
        }
        let steps: Vec<f64> = ordered.windows(2).map(|pair| measure.between(&pair[0], &pair[1])).collect();
        let mean = steps.iter().sum::<f64>() / steps.len().max(1) as f64;
        let least = if mean > 0.0 { MIN_STEP * mean } else { 1.0 };
        let mut knots = vec![0.0];
        for step in steps {
            knots.push(knots[knots.len() - 1] + step.max(least));
        }
        let slopes = slopes(&keys, &knots);
        Ok(Self { keys, slopes, knots, size: (first.width, first.height) })
    }

    /// Number of cameras that the path passes.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Cameras of `frames` images from the path's start to its end, of `size` pixels or that of the first camera. The
    /// principal point lies in the middle.
    ///
    /// # Errors
    /// No frames, images without pixels.
    pub fn cameras(&self, frames: usize, size: Option<(u32, u32)>) -> Result<Vec<Camera>, CameraError> {
        if frames == 0 {
            let reason = "0; expected at least 1".into();
            return Err(CameraError::Invalid { field: "frames", reason });
        }
        let end = self.knots[self.knots.len() - 1];
        let last = (frames - 1).max(1) as f64;
        (0..frames).map(|i| self.at(end * i as f64 / last, size.unwrap_or(self.size))).collect()
    }

    /// The camera at a place along the path, from 0 to the last knot.
    fn at(&self, place: f64, (width, height): (u32, u32)) -> Result<Camera, CameraError> {
        let next = self.knots.partition_point(|knot| *knot <= place).clamp(1, self.knots.len().max(2) - 1);
        let numbers = if self.keys.len() == 1 { self.keys[0] } else { self.between(next - 1, place) };
        let [x, y, z, qx, qy, qz, qw, fx, fy] = numbers;
        let rotation = DQuat::from_xyzw(qx, qy, qz, qw);
        let fallback = DQuat::from_xyzw(self.keys[0][3], self.keys[0][4], self.keys[0][5], self.keys[0][6]);
        let rotation = if rotation.length() > 1e-6 { rotation.normalize() } else { fallback };
        let camera = Camera {
            width,
            height,
            focal: DVec2::new(fx.exp(), fy.exp()) * f64::from(height),
            centre: DVec2::new(f64::from(width), f64::from(height)) * 0.5,
            camera_to_world: DMat4::from_rotation_translation(rotation, DVec3::new(x, y, z)),
        };
        camera.validate().map(|()| camera)
    }

    /// Cubic Hermite interpolation between key `i` and the next.
    fn between(&self, i: usize, place: f64) -> [f64; NUMBERS] {
        let step = self.knots[i + 1] - self.knots[i];
        let t = ((place - self.knots[i]) / step).clamp(0.0, 1.0);
        let (t2, t3) = (t * t, t * t * t);
        let weights = [2.0 * t3 - 3.0 * t2 + 1.0, t3 - 2.0 * t2 + t, 3.0 * t2 - 2.0 * t3, t3 - t2];
        std::array::from_fn(|k| {
            let values = [self.keys[i][k], step * self.slopes[i][k], self.keys[i + 1][k], step * self.slopes[i + 1][k]];
            weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
        })
    }
}

/// Up to `count` of the items, evenly picked, the first and the last among them where that is 2 or more.
fn evenly<T: Clone>(items: &[T], count: usize) -> Vec<T> {
    if items.len() <= count {
        return items.to_vec();
    }
    let last = (count - 1).max(1);
    (0..count).map(|i| items[(i * (items.len() - 1) + last / 2) / last].clone()).collect()
}

fn rotation(camera: &Camera) -> DQuat {
    let [right, up, back] = camera.axes();
    DQuat::from_mat3(&DMat3::from_cols(right, up, back)).normalize()
}

/// Distance of cameras that counts movement and turning: as many of the cameras' radius about their middle as radians.
struct Measure {
    /// Root mean square distance of the cameras from their middle; above 0.
    radius: f64,
}

impl Measure {
    fn of(cameras: &[Camera]) -> Self {
        let count = cameras.len().max(1) as f64;
        let middle = cameras.iter().map(Camera::position).sum::<DVec3>() / count;
        let squares = cameras.iter().map(|c| c.position().distance_squared(middle)).sum::<f64>() / count;
        Self { radius: if squares > 0.0 { squares.sqrt() } else { 1.0 } }
    }

    fn between(&self, a: &Camera, b: &Camera) -> f64 {
        // The nearer of a rotation's two quaternions: at most half a turn.
        let cosine = rotation(a).dot(rotation(b)).abs().min(1.0);
        a.position().distance(b.position()) / self.radius + 2.0 * cosine.acos()
    }
}

/// Order in which a path passes the cameras: their own where that is a walk, else that of a tour from the first on.
fn order(cameras: &[Camera], measure: &Measure) -> Vec<usize> {
    let count = cameras.len();
    let distances: Vec<f64> =
        (0..count * count).map(|i| measure.between(&cameras[i / count], &cameras[i % count])).collect();
    let between = |a: usize, b: usize| distances[a * count + b];
    let length = |order: &[usize]| order.windows(2).map(|pair| between(pair[0], pair[1])).sum::<f64>();
    let own: Vec<usize> = (0..count).collect();
    let mut tour = vec![0];
    let mut left: Vec<usize> = (1..count).collect();
    while let Some(at) = tour.last().copied() {
        let nearest = (0..left.len()).min_by(|a, b| between(at, left[*a]).total_cmp(&between(at, left[*b])));
        let Some(nearest) = nearest else { break };
        tour.push(left.remove(nearest));
    }
    for _ in 0..EXCHANGES {
        let mut is_changed = false;
        for i in 0..count.saturating_sub(1) {
            for j in i + 2..count {
                // Walks i+1..=j backwards; the end of the path is free.
                let end = |from: usize| tour.get(j + 1).map_or(0.0, |next| between(from, *next));
                let now = between(tour[i], tour[i + 1]) + end(tour[j]);
                let then = between(tour[i], tour[j]) + end(tour[i + 1]);
                if then < now - 1e-12 {
                    tour[i + 1..=j].reverse();
                    is_changed = true;
                }
            }
        }
        if !is_changed {
            break;
        }
    }
    if length(&own) <= WALK * length(&tour) { own } else { tour }
}

/// Slopes at the keys that keep each number monotone between neighbours (Fritsch & Butland 1984): the weighted harmonic mean
/// of the slopes to either side, 0 where these have different signs.
fn slopes(keys: &[[f64; NUMBERS]], knots: &[f64]) -> Vec<[f64; NUMBERS]> {
    let steps: Vec<f64> = knots.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let secant = |i: usize, k: usize| (keys[i + 1][k] - keys[i][k]) / steps[i];
    let slope = |i: usize, k: usize| match (i.checked_sub(1), i < steps.len()) {
        (None, false) => 0.0,
        (None, true) => secant(i, k),
        (Some(before), false) => secant(before, k),
        (Some(before), true) => {
            let (a, b) = (secant(before, k), secant(i, k));
            if a * b <= 0.0 {
                return 0.0;
            }
            let (wa, wb) = (2.0 * steps[i] + steps[before], steps[i] + 2.0 * steps[before]);
            (wa + wb) / (wa / a + wb / b)
        }
    };
    (0..keys.len()).map(|i| std::array::from_fn(|k| slope(i, k))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cameras on a circle of radius 3 at the given turns about z, looking at its middle, at heights that go up and down.
    fn ring(turns: &[f64]) -> Vec<Camera> {
        let camera = |turn: &f64| {
            let angle = std::f64::consts::TAU * turn;
            let eye = DVec3::new(3.0 * angle.cos(), 3.0 * angle.sin(), 0.5 * (3.0 * angle).sin());
            let pose = Camera::look_at(eye, DVec3::ZERO, DVec3::Z).unwrap();
            Camera::with_fov_y(64, 48, 40.0 + 10.0 * turn, pose).unwrap()
        };
        turns.iter().map(camera).collect()
    }

    fn walk() -> Vec<Camera> {
        ring(&(0..20).map(|i| f64::from(i) / 25.0).collect::<Vec<_>>())
    }

    fn frames(cameras: &[Camera], count: usize) -> Vec<Camera> {
        CameraSpline::through(cameras, count).unwrap().cameras(count, None).unwrap()
    }

    #[test]
    fn passes_every_camera_in_turn_and_looks_where_they_look() {
        let cameras = walk();
        let spline = CameraSpline::through(&cameras, 400).unwrap();
        assert_eq!(spline.keys(), 20);
        for (key, knot) in cameras.iter().zip(&spline.knots) {
            let there = spline.at(*knot, (64, 48)).unwrap();
            assert!(there.camera_to_world.abs_diff_eq(key.camera_to_world, 1e-9), "{there:?} {key:?}");
            assert!((there.focal - key.focal).abs().max_element() < 1e-9);
        }
        let path = frames(&cameras, 400);
        assert!(path[0].position().distance(cameras[0].position()) < 1e-9);
        assert!(path[399].position().distance(cameras[19].position()) < 1e-9);
        for camera in &path {
            let seen = camera.project(DVec3::ZERO).unwrap();
            assert!((seen - camera.centre).length() < 1.5, "looks at the middle: {seen}");
            assert!(camera.axes()[1].z > 0.9, "upright");
            assert!((camera.position().truncate().length() - 3.0).abs() < 0.1);
        }
        // Evenly: a 399th of the way is 0.04.
        let step = |i: usize| path[i].position().distance(path[i + 1].position());
        assert!((0..399).all(|i| step(i) > 0.02 && step(i) < 0.09), "no jump and no halt");
    }

    #[test]
    fn stays_in_the_box_of_neighbouring_cameras() {
        // A path that turns back sharply: other splines overshoot.
        let eyes = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.1], [1.1, 0.1, 0.1], [1.0, 3.0, 0.0], [-2.0, 3.0, 0.0]];
        let camera = |eye: &[f64; 3]| {
            let pose = Camera::look_at(DVec3::from(*eye), DVec3::new(0.5, 9.0, 0.0), DVec3::Z).unwrap();
            Camera::with_fov_y(64, 48, 40.0, pose).unwrap()
        };
        let cameras: Vec<Camera> = eyes.iter().map(camera).collect();
        let spline = CameraSpline::through(&cameras, 400).unwrap();
        let mut section = 0;
        for i in 0..=1000 {
            let place = spline.knots[4] * f64::from(i) / 1000.0;
            while section < 3 && place > spline.knots[section + 1] {
                section += 1;
            }
            let eye = spline.at(place, (64, 48)).unwrap().position();
            let [a, b] = [cameras[section].position(), cameras[section + 1].position()];
            assert!(eye.cmpge(a.min(b) - 1e-9).all() && eye.cmple(a.max(b) + 1e-9).all(), "{i}: {eye} {a} {b}");
        }
    }

    #[test]
    fn cameras_without_an_order_are_put_into_one() {
        // Every seventh of 20.
        let shuffled: Vec<f64> = (0..20).map(|i| f64::from(i * 7 % 20) / 25.0).collect();
        let cameras = ring(&shuffled);
        let tour = order(&cameras, &Measure::of(&cameras));
        let ordered: Vec<f64> = tour.iter().map(|i| shuffled[*i]).collect();
        let length: f64 = ordered.windows(2).map(|pair| (pair[0] - pair[1]).abs()).sum();
        // The way itself is 0.76 long, the own order's more than five times that.
        assert!(length < 0.8, "{length}: {ordered:?}");
        let mut all = tour.clone();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        // A walk is kept as it is, with its small detours.
        let mut steps: Vec<f64> = (0..20).map(|i| f64::from(i) / 25.0).collect();
        steps.swap(4, 5);
        let cameras = ring(&steps);
        assert_eq!(order(&cameras, &Measure::of(&cameras)), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn many_cameras_are_thinned_out_and_few_are_enough() {
        let many: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1250.0).collect();
        let spline = CameraSpline::through(&ring(&many), 100).unwrap();
        assert_eq!(spline.keys(), 25);
        let ends = [0, 999].map(|i| ring(&many[i..=i])[0].position());
        let path = spline.cameras(100, Some((32, 32))).unwrap();
        assert!(path[0].position().distance(ends[0]) < 1e-9 && path[99].position().distance(ends[1]) < 1e-9);
        assert!((path[0].focal.y / 32.0 - ring(&many[..1])[0].focal.y / 48.0).abs() < 1e-9);

        let one = frames(&walk()[..1], 3);
        assert!(one.iter().all(|c| c.position().distance(walk()[0].position()) < 1e-12) && one.len() == 3);
        // Cameras that turn in one place, and the same camera twice.
        let turned = [0.0f64, 0.5, 1.0].map(|angle| {
            let ahead = DVec3::new(angle.cos(), angle.sin(), 0.0);
            Camera::with_fov_y(8, 8, 40.0, Camera::look_at(DVec3::ZERO, ahead, DVec3::Z).unwrap()).unwrap()
        });
        let angles: Vec<f64> = frames(&turned, 40).iter().map(|c| (-c.axes()[2].y).atan2(-c.axes()[2].x)).collect();
        assert!(angles.windows(2).all(|w| w[1] > w[0]) && (angles[39] - 1.0).abs() < 1e-9, "{angles:?}");
        assert_eq!(frames(&[turned[0]; 2], 5).len(), 5);
    }

    #[test]
    fn bad_values_are_named() {
        assert!(CameraSpline::through(&[], 9).unwrap_err().to_string().contains("cameras"));
        let spline = CameraSpline::through(&walk(), 9).unwrap();
        assert!(spline.cameras(0, None).unwrap_err().to_string().contains("frames"));
        assert!(spline.cameras(3, Some((0, 9))).unwrap_err().to_string().contains("w: 0 pixels"));
        let flat = Camera { camera_to_world: DMat4::ZERO, ..walk()[0] };
        assert!(CameraSpline::through(&[flat], 9).is_err());
    }
}

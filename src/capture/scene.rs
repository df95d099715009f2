//! The scene box: the cube that a field of a capture lives in, and the distance at which rays begin to sample.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use glam::{DMat3, DVec3};
use nalgebra::Matrix3;
use nstr_files::excerpt;
use nstr_space::Cube;

use crate::frame_record::SceneExtentHint;
use crate::hull::{Carver, Hull};
use crate::view::View;

/// Fraction of a model's points that may lie outside the box, at either end of each axis.
const OUTLIERS: f64 = 0.02;
/// Edge of a box around points over their extent.
const POINTS_MARGIN: f64 = 1.15;
/// Half the edge of a box around cameras over their distance from the focus.
const CAMERAS_MARGIN: f64 = 1.1;
/// Least eigenvalue of the mean projection across the viewing axes at which they have a common point. It is about the
/// square of the angle, in radians, that the axes spread over.
const MIN_AXIS_SPREAD: f64 = 1e-4;
/// Depth bounds beyond this multiple of the nearest are cut.
const DEPTH_RANGE: f64 = 20.0;
/// Distance of the cameras from the origin over the distance between them, from which on they are seen from their middle:
/// else the origin's distance decides what round-off is.
const FAR_AWAY: f64 = 1e3;

/// Cube that is modelled, and the distance at which rays begin to sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SceneBox {
    /// The cube in world space.
    pub cube: Cube,
    /// Distance from a camera, in world units, before which its rays take no samples; above 0.
    pub near: f64,
}

impl SceneBox {
    /// Digits after the point that tell lengths in the box apart, at least 4.
    pub fn decimals(&self) -> usize {
        (3.0 - self.cube.size.log10().floor()).clamp(4.0, 60.0) as usize
    }

    /// Greatest distance in world units from any of the views' cameras to a corner of the cube.
    pub fn far<'a>(&self, views: impl IntoIterator<Item = &'a View>) -> f64 {
        let farthest = |v: &View| ((v.camera.position() - self.cube.centre()).abs() + 0.5 * self.cube.size).length();
        views.into_iter().map(farthest).fold(0.0, f64::max)
    }
}

/// Cube by its centre and edge, as options give it (`X,Y,Z,EDGE`) and as the rules that find a scene box compute it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CentredCube {
    /// Middle of the cube.
    pub centre: DVec3,
    /// Edge, above 0.
    pub size: f64,
}

impl From<CentredCube> for Cube {
    fn from(cube: CentredCube) -> Self {
        Self { origin: cube.centre - DVec3::splat(0.5 * cube.size), size: cube.size }
    }
}

impl CentredCube {
    /// World position of unit-cube coordinates.
    pub(crate) fn at(&self, unit: DVec3) -> DVec3 {
        self.centre + (unit - 0.5) * self.size
    }

    /// Distance from a world position to the cube; 0 inside.
    fn distance(&self, world: DVec3) -> f64 {
        ((world - self.centre).abs() - 0.5 * self.size).max(DVec3::ZERO).length()
    }

    /// `true` where all is finite and the edge above 0.
    pub fn is_valid(&self) -> bool {
        self.centre.is_finite() && self.size.is_finite() && self.size > 0.0
    }
}

impl FromStr for CentredCube {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|v| v.trim().parse()).collect();
        match numbers.as_deref() {
            Ok(&[x, y, z, size]) if [x, y, z, size].iter().all(|v| v.is_finite()) && size > 0.0 => {
                Ok(Self { centre: DVec3::new(x, y, z), size })
            }
            _ => Err(format!("\"{}\" is not a cube; expected X,Y,Z,EDGE, for example 0,0,0.5,2.4", excerpt(text))),
        }
    }
}

impl fmt::Display for CentredCube {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{},{},{},{}", self.centre.x, self.centre.y, self.centre.z, self.size)
    }
}

/// The rule that gave a scene box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SceneRule {
    /// The options give it.
    Given,
    /// It holds what the silhouettes of all views leave.
    Silhouettes,
    /// It holds the points of the model but for the outermost.
    Points,
    /// It holds what the views see between their depth bounds.
    Depths,
    /// The capture's file declares it (instant-ngp's `aabb_scale`, `scale`, `offset`).
    Declared,
    /// It holds the cameras, around the point that they look at.
    Cameras,
}

impl fmt::Display for SceneRule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "as given",
            Self::Silhouettes => "around what the silhouettes leave",
            Self::Points => "around the model's points",
            Self::Depths => "around what lies between the depth bounds",
            Self::Declared => "as the capture's file declares",
            Self::Cameras => "around the cameras and what they look at",
        })
    }
}

/// A scene box, the rule that gave it, and what was found on the way.
pub(super) struct SceneBoxEstimate {
    pub scene: SceneBox,
    pub rule: SceneRule,
    pub hull: Option<Hull>,
    pub notes: Vec<String>,
}

/// The views and hints that a scene box is estimated from.
pub(super) struct SceneBoxEstimator<'a> {
    pub views: &'a [View],
    /// The views have silhouettes.
    pub silhouettes: bool,
    pub points: &'a [DVec3],
    pub extent: &'a SceneExtentHint,
    pub given: Option<CentredCube>,
    pub near: Option<f64>,
}

impl SceneBoxEstimator<'_> {
    /// The scene box: as given, else by silhouettes, points, a declared cube, depth bounds or cameras.
    pub fn estimate(&self) -> SceneBoxEstimate {
        let mut notes = Vec::new();
        let focus = focus(self.views);
        let carver = self.silhouettes.then(|| Carver::new(self.views));
        let mut hull = None;
        let (cube, rule) = if let Some(given) = self.given {
            hull = carver.map(|c| c.carve(&given)).filter(|h| h.bounds().is_some());
            (given, SceneRule::Given)
        } else if let Some((cube, found)) = carver.as_ref().and_then(|c| c.fit(around_cameras(self.views, focus))) {
            hull = Some(found);
            (cube, SceneRule::Silhouettes)
        } else {
            if carver.is_some() {
                notes.push("the silhouettes share no volume: poses or alpha may be wrong".into());
            }
            self.without_silhouettes(focus, &mut notes)
        };
        let near = self.near.unwrap_or_else(|| self.nearest(&cube, rule, focus));
        let scene = SceneBox { cube: cube.into(), near };
        SceneBoxEstimate { scene, rule, hull, notes }
    }

    fn without_silhouettes(&self, focus: Option<DVec3>, notes: &mut Vec<String>) -> (CentredCube, SceneRule) {
        if let Some(cube) = around_points(self.points) {
            return (cube, SceneRule::Points);
        }
        match self.extent {
            SceneExtentHint::Declared(centre, size) => {
                return (CentredCube { centre: *centre, size: *size }, SceneRule::Declared);
            }
            // Cameras all around have no far side: what they see behind the object is the room.
            SceneExtentHint::Depths(depths) if spread(self.views) < 0.6 => {
                if let Some(cube) = around_depths(self.views, depths) {
                    return (cube, SceneRule::Depths);
                }
            }
            _ => {}
        }
        if focus.is_none() {
            notes.push("the cameras look at no common point: the scene box is a guess; set it with --scene".into());
        }
        (around_cameras(self.views, focus), SceneRule::Cameras)
    }

    /// A small distance that keeps samples off the cameras.
    fn nearest(&self, cube: &CentredCube, rule: SceneRule, focus: Option<DVec3>) -> f64 {
        let floor = 1e-3 * cube.size;
        let clearance = self.views.iter().map(|v| cube.distance(v.camera.position())).fold(f64::INFINITY, f64::min);
        if clearance > floor && clearance.is_finite() {
            return 0.5 * clearance;
        }
        let near = match (rule, self.extent) {
            (SceneRule::Depths, SceneExtentHint::Depths(depths)) => {
                0.8 * depths.iter().map(|d| d.1).fold(f64::INFINITY, f64::min)
            }
            (SceneRule::Points, _) => nearest_point(self.views, self.points).map_or(0.0, |d| 0.5 * d),
            _ => {
                let to = focus.unwrap_or(cube.centre);
                let mut distances: Vec<f64> = self.views.iter().map(|v| v.camera.position().distance(to)).collect();
                0.1 * nearest_quantile(&mut distances, 0.5).unwrap_or(0.0)
            }
        };
        if near.is_finite() { near.clamp(floor, 0.25 * cube.size) } else { floor }
    }
}

/// The point nearest to all viewing axes by least squares, where it is determined and in front of most cameras.
pub(super) fn focus(views: &[View]) -> Option<DVec3> {
    let middle = far_middle(views);
    let mut a = DMat3::ZERO;
    let mut b = DVec3::ZERO;
    for view in views {
        let d = view.forward();
        let across = DMat3::IDENTITY - DMat3::from_cols(d * d.x, d * d.y, d * d.z);
        a += across;
        b += across * (view.camera.position() - middle);
    }
    let mean = (a * (1.0 / views.len().max(1) as f64)).to_cols_array();
    let eigenvalues = Matrix3::from_column_slice(&mean).symmetric_eigenvalues();
    if eigenvalues.min() < MIN_AXIS_SPREAD {
        return None;
    }
    let point = a.inverse() * b + middle;
    // Of cameras that turn in one place only round-off says whether they look at it.
    let round_off = |v: &View| 1e-6 * (v.camera.position() - middle).length().max(1.0);
    let ahead = views.iter().filter(|v| v.to_camera(point).z > round_off(v)).count();
    (point.is_finite() && 2 * ahead > views.len()).then_some(point)
}

/// The middle of cameras that stand far from the world's origin, as geographic coordinates are; else the origin.
fn far_middle(views: &[View]) -> DVec3 {
    let positions = || views.iter().map(|v| v.camera.position());
    let middle = positions().sum::<DVec3>() / views.len().max(1) as f64;
    let spread = positions().map(|p| p.distance(middle)).fold(0.0, f64::max);
    if middle.length() > FAR_AWAY * spread.max(1.0) { middle } else { DVec3::ZERO }
}

/// Length of the mean viewing direction: 1 where all look the same way, 0 all around.
fn spread(views: &[View]) -> f64 {
    let sum: DVec3 = views.iter().map(|v| v.forward()).sum();
    sum.length() / views.len().max(1) as f64
}

fn around_cameras(views: &[View], focus: Option<DVec3>) -> CentredCube {
    let positions = || views.iter().map(|v| v.camera.position());
    let mean = positions().sum::<DVec3>() / views.len().max(1) as f64;
    let farthest = |from: DVec3| positions().map(|p| p.distance(from)).fold(0.0, f64::max);
    match focus {
        Some(centre) => {
            let mut distances: Vec<f64> = positions().map(|p| p.distance(centre)).collect();
            // A camera far from all others must not decide.
            let reach = nearest_quantile(&mut distances, 0.95).unwrap_or(1.0);
            CentredCube { centre, size: 2.0 * CAMERAS_MARGIN * reach.max(1e-9) }
        }
        None => {
            let reach = farthest(mean);
            let ahead = if reach > 0.0 { 2.0 * reach } else { 1.0 };
            // Of length 1 where all look the same way, 0 all around.
            let forward = views.iter().map(|v| v.forward()).sum::<DVec3>() / views.len().max(1) as f64;
            CentredCube { centre: mean + forward * ahead, size: 2.0 * CAMERAS_MARGIN * (ahead + reach) }
        }
    }
}

fn around_points(points: &[DVec3]) -> Option<CentredCube> {
    if points.len() < 16 {
        return None;
    }
    let mut bounds = [DVec3::ZERO; 2];
    for axis in 0..3 {
        let mut values: Vec<f64> = points.iter().map(|p| p[axis]).collect();
        for (bound, q) in bounds.iter_mut().zip([OUTLIERS, 1.0 - OUTLIERS]) {
            bound[axis] = nearest_quantile(&mut values, q)?;
        }
    }
    let size = (bounds[1] - bounds[0]).max_element() * POINTS_MARGIN;
    (size > 0.0 && size.is_finite()).then(|| CentredCube { centre: (bounds[0] + bounds[1]) * 0.5, size })
}

/// Depth bounds of the views that have them.
fn around_depths(views: &[View], depths: &[(String, f64, f64)]) -> Option<CentredCube> {
    let nearest = depths.iter().map(|d| d.1).fold(f64::INFINITY, f64::min);
    // The first of equal names.
    let of_name: HashMap<&str, (f64, f64)> = depths.iter().rev().map(|d| (d.0.as_str(), (d.1, d.2))).collect();
    let mut bounds: Option<(DVec3, DVec3)> = None;
    for view in views {
        let Some((near, far)) = of_name.get(view.name.as_str()) else { continue };
        let (w, h) = (view.camera.width as f64, view.camera.height as f64);
        for (x, y) in [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h)] {
            let ray = view.camera.ray(x, y);
            for depth in [*near, far.min(DEPTH_RANGE * nearest).max(*near)] {
                let p = ray.origin + ray.direction * (depth / ray.cosine);
                let (a, b) = bounds.unwrap_or((p, p));
                bounds = Some((a.min(p), b.max(p)));
            }
        }
    }
    let (low, high) = bounds?;
    let size = (high - low).max_element();
    (size > 0.0 && size.is_finite()).then(|| CentredCube { centre: (low + high) * 0.5, size })
}

/// Depth before which hardly any view sees a point.
fn nearest_point(views: &[View], points: &[DVec3]) -> Option<f64> {
    let stride = (points.len() / 4096).max(1);
    let of = |view: &View| {
        let (w, h) = (view.camera.width as f64, view.camera.height as f64);
        let inside = |p: &DVec3| view.project(*p).is_some_and(|q| q.x >= 0.0 && q.y >= 0.0 && q.x < w && q.y < h);
        let seen = points.iter().step_by(stride).filter(|p| inside(p));
        let mut depths: Vec<f64> = seen.map(|p| p.distance(view.camera.position())).collect();
        nearest_quantile(&mut depths, 0.01)
    };
    views.iter().filter_map(of).min_by(f64::total_cmp)
}

/// The value nearest to the fraction `q` of the sorted values, always one of them (NumPy's method `nearest`); `None` of
/// nothing. Reorders `values`.
pub(super) fn nearest_quantile(values: &mut [f64], q: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let at = (q * last as f64).round() as usize;
    Some(*values.select_nth_unstable_by(at.min(last), f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ball_views, ring};

    fn estimator<'a>(views: &'a [View], points: &'a [DVec3], extent: &'a SceneExtentHint) -> SceneBoxEstimator<'a> {
        SceneBoxEstimator { views, silhouettes: false, points, extent, given: None, near: None }
    }

    #[test]
    fn cameras_on_a_ring_look_at_its_middle() {
        let middle = DVec3::new(1.0, 2.0, 3.0);
        let views = ball_views(&ring(9, 4.0, middle), 8, middle, 1.0);
        assert!((focus(&views).unwrap() - middle).length() < 1e-9);
        let found = estimator(&views, &[], &SceneExtentHint::Unknown).estimate();
        assert_eq!(found.rule, SceneRule::Cameras);
        assert!(
            (found.scene.cube.size - 8.8).abs() < 1e-6 && (found.scene.near - 0.4).abs() < 1e-6,
            "{:?}",
            found.scene
        );
        assert_eq!(focus(&views[..1]), None);
        assert!(estimator(&views[..1], &[], &SceneExtentHint::Unknown).estimate().notes[0].contains("--scene"));
    }

    #[test]
    fn a_scene_far_from_the_origin_is_the_same_scene() {
        let extent = SceneExtentHint::Unknown;
        let near = ball_views(&ring(9, 4.0, DVec3::ZERO), 32, DVec3::ZERO, 1.0);
        let at = DVec3::new(512_345.678, 5_412_345.678, 321.5);
        let far = ball_views(&ring(9, 4.0, at), 32, at, 1.0);
        for (silhouettes, tolerance) in [(false, 1e-6), (true, 0.05)] {
            let [a, b] =
                [&near, &far].map(|v| SceneBoxEstimator { silhouettes, ..estimator(v, &[], &extent) }.estimate());
            assert_eq!(a.rule, b.rule);
            assert!((b.scene.cube.centre() - at - a.scene.cube.centre()).length() < tolerance, "{:?}", b.scene);
            assert!((b.scene.cube.size - a.scene.cube.size).abs() < tolerance, "{:?}", b.scene);
            assert!((b.scene.near - a.scene.near).abs() < tolerance);
        }
        // The pixels agree to f64's precision too: the same rays in the box's own coordinates.
        let [a, b] = [&near[3], &far[3]].map(|v| v.ray(5.5, 7.5));
        assert!((b.origin - at - a.origin).length() < 2e-9 && (b.direction - a.direction).length() < 1e-9);
    }

    #[test]
    fn cameras_that_turn_in_one_place_get_a_box_around_it() {
        let place = DVec3::new(1.0, 2.0, 3.0);
        let mut views = ball_views(&ring(9, 4.0, place), 8, place, 1.0);
        for view in &mut views {
            // As far off as a pose in single precision is.
            let off = DVec3::new(view.forward().y, -view.forward().z, view.forward().x) * 2e-7;
            view.camera.camera_to_world.w_axis = (place + off).extend(1.0);
        }
        assert_eq!(focus(&views), None);
        let found = estimator(&views, &[], &SceneExtentHint::Unknown).estimate();
        assert!(found.scene.cube.size > 1e-6 && found.scene.near > 0.0, "{:?}", found.scene);
        assert!((found.scene.cube.centre() - place).length() < 0.5 * found.scene.cube.size, "{:?}", found.scene);
        assert!(found.notes[0].contains("--scene"));
    }

    #[test]
    fn rules_in_their_order() {
        let views = ball_views(&ring(9, 4.0, DVec3::ZERO), 32, DVec3::ZERO, 1.0);
        let declared = SceneExtentHint::Declared(DVec3::X, 3.0);
        let found = estimator(&views, &[], &declared).estimate();
        assert_eq!(
            (found.rule, found.scene.cube.centre(), found.scene.cube.size),
            (SceneRule::Declared, DVec3::X, 3.0)
        );
        let points: Vec<DVec3> = (0..100).map(|i| DVec3::splat(if i == 7 { 1e6 } else { i as f64 * 0.01 })).collect();
        let found = estimator(&views, &points, &declared).estimate();
        assert_eq!(found.rule, SceneRule::Points);
        assert!(found.scene.cube.size < 1.2 && (found.scene.cube.centre() - 0.5).length() < 0.1, "{:?}", found.scene);
        let found = SceneBoxEstimator { silhouettes: true, ..estimator(&views, &points, &declared) }.estimate();
        assert_eq!(found.rule, SceneRule::Silhouettes);
        assert!(
            found.hull.is_some() && found.scene.cube.size > 2.0 && found.scene.cube.size < 2.8,
            "{:?}",
            found.scene
        );
        // Cameras at distance 4: half the gap to the cube.
        assert!(found.scene.near > 0.5 && found.scene.near < 2.0);
        let given = CentredCube { centre: DVec3::ZERO, size: 5.0 };
        let found = SceneBoxEstimator {
            silhouettes: true,
            given: Some(given),
            near: Some(0.7),
            ..estimator(&views, &points, &declared)
        }
        .estimate();
        assert_eq!((found.rule, found.scene.cube.size, found.scene.near), (SceneRule::Given, 5.0, 0.7));
        assert!(found.hull.is_some());
    }

    #[test]
    fn distances_to_the_box() {
        let scene = SceneBox { cube: Cube { origin: DVec3::splat(-1.0), size: 2.0 }, near: 0.1 };
        assert_eq!(scene.cube.distance(DVec3::new(4.0, 5.0, 0.0)), 5.0);
        assert_eq!(scene.cube.distance(DVec3::splat(0.9)), 0.0);
        assert_eq!(scene.cube.bounds(), (DVec3::splat(-1.0), DVec3::splat(1.0)));
        let views = ball_views(&ring(4, 3.0, DVec3::ZERO), 8, DVec3::ZERO, 1.0);
        let decimals = |size: f64| SceneBox { cube: Cube { origin: DVec3::ZERO, size }, near: 1.0 }.decimals();
        assert_eq!([1e39, 1.0, 0.1, 0.05, 1e-20].map(decimals), [4, 4, 4, 5, 23]);
        assert!(scene.far(&views) > 4.0 && scene.far(&views) < 3.0 + 3f64.sqrt() + 1e-9);
    }

    #[test]
    fn cubes_parse() {
        let cube: CentredCube = "0, -1,0.5,2".parse().unwrap();
        assert_eq!((cube.centre, cube.size), (DVec3::new(0.0, -1.0, 0.5), 2.0));
        assert_eq!(cube.to_string().parse(), Ok(cube));
        for bad in ["", "1,2,3", "1,2,3,0", "1,2,3,nan", "a,2,3,4"] {
            assert!(bad.parse::<CentredCube>().is_err(), "{bad}");
        }
    }
}

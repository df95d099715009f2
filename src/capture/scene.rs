//! The scene box: the space that a field of a capture lives in, and the distance at which rays begin to sample.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use glam::{DMat3, DVec3};
use nalgebra::Matrix3;
use nstr_files::excerpt;
use nstr_space::{Cube, Frustum, SceneMap};

use crate::forward::{self, NearestDepth};
use crate::frame_record::SceneExtentHint;
use crate::hull::{Carver, Hull};
use crate::space::{SpaceChoice, SpaceRule};
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

/// Least length of the mean viewing direction at which depth bounds make a box: cameras all around have no far side.
const DEPTHS_SPREAD: f64 = 0.6;
/// Edge of a declared cube over that around the cameras from which on it tells of surroundings.
const LARGE_DECLARED: f64 = 2.0;

/// Space that is modelled, and the distance at which rays begin to sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SceneBox {
    /// Map from the world to the field's unit cube.
    pub map: SceneMap,
    /// Distance from a camera, in world units, before which its rays take no samples; above 0.
    pub near: f64,
}

impl SceneBox {
    /// The cube that is modelled, or modelled in detail: see [`SceneMap::cube`].
    pub fn cube(&self) -> Cube {
        self.map.cube()
    }

    /// Digits after the point that tell lengths in the box apart, at least 4.
    pub fn decimals(&self) -> usize {
        (3.0 - self.cube().size.log10().floor()).clamp(4.0, 60.0) as usize
    }

    /// Greatest distance in world units from any of the views' cameras to a corner of the cube; infinite where the map reaches
    /// to infinity.
    pub fn far<'a>(&self, views: impl IntoIterator<Item = &'a View>) -> f64 {
        let SceneMap::Box(cube) = self.map else { return f64::INFINITY };
        let farthest = |v: &View| ((v.camera.position() - cube.centre()).abs() + 0.5 * cube.size).length();
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
    /// It is the frustum of what the views see beyond the nearest depth.
    Frustum,
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
            Self::Frustum => "what the views see beyond the nearest depth",
        })
    }
}

/// A scene box, the rule that gave it, and what was found on the way.
pub(super) struct SceneBoxEstimate {
    pub scene: SceneBox,
    pub rule: SceneRule,
    pub space_rule: SpaceRule,
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
    pub space: SpaceChoice,
    pub near: Option<f64>,
}

/// A cube and the rules that found it.
struct FoundCube {
    cube: CentredCube,
    rule: SceneRule,
    is_open: bool,
    space_rule: SpaceRule,
}

impl SceneBoxEstimator<'_> {
    /// The scene box: as given, else by silhouettes, the frustum of cameras that look the same way, points, a declared cube,
    /// depth bounds or cameras.
    ///
    /// # Errors
    /// The reason why the capture has no space of the kind that is asked for.
    pub fn estimate(&self) -> Result<SceneBoxEstimate, String> {
        let mut notes = Vec::new();
        let focus = focus(self.views);
        let is_forward = self.space == SpaceChoice::Forward;
        if is_forward && self.given.is_some() {
            return Err("forward has no cube; leave out --scene, or take --space open".into());
        }
        // A hull lies in the cells of a box.
        let boxed = matches!(self.space, SpaceChoice::Auto | SpaceChoice::Box);
        let carver = (self.silhouettes && boxed).then(|| Carver::new(self.views));
        let asked = |rule| if self.space == SpaceChoice::Auto { rule } else { SpaceRule::Asked };
        let mut hull = None;
        let found = if let Some(cube) = self.given {
            hull = carver.map(|c| c.carve(&cube)).filter(|h| h.bounds().is_some());
            FoundCube { cube, rule: SceneRule::Given, is_open: !boxed, space_rule: asked(SpaceRule::Scene) }
        } else if let Some((cube, found)) = carver.as_ref().and_then(|c| c.fit(around_cameras(self.views, focus))) {
            hull = Some(found);
            let space_rule = asked(SpaceRule::Silhouettes);
            FoundCube { cube, rule: SceneRule::Silhouettes, is_open: false, space_rule }
        } else {
            if carver.is_some() {
                notes.push("the silhouettes share no volume: poses or alpha may be wrong".into());
            }
            if is_forward || self.space == SpaceChoice::Auto {
                match self.frustum(is_forward) {
                    Ok(frustum) => {
                        // No ray comes as far before it has passed the near plane.
                        let scene = SceneBox { map: frustum.into(), near: frustum.near };
                        let space_rule = asked(SpaceRule::SameWay);
                        return Ok(SceneBoxEstimate { scene, rule: SceneRule::Frustum, space_rule, hull: None, notes });
                    }
                    Err(reason) if is_forward => return Err(format!("forward does not fit this capture: {reason}")),
                    Err(_) => {}
                }
            }
            self.without_silhouettes(focus, &mut notes)
        };
        let near = self.near.unwrap_or_else(|| self.nearest(&found, focus));
        let cube = found.cube.into();
        let map = if found.is_open { SceneMap::Open(cube) } else { SceneMap::Box(cube) };
        let scene = SceneBox { map, near };
        Ok(SceneBoxEstimate { scene, rule: found.rule, space_rule: found.space_rule, hull, notes })
    }

    /// The frustum of cameras that look the same way; `is_asked`: a given near distance suffices to know where the scene begins.
    fn frustum(&self, is_asked: bool) -> Result<Frustum, String> {
        let known = match self.extent {
            SceneExtentHint::Depths(depths) => NearestDepth::Bounds(depths),
            _ => NearestDepth::Points(self.points),
        };
        let Some(near) = self.near else { return forward::frustum(self.views, known) };
        if !is_asked {
            // A near distance alone says nothing of the kind of space.
            forward::frustum(self.views, known)?;
        }
        forward::frustum(self.views, NearestDepth::Given(near))
    }

    fn without_silhouettes(&self, focus: Option<DVec3>, notes: &mut Vec<String>) -> FoundCube {
        let cameras = around_cameras(self.views, focus);
        let points = around_points(self.points);
        let found = |cube, rule, is_open, space_rule| FoundCube { cube, rule, is_open, space_rule };
        if self.space == SpaceChoice::Box {
            let (cube, rule) = match (points, self.extent) {
                (Some(cube), _) => (cube, SceneRule::Points),
                (None, SceneExtentHint::Declared(centre, size)) => {
                    (CentredCube { centre: *centre, size: *size }, SceneRule::Declared)
                }
                (None, SceneExtentHint::Depths(depths)) if spread(self.views) > DEPTHS_SPREAD => {
                    around_depths(self.views, depths).map_or((cameras, SceneRule::Cameras), |c| (c, SceneRule::Depths))
                }
                _ => (cameras, SceneRule::Cameras),
            };
            self.note_guess(rule, focus, notes);
            return found(cube, rule, false, SpaceRule::Asked);
        }
        let is_auto = self.space == SpaceChoice::Auto;
        let space_rule = if is_auto { SpaceRule::Surroundings } else { SpaceRule::Asked };
        if let Some(cube) = points {
            let outside = self.points.iter().filter(|p| cameras.distance(**p) > 0.0).count();
            if is_auto && outside as f64 <= OUTLIERS * self.points.len() as f64 {
                return found(cube, SceneRule::Points, false, SpaceRule::Bounded);
            }
            if cube.size < cameras.size {
                return found(cube, SceneRule::Points, true, space_rule);
            }
        } else if let (SceneExtentHint::Declared(centre, size), true) = (self.extent, is_auto)
            && *size <= LARGE_DECLARED * cameras.size
        {
            let cube = CentredCube { centre: *centre, size: *size };
            return found(cube, SceneRule::Declared, false, SpaceRule::Declared);
        }
        self.note_guess(SceneRule::Cameras, focus, notes);
        found(cameras, SceneRule::Cameras, true, space_rule)
    }

    fn note_guess(&self, rule: SceneRule, focus: Option<DVec3>, notes: &mut Vec<String>) {
        if rule == SceneRule::Cameras && focus.is_none() {
            notes.push("the cameras look at no common point: the scene box is a guess; set it with --scene".into());
        }
    }

    /// A small distance that keeps samples off the cameras.
    fn nearest(&self, found: &FoundCube, focus: Option<DVec3>) -> f64 {
        let FoundCube { cube, rule, is_open, .. } = found;
        let floor = 1e-3 * cube.size;
        let clearance = self.views.iter().map(|v| cube.distance(v.camera.position())).fold(f64::INFINITY, f64::min);
        // Around the cube of an open space there may be something too.
        if !is_open && clearance > floor && clearance.is_finite() {
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
    use nstr_camera::camera::Camera;

    fn estimator<'a>(views: &'a [View], points: &'a [DVec3], extent: &'a SceneExtentHint) -> SceneBoxEstimator<'a> {
        SceneBoxEstimator {
            views,
            silhouettes: false,
            points,
            extent,
            given: None,
            space: SpaceChoice::Auto,
            near: None,
        }
    }

    #[test]
    fn cameras_on_a_ring_look_at_its_middle() {
        let middle = DVec3::new(1.0, 2.0, 3.0);
        let views = ball_views(&ring(9, 4.0, middle), 8, middle, 1.0);
        assert!((focus(&views).unwrap() - middle).length() < 1e-9);
        let found = estimator(&views, &[], &SceneExtentHint::Unknown).estimate().unwrap();
        assert_eq!(found.rule, SceneRule::Cameras);
        assert!(
            (found.scene.cube().size - 8.8).abs() < 1e-6 && (found.scene.near - 0.4).abs() < 1e-6,
            "{:?}",
            found.scene
        );
        assert_eq!(focus(&views[..1]), None);
        assert!(
            estimator(&views[..1], &[], &SceneExtentHint::Unknown).estimate().unwrap().notes[0].contains("--scene")
        );
    }

    #[test]
    fn a_scene_far_from_the_origin_is_the_same_scene() {
        let extent = SceneExtentHint::Unknown;
        let near = ball_views(&ring(9, 4.0, DVec3::ZERO), 32, DVec3::ZERO, 1.0);
        let at = DVec3::new(512_345.678, 5_412_345.678, 321.5);
        let far = ball_views(&ring(9, 4.0, at), 32, at, 1.0);
        for (silhouettes, tolerance) in [(false, 1e-6), (true, 0.05)] {
            let [a, b] = [&near, &far]
                .map(|v| SceneBoxEstimator { silhouettes, ..estimator(v, &[], &extent) }.estimate().unwrap());
            assert_eq!(a.rule, b.rule);
            assert!((b.scene.cube().centre() - at - a.scene.cube().centre()).length() < tolerance, "{:?}", b.scene);
            assert!((b.scene.cube().size - a.scene.cube().size).abs() < tolerance, "{:?}", b.scene);
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
        let found = estimator(&views, &[], &SceneExtentHint::Unknown).estimate().unwrap();
        assert!(found.scene.cube().size > 1e-6 && found.scene.near > 0.0, "{:?}", found.scene);
        assert!((found.scene.cube().centre() - place).length() < 0.5 * found.scene.cube().size, "{:?}", found.scene);
        assert!(found.notes[0].contains("--scene"));
    }

    #[test]
    fn rules_in_their_order() {
        let views = ball_views(&ring(9, 4.0, DVec3::ZERO), 32, DVec3::ZERO, 1.0);
        let declared = SceneExtentHint::Declared(DVec3::X, 3.0);
        let found = estimator(&views, &[], &declared).estimate().unwrap();
        assert_eq!(
            (found.rule, found.scene.cube().centre(), found.scene.cube().size),
            (SceneRule::Declared, DVec3::X, 3.0)
        );
        let points: Vec<DVec3> = (0..100).map(|i| DVec3::splat(if i == 7 { 1e6 } else { i as f64 * 0.01 })).collect();
        let found = estimator(&views, &points, &declared).estimate().unwrap();
        assert_eq!(found.rule, SceneRule::Points);
        assert!(
            found.scene.cube().size < 1.2 && (found.scene.cube().centre() - 0.5).length() < 0.1,
            "{:?}",
            found.scene
        );
        let found =
            SceneBoxEstimator { silhouettes: true, ..estimator(&views, &points, &declared) }.estimate().unwrap();
        assert_eq!(found.rule, SceneRule::Silhouettes);
        assert!(
            found.hull.is_some() && found.scene.cube().size > 2.0 && found.scene.cube().size < 2.8,
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
        .estimate()
        .unwrap();
        assert_eq!((found.rule, found.scene.cube().size, found.scene.near), (SceneRule::Given, 5.0, 0.7));
        assert!(found.hull.is_some());
    }

    /// Cameras in a plane that look along y.
    fn row() -> Vec<View> {
        let at = |i: usize| DVec3::new((i % 4) as f64 * 0.3, 0.0, (i / 4) as f64 * 0.3);
        let pose = |i: usize| Camera::look_at(at(i), at(i) + DVec3::new(0.02 * i as f64 - 0.1, 1.0, 0.0), DVec3::Z);
        let poses: Vec<_> = (0..12).map(|i| pose(i).unwrap()).collect();
        ball_views(&poses, 16, DVec3::Y * 6.0, 1.0)
    }

    #[test]
    fn cameras_that_look_the_same_way_get_a_frustum() {
        let views = row();
        let depths: Vec<_> = views.iter().map(|v| (v.name.clone(), 4.0, 60.0)).collect();
        let extent = SceneExtentHint::Depths(depths);
        let found = estimator(&views, &[], &extent).estimate().unwrap();
        assert_eq!((found.rule, found.space_rule), (SceneRule::Frustum, SpaceRule::SameWay));
        let SceneMap::Forward(frustum) = found.scene.map else { panic!("{:?}", found.scene) };
        assert!(frustum.near > 3.4 && frustum.near < 3.6 && found.scene.near == frustum.near);
        assert_eq!(found.scene.far(&views), f64::INFINITY);
        // Read again with the near distance that was found: the same frustum.
        let again = SceneBoxEstimator { near: Some(found.scene.near), ..estimator(&views, &[], &extent) };
        assert_eq!(again.estimate().unwrap().scene, found.scene);
        // As a box, the depth bounds hold.
        let boxed =
            SceneBoxEstimator { space: SpaceChoice::Box, ..estimator(&views, &[], &extent) }.estimate().unwrap();
        assert_eq!((boxed.rule, boxed.space_rule), (SceneRule::Depths, SpaceRule::Asked));
        assert!(boxed.scene.cube().bounds().1.y > 50.0 && boxed.scene.near > 1.9, "{:?}", boxed.scene);
        // Without a known depth there is no near plane.
        let unknown = estimator(&views, &[], &SceneExtentHint::Unknown).estimate().unwrap();
        assert_eq!((unknown.scene.map.name(), unknown.space_rule), ("open", SpaceRule::Surroundings));
        let near = SceneBoxEstimator { near: Some(2.0), ..estimator(&views, &[], &SceneExtentHint::Unknown) };
        assert_eq!(near.estimate().unwrap().scene.map.name(), "open");
        let forced =
            SceneBoxEstimator { space: SpaceChoice::Forward, ..estimator(&views, &[], &SceneExtentHint::Unknown) };
        assert!(forced.estimate().err().unwrap().contains("--near"));
        let given = Some(CentredCube { centre: DVec3::ZERO, size: 5.0 });
        let both = SceneBoxEstimator { space: SpaceChoice::Forward, given, ..estimator(&views, &[], &extent) };
        assert!(both.estimate().err().unwrap().contains("--scene"));
    }

    #[test]
    fn opaque_images_show_an_open_space_unless_the_points_end() {
        let views = ball_views(&ring(9, 4.0, DVec3::ZERO), 32, DVec3::ZERO, 1.0);
        let unknown = SceneExtentHint::Unknown;
        let space = |points: &[DVec3], extent: &SceneExtentHint| {
            let found = estimator(&views, points, extent).estimate().unwrap();
            (found.scene.map.name(), found.space_rule, found.rule, found.scene.cube().size)
        };
        let (name, rule, _, size) = space(&[], &unknown);
        assert!((name, rule) == ("open", SpaceRule::Surroundings) && (size - 8.8).abs() < 1e-6);
        // The cube around the cameras reaches to 4.4 on each side.
        let within = |share: usize| -> Vec<DVec3> {
            let far = |i: usize| if i % 100 < share { 50.0 } else { 1.0 };
            (0..400).map(|i| DVec3::new((i % 7) as f64 - 3.0, (i % 5) as f64 - 2.0, 0.5) / 3.0 * far(i)).collect()
        };
        assert_eq!(space(&within(1), &unknown).1, SpaceRule::Bounded);
        let (name, rule, of, size) = space(&within(30), &unknown);
        assert_eq!((name, rule, of), ("open", SpaceRule::Surroundings, SceneRule::Cameras));
        assert!((size - 8.8).abs() < 1e-6);
        // Declared cubes: about as large as the cameras need, and far larger.
        let declared = |size: f64| space(&[], &SceneExtentHint::Declared(DVec3::ZERO, size));
        assert_eq!(declared(12.0), ("box", SpaceRule::Declared, SceneRule::Declared, 12.0));
        let (name, _, of, size) = declared(48.0);
        assert!((name, of) == ("open", SceneRule::Cameras) && (size - 8.8).abs() < 1e-6);
        // What is asked for holds.
        let asked = |space, silhouettes| SceneBoxEstimator { space, silhouettes, ..estimator(&views, &[], &unknown) };
        let boxed = asked(SpaceChoice::Box, false).estimate().unwrap();
        assert_eq!((boxed.scene.map.name(), boxed.space_rule), ("box", SpaceRule::Asked));
        let open = asked(SpaceChoice::Open, true).estimate().unwrap();
        assert!(open.scene.map.name() == "open" && open.hull.is_none() && open.rule == SceneRule::Cameras);
        let given = Some(CentredCube { centre: DVec3::X, size: 3.0 });
        let open = SceneBoxEstimator { given, ..asked(SpaceChoice::Open, false) }.estimate().unwrap();
        assert_eq!((open.scene.map.name(), open.scene.cube().size, open.rule), ("open", 3.0, SceneRule::Given));
        let silhouettes = asked(SpaceChoice::Auto, true).estimate().unwrap();
        assert_eq!((silhouettes.scene.map.name(), silhouettes.space_rule), ("box", SpaceRule::Silhouettes));
    }

    #[test]
    fn distances_to_the_box() {
        let scene = SceneBox { map: Cube { origin: DVec3::splat(-1.0), size: 2.0 }.into(), near: 0.1 };
        assert_eq!(scene.cube().distance(DVec3::new(4.0, 5.0, 0.0)), 5.0);
        assert_eq!(scene.cube().distance(DVec3::splat(0.9)), 0.0);
        assert_eq!(scene.cube().bounds(), (DVec3::splat(-1.0), DVec3::splat(1.0)));
        let views = ball_views(&ring(4, 3.0, DVec3::ZERO), 8, DVec3::ZERO, 1.0);
        let decimals = |size: f64| SceneBox { map: Cube { origin: DVec3::ZERO, size }.into(), near: 1.0 }.decimals();
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

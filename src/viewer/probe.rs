//! Point under a pixel of the picture: its place, the field's values there, and what the pixel's ray meets on its way.

use std::sync::Arc;

use glam::{DMat4, DVec2, DVec3, Vec3};
use nstr_camera::camera::Camera;
use nstr_image::colour::Background;
use nstr_render::{Frame, Layer, LayerSet, RenderSettings, Section};
use nstr_space::{PathPiece, Ray};

use crate::cpu_backend::downscaled;
use crate::scene::{Scene, SceneField};
use crate::spectrum::{LocalSpectrum, typical_amplitudes};

/// Value of a field at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue {
    /// Signed distance, world units, negative inside.
    Distance(f64),
    /// Density per world unit.
    Density(f64),
}

/// Field along a ray.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RayProfile {
    /// Distances from the camera, world units, rising.
    pub depth: Vec<f64>,
    /// Signed distance (world units) or density (per world unit) there.
    pub value: Vec<f64>,
    /// Share of the pixel's light that each piece of the ray stops; empty for signed distances.
    pub weight: Vec<f64>,
}

/// Point that the user picked, with everything that is known about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PickedPoint {
    /// World position.
    pub position: DVec3,
    /// Distance from the camera that it was picked with, world units.
    pub depth: f64,
    /// Unit normal towards the viewer, or 0.
    pub normal: Vec3,
    /// Mean curvature per world unit.
    pub curvature: f32,
    /// The field's value.
    pub value: FieldValue,
    /// Spectrum; `None` for fields without a model.
    pub spectrum: Option<LocalSpectrum>,
    /// The field along the pixel's ray.
    pub profile: RayProfile,
    /// Axes of the camera that it was picked with: right, up, back.
    pub view_axes: [DVec3; 3],
}

/// Samples of a profile.
const PROFILE_SAMPLES: usize = 512;
/// Pixels along an edge of the picture for one point of the typical spectrum.
const TYPICAL_DIVISOR: u32 = 40;

/// Everything about the point that `camera` sees at `pixel`; `None` where it sees nothing.
pub(crate) fn pick(scene: &Scene, camera: &Camera, pixel: DVec2, section: Option<Section>) -> Option<PickedPoint> {
    let ray = camera.ray(pixel.x, pixel.y);
    let layers = LayerSet::of(&[Layer::DepthRay, Layer::Normal, Layer::Curvature]);
    let frame = render_ray(scene, camera, &ray, layers, section)?;
    let depth = f64::from(*frame.depth_ray.first()?);
    if !depth.is_finite() {
        return None;
    }
    let position = ray.origin + ray.direction * depth;
    let unit = scene.to_unit(position);
    let spectrum = scene.model.as_ref().map(|model| {
        let typical = typical_spectrum(scene, camera, section, &model.spec);
        LocalSpectrum::at(model, unit, &typical)
    });
    Some(PickedPoint {
        position,
        depth,
        normal: frame.normal.first().map_or(Vec3::ZERO, |n| Vec3::from_array(*n)),
        curvature: frame.curvature.first().copied().unwrap_or(0.0),
        value: field_value(scene, position),
        spectrum,
        profile: profile(scene, &ray),
        view_axes: camera.axes(),
    })
}

/// World position that `camera` sees at `pixel`; `None` where it sees nothing.
pub(crate) fn position_at(scene: &Scene, camera: &Camera, pixel: DVec2, section: Option<Section>) -> Option<DVec3> {
    let ray = camera.ray(pixel.x, pixel.y);
    let frame = render_ray(scene, camera, &ray, LayerSet::of(&[Layer::DepthRay]), section)?;
    let depth = f64::from(*frame.depth_ray.first()?);
    depth.is_finite().then(|| ray.origin + ray.direction * depth)
}

/// `layers` of one ray of `camera`; `None` for cameras that cannot be rendered.
pub(crate) fn render_ray(
    scene: &Scene,
    camera: &Camera,
    ray: &Ray,
    layers: LayerSet,
    section: Option<Section>,
) -> Option<Frame> {
    // A picture of one pixel, in the direction of the ray.
    let up = camera.axes()[1];
    let mut pose = Camera::look_at(DVec3::ZERO, ray.direction, up).ok()?;
    pose = DMat4::from_translation(ray.origin) * pose;
    let pixel = Camera { width: 1, height: 1, focal: camera.focal, centre: DVec2::splat(0.5), camera_to_world: pose };
    scene.renderer().ok()?.render(&pixel, &settings(scene, layers, section)).ok()
}

/// Settings for `layers` of a scene behind its section.
fn settings(scene: &Scene, layers: LayerSet, section: Option<Section>) -> RenderSettings {
    let section_box = section.and_then(|_| scene.section_box());
    RenderSettings { layers, background: Background::Transparent, section, section_box, ..RenderSettings::default() }
}

/// Mean amplitudes of the points that the camera sees, from a coarse picture.
fn typical_spectrum(scene: &Scene, camera: &Camera, section: Option<Section>, spec: &nstr_spec::FieldSpec) -> Vec<f64> {
    let layers = LayerSet::of(&[Layer::DepthRay, Layer::Spectrum]);
    let coarse = downscaled(camera, TYPICAL_DIVISOR);
    let frame = scene.renderer().and_then(|renderer| renderer.render(&coarse, &settings(scene, layers, section)));
    let Ok(frame) = frame else { return Vec::new() };
    typical_amplitudes(spec, &frame.spectrum, |i| frame.depth_ray.get(i).is_some_and(|d| d.is_finite()))
}

/// The field's value at a world position.
pub(crate) fn field_value(scene: &Scene, position: DVec3) -> FieldValue {
    let unit = scene.to_unit(position);
    let (point, mut value) = ([unit.as_vec3()], [0.0f32]);
    match &scene.field {
        SceneField::Sdf(field) => {
            field.distance(&point, &mut value);
            FieldValue::Distance(f64::from(value[0]) * scene.cube.size)
        }
        SceneField::Radiance(field, _) => {
            if field.occupancy().contains(point[0]) {
                field.density(&point, &mut value);
            }
            FieldValue::Density(f64::from(value[0]) / scene.map().length_scale_at(unit))
        }
    }
}

/// The field along a ray.
fn profile(scene: &Scene, ray: &Ray) -> RayProfile {
    match &scene.field {
        SceneField::Sdf(field) => {
            let origin = scene.cube.to_unit(ray.origin);
            let Some((enter, exit, _)) = nstr_space::ray_box(origin, ray.direction) else {
                return RayProfile::default();
            };
            let at = |i: usize| enter + (exit - enter) * (i as f64 + 0.5) / PROFILE_SAMPLES as f64;
            let points: Vec<Vec3> = (0..PROFILE_SAMPLES).map(|i| (origin + ray.direction * at(i)).as_vec3()).collect();
            let mut distance = vec![0.0; points.len()];
            field.distance(&points, &mut distance);
            let size = scene.cube.size;
            RayProfile {
                depth: (0..PROFILE_SAMPLES).map(|i| at(i) * size).collect(),
                value: distance.into_iter().map(|d| f64::from(d) * size).collect(),
                weight: Vec::new(),
            }
        }
        SceneField::Radiance(field, settings) => {
            let map = scene.map();
            let path = map.path(ray, f64::from(settings.near) * map.length_scale(), f64::INFINITY);
            // The part of each straight piece within the cube.
            let within = |piece: &PathPiece| {
                let line = &piece.ray;
                let (enter, exit, _) = nstr_space::ray_box(line.origin.as_dvec3(), line.direction.as_dvec3())?;
                let (from, to) = (enter.max(line.near.into()), exit.min(line.far.into()));
                (from < to).then_some((from, to))
            };
            let parts = path.pieces().iter().filter_map(within);
            let Some((near, far)) = parts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
                return RayProfile::default();
            };
            let length = (far - near) / PROFILE_SAMPLES as f64;
            if !(length.is_finite() && length > 0.0) {
                return RayProfile::default();
            }
            let arcs: Vec<f32> = (0..PROFILE_SAMPLES).map(|i| (near + length * (i as f64 + 0.5)) as f32).collect();
            let points: Vec<Vec3> = arcs.iter().map(|s| path.position(*s)).collect();
            let mut density = vec![0.0; points.len()];
            field.density(&points, &mut density);
            let mut found = RayProfile::default();
            let mut transmittance = 1.0;
            for ((s, p), sigma) in arcs.iter().zip(&points).zip(density) {
                let depth = path.distance(*s);
                if !depth.is_finite() {
                    break;
                }
                let sigma = if field.occupancy().contains(*p) { f64::from(sigma) } else { 0.0 };
                let stopped = transmittance * (1.0 - (-sigma * length).exp());
                transmittance -= stopped;
                found.depth.push(depth);
                found.value.push(sigma / map.length_scale_at(p.as_dvec3()));
                found.weight.push(stopped);
            }
            found
        }
    }
}

/// A picked point that can be shared.
pub(crate) type SharedPoint = Arc<PickedPoint>;

#[cfg(test)]
mod tests {
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;

    /// A ball of radius 0.6 around (1, 1, 1) in a cube of edge 2.
    fn ball() -> Scene {
        let field = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        Scene::new(SceneField::Sdf(Arc::new(field)), Cube { origin: DVec3::ZERO, size: 2.0 })
    }

    fn camera() -> Camera {
        let pose = Camera::look_at(DVec3::new(1.0, 1.0, 5.0), DVec3::ONE, DVec3::Y).unwrap();
        Camera::with_fov_y(400, 300, 40.0, pose).unwrap()
    }

    #[test]
    fn a_picked_point_lies_on_the_surface() {
        let (scene, camera) = (ball(), camera());
        for pixel in [DVec2::new(200.0, 150.0), DVec2::new(230.5, 120.0), DVec2::new(180.0, 190.0)] {
            let point = pick(&scene, &camera, pixel, None).unwrap();
            let out = point.position - DVec3::ONE;
            assert!((out.length() - 0.6).abs() < 2e-3, "{out}");
            assert!(point.normal.as_dvec3().dot(out.normalize()) > 0.999);
            assert!((camera.project(point.position).unwrap() - pixel).length() < 0.05);
            let FieldValue::Distance(distance) = point.value else { panic!("a distance field") };
            assert!(distance.abs() < 2e-3);
            assert!(point.spectrum.is_none() && (point.curvature - 1.0 / 0.6).abs() < 0.05);
        }
        assert!(pick(&scene, &camera, DVec2::new(3.0, 3.0), None).is_none());
    }

    #[test]
    fn the_profile_crosses_zero_at_the_surface() {
        let (scene, camera) = (ball(), camera());
        let point = pick(&scene, &camera, DVec2::new(200.0, 150.0), None).unwrap();
        let RayProfile { depth, value, weight } = &point.profile;
        assert!(depth.len() == value.len() && weight.is_empty());
        let crossing = value.windows(2).position(|w| w[0] > 0.0 && w[1] <= 0.0).unwrap();
        assert!((depth[crossing] - point.depth).abs() < 0.01);
        assert!((value[0] - 0.4).abs() < 0.01, "where the ray enters the cube: {}", value[0]);
    }

    #[test]
    fn densities_weigh_to_the_rays_opacity() {
        let occupancy = nstr_space::Occupancy::full(16);
        let fog = nstr_space::AnalyticRadiance::new(occupancy, |p: Vec3, _| {
            [0.5, 0.5, 0.5, if (p.z - 0.5).abs() < 0.1 { 5.0 } else { 0.0 }]
        });
        let settings = nstr_render::VolumeSettings::default();
        let cube = Cube { origin: DVec3::ZERO, size: 2.0 };
        let scene = Scene::new(SceneField::Radiance(Arc::new(fog), settings), cube);
        let point = pick(&scene, &camera(), DVec2::new(200.0, 150.0), None).unwrap();
        let opacity: f64 = point.profile.weight.iter().sum();
        assert!((opacity - (1.0 - (-1.0f64).exp())).abs() < 0.01, "{opacity}");
        let densest = point.profile.value.iter().copied().fold(0.0, f64::max);
        assert!((densest - 2.5).abs() < 1e-6, "per world unit: {densest}");
    }
}

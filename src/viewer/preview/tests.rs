use std::sync::Arc;

use glam::{DVec3, Vec3};
use nstr_camera::Camera;
use nstr_render::{Layer, LayerSet, RenderSettings};
use nstr_space::Cube;
use nstr_space::analytic::{AnalyticSdf, sphere};
use nstr_space::analytic_radiance::AnalyticRadiance;

use super::*;

/// Layers of a picture of the scene, from the field and from its preview.
fn both(scene: &Scene, eye: DVec3, layers: LayerSet) -> [nstr_render::Frame; 2] {
    let mut bake = Bake::new(scene).unwrap();
    while bake.advance(scene) {}
    let preview = bake.finish();
    let pose = Camera::look_at(eye, DVec3::splat(0.5), DVec3::Y).unwrap();
    let camera = Camera::with_fov_y(120, 90, 40.0, pose).unwrap();
    let settings = RenderSettings { layers, ..RenderSettings::default() };
    let exact = scene.renderer().unwrap().render(&camera, &settings).unwrap();
    let field = preview.field(scene, DisplayMode::Shaded).unwrap();
    let previewed = renderer(&field, scene).unwrap().render(&camera, &settings);
    [exact, previewed.unwrap()]
}

#[test]
fn a_previewed_surface_lies_within_a_fraction_of_a_cell() {
    let sdf = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::new(0.5, 0.45, 0.5), 0.3));
    let scene = Scene::new(SceneField::Sdf(Arc::new(sdf)), Cube::default());
    let layers = LayerSet::of(&[Layer::DepthRay, Layer::Normal]);
    let [exact, previewed] = both(&scene, DVec3::new(0.9, 0.8, 2.0), layers);
    let mut hits = 0;
    for i in 0..exact.depth_ray.len() {
        let (a, b) = (exact.depth_ray[i], previewed.depth_ray[i]);
        if a.is_finite() && b.is_finite() {
            hits += 1;
            let facing = Vec3::from(exact.normal[i]).dot(Vec3::from(previewed.normal[i]));
            assert!(facing > 0.999, "{facing}");
            // At grazing angles an error of the distance is a longer one along the ray.
            assert!((a - b).abs() < 0.02, "{a} {b}");
        }
    }
    let missed = exact.depth_ray.iter().zip(&previewed.depth_ray).filter(|(a, b)| a.is_finite() != b.is_finite());
    let missed = missed.count();
    assert!(hits > 1500 && missed < hits / 50, "{missed} missed of {hits}");
}

#[test]
fn a_previewed_volume_has_the_field_s_colours() {
    // A ball that is dense within a few cells, whose colours change with place and direction.
    let field = AnalyticRadiance::sampled(64, |p: Vec3, direction: Vec3| {
        let inside = ((0.3 - p.distance(Vec3::splat(0.5))) * 40.0).clamp(0.0, 1.0);
        [0.2 + 0.6 * p.x, 0.5 + 0.4 * direction.x, 0.3, 300.0 * inside * inside]
    });
    let scene = Scene::new(SceneField::Radiance(Arc::new(field), VolumeSettings::default()), Cube::default());
    let [exact, previewed] = both(&scene, DVec3::new(1.4, 1.0, 2.0), LayerSet::of(&[Layer::Colour]));
    let differences = exact
        .colour
        .iter()
        .zip(&previewed.colour)
        .map(|(a, b)| (0..3).map(|c| (a[c].max(0.0).sqrt() - b[c].max(0.0).sqrt()).abs()).fold(0.0, f32::max));
    let differences: Vec<f32> = differences.collect();
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    assert!(mean < 0.01, "{mean}");
    let covered = exact.colour.iter().filter(|c| c[1] < 0.9).count();
    let far = differences.iter().filter(|d| **d > 0.15).count();
    assert!(covered > 1000 && far < differences.len() / 40, "{far} far off, {covered} covered");
}

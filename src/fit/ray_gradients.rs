//! Gradients of a loss in the origins and directions of world rays, from those in the positions of their samples.
//!
//! A sample lies at `u = map(o + t·d)` in the unit cube, for a ray from `o` along `d`. With the gradient `g` in `u`, the map's
//! Jacobian `J` there and the distance `t` in the world held fixed, the gradient in `o` is the sum of `Jᵀg` over the samples, and
//! that in `d` the sum of `t·Jᵀg`, with what comes through the colour head.
//!
//! Of `g` only the part across the ray's path in the cube counts. Motion along the path moves the samples on the line that they
//! lie on, and changes no colour but by the quadrature: in open and forward spaces the lengths that samples stand for change with
//! it, and make up for it. So the same gradient results whether distances in the world or arc lengths in the cube are held fixed,
//! and the noise of samples that slide over steep densities stays out of it. What bends at the border of two regions of an
//! open space is left out.

use glam::DVec3;
use nstr_kernel::{PointLoss, RayBatch, RayResults};
use nstr_space::SceneMap;
use rayon::prelude::*;

/// Gradient of the loss of one ray, the mean over its channels, in the world.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RayGradient {
    /// In the origin; it has no part along the ray.
    pub origin: DVec3,
    /// In the direction. Its part along the ray has no meaning, for directions have length 1.
    pub direction: DVec3,
    /// Mean over the channels of the error times the slope of the loss: twice the loss of a square.
    pub energy: f64,
}

/// Gradients of the rays of a step, whose `results` hold colours and gradients; ray i begins at `origin(i)`.
pub(crate) fn ray_gradients(
    map: &SceneMap,
    rays: &RayBatch,
    results: &RayResults,
    loss: PointLoss,
    origin: impl Fn(usize) -> DVec3 + Sync,
) -> Vec<RayGradient> {
    // The results are gradients of the mean over rays.
    let count = rays.first.len().saturating_sub(1);
    let scale = count as f64;
    let vector = |values: &[f32], i: usize| DVec3::from_array([0, 1, 2].map(|j| f64::from(values[3 * i + j])));
    let of_ray = |i: usize| {
        let (start, direction) = (origin(i), vector(&rays.direction, i));
        let mut gradient = RayGradient { direction: vector(&results.d_direction, i), ..RayGradient::default() };
        for sample in rays.first[i] as usize..rays.first[i + 1] as usize {
            let (unit, g) = (vector(&rays.x, sample), vector(&results.d_x, sample));
            // Samples behind what is opaque have none.
            if g == DVec3::ZERO {
                continue;
            }
            // At infinity the map has no derivative; f32 hardly ever rounds a sample there.
            let Some(world) = map.to_world(unit) else { continue };
            let jacobian = map.jacobian(unit);
            let ahead = (jacobian * direction).normalize_or_zero();
            let pull = jacobian.transpose() * (g - ahead * ahead.dot(g));
            gradient.origin += pull;
            gradient.direction += pull * (world - start).dot(direction);
        }
        let error: [f32; 3] = std::array::from_fn(|c| results.colour[3 * i + c] - rays.target[3 * i + c]);
        // What is beyond its limit has neither loss nor gradient.
        let square: f32 = error.iter().map(|e| e * e).sum();
        let is_left_out = rays.error_limit.get(i).is_some_and(|limit| square > 3.0 * limit * limit);
        let energy = |e: f32| if is_left_out { 0.0 } else { f64::from(e * loss.evaluate(e).1) / 3.0 };
        RayGradient {
            origin: gradient.origin * scale,
            direction: gradient.direction * scale,
            energy: error.into_iter().map(energy).sum(),
        }
    };
    (0..count).into_par_iter().map(of_ray).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DMat3, DVec2};
    use nstr_space::{Cube, Frustum};
    use rand::RngExt;
    use rand_pcg::Pcg64;

    const TARGET: [f64; 3] = [0.2, 0.9, 0.4];
    const BACKGROUND: [f64; 3] = [0.7, 0.1, 0.5];

    /// Blobs of matter in a map's unit cube: middle, radius, density.
    struct Scene {
        map: SceneMap,
        blobs: Vec<(DVec3, f64, f64)>,
    }

    /// Start and direction of a ray, and how far it is followed.
    type Followed = (DVec3, DVec3, f64);

    /// Places of samples with the lengths that they stand for.
    type Samples = Vec<(DVec3, f64)>;

    impl Scene {
        fn density(&self, u: DVec3) -> f64 {
            self.blobs
                .iter()
                .map(|(middle, radius, s)| s * (-0.5 * (u - middle).length_squared() / (radius * radius)).exp())
                .sum()
        }

        /// Samples at equal steps in the world along `origin + t · direction`, t from 0 to `end`; their lengths are those of the
        /// ray's image in the unit cube.
        fn samples(&self, origin: DVec3, direction: DVec3, end: f64, count: usize) -> Samples {
            let step = end / count as f64;
            let at = |t: f64| self.map.to_unit(origin + direction * t);
            let sample = |i: usize| {
                let t = (i as f64 + 0.5) * step;
                (at(t), at(t + 0.5 * step).distance(at(t - 0.5 * step)))
            };
            (0..count).map(sample).collect()
        }

        /// Colour of a ray, and the mean loss of its channels (the square).
        fn shade(&self, samples: &Samples, direction: DVec3) -> (DVec3, f64) {
            let (mut colour, mut transmittance) = (DVec3::ZERO, 1.0);
            for (u, length) in samples {
                let passed = (-self.density(*u) * length).exp();
                let of_sample = DVec3::splat(0.5) + DVec3::new(9.0 * u.x, 11.0 * u.y, 13.0 * u.z).map(f64::sin) * 0.3;
                colour += (of_sample + direction * 0.1) * transmittance * (1.0 - passed);
                transmittance *= passed;
            }
            colour += DVec3::from(BACKGROUND) * transmittance;
            (colour, (colour - DVec3::from(TARGET)).length_squared() / 3.0)
        }
    }

    fn near(rng: &mut Pcg64, middle: DVec3, by: f64) -> DVec3 {
        middle + (DVec3::from_array(rng.random()) * 2.0 - 1.0) * by
    }

    /// Every map with matter, and rays through it. Matter lies off the borders of an open space's regions, and off the ends of
    /// the rays.
    fn scenes(rng: &mut Pcg64) -> Vec<(Scene, Vec<Followed>)> {
        let cube = Cube { origin: DVec3::new(-3.0, 1.0, 4.0), size: 2.5 };
        let frustum = Frustum {
            eye: DVec3::new(1.0, -2.0, 0.5),
            axes: DMat3::from_rotation_y(0.7) * DMat3::from_rotation_x(-0.4),
            low: DVec2::new(-0.8, -0.5),
            high: DVec2::new(0.6, 0.7),
            near: 1.7,
        };
        let middle = DVec3::splat(0.5);
        let kinds = [
            (
                SceneMap::Box(cube),
                vec![(DVec3::new(0.4, 0.5, 0.45), 0.05, 9.0), (DVec3::new(0.6, 0.45, 0.55), 0.05, 20.0)],
            ),
            (
                SceneMap::Open(cube),
                vec![
                    (middle, 0.03, 10.0),
                    (DVec3::new(0.9, 0.5, 0.5), 0.015, 60.0),
                    (DVec3::new(0.5, 0.5, 0.1), 0.015, 60.0),
                ],
            ),
            (
                SceneMap::Forward(frustum),
                vec![(DVec3::new(0.5, 0.5, 0.3), 0.05, 8.0), (DVec3::new(0.45, 0.55, 0.75), 0.04, 30.0)],
            ),
        ];
        let mut scenes = Vec::new();
        for (map, blobs) in kinds {
            let mut rays = Vec::new();
            for i in 0..8 {
                let (first, second) = (blobs[0], blobs[1 + i % (blobs.len() - 1)]);
                let mut through =
                    |(middle, radius, _): (DVec3, f64, f64)| map.to_world(near(rng, middle, radius)).unwrap();
                let (a, b) = (through(first), through(second));
                let direction = (b - a).normalize();
                let before = match map {
                    SceneMap::Forward(frustum) => 0.5 * frustum.near,
                    SceneMap::Box(cube) | SceneMap::Open(cube) => 0.3 * cube.size,
                };
                rays.push((a - direction * before, direction, before + 4.0 * a.distance(b)));
            }
            scenes.push((Scene { map, blobs }, rays));
        }
        scenes
    }

    /// Slopes of `value` along the axes, by central differences.
    fn slopes(value: impl Fn(DVec3) -> f64, step: f64) -> DVec3 {
        DVec3::from_array(DVec3::AXES.map(|e| (value(e * step) - value(-e * step)) / (2.0 * step)))
    }

    #[test]
    fn gradients_are_the_slopes_of_colours_of_whole_rays() {
        let mut rng = Pcg64::new(0x9_0ad1, 1);
        for (scene, paths) in scenes(&mut rng) {
            // The step's results, from the slopes of each sample's position alone.
            let mut rays = RayBatch { first: vec![0], ..RayBatch::default() };
            let mut results = RayResults::default();
            let count = paths.len() as f64;
            for (origin, direction, end) in &paths {
                let samples = scene.samples(*origin, *direction, *end, 500);
                let loss_with = |k: usize, by: DVec3| {
                    let mut samples = samples.clone();
                    samples[k].0 += by;
                    scene.shade(&samples, *direction).1
                };
                for (k, (u, _)) in samples.iter().enumerate() {
                    // Empty space has no slope to be found.
                    let d_x = if scene.density(*u) < 1e-7 { DVec3::ZERO } else { slopes(|by| loss_with(k, by), 1e-5) };
                    rays.x.extend(u.as_vec3().to_array());
                    results.d_x.extend((d_x / count).as_vec3().to_array());
                }
                rays.first.push((rays.x.len() / 3) as u32);
                rays.direction.extend(direction.as_vec3().to_array());
                rays.target.extend(TARGET.map(|v| v as f32));
                results.colour.extend(scene.shade(&samples, *direction).0.as_vec3().to_array());
                let of_head = slopes(|by| scene.shade(&samples, *direction + by).1, 1e-5);
                results.d_direction.extend((of_head / count).as_vec3().to_array());
            }
            let found = ray_gradients(&scene.map, &rays, &results, PointLoss::L2, |i| paths[i].0);
            // The judge: the whole colour, with finer samples, of rays that are moved and turned.
            let mut wanted = Vec::new();
            for (origin, direction, end) in &paths {
                let loss = |o: DVec3, d: DVec3| {
                    scene.shade(&scene.samples(*origin + o, *direction + d, *end, 2000), *direction + d).1
                };
                wanted.push([slopes(|by| loss(by, DVec3::ZERO), 1e-4), slopes(|by| loss(DVec3::ZERO, by), 1e-4)]);
            }
            let largest: [f64; 2] = [0, 1].map(|k| wanted.iter().map(|w| w[k].length()).fold(0.0, f64::max));
            for (i, ((found, wanted), (_, direction, _))) in found.iter().zip(&wanted).zip(&paths).enumerate() {
                let across = |v: DVec3| v - *direction * v.dot(*direction);
                for (k, found) in [found.origin, across(found.direction)].into_iter().enumerate() {
                    let wanted = if k == 0 { wanted[0] } else { across(wanted[1]) };
                    let error = (found - wanted).length() / largest[k];
                    assert!(error < 2e-3, "{} ray {i}, {k}: {found} {wanted}, {error}", scene.map.name());
                }
                let loss = scene.shade(&scene.samples(paths[i].0, *direction, paths[i].2, 500), *direction).1;
                assert!((found.energy / (2.0 * loss) - 1.0).abs() < 1e-4, "twice the square");
            }
        }
    }

    #[test]
    fn samples_that_slide_along_their_ray_pull_at_nothing() {
        let map = SceneMap::Box(Cube { origin: DVec3::ZERO, size: 4.0 });
        let direction = DVec3::new(2.0, -1.0, 2.0) / 3.0;
        let across = DVec3::new(1.0, 2.0, 0.0);
        let x = [DVec3::splat(0.5), DVec3::splat(0.5) + direction * 0.25];
        let rays = RayBatch {
            first: vec![0, 2],
            x: x.iter().flat_map(|x| x.as_vec3().to_array()).collect(),
            direction: direction.as_vec3().to_array().to_vec(),
            target: vec![0.25; 3],
            ..RayBatch::default()
        };
        let pulls = [direction * 3.0 + across, direction * -5.0 + across * 2.0];
        let results = RayResults {
            colour: vec![0.5, 0.25, 0.0],
            d_x: pulls.iter().flat_map(|g| g.as_vec3().to_array()).collect(),
            d_direction: vec![0.0; 3],
        };
        // The ray starts a world unit before the first sample, the second lies a unit behind it.
        let gradient = ray_gradients(&map, &rays, &results, PointLoss::L1, |_| DVec3::splat(2.0) - direction)[0];
        assert!((gradient.origin - across * (3.0 / 4.0)).length() < 1e-6, "{gradient:?}");
        assert!((gradient.direction - across * (1.0 / 4.0 + 2.0 * 2.0 / 4.0)).length() < 1e-6, "{gradient:?}");
        assert!((gradient.energy - 0.5 / 3.0).abs() < 1e-7);
    }
}

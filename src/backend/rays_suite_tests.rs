//! Ray steps of kernels and plain tensors against the judge.

use nstr_kernel::direction_encoding::encode_adjoint;
use nstr_kernel::{FusedField, GradientSlices, Outputs, PointLoss, RayBatch, RayLoss, RayOutputs};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use crate::rays_suite::*;
use crate::suite::*;

#[test]
fn the_plain_step_agrees_with_finite_differences() {
    for (name, spec) in radiance_variants() {
        let case = Case::random(&spec, 1, 71);
        let (rays, depth) = with_depths(&rays(5, 6, 72), 73);
        let loss = RayLoss { depth: Some(depth), density: spec.density_law().into(), ..LOSS };
        let (_, d_grid, d_net, _) = step(&PLAIN_F64, &case, &rays, loss);
        let every_nth = spec.parameters().div_ceil(20);
        let f = |c: &Case| 3.0 * step(&PLAIN_F64, c, &rays, loss).0;
        let grid = differences(&case, every_nth, |c| &mut c.grid, f);
        let grid = with_samples(&d_grid, every_nth, &grid);
        assert_parts_close(&format!("{name}: d_grid"), &spec, Buffer::Grid, &d_grid, &grid, 1e-6);
        let net = differences(&case, every_nth, |c| &mut c.net, f);
        let net = with_samples(&d_net, every_nth, &net);
        assert_parts_close(&format!("{name}: d_net"), &spec, Buffer::Net, &d_net, &net, 1e-6);
    }
}

#[test]
fn fused_and_reference_steps_agree_with_the_judge() {
    let losses = [PointLoss::L2, PointLoss::Huber(0.1), PointLoss::L1];
    for (i, (name, spec)) in radiance_variants().into_iter().enumerate() {
        let case = Case::random(&spec, 1, 73 + i as u64);
        // Many short rays, a few long ones, none at all.
        for (count, most) in [(300, 20), (7, 900), (3, 0), (0, 1)] {
            let mut rays = rays(count, most, 74);
            if i % 2 == 1 {
                rays = with_gradient_scale(&rays, 75);
            }
            if i % 3 == 1 {
                // About half of the errors are beyond.
                rays.error_limit = vec![0.4; count];
            }
            let mut depth = None;
            if i % 4 < 2 {
                let (with, found) = with_depths(&rays, 76);
                (rays, depth) = (with, Some(found));
            }
            let (distortion, density) = ([0.0, 0.05][i % 2], spec.density_law().into());
            let loss = RayLoss { loss: losses[i % 3], distortion, depth, density, ..LOSS };
            if count == 0 {
                let (value, d_grid, _, stats) = step(&FUSED, &case, &rays, loss);
                assert!(value == 0.0 && d_grid.iter().all(|d| *d == 0.0) && stats.evaluated == 0);
                continue;
            }
            let want = step(&PLAIN_F64, &case, &rays, loss);
            // In f32 tensors the sums of a ray lose more digits.
            for (on, which, bound) in [(&FUSED, "fused", 5e-5), (&REFERENCE, "reference", 5e-4)] {
                let got = step(on, &case, &rays, loss);
                let what = format!("{name}, {count} rays, {which}");
                assert_close(&format!("{what}: loss"), &[got.0], &[want.0], 2e-6);
                assert_parts_close(&format!("{what}: d_grid"), &spec, Buffer::Grid, &got.1, &want.1, bound);
                assert_parts_close(&format!("{what}: d_net"), &spec, Buffer::Net, &got.2, &want.2, bound);
                assert_eq!(got.3.used, rays.t.len(), "{what}");
            }
        }
    }
}

/// In plain tensors, where the samples' positions and encoded directions have gradients of their own.
#[test]
fn a_factor_scales_the_gradient_of_its_sample_alone() {
    let (_, spec) = radiance_variants().remove(0);
    let case = Case::random(&spec, 1, 83);
    let plain = rays(40, 12, 84);
    let scaled = with_gradient_scale(&plain, 85);
    let on_f64 = |v: &Vec<f64>| PLAIN_F64.tensor(v, [v.len()]);
    let step = |rays: &RayBatch| {
        let (grid, net, op) = (on_f64(&case.grid), on_f64(&case.net), PLAIN_F64.op(&case));
        let [x, code] = crate::compositing::positions(&op, rays, &grid).map(|t| t.require_grad());
        let value = crate::compositing::ray_loss_at(&op, grid, net, rays, LOSS, [x.clone(), code.clone()]);
        let grads = value.clone().backward();
        (values(value.inner()), gradient(&x, &grads), gradient(&code, &grads))
    };
    let (value, d_x, d_code) = step(&plain);
    let (same, scaled_x, scaled_code) = step(&scaled);
    assert_close("loss", &same, &value, 1e-12);
    for (what, got, whole) in [("d_x", scaled_x, d_x), ("d_code", scaled_code, d_code)] {
        let width = whole.len() / plain.t.len();
        let factor = |i: usize| f64::from(scaled.gradient_scale[i / width]);
        let want: Vec<f64> = whole.iter().enumerate().map(|(i, d)| factor(i) * d).collect();
        assert!(whole.iter().any(|d| d.abs() > 1e-6), "{what}: nothing to compare");
        assert_close(what, &got, &want, 1e-9);
    }
}

/// Gradients in positions and directions against those of plain tensors.
#[test]
fn gradients_of_positions_and_directions_agree_with_the_judge() {
    let outputs = RayOutputs { colours: true, gradients: true };
    for (i, (name, spec)) in radiance_variants().into_iter().enumerate() {
        let case = Case::random(&spec, 1, 81 + i as u64);
        let (rays, depth) = with_depths(&rays(60, 20, 82), 83);
        let loss = RayLoss { depth: Some(depth), density: spec.density_law().into(), ..LOSS };
        let on_f64 = |v: &Vec<f64>| PLAIN_F64.tensor(v, [v.len()]);
        let (grid, net) = (on_f64(&case.grid), on_f64(&case.net));
        let op = PLAIN_F64.op(&case);
        let [x, code] = crate::compositing::positions(&op, &rays, &grid).map(|t| t.require_grad());
        let at = [x.clone(), code.clone()];
        let grads = crate::compositing::ray_loss_at(&op, grid, net, &rays, loss, at).backward();
        let (d_x, d_code) = (gradient(&x, &grads), gradient(&code, &grads));

        let fused = FusedField::new(&spec);
        let (grid, net) = (narrow(&case.grid), narrow(&case.net));
        let (mut d_grid, mut d_net) = (vec![0.0; grid.len()], vec![0.0; net.len()]);
        let to = GradientSlices { d_grid: &mut d_grid, d_net: &mut d_net, d_x: None };
        let (_, found) = fused.ray_step(&grid, &net, rays.slices(), loss, outputs, to);
        let encoding = spec.color_head.unwrap().encoding;
        let width = encoding.width();
        let mut direction = Vec::new();
        for (w, d) in rays.first.windows(2).zip(rays.direction.as_chunks::<3>().0) {
            let samples = w[0] as usize..w[1] as usize;
            let sum = |c: usize| samples.clone().map(|s| d_code[s * width + c]).sum::<f64>() as f32;
            let of_code: Vec<f32> = (0..width).map(sum).collect();
            direction.extend(encode_adjoint(encoding, *d, &of_code).map(f64::from));
        }
        let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        assert_close(&format!("{name}: d_x"), &wide(&found.d_x), &d_x, 3e-4);
        assert_close(&format!("{name}: d_direction"), &wide(&found.d_direction), &direction, 1e-4);
    }
}

#[test]
fn rays_end_in_opaque_matter_without_changing_the_picture() {
    let (_, spec) = radiance_variants().remove(0);
    let mut case = Case::random(&spec, 1, 75);
    let last = *spec.net_layout().decoder.last().unwrap();
    case.net[last.bias] = 4.0;
    let rays = rays(200, 60, 76);
    let whole = step(&FUSED, &case, &rays, RayLoss { distortion: 0.0, ..LOSS });
    let cut = step(&FUSED, &case, &rays, RayLoss { distortion: 0.0, min_transmittance: 1e-5, ..LOSS });
    assert!(cut.3.evaluated < whole.3.evaluated / 2 && cut.3.used <= cut.3.evaluated, "{:?}", cut.3);
    assert_close("loss", &[cut.0], &[whole.0], 1e-4);
    assert_parts_close("d_grid", &spec, Buffer::Grid, &cut.1, &whole.1, 5e-4);
    assert_parts_close("d_net", &spec, Buffer::Net, &cut.2, &whole.2, 5e-4);
}

#[test]
fn fused_colours_and_densities_are_the_references() {
    for (name, spec) in radiance_variants() {
        let case = Case::random(&spec, 300, 77);
        let mut draw = Draw(Pcg64::seed_from_u64(78));
        let direction = draw.vector(case.x.len(), -0.5, 0.5);
        let fused = FusedField::new(&spec);
        let (grid, net, x) = (narrow(&case.grid), narrow(&case.net), narrow(&case.x));
        let weights = fused.pack(&net);
        let mut out = vec![0.0; 4 * 300];
        fused.radiance(&weights, &grid, &x, &narrow(&direction), &mut out);
        let mut sigma = vec![0.0; 300];
        fused.density(&weights, &grid, &x, &mut sigma);
        let mut raw = vec![0.0; 300 * spec.outputs];
        fused.evaluate(&weights, &grid, &x, Outputs::Value, &mut raw);
        let head = spec.color_head.unwrap();
        let mut code = vec![0.0; 300 * head.encoding.width()];
        for (row, d) in code.chunks_mut(head.encoding.width()).zip(narrow(&direction).as_chunks::<3>().0) {
            nstr_kernel::direction_encoding::encode(head.encoding, *d, row);
        }
        let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let head = crate::reference::head(
            &spec,
            PLAIN_F64.tensor(&case.net, [case.net.len()]).inner(),
            PLAIN_F64.tensor(&wide(&raw), [300, spec.outputs]).inner(),
            PLAIN_F64.tensor(&wide(&code), [300, head.encoding.width()]).inner(),
        );
        let colour: Vec<f64> = out.chunks(4).flat_map(|c| wide(&c[..3])).collect();
        assert_close(&format!("{name}: colour"), &colour, &values(head), 1e-4);
        for ((row, s), raw) in out.chunks(4).zip(&sigma).zip(raw.chunks(spec.outputs)) {
            let want = fused.density_law().evaluate(raw[0]);
            assert!(row[3] == *s && (s / want - 1.0).abs() < 1e-5, "{name}");
        }
    }
}

#[test]
fn the_same_bits_every_time() {
    let (_, spec) = radiance_variants().remove(1);
    let case = Case::random(&spec, 1, 79);
    let rays = rays(400, 30, 80);
    let [a, b] = [0, 1].map(|_| step(&FUSED, &case, &rays, RayLoss { min_transmittance: 1e-3, ..LOSS }));
    assert!(a == b);
}

//! The field in shaders against the plain-tensor reference in f64 and the colours of the kernels, over every axis of
//! configuration. Needs an adapter (Mesa's software driver will do); says that it is skipped where there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "for tests only: a panic is how they fail")]

use glam::Vec3;
use nstr_backend::rays_suite::radiance_variants;
use nstr_backend::suite::{Case, Evaluator, JUDGE, narrow, variants};
use nstr_kernel::FusedField;
use nstr_render::gpu::testing::adapter;
use nstr_render::gpu::{Gpu, GpuField, GridPrecision, PipelineKind, PointValues};
use nstr_spec::FieldSpec;

const POINTS: usize = 150;

/// Random parameters that f16 holds exactly.
fn halved(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| f64::from(half::f16::from_f64(*v))).collect()
}

/// Points whose derivatives may differ: where a ReLU's or a cell's border lies within rounding of a point, both answers are
/// right.
const BORDERS: usize = 3;

fn check(gpu: &Gpu, name: &str, spec: &FieldSpec, precision: GridPrecision) {
    let mut case = Case::random(spec, POINTS, 77);
    if precision == GridPrecision::F16 {
        case.grid = halved(&case.grid);
    }
    let (grid, net, x) = (narrow(&case.grid), narrow(&case.net), narrow(&case.x));
    let points: Vec<Vec3> = x.as_chunks::<3>().0.iter().map(|p| Vec3::from_array(*p)).collect();
    let directions: Vec<Vec3> = points.iter().map(|p| (*p - 0.4).normalize()).collect();
    let field = GpuField::new(gpu, spec, &grid, &net, precision).unwrap();
    let got = field.evaluate(&points, &directions).unwrap();

    let want = JUDGE.forward_full(&case);
    let columns = spec.full_columns();
    let rows: Vec<&[f64]> = want.chunks(columns.len).collect();
    let name = format!("{name}, {precision:?}");
    let all = |f: &dyn Fn(&[f64]) -> Vec<f64>| rows.iter().map(|r| f(r)).collect::<Vec<_>>();
    let spectrum = columns.spectrum..columns.spectrum_gradient;
    let slopes = columns.spectrum_gradient..columns.transport;
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    compare(&name, "value", &got, |p| vec![p.value], &all(&|r| vec![r[0]]), 0);
    compare(&name, "value alone", &got, |p| vec![p.value_alone], &all(&|r| vec![r[0]]), 0);
    compare(&name, "S", &got, |p| p.spectrum.clone(), &all(&|r| r[spectrum.clone()].to_vec()), 0);
    let gradient = columns.gradient..columns.gradient + 3;
    compare(&name, "gradient", &got, |p| p.gradient.to_vec(), &all(&|r| r[gradient.clone()].to_vec()), BORDERS);
    let slope = all(&|r| vec![norm(&mut r[slopes.clone()].iter().copied())]);
    compare(&name, "slope", &got, |p| vec![p.slope], &slope, BORDERS);
    let residual = all(&|r| vec![norm(&mut r[slopes.clone()].iter().zip(&r[columns.transport..]).map(|(s, f)| s - f))]);
    compare(&name, "residual", &got, |p| vec![p.residual], &residual, BORDERS);

    if spec.color_head.is_some() {
        let fused = FusedField::new(spec);
        let mut rgbs = vec![[0.0f32; 4]; POINTS];
        let d: Vec<f32> = directions.iter().flat_map(|d| d.to_array()).collect();
        fused.radiance(&fused.pack(&net), &grid, &x, &d, rgbs.as_flattened_mut());
        let want: Vec<Vec<f64>> = rgbs.iter().map(|c| c[..3].iter().map(|v| f64::from(*v)).collect()).collect();
        compare(&name, "colour", &got, |p| p.colour.to_vec(), &want, 0);
    }
}

/// Fails where more than `outliers` points are further from `want` than rounding explains.
fn compare(
    name: &str,
    what: &str,
    got: &[PointValues],
    of: impl Fn(&PointValues) -> Vec<f32>,
    want: &[Vec<f64>],
    outliers: usize,
) {
    let scale = want.iter().flatten().fold(1e-3f64, |m, v| m.max(v.abs()));
    let error = |(g, w): (&PointValues, &Vec<f64>)| {
        let got = of(g);
        assert_eq!(got.len(), w.len(), "{name}: {what}: width");
        got.iter().zip(w).map(|(g, w)| (f64::from(*g) - w).abs() / scale).fold(0.0, f64::max)
    };
    let errors: Vec<f64> = got.iter().zip(want).map(error).collect();
    let off = errors.iter().filter(|e| e.is_nan() || **e > 3e-5).count();
    let worst = errors.iter().copied().fold(0.0, f64::max);
    assert!(off <= outliers, "{name}: {what}: {off} points off by up to {worst:.1e} of {scale:.3}");
}

#[test]
fn compute_shaders_agree_too() {
    let Some(gpu) = adapter() else { return };
    let (name, spec) = &variants()[0];
    for pipeline in [PipelineKind::Compute, PipelineKind::Fragment] {
        check(&gpu.clone().with_pipeline(pipeline), &format!("{name}, {pipeline:?}"), spec, GridPrecision::F32);
    }
}

/// Every second variant from `first` on: two tests use two cores, since Mesa's compiler takes most of the time.
fn every_second(first: usize) {
    let Some(gpu) = adapter() else { return };
    let fields = variants().into_iter().filter(|(_, spec)| spec.dim == 3);
    for (i, (name, spec)) in fields.chain(radiance_variants()).enumerate().skip(first).step_by(2) {
        check(gpu, &name, &spec, if i % 3 == 2 { GridPrecision::F16 } else { GridPrecision::F32 });
    }
}

#[test]
fn shaders_agree_with_the_judge() {
    every_second(0);
}

#[test]
fn shaders_agree_with_the_judge_on_the_other_half() {
    every_second(1);
}

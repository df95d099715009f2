//! The field in shaders against the plain-tensor reference in f64 and the colours of the kernels, over every axis of
//! configuration. Needs an adapter (Mesa's software driver will do); says that it is skipped where there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "for tests only: a panic is how they fail")]

use glam::Vec3;
use nstr_backend::rays_suite::radiance_variants;
use nstr_backend::suite::{Case, Evaluator, JUDGE, narrow, variants};
use nstr_kernel::FusedField;
use nstr_render::gpu::testing::adapter;
use nstr_render::gpu::{Gpu, GpuField, GridPrecision, PipelineKind, PointShader, PointValues, Program};
use nstr_spec::FieldSpec;

const POINTS: usize = 150;

/// Random parameters that f16 holds exactly.
fn halved(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| f64::from(half::f16::from_f64(*v))).collect()
}

/// Points whose derivatives may differ: where a ReLU's or a cell's border lies within rounding of a point, both answers are
/// right.
const BORDERS: usize = 3;

/// Compares one field with the judge; `shader` is that of its program, made by the first field.
fn check(gpu: &Gpu, name: &str, spec: &FieldSpec, precision: GridPrecision, shader: &mut Option<PointShader>) {
    let mut case = Case::random(spec, POINTS, 77);
    if precision == GridPrecision::F16 {
        case.grid = halved(&case.grid);
    }
    let (grid, net, x) = (narrow(&case.grid), narrow(&case.net), narrow(&case.x));
    let points: Vec<Vec3> = x.as_chunks::<3>().0.iter().map(|p| Vec3::from_array(*p)).collect();
    let directions: Vec<Vec3> = points.iter().map(|p| (*p - 0.4).normalize()).collect();
    let field = GpuField::new(gpu, spec, &grid, &net, precision).unwrap();
    let shader = shader.get_or_insert_with(|| PointShader::new(&field).unwrap());
    let got = shader.evaluate(&field, &points, &directions).unwrap();

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

/// A field's shape and what it is called in messages.
type Named = (String, FieldSpec);

/// Every variant by its program, and how its grid is stored. Levels, layers and activations are data, so that fields of many
/// shapes share a shader. A variant that shares it with no other is tried as a radiance field: its shader makes all that
/// that of the plain field does, and colours.
fn programs() -> Vec<(GridPrecision, Vec<Named>)> {
    let mut programs: Vec<(String, Vec<(Named, Named)>)> = Vec::new();
    let fields = variants().into_iter().filter(|(_, spec)| spec.dim == 3);
    for both in fields.zip(radiance_variants()) {
        let source = Program::new(&both.0.1).unwrap().source(GridPrecision::F32, true);
        match programs.iter_mut().find(|(known, _)| *known == source) {
            Some((_, fields)) => fields.push(both),
            None => programs.push((source, vec![both])),
        }
    }
    let choose = |(i, (_, fields)): (usize, (String, Vec<(Named, Named)>))| {
        let precision = if i % 3 == 2 { GridPrecision::F16 } else { GridPrecision::F32 };
        let alone = fields.len() == 1;
        let fields = fields.into_iter().map(|(field, radiance)| if alone { radiance } else { field }).collect();
        (precision, fields)
    };
    programs.into_iter().enumerate().map(choose).collect()
}

#[test]
fn programs_have_every_colour_head_and_entries_of_each_width_in_both_precisions() {
    let programs = programs();
    let is_tried = |is_it: &dyn Fn(GridPrecision, &FieldSpec) -> bool| {
        programs.iter().any(|(precision, fields)| fields.iter().any(|(_, spec)| is_it(*precision, spec)))
    };
    for (name, wanted) in radiance_variants() {
        assert!(is_tried(&|_, spec| spec.color_head == wanted.color_head), "{name}");
    }
    for precision in [GridPrecision::F32, GridPrecision::F16] {
        for two_lanes in [false, true] {
            let is_it = |p: GridPrecision, spec: &FieldSpec| p == precision && (spec.latent.features <= 2) == two_lanes;
            assert!(is_tried(&is_it), "{precision:?}, two lanes: {two_lanes}");
        }
    }
}

/// Every second program from `first` on: two tests use two cores, since Mesa's compiler takes most of the time.
fn every_second(first: usize) {
    let Some(gpu) = adapter() else { return };
    for (precision, fields) in programs().into_iter().skip(first).step_by(2) {
        let mut shader = None;
        for (name, spec) in fields {
            check(&gpu, &name, &spec, precision, &mut shader);
        }
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

#[test]
fn shaders_agree_in_the_other_pipeline_too() {
    let Some(gpu) = adapter() else { return };
    // The other tests run in the one that the adapter is used with.
    let other = match gpu.pipeline() {
        PipelineKind::Compute => PipelineKind::Fragment,
        PipelineKind::Fragment => PipelineKind::Compute,
    };
    // The smallest shader with levels, sinusoids and networks: Mesa compiles the compute pipeline for minutes.
    let (name, spec) = variants().into_iter().find(|(name, _)| name == "no transport").unwrap();
    let name = format!("{name}, {other:?}");
    check(&gpu.with_pipeline(other), &name, &spec, GridPrecision::F32, &mut None);
}

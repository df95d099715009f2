//! The suite on Burn's tensors, on the kernels behind Burn and on the bare kernels.

use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::Flex;
use nstr_kernel::adam::AdamHyper;
use nstr_kernel::{GradientPrecision, PointRegularizer, TransportSteps};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use crate::backend;
use crate::suite::*;

macro_rules! suite {
    ($($module:ident: $evaluator:expr),*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn agrees_with_the_judge_over_every_axis() {
                for (name, spec) in variants() {
                    compare(&$evaluator, &name, &Case::random(&spec, 70, 41), assert_quantity);
                }
            }

            #[test]
            fn agrees_with_the_judge_for_any_number_of_points() {
                let (name, spec) = variants().remove(0);
                for n in [1, 2, 15, 16, 17, 31, 63, 64, 65, 128, 129, 513] {
                    compare(&$evaluator, &name, &Case::random(&spec, n, 42 + n as u64), assert_quantity);
                }
            }

            #[test]
            fn agrees_with_the_judge_on_borders_and_outside() {
                for (name, spec) in variants() {
                    let case = Case { x: special_points(spec.dim), ..Case::random(&spec, 1, 43) };
                    compare(&$evaluator, &name, &case, assert_quantity);
                }
            }

            #[test]
            fn repeats_itself_bit_for_bit() {
                for (name, spec) in variants() {
                    let case = Case::random(&spec, 300, 44);
                    let weight = case.weights(spec.full_columns().len, 45);
                    let [a, b] = [0, 1].map(|_| $evaluator.grads_full(&case, &weight));
                    assert!(a.grid == b.grid && a.net == b.net, "{name}");
                }
            }

            #[test]
            fn takes_any_numbers_without_a_panic() {
                for (name, spec) in variants() {
                    let mut case = Case::random(&spec, 9, 46);
                    for (i, x) in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e30, -1e30].into_iter().enumerate() {
                        case.x[i * spec.dim] = x;
                    }
                    // A ReLU may swallow a NaN, so the NaN point's own values are not asked about.
                    let out = $evaluator.forward_full(&case);
                    let (columns, last) = (spec.full_columns().len, case.points() - 1);
                    assert!(out[last * columns..].iter().all(|v| v.is_finite()), "{name}: other points are untouched");
                    let weight = case.weights(spec.outputs, 47);
                    $evaluator.grads(&case, &weight);
                }
            }
        }
    )*};
}

suite!(reference: REFERENCE, fused: FUSED, kernels: Kernels(GradientPrecision::Single));

/// On machines without the instructions these are gradients in f32, which keep the bound all the same.
#[test]
fn gradients_of_mixed_precision_agree_with_the_judge() {
    let mixed = Kernels(GradientPrecision::Mixed);
    let check = |what: &str, got: &[f64], want: &[f64], quantity: Quantity| {
        assert_close(what, got, want, quantity.bound_of_mixed());
    };
    for (name, spec) in variants() {
        compare(&mixed, &name, &Case::random(&spec, 70, 41), check);
        let case = Case::random(&spec, 300, 44);
        let weight = case.weights(spec.full_columns().len, 45);
        let [a, b] = [0, 1].map(|_| mixed.grads_full(&case, &weight));
        assert!(a.grid == b.grid && a.net == b.net, "{name} repeats itself");
    }
    let (name, spec) = variants().remove(0);
    for n in [1, 2, 95, 96, 97, 193, 513] {
        compare(&mixed, &name, &Case::random(&spec, n, 42 + n as u64), check);
    }
}

#[test]
fn kernels_take_no_points() {
    for (_, spec) in variants() {
        let case = Case { x: Vec::new(), ..Case::random(&spec, 1, 48) };
        let kernels = Kernels(GradientPrecision::Single);
        assert!(kernels.forward(&case).is_empty() && kernels.forward_full(&case).is_empty());
        assert!(kernels.grads(&case, &[]).grid.iter().all(|g| *g == 0.0));
    }
}

#[test]
fn gradients_are_given_only_where_asked_for() {
    let (_, spec) = variants().remove(0);
    let case = Case::random(&spec, 20, 51);
    let (grid, net, x) = FUSED.inputs(&case);
    // `detach` would keep asking for a gradient.
    let (grid, x) = (Tensor::from_inner(grid.inner()), Tensor::from_inner(x.inner()));
    let out = backend::forward(&FUSED.op(&case), grid.clone(), net.clone(), x.clone());
    let grads = out.sum().backward();
    assert!(grid.grad(&grads).is_none() && x.grad(&grads).is_none());
    let want = JUDGE.grads(&case, &vec![1.0; case.points()]);
    let got = values(net.grad(&grads).unwrap());
    assert_parts_close("d_net alone", &spec, Buffer::Net, &got, &want.net, 1e-4);
}

#[test]
fn the_backward_composes_with_other_operations() {
    let (_, spec) = variants().remove(0);
    let case = Case::random(&spec, 33, 52);
    let run = |e: &On<Flex>| {
        let (grid, net, x) = e.inputs(&case);
        let op = e.op(&case);
        let scaled = net.clone() * 0.5;
        let full = backend::forward_full(&op, grid.clone(), scaled.clone(), x.clone().detach());
        let far = backend::forward(&op, grid.clone(), scaled, x * 0.5 + 0.25);
        let loss = full.powf_scalar(2.0).mean() + far.abs().mean();
        let grads = loss.backward();
        (values(loss.inner()), values(grid.grad(&grads).unwrap()), values(net.grad(&grads).unwrap()))
    };
    let (got, want) = (run(&FUSED), run(&PLAIN_F64));
    assert_close("loss", &got.0, &want.0, 1e-5);
    assert_parts_close("d_grid", &spec, Buffer::Grid, &got.1, &want.1, 1e-4);
    assert_parts_close("d_net", &spec, Buffer::Net, &got.2, &want.2, 1e-4);
}

#[test]
fn regularisers_agree_over_every_axis() {
    for (name, spec) in variants() {
        // More points than a tile holds, and an odd number of lines.
        let case = Case::random(&spec, 202, 63);
        let check = |what: &str, (got, grads): (f64, Grads), (want, expected): (f64, Grads)| {
            assert!(want > 0.0, "{name}, {what}: no loss");
            assert_close(&format!("{name}, {what}: loss"), &[got], &[want], 1e-5);
            assert_parts_close(
                &format!("{name}, {what}: d_grid"),
                &spec,
                Buffer::Grid,
                &grads.grid,
                &expected.grid,
                1e-4,
            );
            assert_parts_close(&format!("{name}, {what}: d_net"), &spec, Buffer::Net, &grads.net, &expected.net, 1e-4);
        };
        let transport = if spec.transports() { 0.3 } else { 0.0 };
        for weights in [
            PointRegularizer { eikonal: 0.7, ..PointRegularizer::default() },
            PointRegularizer { transport, smoothness: 0.2, eikonal: 0.1 },
        ] {
            check(&format!("{weights:?}"), FUSED.regularizer(&case, weights), PLAIN_F64.regularizer(&case, weights));
        }
        if spec.transports() {
            for steps in [TransportSteps::Euler, TransportSteps::Midpoint(3)] {
                check(&format!("{steps:?}"), FUSED.transported(&case, steps), PLAIN_F64.transported(&case, steps));
            }
        }
    }
}

#[test]
fn optimiser_steps_agree() {
    let mut draw = Draw(Pcg64::seed_from_u64(61));
    let mut on = [DType::F32, DType::F64].map(|dtype| (dtype, None));
    let start = draw.vector(1003, -1.0, 1.0);
    for step in 1..=20 {
        let grads = draw.vector(start.len(), -1.0, 1.0);
        for (dtype, state) in &mut on {
            let make = |v: &[f64]| -> Tensor<Flex, 1> {
                Tensor::from_data(TensorData::new(v.to_vec(), [v.len()]), (&Default::default(), *dtype))
            };
            let zeros = vec![0.0; start.len()];
            let (params, moments) = state.take().unwrap_or_else(|| (make(&start), [make(&zeros), make(&zeros)]));
            let hyper = AdamHyper {
                lr: 1e-2,
                beta1: 0.9,
                beta2: 0.99,
                eps: 1e-8,
                weight_decay: 0.1,
                bias1: 1.0 - 0.9f32.powi(step),
                bias2: 1.0 - 0.99f32.powi(step),
            };
            *state = Some(backend::adam_step(params, make(&grads), moments, &hyper));
        }
    }
    let [(_, a), (_, b)] = on.map(|(d, s)| (d, s.unwrap()));
    assert_close("parameters", &values(a.0), &values(b.0), 1e-5);
    for (a, b) in a.1.into_iter().zip(b.1) {
        assert_close("moments", &values(a), &values(b), 1e-5);
    }
}

#[test]
fn pulled_and_rounded_parameters_agree() {
    let mut draw = Draw(Pcg64::seed_from_u64(63));
    let (entries, features) = (3001, 4);
    let n = entries * features;
    let buffers = [draw.vector(n, -1.0, 1.0), draw.vector(n, 1e-8, 1e-4), vec![0.0; n]];
    let of_entries = [draw.vector(entries, 0.05, 0.5), draw.vector(entries, 0.3, 0.5), draw.vector(entries, 0.0, 1e-2)];
    let hyper = AdamHyper::at(1e-2, 0.9, 0.99, 1e-8, 0.0, 100);
    let on = |dtype: DType| {
        let make = |v: &Vec<f64>| -> Tensor<Flex, 1> {
            Tensor::from_data(TensorData::new(v.clone(), [v.len()]), (&Default::default(), dtype))
        };
        let [params, v, rounded] = buffers.each_ref().map(make);
        let [steps, offsets, pulls] = of_entries.each_ref().map(|v| backend::primitive(make(v)));
        let lattice = backend::LatticeTensors { features, steps, offsets, pulls };
        backend::rounding_step(params, v, lattice, &hyper, rounded).map(values)
    };
    let [[a, a_rounded], [b, b_rounded]] = [DType::F32, DType::F64].map(on);
    assert_close("parameters", &a, &b, 1e-5);
    // Values at the edge of a cell may go either way.
    let differing = a_rounded.iter().zip(&b_rounded).filter(|(a, b)| (**a - **b).abs() > 1e-5).count();
    assert!(differing * 1000 < n, "{differing} of {n}");
}

#[test]
fn moving_averages_have_the_bits_of_plain_tensors() {
    let mut draw = Draw(Pcg64::seed_from_u64(62));
    let make = |v: Vec<f64>| -> Tensor<Flex, 1> {
        Tensor::from_data(TensorData::new(v, [20011]), (&Default::default(), DType::F32))
    };
    let mut fused = make(draw.vector(20011, -1.0, 1.0));
    let mut plain = fused.clone();
    for decay in [0.95, 0.99, 0.5, 0.123, 0.0] {
        let value = make(draw.vector(20011, -1.0, 1.0));
        fused = backend::ema_step(fused, value.clone(), decay);
        plain = plain * decay + value * (1.0 - decay);
        let bits = |t: &Tensor<Flex, 1>| t.to_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
        assert!(bits(&fused) == bits(&plain), "decay {decay}");
    }
}

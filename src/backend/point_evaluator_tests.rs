//! Second derivatives, divergences and Jacobians of the scalar evaluator against central differences.

use nstr_field::PointEvaluator;
use nstr_field::jet::Order;

use crate::suite::{Case, assert_close, variants};

#[test]
fn second_derivatives_agree_with_differences_of_first_ones() {
    let h = 1e-6;
    for (name, spec) in variants() {
        let case = Case::random(&spec, 12, 72);
        let evaluator = PointEvaluator::new(&spec, &case.grid, &case.net);
        for x in case.x.chunks_exact(spec.dim) {
            let at = evaluator.at(x, Order::Second);
            for j in 0..spec.dim {
                let moved = |by: f64| {
                    let mut x = x.to_vec();
                    x[j] += by;
                    evaluator.at(&x, Order::First)
                };
                let (up, down) = (moved(h), moved(-h));
                for (jet, up, down) in
                    [(&at.value, &up.value, &down.value), (&at.spectrum, &up.spectrum, &down.spectrum)]
                {
                    for i in 0..spec.dim {
                        let got: Vec<f64> = (0..jet.width()).map(|c| jet.second(c, i, j)).collect();
                        let want: Vec<f64> =
                            up.partial(i).iter().zip(down.partial(i)).map(|(u, d)| (u - d) / (2.0 * h)).collect();
                        // Differences lose half the digits; large gradients set the scale.
                        let scale = 1.0 + up.partial(i).iter().fold(0f64, |m, v| m.max(v.abs()));
                        for (got, want) in got.iter().zip(&want) {
                            let error = (got - want).abs() / (scale + want.abs());
                            assert!(error < 1e-6, "{name}: {got} {want}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn divergence_and_flow_jacobian_agree_with_differences() {
    let (_, spec) = variants().remove(0);
    let case = Case::random(&spec, 4, 73);
    let evaluator = PointEvaluator::new(&spec, &case.grid, &case.net);
    let h = 1e-6;
    for x in case.x.chunks_exact(spec.dim) {
        let at = evaluator.at(x, Order::First);
        let mut divergence = 0.0;
        for j in 0..spec.dim {
            let moved = |by: f64| {
                let mut x = x.to_vec();
                x[j] += by;
                let at = evaluator.at(&x, Order::Value);
                evaluator.flow(&x, at.spectrum.values()).into_iter().skip(j).step_by(spec.dim).sum::<f64>()
            };
            divergence += (moved(h) - moved(-h)) / (2.0 * h);
        }
        let got = at.divergence().unwrap();
        assert!((got - divergence).abs() < 1e-5 * (1.0 + divergence.abs()), "{got} {divergence}");
        let s = at.spectrum.values();
        let jet = evaluator.flow_jet(x, s);
        assert_eq!(jet.values(), evaluator.flow(x, s));
        for k in 0..s.len() {
            let moved = |by: f64| {
                let mut s = s.to_vec();
                s[k] += by;
                evaluator.flow(x, &s)
            };
            let want: Vec<f64> = moved(h).iter().zip(moved(-h)).map(|(u, d)| (u - d) / (2.0 * h)).collect();
            assert_close("∂F/∂S", jet.partial(k), &want, 1e-6);
        }
    }
}

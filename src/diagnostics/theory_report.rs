//! Sections of a report on the claims of the method's theory.

use nalgebra::DMatrix;
use nstr_field::jet::Order;
use nstr_field::model::Model;
use nstr_field::point_evaluator::{PointEval, PointEvaluator};
use nstr_plot::format::{fixed, short};
use nstr_plot::{Axis, Chart, Estimate};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

use crate::frequency::{LocalFrequency, Recovery, recover, recover_shuffled};
use crate::null_models::FieldParameters;
use crate::report::{Answer, ReportPart, ReportSection, ReportTable};
use crate::signal_report::SampleGrid;
use crate::stats::blocks;
use crate::theory::{LipschitzBounds, PerturbationDecay, STEPS, Stability, decay, lipschitz, stability};

/// Paths that S is integrated along.
const PATHS: usize = 200;
/// Paths of the decay, which takes fine steps.
const DECAY_PATHS: usize = 12;
/// Their length in cube edges.
const LENGTH: f64 = 0.25;
/// Random points of the cube for the sampled Lipschitz constant.
const SAMPLED: usize = 1000;

fn line(x: &[f64], y: &[f64]) -> Vec<Estimate> {
    x.iter().zip(y).map(|(x, y)| Estimate { x: *x, y: *y, spread: 0.0 }).collect()
}

/// Section on how well F transports S, and how stable that is, with its numbers. `None` without F.
pub fn transport(model: &Model, untrained: &FieldParameters, seed: u64) -> Option<(ReportSection, Value)> {
    let probe = PointEvaluator::new(&model.spec, &model.grid, &model.net);
    let dim = model.spec.dim;
    let mut rng = Pcg64::seed_from_u64(seed ^ 0x11b);
    let some: Vec<f64> = (0..SAMPLED * dim).map(|_| rng.random()).collect();
    let bounds = lipschitz(&probe, &some)?;
    let path = stability(&probe, PATHS, LENGTH, seed)?;
    let baseline = stability(&untrained.probe(), PATHS, LENGTH, seed)?;
    let mut section = ReportSection::new("Transport and stability");
    let (advected, held) = (path.advected[STEPS], path.constant[STEPS]);
    let transports = advected < 0.8 * held;
    section.answer = if transports { Answer::Yes } else { Answer::No };
    section.verdict = match transports {
        true => "F transports S: it predicts how S changes from place to place.".into(),
        false => "F is not a law that S follows: it predicts S no better than no change at all.".into(),
    };
    section.evidence = format!(
        "Over {LENGTH} of the cube's edge, S advected with F ends {0} of ‖S‖ off (median), S held constant {1}. A start \
         off by δ ends off by {2} δ (95th percentile); the bound e^(L t) allows {4} δ with L = {3} from sampled Jacobians, and \
         {6} δ with L = {5} from spectral norms.",
        short(advected),
        short(held),
        short(path.growth[1][STEPS]),
        short(bounds.sampled),
        short((bounds.sampled * LENGTH).exp()),
        short(bounds.upper),
        short((bounds.upper * LENGTH).exp()),
    );
    section.text(format!(
        "Along {PATHS} random segments of length {LENGTH} in the cube, S is integrated from its true start by dS/dt = F(x(t), \
         S)·u (Runge-Kutta, {STEPS} steps), and once more from a start that is off by 1 % of ‖S‖ in a random direction. L is \
         the Lipschitz constant of F in S: no less than the largest spectral norm of ∂F/∂S found at {SAMPLED} random points, no more than the \
         product of the layers' spectral norms. Grönwall's bound e^(L t) holds for the second; the first is an estimate of L from \
         below."
    ));
    charts(&path, &baseline, &bounds, &mut section);
    let numbers = json!({
        "lipschitz": bounds, "path_length": LENGTH, "paths": PATHS, "stability": path, "untrained": baseline,
        "carried": advected, "kept": held,
    });
    Some((section, numbers))
}

fn charts(path: &Stability, baseline: &Stability, bounds: &LipschitzBounds, section: &mut ReportSection) {
    let mut errors = Chart::new(
        "Transport along paths",
        Axis::linear("length travelled, in cube edges"),
        Axis::linear("distance from the true S, over ‖S‖"),
    );
    errors.note("medians over paths");
    errors.lines("S advected with F", line(&path.t, &path.advected));
    errors.lines("S held constant", line(&path.t, &path.constant));
    section.parts.push(ReportPart::Chart(
        "transport".into(),
        errors,
        "Expected if F is a law of S: the first line far below the second. Expected under the null: on it or above."
            .into(),
    ));
    let mut growth = Chart::new(
        "Growth of a perturbation",
        Axis::linear("length travelled, in cube edges"),
        Axis::log("‖ΔS‖ over its start"),
    );
    growth.lines("median", line(&path.t, &path.growth[0]));
    growth.lines("95th percentile", line(&path.t, &path.growth[1]));
    let bound: Vec<f64> = path.t.iter().map(|t| (bounds.sampled * t).exp()).collect();
    growth.lines("bound, L sampled", line(&path.t, &bound));
    growth.lines("untrained, 95th percentile", line(&baseline.t, &baseline.growth[1]));
    section.parts.push(ReportPart::Chart(
        "growth".into(),
        growth,
        "Expected: below the bound, whether trained or not. The bound is a worst case; what matters is how far below."
            .into(),
    ));
}

/// Section on the response to perturbations of S by their frequency, with its numbers. `None` where the values do not depend
/// on S.
pub fn perturbation_decay(model: &Model, untrained: &FieldParameters, seed: u64) -> Option<(ReportSection, Value)> {
    if !model.spec.modulates() {
        return None;
    }
    let probe = PointEvaluator::new(&model.spec, &model.grid, &model.net);
    let (own, baseline) =
        (decay(&probe, DECAY_PATHS, LENGTH, seed), decay(&untrained.probe(), DECAY_PATHS, LENGTH, seed));
    let mut section = ReportSection::new("Decay of perturbations of high frequency");
    let carried = if own.transport.is_empty() {
        section.verdict = "Nothing damps perturbations of S: the field has no F.".into();
        String::new()
    } else {
        let same = (own.transport_slope - baseline.transport_slope).abs() < 0.15;
        (section.answer, section.verdict) = match same {
            true => (Answer::No, "Perturbations decay as in any integral; training has no part in it.".into()),
            false => (Answer::Yes, "Training changed how perturbations of high frequency decay.".into()),
        };
        format!(
            "S integrated with F answers a perturbation of frequency ν as ν^({}), an untrained F as ν^({}). ",
            fixed(own.transport_slope, 2),
            fixed(baseline.transport_slope, 2),
        )
    };
    section.evidence =
        format!("{carried}The decoder answers as ν^({}): point by point nothing damps S.", fixed(own.decoder_slope, 2));
    section.text(format!(
        "Along {DECAY_PATHS} random segments of length {LENGTH}, ε a sin(νt) is added to S, with a random unit vector a and ε 1 % \
         of ‖S‖: (a) to the S that F sees while S is integrated from its true start, (b) to the S that modulates the basis \
         before the decoder. Shown are root mean squares of the deviation over that of the perturbation; exponents are slopes \
         over the upper half of the frequencies."
    ));
    let mut chart = Chart::new("Response to ε a sin(νt)", Axis::log("ν, radians per cube edge"), Axis::log("response"));
    let mut add = |name: &str, d: &PerturbationDecay, y: &[f64]| {
        chart.lines(name, line(&d.frequency, y)).marks(name, line(&d.frequency, y));
    };
    if !own.transport.is_empty() {
        add("S integrated with F", &own, &own.transport);
        add("integrated with untrained F", &baseline, &baseline.transport);
    }
    add("decoder's values", &own, &own.decoder);
    add("untrained decoder's values", &baseline, &baseline.decoder);
    let text = "Expected if the claim holds: falling faster than 1/ν. Expected under the null: 1/ν for the integral, level for the \
                decoder.";
    section.parts.push(ReportPart::Chart("decay".into(), chart, text.into()));
    Some((section, json!({ "model": own, "untrained": baseline, "path_length": LENGTH, "paths": DECAY_PATHS })))
}

/// Cells along the longest side whose points are fitted or tested together.
const CELLS: u32 = 24;

/// Section on how well the signal's local frequency, which `omega` gives at a point, can be predicted from S, with its numbers.
pub fn frequency_recovery(
    model: &Model,
    untrained: &FieldParameters,
    points: &SampleGrid,
    omega: &LocalFrequency,
    seed: u64,
) -> (ReportSection, Value) {
    let probe = PointEvaluator::new(&model.spec, &model.grid, &model.net);
    let dim = model.spec.dim;
    let n = points.x.len() / dim;
    let few = n.div_ceil(20_000).max(1);
    let x: Vec<f64> = points.x.chunks_exact(dim).step_by(few).flatten().copied().collect();
    let targets: Vec<f64> = x.chunks_exact(dim).flat_map(omega).collect();
    let outputs = targets.len() * dim / x.len().max(1);
    let blocks = blocks(&x, dim, if dim == 1 { CELLS * 5 } else { CELLS });
    let targets = DMatrix::from_row_slice(x.len() / dim, outputs, &targets);
    let matrix = |rows: Vec<Vec<f64>>| {
        let width = rows.first().map_or(0, Vec::len);
        DMatrix::from_row_slice(rows.len(), width, &rows.concat())
    };
    let read = |probe: &PointEvaluator<'_>, latent: bool| {
        let part = |at: &PointEval| if latent { &at.latent } else { &at.spectrum }.values().to_vec();
        matrix(probe.eval_many(&x, Order::Value, |_, at| part(at)))
    };
    let own = read(&probe, false);
    let mut sources = vec![("model: S", own.clone())];
    if probe.has_spectrum() {
        sources.push(("its own latent grid z", read(&probe, true)));
    }
    sources.push(("untrained field: S", read(&untrained.probe(), false)));
    sources.push(("the coordinates alone", DMatrix::from_row_slice(x.len() / dim, dim, &x)));
    let mut found: Vec<(&str, Option<Recovery>)> =
        sources.iter().map(|(name, features)| (*name, recover(features, &targets, &blocks))).collect();
    found.push(("S shuffled between points", recover_shuffled(&own, &targets, &blocks, seed)));
    let r2 = |i: usize| found[i].1.map_or(f64::NAN, |r| r.r2);
    let best = (1..found.len()).max_by(|a, b| r2(*a).total_cmp(&r2(*b))).unwrap_or(0);
    let mut section = ReportSection::new("Local frequency from the spectrum");
    let holds = r2(0) > r2(best) + 0.05;
    section.answer = if holds { Answer::Yes } else { Answer::No };
    section.verdict = match holds {
        true => "S tells the signal's local frequency better than any null model.".into(),
        false => "No evidence that S tells the signal's local frequency better than a null model.".into(),
    };
    section.evidence = format!(
        "ω(x) is predicted from S with R² = {} at points apart from those fitted; best null model: {} with {}.",
        short(r2(0)),
        found[best].0,
        short(r2(best)),
    );
    section.text(
        "A map T from the features (linear in them, their squares and 160 random ReLUs of them) to the known local frequency \
         ω(x), fitted by ridge regression on blocks of points, its penalty chosen on others, R² taken on the rest.",
    );
    let mut table = ReportTable::new(["features", "R² on test points", "penalty", "points fitted / tested"]);
    table.strong.push(0);
    for (name, recovery) in &found {
        let cells = recovery.map_or(["–".into(), "–".into(), "–".into()], |r| {
            [fixed(r.r2, 3), format!("{:e}", r.penalty), format!("{} / {}", r.points[0], r.points[1])]
        });
        table.row([name.to_string()].into_iter().chain(cells));
    }
    let text = "Expected if S is a local spectrum: its R² well above all others'. Expected under the null: no better than the latent \
                grid or the coordinates (ω varies smoothly, so that coordinates alone predict much of it); 0 where shuffled.";
    section.parts.push(ReportPart::Table(table, text.into()));
    let numbers: Vec<Value> = found.iter().map(|(name, r)| json!({ "features": name, "recovery": r })).collect();
    (section, Value::from(numbers))
}

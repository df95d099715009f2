//! The theory's claims as sections of a report.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

use crate::frequency::{Omega, Recovery, recover, recover_shuffled};
use crate::maps::Lattice;
use crate::nulls::untrained;
use crate::report::{Part, Section, Table, short};
use crate::stats::blocks;
use crate::theory;
use crate::theory::{Decay, STEPS, Stability, decay, lipschitz, stability};
use nstr_spec::init::InitSpec;
use nstr_field::jet::Order;
use nstr_field::model::Model;
use nstr_field::probe::Probe;
use nstr_plot::{Axis, Chart, Estimate};

/// Paths integrated along.
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

/// Whether F transports S, and how stable that is. `None` without F.
pub fn transport(model: &Model, init: &InitSpec, seed: u64) -> Option<(Section, Value)> {
    let probe = Probe::new(&model.spec, &model.grid, &model.net);
    let dim = model.spec.dim;
    let mut rng = Pcg64::seed_from_u64(seed ^ 0x11b);
    let some: Vec<f64> = (0..SAMPLED * dim).map(|_| rng.random()).collect();
    let constant = lipschitz(&probe, &some)?;
    let path = stability(&probe, PATHS, LENGTH, seed)?;
    let start = untrained(&model.spec, init);
    let null = stability(&start.probe(), PATHS, LENGTH, seed)?;
    let mut section = Section::new("Transport and stability");
    let (lost, kept) = (path.transported[STEPS], path.kept[STEPS]);
    section.verdict = format!(
        "Over {LENGTH} of the cube's edge, S carried by F ends {} of ‖S‖ off (median), S kept as it was {}: {}. A start off by \
         δ ends off by {} δ (95th percentile); the bound e^(L t) with L = {} from sampled Jacobians allows {} δ, with L = {} \
         from spectral norms {} δ.",
        short(lost),
        short(kept),
        if lost < 0.8 * kept {
            "F carries S"
        } else {
            "F is no better than no change, so it is not a law that S follows"
        },
        short(path.growth[1][STEPS]),
        short(constant.sampled),
        short((constant.sampled * LENGTH).exp()),
        short(constant.upper),
        short((constant.upper * LENGTH).exp()),
    );
    section.text(format!(
        "Along {PATHS} random segments of length {LENGTH} in the cube, S is integrated from its true start by dS/dt = F(x(t), \
         S)·u (Runge and Kutta, {STEPS} steps), and once more from a start that is off by 1 % of ‖S‖ in a random direction. L is \
         the Lipschitz constant of F in S: no less than the largest spectral norm of ∂F/∂S found at {} random points, no more than the \
         product of the layers' spectral norms. Grönwall's bound e^(L t) holds for the second; the first is an estimate of L from \
         below.",
        SAMPLED
    ));
    charts(&path, &null, &constant, &mut section);
    let numbers = json!({
        "lipschitz": constant, "path_length": LENGTH, "paths": PATHS, "stability": path, "untrained": null,
        "carried": lost, "kept": kept,
    });
    Some((section, numbers))
}

fn charts(path: &Stability, null: &Stability, constant: &theory::Lipschitz, section: &mut Section) {
    let mut lost = Chart::new(
        "Transport along paths",
        Axis::linear("length travelled, in cube edges"),
        Axis::linear("distance from the true S, over ‖S‖"),
    );
    lost.note("medians over paths");
    lost.lines("S carried by F", line(&path.t, &path.transported));
    lost.lines("S kept as it was", line(&path.t, &path.kept));
    section.parts.push(Part::Chart(
        "transport".into(),
        lost,
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
    let bound: Vec<f64> = path.t.iter().map(|t| (constant.sampled * t).exp()).collect();
    growth.lines("bound, L sampled", line(&path.t, &bound));
    growth.lines("untrained, 95th percentile", line(&null.t, &null.growth[1]));
    section.parts.push(Part::Chart(
        "growth".into(),
        growth,
        "Expected: below the bound, whether trained or not. The bound is a worst case; what matters is how far below."
            .into(),
    ));
}

/// An exponent.
fn power(slope: f64) -> String {
    format!("{:.2}", slope + 0.0).replace("-0.00", "0.00").replace('-', "−")
}

/// How perturbations of S come through, by their frequency. `None` where S takes no part in the values.
pub fn frequencies(model: &Model, init: &InitSpec, seed: u64) -> Option<(Section, Value)> {
    if !model.spec.modulates() {
        return None;
    }
    let probe = Probe::new(&model.spec, &model.grid, &model.net);
    let start = untrained(&model.spec, init);
    let (own, null) = (decay(&probe, DECAY_PATHS, LENGTH, seed), decay(&start.probe(), DECAY_PATHS, LENGTH, seed));
    let mut section = Section::new("Decay of perturbations of high frequency");
    let carried = if own.transport.is_empty() {
        "The field has no F.".to_string()
    } else {
        let same = (own.transport_slope - null.transport_slope).abs() < 0.15;
        format!(
            "S integrated with F answers a perturbation of frequency ν as ν^({}), an untrained F as ν^({}): {}.",
            power(own.transport_slope),
            power(null.transport_slope),
            if same { "the decay is that of any integral, no merit of training" } else { "training changed the decay" }
        )
    };
    section.verdict =
        format!("{carried} The decoder answers as ν^({}): point by point nothing damps S.", power(own.decoder_slope));
    section.text(format!(
        "Along {DECAY_PATHS} random segments of length {LENGTH}, ε a sin(νt) is added to S, with a random unit vector a and ε 1 % \
         of ‖S‖: (a) to the S that F sees while S is integrated from its true start, (b) to the S that modulates the basis \
         before the decoder. Shown are root mean squares of the deviation over that of the perturbation; exponents are slopes \
         over the upper half of the frequencies."
    ));
    let mut chart = Chart::new("Response to ε a sin(νt)", Axis::log("ν, radians per cube edge"), Axis::log("response"));
    let mut add = |name: &str, d: &Decay, y: &[f64]| {
        chart.lines(name, line(&d.frequency, y)).marks(name, line(&d.frequency, y));
    };
    if !own.transport.is_empty() {
        add("S integrated with F", &own, &own.transport);
        add("integrated with untrained F", &null, &null.transport);
    }
    add("decoder's values", &own, &own.decoder);
    add("untrained decoder's values", &null, &null.decoder);
    let text = "Expected if the claim holds: falling faster than 1/ν. Expected under the null: 1/ν for the integral, level for the \
                decoder.";
    section.parts.push(Part::Chart("decay".into(), chart, text.into()));
    Some((section, json!({ "model": own, "untrained": null, "path_length": LENGTH, "paths": DECAY_PATHS })))
}

/// Cells along the longest side that are fitted or tested together.
const CELLS: u32 = 24;

/// Whether the signal's local frequency, which `omega` gives at a point, can be read from S.
pub fn recovery(model: &Model, init: &InitSpec, lattice: &Lattice, omega: &Omega, seed: u64) -> (Section, Value) {
    let probe = Probe::new(&model.spec, &model.grid, &model.net);
    let start = untrained(&model.spec, init);
    let dim = model.spec.dim;
    let n = lattice.x.len() / dim;
    let few = n.div_ceil(20_000).max(1);
    let x: Vec<f64> = lattice.x.chunks_exact(dim).step_by(few).flatten().copied().collect();
    let targets: Vec<f64> = x.chunks_exact(dim).flat_map(omega).collect();
    let outputs = targets.len() * dim / x.len().max(1);
    let blocks = blocks(&x, dim, if dim == 1 { CELLS * 5 } else { CELLS });
    let read = |probe: &Probe<'_>, latent: bool| -> Vec<Vec<f64>> {
        probe.each(&x, Order::Value, |_, at| if latent { &at.latent } else { &at.spectrum }.values().to_vec())
    };
    let untrained_probe = start.probe();
    let mut sources = vec![("model: S", read(&probe, false))];
    if probe.has_spectrum() {
        sources.push(("its own latent grid z", read(&probe, true)));
    }
    sources.push(("untrained field: S", read(&untrained_probe, false)));
    sources.push(("the coordinates alone", x.chunks_exact(dim).map(<[f64]>::to_vec).collect()));
    let flat = |rows: &[Vec<f64>]| -> (Vec<f64>, usize) { (rows.concat(), rows.first().map_or(0, Vec::len)) };
    let mut found: Vec<(String, Option<Recovery>)> = sources
        .iter()
        .map(|(name, rows)| {
            let (features, width) = flat(rows);
            (name.to_string(), recover(&features, width, &targets, outputs, &blocks))
        })
        .collect();
    let (features, width) = flat(&sources[0].1);
    found.push((
        "S shuffled between points".into(),
        recover_shuffled(&features, width, &targets, outputs, &blocks, seed),
    ));
    let r2 = |i: usize| found[i].1.map_or(f64::NAN, |r| r.r2);
    let best = (1..found.len()).max_by(|a, b| r2(*a).total_cmp(&r2(*b))).unwrap_or(0);
    let mut section = Section::new("Local frequency from the spectrum");
    section.verdict = format!(
        "ω(x) is predicted from S with R² = {} at points apart from those fitted; best null: {} with {}. {}",
        short(r2(0)),
        found[best].0,
        short(r2(best)),
        if r2(0) > r2(best) + 0.05 {
            "S holds more of it than the nulls."
        } else {
            "No evidence that S holds it more than the nulls."
        }
    );
    section.text(
        "A map T from the features (linear in them, their squares and 160 random ReLUs of them) to the known local frequency \
         ω(x), fitted by ridge regression on blocks of points, its penalty chosen on others, R² taken on the rest.",
    );
    let mut table = Table::new(["features", "R² on test points", "penalty", "points fitted / tested"]);
    table.strong.push(0);
    for (name, recovery) in &found {
        let cells = recovery.map_or(["–".into(), "–".into(), "–".into()], |r| {
            [
                format!("{:.3}", r.r2).replace('-', "−"),
                format!("{:e}", r.penalty),
                format!("{} / {}", r.points[0], r.points[1]),
            ]
        });
        table.row([name.clone()].into_iter().chain(cells));
    }
    let text = "Expected if S is a local spectrum: its R² well above all others'. Expected under the null: no better than the latent \
                grid or the coordinates (ω varies smoothly, so that coordinates alone predict much of it); 0 where shuffled.";
    section.parts.push(Part::Table(table, text.into()));
    let numbers: Vec<Value> = found.iter().map(|(name, r)| json!({ "features": name, "recovery": r })).collect();
    (section, Value::from(numbers))
}

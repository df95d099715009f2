//! Measures of a spectrum at points, of the model and of every null model, and their correlations with a target.

use glam::DVec3;
use nstr_field::jet::{Jet, Order};
use nstr_field::point_evaluator::{PointEval, PointEvaluator};
use nstr_plot::format::fixed;
use serde::Serialize;

use crate::null_models::FieldParameters;
use crate::report::{Answer, ReportTable};
use crate::stats::{Correlation, correlate, shuffled};

/// Name of the Frobenius norm of ∇S, per edge of the cube.
pub const GRADIENT_NORM: &str = "‖∇S‖";
/// Name of the same over the norm of S.
pub const RELATIVE_GRADIENT_NORM: &str = "‖∇S‖ / ‖S‖";
/// Name of the norm of ∇S projected onto the tangent plane.
pub const TANGENT_GRADIENT_NORM: &str = "‖∇S‖ in the tangent plane";
/// Name of the norm of ∇S − F(x, S).
pub const TRANSPORT_RESIDUAL: &str = "‖∇S − F‖";

/// Measures of the spectrum of one field, the model or a null model, at points.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeatureSet {
    /// Name of the field.
    pub name: String,
    /// Name of each measure and its values, one a point.
    #[serde(skip)]
    pub measures: Vec<(&'static str, Vec<f64>)>,
}

/// Part of a field that is taken as its spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    /// S.
    Spectrum,
    /// The latent features z.
    Latent,
}

impl FeatureKind {
    /// This part of a field that was evaluated at a point.
    pub fn of(self, at: &PointEval) -> &Jet {
        match self {
            Self::Spectrum => &at.spectrum,
            Self::Latent => &at.latent,
        }
    }
}

impl FeatureSet {
    /// Measures at the points `x` (`[point][dim]`); those in the tangent plane where there are `normals` (unit length, 0
    /// where unknown).
    pub fn new(
        name: impl Into<String>,
        probe: &PointEvaluator<'_>,
        kind: FeatureKind,
        x: &[f64],
        normals: Option<&[DVec3]>,
    ) -> Self {
        let rows = probe.eval_many(x, Order::First, |_, at| {
            let jet = kind.of(at);
            let residual = if kind == FeatureKind::Spectrum { at.residual() } else { None };
            (jet.gradient_norm(), jet.norm(), residual, jet.clone())
        });
        let mut measures = vec![
            (GRADIENT_NORM, rows.iter().map(|r| r.0).collect()),
            (RELATIVE_GRADIENT_NORM, rows.iter().map(|r| r.0 / r.1).collect::<Vec<f64>>()),
        ];
        if let Some(normals) = normals {
            let tangent = rows.iter().zip(normals).map(|(r, n)| tangential(&r.3, *n));
            measures.push((TANGENT_GRADIENT_NORM, tangent.collect()));
        }
        if let Some(residual) = rows.iter().map(|r| r.2).collect::<Option<Vec<f64>>>() {
            measures.push((TRANSPORT_RESIDUAL, residual));
        }
        Self { name: name.into(), measures }
    }

    /// The model's own measures, of S or, where it has none, of z.
    pub fn of_model(probe: &PointEvaluator<'_>, x: &[f64], normals: Option<&[DVec3]>) -> Self {
        let name = if probe.has_spectrum() { "model: S" } else { "model: z, it has no S" };
        Self::new(name, probe, FeatureKind::Spectrum, x, normals)
    }

    /// These measures shuffled across points (permutation null).
    pub fn shuffled(&self, seed: u64) -> Self {
        let measures =
            self.measures.iter().enumerate().map(|(i, (name, values))| (*name, shuffled(values, seed + i as u64)));
        Self { name: "S shuffled between points".into(), measures: measures.collect() }
    }

    /// Values of a measure, one a point.
    pub fn measure(&self, name: &str) -> Option<&[f64]> {
        self.measures.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_slice())
    }
}

/// Null models that a model's measures are compared with.
#[derive(Clone, Copy, Debug)]
pub struct NullModels<'a> {
    /// A field without spectrum that was fitted to the same signal, or the reason why there is none.
    pub without_spectrum: Result<&'a FieldParameters, &'a str>,
    /// The model before training.
    pub untrained: &'a FieldParameters,
}

impl NullModels<'_> {
    /// `model`, the measures of `probe`'s field at `x`, followed by those of every null model.
    pub fn beside(
        &self,
        model: FeatureSet,
        probe: &PointEvaluator<'_>,
        x: &[f64],
        normals: Option<&[DVec3]>,
        seed: u64,
    ) -> Vec<FeatureSet> {
        let shuffled = model.shuffled(seed);
        let mut sets = vec![model];
        if probe.has_spectrum() {
            sets.push(FeatureSet::new("its own latent grid z", probe, FeatureKind::Latent, x, normals));
        }
        if let Ok(fitted) = self.without_spectrum {
            let name = "field without spectrum: z";
            sets.push(FeatureSet::new(name, &fitted.probe(), FeatureKind::Latent, x, normals));
        }
        sets.push(FeatureSet::new("untrained field", &self.untrained.probe(), FeatureKind::Spectrum, x, normals));
        sets.push(shuffled);
        sets
    }
}

/// Frobenius norm of the gradients without their parts along `normal` (unit length).
pub fn tangential(jet: &Jet, normal: DVec3) -> f64 {
    let rest = |c: usize| {
        let g = DVec3::from(jet.gradient(c));
        (g - normal * g.dot(normal)).length_squared()
    };
    (0..jet.width()).map(rest).sum::<f64>().sqrt()
}

/// Correlation of one measure of one field with one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CorrelationRow {
    /// Name of the feature set.
    #[serde(rename = "subject")]
    pub feature_set: String,
    /// Name of the measure.
    pub measure: String,
    /// Name of the target.
    pub target: String,
    /// The coefficients.
    #[serde(flatten)]
    pub correlation: Correlation,
}

/// Every measure of every set against every target (name and values, one a point).
pub fn correlations(
    sets: &[FeatureSet],
    targets: &[(String, Vec<f64>)],
    blocks: &[u32],
    seed: u64,
) -> Vec<CorrelationRow> {
    let mut rows = Vec::new();
    for set in sets {
        for (measure, values) in &set.measures {
            for (target, wanted) in targets {
                let correlation = correlate(values, wanted, blocks, seed);
                let (feature_set, measure) = (set.name.clone(), measure.to_string());
                rows.push(CorrelationRow { feature_set, measure, target: target.clone(), correlation });
            }
        }
    }
    rows
}

/// Table of `rows` as [`correlations`] gives them, a line a set and measure, a column a target; the lines of the first set
/// stand out.
pub fn table(rows: &[CorrelationRow], of_ranks: bool) -> ReportTable {
    let mut targets: Vec<&str> = Vec::new();
    for row in rows {
        if !targets.contains(&row.target.as_str()) {
            targets.push(&row.target);
        }
    }
    let mut table = ReportTable::new(["field", "measure"]);
    table.header.extend(targets.iter().map(|t| t.to_string()));
    let cell = |r: &CorrelationRow| if of_ranks { r.correlation.spearman } else { r.correlation.pearson }.to_string();
    for line in rows.chunks(targets.len().max(1)) {
        let Some(first) = line.first() else { continue };
        if first.feature_set == rows[0].feature_set {
            table.strong.push(table.rows.len());
        }
        table.row([first.feature_set.clone(), first.measure.clone()].into_iter().chain(line.iter().map(cell)));
    }
    table
}

/// Answer, verdict and evidence from the rank correlation of the first set's measure beside those of the others, which are null
/// models; `followed` names in plain words what the target stands for, as in "the surface's curvature".
///
/// A spectrum counts as informative where its interval lies above those of every null model.
pub fn verdict(rows: &[CorrelationRow], measure: &str, target: &str, followed: &str) -> (Answer, String, String) {
    let of = |r: &CorrelationRow| r.correlation.spearman;
    let open = |verdict: String, evidence: String| (Answer::Open, verdict, evidence);
    let mut matching = rows.iter().filter(|r| r.measure == measure && r.target == target);
    let Some(own) = matching.next() else { return open("There is nothing to correlate.".into(), String::new()) };
    if !of(own).value.is_finite() {
        let why = format!("{measure} does not vary, or {target} does not.");
        return open("There is nothing to correlate.".into(), why);
    }
    let nulls: Vec<&CorrelationRow> = matching.filter(|r| r.feature_set != own.feature_set).collect();
    let start = format!("Spearman's ρ({measure}, {target}) = {}", of(own));
    let finite = nulls.iter().filter(|r| of(r).value.is_finite());
    let Some(best) = finite.max_by(|a, b| of(a).value.total_cmp(&of(b).value)) else {
        let verdict = format!("There is no null model to compare with, so nothing can be said about {followed}.");
        return open(verdict, format!("{start}."));
    };
    let listed: Vec<String> = nulls.iter().map(|r| format!("{} {}", r.feature_set, fixed(of(r).value, 2))).collect();
    let evidence = format!("{start}; of the null models: {}.", listed.join(", "));
    let (answer, verdict) = if of(own).low.is_nan() {
        (Answer::Open, format!("Too few independent points to tell whether the spectrum follows {followed}."))
    } else if of(own).low <= 0.0 && of(own).high >= 0.0 {
        (Answer::No, format!("The spectrum does not follow {followed}."))
    } else if of(own).low > of(best).high {
        (Answer::Yes, format!("The spectrum itself follows {followed}: more than any null model does."))
    } else if of(own).high < of(best).low {
        let verdict = format!("No evidence that the spectrum matters: a null model follows {followed} more closely.");
        (Answer::No, verdict)
    } else {
        let verdict =
            format!("No evidence that the spectrum matters: it follows {followed} no more than a null model does.");
        (Answer::No, verdict)
    };
    (answer, verdict, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, values: Vec<f64>) -> FeatureSet {
        FeatureSet { name: name.into(), measures: vec![(GRADIENT_NORM, values)] }
    }

    #[test]
    fn verdicts_follow_the_intervals() {
        let n = 3000;
        let wave = |i: usize, a: f64| (i as f64 * a).sin();
        let target: Vec<f64> = (0..n).map(|i| wave(i, 1.3)).collect();
        let mixed = |share: f64| (0..n).map(|i| share * wave(i, 1.3) + wave(i, 2.1)).collect::<Vec<f64>>();
        let blocks: Vec<u32> = (0..n as u32).collect();
        let say = |sets: &[FeatureSet]| {
            let rows = correlations(sets, &[("T".into(), target.clone())], &blocks, 0);
            assert_eq!(table(&rows, true).rows.len(), sets.len());
            let (answer, verdict, evidence) = verdict(&rows, GRADIENT_NORM, "T", "the test");
            assert!(evidence.starts_with("Spearman's ρ(‖∇S‖, T) = ") && verdict.contains("the test"), "{evidence}");
            (answer, verdict)
        };
        let own = set("S", mixed(1.0));
        let chance = own.shuffled(1);
        for (sets, answer, word) in [
            (vec![own.clone(), chance.clone()], Answer::Yes, "more than any null"),
            (vec![own.clone(), set("z", mixed(1.01))], Answer::No, "no more than a null"),
            (vec![own.clone(), set("z", mixed(9.0))], Answer::No, "more closely"),
            (vec![chance, own.clone()], Answer::No, "does not follow"),
            (vec![own], Answer::Open, "no null model"),
        ] {
            let (found, text) = say(&sets);
            assert!(found == answer && text.contains(word), "{found:?} {text}");
        }
    }

    #[test]
    fn what_lies_along_the_normal_is_taken_out() {
        let jet = Jet::variables(&[0.3, 0.4, 0.5], Order::First);
        assert!((tangential(&jet, DVec3::Z) - 2f64.sqrt()).abs() < 1e-12);
        assert!((tangential(&jet, DVec3::ZERO) - 3f64.sqrt()).abs() < 1e-12);
        let tilted = DVec3::new(1.0, 2.0, -2.0) / 3.0;
        assert!((tangential(&jet, tilted) - 2f64.sqrt()).abs() < 1e-12);
    }
}

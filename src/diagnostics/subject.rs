//! What is correlated with what: measures of a spectrum at points, of the field itself and of every null model.

use glam::DVec3;
use serde::Serialize;

use crate::report::Table;
use crate::stats::{Correlation, correlate, shuffled};
use nstr_field::jet::{Jet, Order};
use nstr_field::probe::{At, Probe};

/// Frobenius norm of ∇S per edge of the cube.
pub const RAW: &str = "‖∇S‖";
/// The same over the norm of S.
pub const NORMALISED: &str = "‖∇S‖ / ‖S‖";
/// Of ∇S projected onto the tangent plane.
pub const TANGENT: &str = "‖∇S‖ in the tangent plane";
/// Of ∇S − F(x, S).
pub const RESIDUAL: &str = "‖∇S − F‖";

/// A field whose spectrum is looked at: the model, or a null model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Subject {
    /// What it is.
    pub name: String,
    /// Values at the points by the name of the measure.
    #[serde(skip)]
    pub measures: Vec<(&'static str, Vec<f64>)>,
}

/// Which part of a field is taken as its spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// S.
    Spectrum,
    /// The latent features z.
    Latent,
}

impl Taken {
    /// The part of what a field is at a point.
    pub fn of(self, at: &At) -> &Jet {
        match self {
            Self::Spectrum => &at.spectrum,
            Self::Latent => &at.latent,
        }
    }
}

impl Subject {
    /// Measures at the points `x` (`[point][dim]`); those in the tangent plane where there are `normals` (unit length, 0
    /// where unknown).
    pub fn new(name: impl Into<String>, probe: &Probe<'_>, taken: Taken, x: &[f64], normals: Option<&[DVec3]>) -> Self {
        let rows = probe.each(x, Order::First, |_, at| {
            let jet = taken.of(at);
            let residual = if taken == Taken::Spectrum { at.residual() } else { None };
            (jet.gradient_norm(), jet.norm(), residual, jet.clone())
        });
        let mut measures = vec![
            (RAW, rows.iter().map(|r| r.0).collect()),
            (NORMALISED, rows.iter().map(|r| r.0 / r.1).collect::<Vec<f64>>()),
        ];
        if let Some(normals) = normals {
            measures.push((TANGENT, rows.iter().zip(normals).map(|(r, n)| tangential(&r.3, *n)).collect()));
        }
        if let Some(residual) = rows.iter().map(|r| r.2).collect::<Option<Vec<f64>>>() {
            measures.push((RESIDUAL, residual));
        }
        Self { name: name.into(), measures }
    }

    /// The model's measures dealt to the points at random.
    pub fn shuffled(of: &Subject, seed: u64) -> Self {
        let moved =
            |(i, (name, values)): (usize, &(&'static str, Vec<f64>))| (*name, shuffled(values, seed + i as u64));
        Self { name: "S shuffled between points".into(), measures: of.measures.iter().enumerate().map(moved).collect() }
    }

    /// Values of a measure.
    pub fn measure(&self, name: &str) -> Option<&[f64]> {
        self.measures.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_slice())
    }
}

/// Frobenius norm of the gradients with their parts along `normal` taken out.
pub fn tangential(jet: &Jet, normal: DVec3) -> f64 {
    let rest = |c: usize| {
        let g = DVec3::from(jet.gradient(c));
        (g - normal * g.dot(normal)).length_squared()
    };
    (0..jet.width()).map(rest).sum::<f64>().sqrt()
}

/// One correlation of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Whose spectrum.
    pub subject: String,
    /// Which measure of it.
    pub measure: String,
    /// What it is correlated with.
    pub target: String,
    /// The coefficients.
    #[serde(flatten)]
    pub correlation: Correlation,
}

/// Every measure of every subject against every target.
pub fn correlations(subjects: &[Subject], targets: &[(String, Vec<f64>)], blocks: &[u32], seed: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for subject in subjects {
        for (measure, values) in &subject.measures {
            for (target, wanted) in targets {
                let correlation = correlate(values, wanted, blocks, seed);
                let (subject, measure) = (subject.name.clone(), measure.to_string());
                cells.push(Cell { subject, measure, target: target.clone(), correlation });
            }
        }
    }
    cells
}

/// The cell of a subject, measure and target.
pub fn find<'a>(cells: &'a [Cell], subject: &str, measure: &str, target: &str) -> Option<&'a Cell> {
    cells.iter().find(|c| c.subject == subject && c.measure == measure && c.target == target)
}

/// One row a subject and measure, one column a target; the rows of the first subject stand out.
pub fn table(cells: &[Cell], of_ranks: bool) -> Table {
    let mut targets: Vec<&str> = Vec::new();
    for cell in cells {
        if !targets.contains(&cell.target.as_str()) {
            targets.push(&cell.target);
        }
    }
    let mut table = Table::new(["field", "measure"]);
    table.header.extend(targets.iter().map(|t| t.to_string()));
    let shown = |c: &Cell| if of_ranks { c.correlation.spearman } else { c.correlation.pearson }.to_string();
    for row in cells.chunks(targets.len().max(1)) {
        let Some(first) = row.first() else { continue };
        if first.subject == cells[0].subject {
            table.strong.push(table.rows.len());
        }
        table.row([first.subject.clone(), first.measure.clone()].into_iter().chain(row.iter().map(shown)));
    }
    table
}

/// What a correlation means beside those of null models: a sentence.
///
/// A spectrum counts as telling something where its interval lies above those of every null.
pub fn verdict(cells: &[Cell], measure: &str, target: &str) -> String {
    let of = |c: &Cell| c.correlation.spearman;
    let Some(own) = cells.iter().find(|c| c.measure == measure && c.target == target) else {
        return "There is nothing to correlate.".into();
    };
    if !of(own).value.is_finite() {
        return format!("{measure} does not vary, or {target} does not: there is nothing to correlate.");
    }
    let nulls: Vec<&Cell> =
        cells.iter().filter(|c| c.measure == measure && c.target == target && c.subject != own.subject).collect();
    let start = format!("ρ({measure}, {target}) = {}", of(own));
    let Some(best) =
        nulls.iter().filter(|c| of(c).value.is_finite()).max_by(|a, b| of(a).value.total_cmp(&of(b).value))
    else {
        return format!("{start}; there is no null model to compare with.");
    };
    let listed: Vec<String> = nulls.iter().map(|c| format!("{} {:.2}", c.subject, of(c).value + 0.0)).collect();
    let listed = listed.join(", ").replace("-0.00", "0.00").replace('-', "−");
    let conclusion = if of(own).low.is_nan() {
        "too few independent points for an interval"
    } else if of(own).low <= 0.0 && of(own).high >= 0.0 {
        "no correlation"
    } else if of(own).low > of(best).high {
        "more than any null model shows, so the spectrum itself follows it"
    } else if of(own).high < of(best).low {
        "less than a null model shows, so the spectrum is no better a reading of it than that"
    } else {
        "no more than a null model shows: no evidence that the spectrum matters"
    };
    format!("{start}; nulls: {listed}. {}.", capitalised(conclusion))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |c| c.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str, values: Vec<f64>) -> Subject {
        Subject { name: name.into(), measures: vec![(RAW, values)] }
    }

    #[test]
    fn verdicts_follow_the_intervals() {
        let n = 3000;
        let wave = |i: usize, a: f64| (i as f64 * a).sin();
        let target: Vec<f64> = (0..n).map(|i| wave(i, 1.3)).collect();
        let mixed = |share: f64| (0..n).map(|i| share * wave(i, 1.3) + wave(i, 2.1)).collect::<Vec<f64>>();
        let blocks: Vec<u32> = (0..n as u32).collect();
        let say = |subjects: &[Subject]| {
            let cells = correlations(subjects, &[("T".into(), target.clone())], &blocks, 0);
            assert_eq!(table(&cells, true).rows.len(), subjects.len());
            assert!(find(&cells, &subjects[0].name, RAW, "T").is_some());
            verdict(&cells, RAW, "T")
        };
        let own = subject("S", mixed(1.0));
        let chance = Subject::shuffled(&own, 1);
        assert!(say(&[own.clone(), chance.clone()]).contains("More than any null"));
        assert!(say(&[own.clone(), subject("z", mixed(1.01))]).contains("no evidence"));
        assert!(say(&[own.clone(), subject("z", mixed(9.0))]).contains("Less than a null"));
        assert!(say(&[chance, own.clone()]).contains("No correlation"));
        assert!(say(&[own]).contains("no null model"));
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

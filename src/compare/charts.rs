//! Charts of a comparison: quality along the steps, along the time, and over the parameters.

use nstr_fit::LogPoint;
use nstr_plot::{Axis, Chart, Estimate};

use crate::recipe::Metric;
use crate::record::{Results, RunRecord};
use crate::summary::Summary;

/// Horizontal axis of a training curve.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Along {
    Steps,
    Seconds,
}

impl Along {
    fn of(self, sample: &LogPoint) -> f64 {
        match self {
            Self::Steps => sample.step as f64,
            Self::Seconds => sample.seconds,
        }
    }

    /// Name of the metric that holds the end.
    fn metric(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Seconds => "train_seconds",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Seconds => "training time, s",
        }
    }
}

/// Files of the charts that there may be, each with what is drawn in it.
pub const FILES: [(&str, &str); 3] = [
    ("quality-steps.svg", "along the steps"),
    ("quality-seconds.svg", "along the training time"),
    ("quality-parameters.svg", "over the parameters"),
];

/// The charts that say something, each with its file's name: methods of one size have none over their sizes.
pub fn charts(results: &Results<'_>) -> Vec<(&'static str, Chart)> {
    let [(steps, _), (seconds, _), (parameters, _)] = FILES;
    let mut charts = vec![(steps, along(results, Along::Steps)), (seconds, along(results, Along::Seconds))];
    charts.extend(sizes(results).map(|chart| (parameters, chart)));
    charts
}

/// Returns whether the plotted metric is the one that was measured during training.
fn is_followed(results: &Results<'_>, metric: &Metric) -> bool {
    let mut curves = results.runs().filter_map(|(_, r)| r).map(|r| &r.curve);
    curves.any(|c| c.metric_name.eq_ignore_ascii_case(&metric.name) && c.metric.len() > 1)
}

fn along(results: &Results<'_>, axis: Along) -> Chart {
    let recipe = results.recipe;
    let metric = recipe.metrics.first().filter(|m| is_followed(results, m));
    let y = metric.map_or(Axis::log("training loss"), |m| Axis::linear(m.heading()));
    let mut chart = Chart::new(&recipe.title, Axis::linear(axis.label()), y);
    let marks = if metric.is_some() { "; lines: measured during training, marks: at the end" } else { "" };
    let mut absent = Vec::new();
    for (method, m) in recipe.methods.iter().enumerate() {
        let samples = |r: &RunRecord| if metric.is_some() { r.curve.metric.clone() } else { r.curve.loss.clone() };
        let seeds: Vec<Vec<Line>> =
            recipe.seeds.iter().map(|seed| lines(results, method, *seed, axis, &samples)).collect();
        let mut line = mean_line(&seeds);
        let end = metric.and_then(|metric| end(results, method, axis.metric(), &metric.name));
        if line.is_empty() && end.is_none() {
            absent.push(m.name.as_str());
            continue;
        }
        // A line goes on to the mark of its method.
        line.extend(end.filter(|end| line.last().is_some_and(|last| last.x < end.x)));
        if !line.is_empty() {
            chart.lines(&m.name, line);
        }
        if metric.is_some() {
            chart.marks(&m.name, end);
        }
    }
    chart.note(averaged(results) + marks + &nothing_of(&absent));
    chart
}

/// Ratio of the largest size to the smallest one from which on sizes are told apart in a chart.
const LEAST_SPAN: f64 = 1.2;

/// The first metric over the number of parameters; `None` where sizes are about the same.
fn sizes(results: &Results<'_>) -> Option<Chart> {
    let recipe = results.recipe;
    let metric = recipe.metrics.first()?;
    let marks: Vec<_> = (0..recipe.methods.len()).map(|m| end(results, m, "parameters", &metric.name)).collect();
    let spans = |of: &dyn Fn(&Estimate) -> f64, times: f64| {
        let values = || marks.iter().flatten().map(of);
        let (low, high) = values().fold((f64::MAX, 0.0), |(l, h): (f64, f64), v| (l.min(v), h.max(v)));
        low > 0.0 && high > times * low
    };
    if !spans(&|e| e.x, LEAST_SPAN) {
        return None;
    }
    let axis = |label: String, log: bool| Axis { label, log };
    let (x, y) = (spans(&|e| e.x, 3.0), spans(&|e| e.y, 20.0));
    let mut chart = Chart::new(&recipe.title, axis("parameters".into(), x), axis(metric.heading(), y));
    let absent: Vec<&str> =
        recipe.methods.iter().zip(&marks).filter(|(_, mark)| mark.is_none()).map(|(m, _)| m.name.as_str()).collect();
    chart.note(averaged(results) + &nothing_of(&absent));
    for (m, mark) in recipe.methods.iter().zip(marks) {
        chart.marks(&m.name, mark);
    }
    Some(chart)
}

/// Note on methods without a finished run.
fn nothing_of(absent: &[&str]) -> String {
    if absent.is_empty() { String::new() } else { format!("; no result of {}", absent.join(", ")) }
}

/// Note on what the means and deviations are taken over.
fn averaged(results: &Results<'_>) -> String {
    let (inputs, seeds) = (&results.recipe.inputs, results.recipe.seeds.len());
    let of = match inputs.as_slice() {
        [one] => one.name.clone(),
        several => format!("mean of {} inputs", several.len()),
    };
    if seeds > 1 { format!("{of}; mean and standard deviation over {seeds} seeds") } else { format!("{of}; one seed") }
}

/// A method's metric at its end over another one; none where no seed is complete.
fn end(results: &Results<'_>, method: usize, x: &str, y: &str) -> Option<Estimate> {
    let all: Vec<usize> = (0..results.recipe.inputs.len()).collect();
    let summary = |name: &str| Summary::of(results.by_seed(method, &all, |r| r.metric(name)));
    let (x, y) = summary(x).zip(summary(y))?;
    Some(Estimate { x: x.mean, y: y.mean, spread: y.deviation.unwrap_or(0.0) })
}

/// Positions and values in order.
type Line = Vec<(f64, f64)>;

/// The lines of a seed, one an input; none where an input is missing.
fn lines(
    results: &Results<'_>,
    method: usize,
    seed: u64,
    axis: Along,
    samples: &dyn Fn(&RunRecord) -> Vec<LogPoint>,
) -> Vec<Line> {
    let of = |input: usize| {
        let record = results.get(crate::recipe::Run { input, seed, method })?;
        let line: Line = samples(record).iter().map(|s| (axis.of(s), s.value)).collect();
        (line.len() > 1).then_some(line)
    };
    (0..results.recipe.inputs.len()).map(of).collect::<Option<_>>().unwrap_or_default()
}

/// The mean over inputs of each seed's lines, then mean and deviation over seeds, at the positions of the first line where all
/// of them have values.
fn mean_line(seeds: &[Vec<Line>]) -> Vec<Estimate> {
    let seeds: Vec<&Vec<Line>> = seeds.iter().filter(|lines| !lines.is_empty()).collect();
    let all = || seeds.iter().flat_map(|lines| lines.iter());
    let Some(first) = all().next() else { return Vec::new() };
    let low = all().filter_map(|l| l.first()).fold(f64::MIN, |m, p| m.max(p.0));
    let high = all().filter_map(|l| l.last()).fold(f64::MAX, |m, p| m.min(p.0));
    let inner = first.iter().map(|p| p.0).filter(|x| (low..high).contains(x));
    let places = inner.chain((low <= high).then_some(high));
    let estimate = |x: f64| {
        let mean = |lines: &&Vec<Line>| Some(lines.iter().map(|l| at(l, x)).sum::<f64>() / lines.len() as f64);
        let s = Summary::of(seeds.iter().map(mean))?;
        Some(Estimate { x, y: s.mean, spread: s.deviation.unwrap_or(0.0) })
    };
    places.filter_map(estimate).collect()
}

/// The value of a line at `x`, interpolated linearly.
fn at(line: &Line, x: f64) -> f64 {
    let next = line.partition_point(|p| p.0 < x).min(line.len() - 1);
    let (a, b) = (line[next.saturating_sub(1)], line[next]);
    if b.0 > a.0 { a.1 + (b.1 - a.1) * ((x - a.0) / (b.0 - a.0)).clamp(0.0, 1.0) } else { b.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_averaged_where_all_have_values() {
        let line = |from: f64, slope: f64| {
            (0..5).map(|i| (from + f64::from(i), slope * (from + f64::from(i)))).collect::<Line>()
        };
        // One seed with two inputs, one with other places, one that failed.
        let seeds = [vec![line(0.0, 1.0), line(0.0, 3.0)], vec![line(0.5, 2.0), line(0.5, 2.0)], vec![]];
        let mean = mean_line(&seeds);
        let xs: Vec<f64> = mean.iter().map(|e| e.x).collect();
        assert_eq!(xs, [1.0, 2.0, 3.0, 4.0]);
        assert!(mean.iter().all(|e| (e.y - 2.0 * e.x).abs() < 1e-12 && e.spread < 1e-12));
        assert!(mean_line(&[vec![], vec![]]).is_empty());
        let spread = mean_line(&[vec![line(0.0, 1.0)], vec![line(0.0, 2.0)]]);
        assert!((spread[4].spread - 4.0 * 0.5f64.sqrt()).abs() < 1e-12);
    }
}

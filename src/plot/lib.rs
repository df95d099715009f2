//! Charts as SVG: lines with bands, scatter plots, binned means, marks with error bars.
//!
//! ```
//! use nstr_plot::{Axis, Chart, Estimate};
//!
//! let curve = (1..=50).map(|i| Estimate { x: f64::from(i), y: 1.0 / f64::from(i), spread: 0.01 });
//! let mut chart = Chart::new("A run", Axis::linear("steps"), Axis::log("loss"));
//! chart.lines("first", curve);
//! assert!(chart.svg()?.starts_with("<svg"));
//! # Ok::<(), nstr_plot::PlotError>(())
//! ```

mod draw;
pub mod format;
mod ticks;

pub use ticks::even_ticks;

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A chart that cannot be drawn or written.
#[derive(Debug, Error)]
pub enum PlotError {
    /// The drawing library refused.
    #[error("cannot draw the chart: {0}")]
    Draw(String),
    /// The file can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// An axis: its label and its scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Label, with the unit.
    pub label: String,
    /// Logarithmic: equal ratios have equal lengths; values of 0 and below are then left out.
    pub log: bool,
}

impl Axis {
    /// An even axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: false }
    }

    /// A logarithmic axis.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: true }
    }

    /// Position of a value on the axis; `None` where it has no place.
    fn place(&self, value: f64) -> Option<f64> {
        let placed = if self.log { value.log10() } else { value };
        placed.is_finite().then_some(placed)
    }
}

/// A value at a place, with its standard deviation (0: not known).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Place.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// Deviation of the value.
    pub spread: f64,
}

/// The values over a stretch of x.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Start.
    pub from: f64,
    /// End.
    pub to: f64,
    /// Mean of the values.
    pub mean: f64,
    /// Their deviation, or that of their mean: the length of the error bar to either side. On a logarithmic axis a bar that
    /// passes 0 ends at the bottom.
    pub spread: f64,
    /// Values in it.
    pub count: usize,
}

/// Cuts points, in any order, into at most `count` bins of equally many, each with its mean and standard deviation. Points
/// that are not finite are left out.
pub fn binned(points: &[(f64, f64)], count: usize) -> Vec<Bin> {
    let mut sorted: Vec<_> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = sorted.len();
    let count = count.clamp(1, n.max(1));
    let of = |i: usize| {
        let part = &sorted[i * n / count..(i + 1) * n / count];
        let (first, last) = (part.first()?, part.last()?);
        let mean = part.iter().map(|p| p.1).sum::<f64>() / part.len() as f64;
        let square = part.iter().map(|p| (p.1 - mean).powi(2)).sum::<f64>();
        let spread = (square / (part.len() - 1).max(1) as f64).sqrt();
        Some(Bin { from: first.0, to: last.0, mean, spread, count: part.len() })
    };
    (0..count).filter_map(of).collect()
}

/// The shape of a series.
#[derive(Clone, Debug)]
enum Shape {
    Lines(Vec<Estimate>),
    Points(Vec<(f64, f64)>),
    Bins(Vec<Bin>),
    Marks(Vec<Estimate>),
}

#[derive(Clone, Debug)]
struct Series {
    /// Index into the names, which decides colour and mark.
    name: usize,
    shape: Shape,
}

/// A chart. Series of one name share a colour. A name stands beside the end of its line, or beside its one mark; those of dots,
/// bins and several marks stand in a legend. An empty name stands nowhere.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    note: String,
    x: Axis,
    y: Axis,
    names: Vec<String>,
    series: Vec<Series>,
}

/// Most dots of a scatter series that are drawn: more make large files and no clearer picture.
const MOST_POINTS: usize = 6000;

impl Chart {
    /// An empty chart.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), note: String::new(), x, y, names: Vec::new(), series: Vec::new() }
    }

    /// A line of small text below the title.
    pub fn note(&mut self, text: impl Into<String>) -> &mut Self {
        self.note = text.into();
        self
    }

    /// A line through estimates, in order of x, with a band as wide as their spread.
    pub fn lines(&mut self, name: &str, points: impl IntoIterator<Item = Estimate>) -> &mut Self {
        self.push(name, Shape::Lines(points.into_iter().collect()))
    }

    /// A scatter of small translucent dots; of very many an even selection is drawn.
    pub fn points(&mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> &mut Self {
        let all: Vec<_> = points.into_iter().collect();
        let n = all.len();
        let few = if n > MOST_POINTS { (0..MOST_POINTS).map(|i| all[i * n / MOST_POINTS]).collect() } else { all };
        self.push(name, Shape::Points(few))
    }

    /// Bins as level steps with error bars.
    pub fn bins(&mut self, name: &str, bins: impl IntoIterator<Item = Bin>) -> &mut Self {
        self.push(name, Shape::Bins(bins.into_iter().collect()))
    }

    /// Large marks with error bars.
    pub fn marks(&mut self, name: &str, points: impl IntoIterator<Item = Estimate>) -> &mut Self {
        self.push(name, Shape::Marks(points.into_iter().collect()))
    }

    fn push(&mut self, name: &str, shape: Shape) -> &mut Self {
        let known = self.names.iter().position(|n| n == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        self.series.push(Series { name: index, shape });
        self
    }

    /// The chart as an SVG document.
    ///
    /// # Errors
    /// [`PlotError::Draw`].
    pub fn svg(&self) -> Result<String, PlotError> {
        draw::svg(self)
    }

    /// Writes the SVG, whole or not at all.
    ///
    /// # Errors
    /// [`PlotError`].
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        let text = self.svg()?;
        nstr_files::write(path, text.as_bytes()).map_err(|source| PlotError::Write { path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(x: f64, y: f64) -> Estimate {
        Estimate { x, y, spread: 0.1 }
    }

    #[test]
    fn bins_hold_equally_many() {
        let points: Vec<_> = (0..100).rev().map(|i| (f64::from(i), f64::from(i % 2))).collect();
        let bins = binned(&points, 4);
        assert_eq!(bins.iter().map(|b| b.count).collect::<Vec<_>>(), [25; 4]);
        assert_eq!((bins[1].from, bins[1].to), (25.0, 49.0));
        assert!(bins.iter().all(|b| (b.mean - 0.5).abs() < 0.03 && (b.spread - 0.51).abs() < 0.01));
        assert!(binned(&[], 4).is_empty());
        assert_eq!(binned(&[(1.0, 2.0), (f64::NAN, 1.0)], 4).len(), 1);
    }

    #[test]
    fn whatever_the_values_a_chart_is_drawn() {
        let odd = [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, 1e300, 3.0];
        for axes in [[false, false], [true, false], [false, true], [true, true]] {
            let axis = |log| Axis { label: "a < b & \"c\"".into(), log };
            for n in 0..=odd.len() {
                let mut chart = Chart::new("", axis(axes[0]), axis(axes[1]));
                let pairs = || odd[..n].iter().flat_map(|x| odd[..n].iter().map(|y| (*x, *y)));
                chart.points("one", pairs()).lines("two", pairs().map(|(x, y)| estimate(x, y)));
                chart.marks("one", pairs().map(|(x, y)| estimate(x, y)));
                chart.bins("three", pairs().map(|(x, y)| Bin { from: x, to: y, mean: x, spread: y, count: 1 }));
                let text = chart.svg().unwrap();
                assert!(text.trim_end().ends_with("</svg>") && !text.contains("NaN"), "{axes:?} {n}");
                assert!(text.contains("a &lt; b &amp; &quot;c&quot;"));
            }
        }
    }

    /// Places and texts of a chart in SVG.
    fn texts(svg: &str) -> Vec<(f64, f64, String)> {
        let mut found = Vec::new();
        for part in svg.split("<text ").skip(1) {
            let number = |name: &str| {
                let from = part.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
                part[from..].split('"').next().unwrap().parse().unwrap()
            };
            let text = part.split_once('>').unwrap().1.split('<').next().unwrap().trim();
            found.push((number("x"), number("y"), text.to_string()));
        }
        found
    }

    #[test]
    fn names_stand_at_the_ends_of_their_lines() {
        let mut chart = Chart::new("t", Axis::linear("x"), Axis::linear("y"));
        let line = |to: f64, x: f64| (0..=10).map(move |i| estimate(x * f64::from(i) / 10.0, to * f64::from(i) / 10.0));
        // In an order that is not that of their ends.
        chart.lines("middle", line(5.0, 10.0)).lines("low", line(1.0, 10.0)).lines("high", line(9.0, 4.0));
        chart.marks("one mark", [estimate(10.0, 7.0)]);
        chart.points("dots", [(1.0, 1.0), (2.0, 2.0)]);
        let found = texts(&chart.svg().unwrap());
        let at = |name: &str| found.iter().filter(|t| t.2 == name).map(|t| (t.0, t.1)).collect::<Vec<_>>();
        let names = ["dots", "high", "one mark", "middle", "low"];
        let places: Vec<(f64, f64)> = names.iter().flat_map(|name| at(name)).collect();
        assert_eq!(places.len(), 5, "each once");
        assert!(places.windows(2).all(|p| p[0].1 < p[1].1 && p[0].0 == p[1].0), "{places:?}");
        // The value of each is that of the tick beside it: the ends of both axes' labels tell the scale.
        let (zero, eight) = (at("0")[0].1, at("8")[0].1);
        let value = |y: f64| 8.0 * (y - zero) / (eight - zero);
        for (name, want) in [("high", 9.0), ("one mark", 7.0), ("middle", 5.0), ("low", 1.0)] {
            assert!((value(at(name)[0].1) - want).abs() < 0.35, "{name}: {} for {want}", value(at(name)[0].1));
        }
    }

    #[test]
    fn names_share_an_entry_and_dots_are_thinned() {
        let mut chart = Chart::new("t", Axis::linear("x"), Axis::linear("y"));
        chart.points("same", (0..20_000).map(|i| (f64::from(i), 1.0)));
        chart.lines("same", [estimate(0.0, 1.0), estimate(5.0, 2.0)]);
        let text = chart.svg().unwrap();
        assert_eq!(text.lines().filter(|line| line.trim() == "same").count(), 1);
        assert!(text.matches("<circle").count() <= MOST_POINTS + 1);
    }
}

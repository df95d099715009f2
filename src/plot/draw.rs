//! Draws a chart with `plotters`. Its SVG has whole coordinates only, so it is drawn four times as large and shown smaller.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::ticks::AxisScale;
use crate::{Axis, Chart, Estimate, PlotError, Shape};

/// Pixels of the drawing to one of the picture.
const FINE: i32 = 4;
/// Size of the picture, without the legend.
const SIZE: (i32, i32) = (760, 480);
/// Text sizes: title, everything else.
const TITLE: i32 = 17;
const TEXT: i32 = 13;

/// Colours that people with any kind of colour vision tell apart (after Okabe and Ito), strongest first.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(128, 78, 42),
    RGBColor(106, 61, 154),
    RGBColor(128, 132, 20),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(226, 226, 226);
const AXIS: RGBColor = RGBColor(120, 120, 120);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<AxisScale, AxisScale>>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// The chart as an SVG document.
///
/// # Errors
/// [`PlotError::Draw`].
pub fn svg(chart: &Chart) -> Result<String, PlotError> {
    let legend = side_width(chart);
    let (width, height) = (SIZE.0 + legend, SIZE.1);
    let mut text = String::new();
    {
        let size = ((width * FINE) as u32, (height * FINE) as u32);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        paint(chart, &root, legend).map_err(|e| PlotError::Draw(e.to_string()))?;
    }
    let drawn = format!("width=\"{}\" height=\"{}\"", width * FINE, height * FINE);
    Ok(text.replacen(&drawn, &format!("width=\"{width}\" height=\"{height}\""), 1))
}

fn paint<'a>(chart: &Chart, root: &Area<'a>, legend: i32) -> Drawn<'a> {
    root.fill(&WHITE)?;
    let [x, y] = scales(chart);
    let left = 34 + text_width(y.ticks.iter().map(|t| t.1.as_str()), TEXT);
    let top = if chart.note.is_empty() { 44 } else { 62 };
    let margins = (14 * FINE, 14 * FINE);
    root.draw(&Text::new(chart.title.as_str(), margins, bold(TITLE, HPos::Left)))?;
    if !chart.note.is_empty() {
        root.draw(&Text::new(chart.note.as_str(), (margins.0, 38 * FINE), font(TEXT, HPos::Left, VPos::Top)))?;
    }
    let mut builder = ChartBuilder::on(root);
    builder.margin_top(top * FINE).margin_right((16 + legend) * FINE).margin_left(8 * FINE).margin_bottom(8 * FINE);
    builder.x_label_area_size(46 * FINE).y_label_area_size(left * FINE);
    let mut plot: Plot<'a> = builder.build_cartesian_2d(x.clone(), y.clone())?;
    mesh(chart, &mut plot)?;
    let context = Context { x: &chart.x, y: &chart.y, low: (x.low, y.low), high: (x.high, y.high) };
    // Wide and pale shapes first, marks on top.
    for layer in 0..4 {
        for series in &chart.series {
            context.series(&mut plot, &series.shape, Look(series.name), layer)?;
        }
    }
    if x.ticks.is_empty() && y.ticks.is_empty() {
        let middle = ((left + SIZE.0) / 2 * FINE, SIZE.1 / 2 * FINE);
        root.draw(&Text::new("no values to show", middle, font(TEXT, HPos::Center, VPos::Center)))?;
    }
    let rows = keys(chart, root, top)?;
    // Labels stand below the legend's rows.
    let free = (top + 8 + rows, SIZE.1 - 54);
    end_labels(chart, root, &plot, &context, free)?;
    root.present()
}

/// Part of the largest x below which the smallest counts as near 0.
const NEAR_ZERO: f64 = 0.35;

/// Both scales, wide enough for all that is drawn.
fn scales(chart: &Chart) -> [AxisScale; 2] {
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    let mut add = |x: &[f64], y: f64, spread: f64| {
        let places: Vec<f64> = x.iter().filter_map(|x| chart.x.place(*x)).collect();
        let Some(middle) = chart.y.place(y) else { return };
        if places.len() == x.len() {
            xs.extend(places);
            let ends = [y - spread, y + spread].into_iter().filter_map(|v| chart.y.place(v));
            // A bar that would reach to 0 on a logarithmic axis must not flatten everything else.
            ys.extend(ends.filter(|v| !chart.y.log || (v - middle).abs() < 1.0).chain([middle]));
        }
    };
    for series in &chart.series {
        match &series.shape {
            Shape::Lines(points) | Shape::Marks(points) => points.iter().for_each(|p| add(&[p.x], p.y, p.spread)),
            Shape::Points(points) => points.iter().for_each(|p| add(&[p.0], p.1, 0.0)),
            Shape::Bins(bins) => bins.iter().for_each(|b| add(&[b.from, b.to], b.mean, b.spread)),
        }
    }
    // Amounts that begin near 0 are shown from there, as times and steps are read.
    let ends = xs.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
    if !chart.x.log && ends.0 >= 0.0 && ends.0 < NEAR_ZERO * ends.1 {
        xs.push(0.0);
    }
    [AxisScale::new(&chart.x, xs.into_iter()), AxisScale::new(&chart.y, ys.into_iter())]
}

impl Ranged for AxisScale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (first, last): (i32, i32)) -> i32 {
        let fraction = (place - self.low) / (self.high - self.low);
        first + (fraction * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let bold = !hint.weight().allow_light_points();
        self.ticks.iter().filter(|_| bold).map(|t| t.0).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for AxisScale {
    fn format_ext(&self, place: &f64) -> String {
        self.ticks.iter().find(|t| t.0 == *place).map_or(String::new(), |t| t.1.clone())
    }
}

fn mesh<'a>(chart: &Chart, plot: &mut Plot<'a>) -> Drawn<'a> {
    plot.configure_mesh()
        .bold_line_style(GRID.stroke_width(FINE as u32))
        .light_line_style(TRANSPARENT)
        .axis_style(AXIS.stroke_width(FINE as u32))
        .label_style(("sans-serif", f64::from(TEXT * FINE) * EM, &INK))
        .axis_desc_style(("sans-serif", f64::from((TEXT + 1) * FINE) * EM, &INK))
        .set_all_tick_mark_size(4 * FINE)
        .x_desc(chart.x.label.as_str())
        .y_desc(chart.y.label.as_str())
        .draw()
}

/// Colour, mark and dash of a name.
#[derive(Clone, Copy)]
struct Look(usize);

impl Look {
    fn colour(self) -> RGBColor {
        COLOURS[self.0 % COLOURS.len()]
    }

    /// True where lines are dashed: the colours repeat.
    fn dashed(self) -> bool {
        self.0 / COLOURS.len() % 2 == 1
    }

    /// Corners of the mark around its centre; none: a disc.
    fn mark(self) -> &'static [(i32, i32)] {
        match self.0 % 4 {
            0 => &[],
            1 => &[(-10, -10), (10, -10), (10, 10), (-10, 10)],
            2 => &[(0, -13), (12, 9), (-12, 9)],
            _ => &[(0, -14), (13, 0), (0, 14), (-13, 0)],
        }
    }
}

/// Half the side of marks, in pixels of the drawing.
const MARK: i32 = 5 * FINE;

/// The range that is drawn in.
struct Context<'c> {
    x: &'c Axis,
    y: &'c Axis,
    low: (f64, f64),
    high: (f64, f64),
}

impl Context<'_> {
    fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (x, y) = (self.x.place(x)?, self.y.place(y)?);
        Some((x.clamp(self.low.0, self.high.0), y.clamp(self.low.1, self.high.1)))
    }

    /// The places a spread below and above; the bottom of the axis where there is none.
    fn span(&self, y: f64, spread: f64) -> [f64; 2] {
        let place = |v: f64| self.y.place(v).unwrap_or(self.low.1).clamp(self.low.1, self.high.1);
        [place(y - spread), place(y + spread)]
    }

    /// Draws what belongs to `layer`: 0 bands, 1 dots, 2 lines, 3 bins and marks.
    fn series<'a>(&self, plot: &mut Plot<'a>, shape: &Shape, look: Look, layer: usize) -> Drawn<'a> {
        match (shape, layer) {
            (Shape::Lines(points), 0) => self.band(plot, points, look),
            (Shape::Points(points), 1) => {
                let style = look.colour().mix(if points.len() > 500 { 0.28 } else { 0.5 }).filled();
                let dots = points.iter().filter_map(|p| self.at(p.0, p.1));
                plot.draw_series(dots.map(|p| Circle::new(p, 9 * FINE / 4, style))).map(|_| ())
            }
            (Shape::Lines(points), 2) => {
                let line: Vec<_> = points.iter().filter_map(|p| self.at(p.x, p.y)).collect();
                let style = look.colour().stroke_width(2 * FINE as u32);
                let (dash, gap) = (if look.dashed() { 8 * FINE } else { 1 }, 5 * FINE);
                if look.dashed() && line.len() > 1 {
                    plot.draw_series(DashedLineSeries::new(line, dash, gap, style)).map(|_| ())
                } else {
                    plot.draw_series(LineSeries::new(line, style)).map(|_| ())
                }
            }
            (Shape::Bins(bins), 3) => bins.iter().try_for_each(|b| {
                let (Some(from), Some(to)) = (self.at(b.from, b.mean), self.at(b.to, b.mean)) else { return Ok(()) };
                let halo = WHITE.mix(0.8).stroke_width(5 * FINE as u32);
                let style = look.colour().stroke_width(3 * FINE as u32);
                let middle = 0.5 * (from.0 + to.0);
                for style in [halo, style] {
                    plot.draw_series([PathElement::new(vec![from, to], style)])?;
                }
                self.whisker(plot, middle, b.mean, b.spread, look)
            }),
            (Shape::Marks(points), 3) => points.iter().try_for_each(|p| {
                let Some(place) = self.at(p.x, p.y) else { return Ok(()) };
                self.whisker(plot, place.0, p.y, p.spread, look)?;
                plot.draw_series(
                    [EmptyElement::at(place) + Polygon::new(corners(look, (0, 0)), look.colour().filled())],
                )
                .map(|_| ())
            }),
            _ => Ok(()),
        }
    }

    fn band<'a>(&self, plot: &mut Plot<'a>, points: &[Estimate], look: Look) -> Drawn<'a> {
        if points.iter().all(|p| p.spread <= 0.0) {
            return Ok(());
        }
        let ends = |i: usize| {
            let of = move |p: &Estimate| Some((self.at(p.x, p.y)?.0, self.span(p.y, p.spread.max(0.0))[i]));
            points.iter().filter_map(of)
        };
        let mut outline: Vec<_> = ends(0).collect();
        outline.extend(ends(1).collect::<Vec<_>>().into_iter().rev());
        plot.draw_series([Polygon::new(outline, look.colour().mix(0.16).filled())]).map(|_| ())
    }

    /// An error bar at place `x`.
    fn whisker<'a>(&self, plot: &mut Plot<'a>, x: f64, y: f64, spread: f64, look: Look) -> Drawn<'a> {
        if spread.is_nan() || spread <= 0.0 {
            return Ok(());
        }
        let [low, high] = self.span(y, spread);
        let style = look.colour().stroke_width(3 * FINE as u32 / 2);
        plot.draw_series([PathElement::new(vec![(x, low), (x, high)], style)])?;
        let cap = |place: f64| EmptyElement::at((x, place)) + PathElement::new(vec![(-MARK, 0), (MARK, 0)], style);
        plot.draw_series([cap(low), cap(high)]).map(|_| ())
    }
}

/// The corners of a mark about `centre`; a disc is a polygon of many.
fn corners(look: Look, centre: (i32, i32)) -> Vec<(i32, i32)> {
    let scaled = |v: i32| v * MARK / 10;
    match look.mark() {
        [] => (0..32)
            .map(|i| f64::from(i) * std::f64::consts::TAU / 32.0)
            .map(|a| (a.cos() * f64::from(MARK) * 1.1, a.sin() * f64::from(MARK) * 1.1))
            .map(|(x, y)| (centre.0 + x.round() as i32, centre.1 + y.round() as i32))
            .collect(),
        list => list.iter().map(|(x, y)| (centre.0 + scaled(*x), centre.1 + scaled(*y))).collect(),
    }
}

/// Longest name of the legend, in characters.
const LONGEST: usize = 40;

fn shown(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.into();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// Width beside the axes for the legend and the labels of lines.
fn side_width(chart: &Chart) -> i32 {
    let names: Vec<String> = chart.names.iter().map(|n| shown(n)).collect();
    let widest = text_width(names.iter().map(String::as_str), TEXT);
    if widest == 0 { 0 } else { widest + 56 }
}

/// The shapes of the name with this index.
fn shapes(chart: &Chart, index: usize) -> impl Iterator<Item = &Shape> {
    chart.series.iter().filter(move |s| s.name == index).map(|s| &s.shape)
}

/// The place that a name is written beside: the end of its line, or its one mark. `None` for names of the legend.
fn end_of(chart: &Chart, context: &Context<'_>, index: usize) -> Option<(f64, f64)> {
    let last = |points: &[Estimate]| {
        let placed = points.iter().filter_map(|p| context.at(p.x, p.y));
        placed.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let ends = |of: fn(&Shape) -> Option<&[Estimate]>| {
        shapes(chart, index).filter_map(of).filter_map(last).max_by(|a, b| a.0.total_cmp(&b.0))
    };
    ends(|shape| if let Shape::Lines(points) = shape { Some(points) } else { None }).or_else(|| {
        ends(|shape| match shape {
            Shape::Marks(points) if points.len() == 1 => Some(points),
            _ => None,
        })
    })
}

/// Returns whether a name is written beside the end of its line or its one mark rather than in the legend.
fn is_labelled(chart: &Chart, index: usize) -> bool {
    let has_points = shapes(chart, index).any(|s| matches!(s, Shape::Points(_) | Shape::Bins(_)));
    let has_line = shapes(chart, index).any(|s| matches!(s, Shape::Lines(_)));
    let marks = shapes(chart, index).filter_map(|s| if let Shape::Marks(m) = s { Some(m.len()) } else { None });
    !has_points && (has_line || marks.sum::<usize>() == 1)
}

/// Pixels from one line of the legend or label to the next.
const PITCH: i32 = 18;

/// Positions nearest to `wanted`, which ascend, in the mean of squares, at least `pitch` apart and from `low` to `high`, as far
/// as they fit: the isotonic regression of the positions less those of an even row.
fn spread(wanted: &[f64], pitch: f64, low: f64, high: f64) -> Vec<f64> {
    // Blocks of labels that touch: sum of their wanted places, and their number.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (i, place) in wanted.iter().enumerate() {
        blocks.push((place - i as f64 * pitch, 1));
        while let [.., (a, n), (b, m)] = blocks[..]
            && a / n as f64 > b / m as f64
        {
            blocks.truncate(blocks.len() - 2);
            blocks.push((a + b, n + m));
        }
    }
    let top = (high - wanted.len().saturating_sub(1) as f64 * pitch).max(low);
    let starts = blocks.iter().flat_map(|(sum, n)| std::iter::repeat_n((sum / *n as f64).clamp(low, top), *n));
    starts.enumerate().map(|(i, start)| start + i as f64 * pitch).collect()
}

/// Names beside the ends of their lines, right of the axes between `free` rows, with a thin line to those that end elsewhere.
fn end_labels<'a>(
    chart: &Chart,
    root: &Area<'a>,
    plot: &Plot<'a>,
    context: &Context<'_>,
    free: (i32, i32),
) -> Drawn<'a> {
    let named = (0..chart.names.len()).filter(|i| !chart.names[*i].is_empty() && is_labelled(chart, *i));
    let mut labels: Vec<(usize, (i32, i32))> = named
        .filter_map(|i| Some((i, end_of(chart, context, i)?)))
        .map(|(i, end)| (i, plot.backend_coord(&end)))
        .collect();
    labels.sort_by_key(|(i, (_, y))| (*y, *i));
    let pitch = ((free.1 - free.0) / labels.len().max(1) as i32).clamp(12, PITCH) * FINE;
    let wanted: Vec<f64> = labels.iter().map(|(_, (_, y))| f64::from(*y)).collect();
    let [low, high] = [free.0, free.1].map(|y| f64::from(y * FINE));
    let places = spread(&wanted, f64::from(pitch), low, high);
    let left = (SIZE.0 + 4) * FINE;
    for ((index, end), y) in labels.into_iter().zip(places) {
        let (y, look) = (y.round() as i32, Look(index));
        let from = (end.0 + 2 * MARK).min(left - 4 * FINE);
        leader(root, (from, end.1), (left, y), look)?;
        swatch(chart, root, index, left, y)?;
        let text = shown(&chart.names[index]);
        root.draw(&Text::new(text, (left + 32 * FINE, y), font(TEXT, HPos::Left, VPos::Center)))?;
    }
    Ok(())
}

/// Longest line to a label that is drawn whole, in pixels; longer ones are dotted, so that nobody takes them for data.
const WHOLE: i32 = 40;

/// A thin line from the end of a line to its label.
fn leader<'a>(root: &Area<'a>, from: (i32, i32), to: (i32, i32), look: Look) -> Drawn<'a> {
    let style = look.colour().mix(0.55).stroke_width(FINE as u32);
    let length = to.0 - from.0;
    if length <= WHOLE * FINE {
        return root.draw(&PathElement::new(vec![from, to], style));
    }
    let at = |x: i32| (from.0 + x, from.1 + (i64::from(to.1 - from.1) * i64::from(x) / i64::from(length)) as i32);
    let (dot, gap) = (2 * FINE, 7 * FINE);
    (0..length).step_by((dot + gap) as usize).try_for_each(|x| {
        let end = (x + dot).min(length);
        root.draw(&PathElement::new(vec![at(x), at(end)], style))
    })
}

/// Line and mark of a name, as its series has them, from `x` on.
fn swatch<'a>(chart: &Chart, root: &Area<'a>, index: usize, x: i32, y: i32) -> Drawn<'a> {
    let look = Look(index);
    if shapes(chart, index).any(|s| matches!(s, Shape::Lines(_) | Shape::Bins(_))) {
        let style = look.colour().stroke_width(5 * FINE as u32 / 2);
        let ends = |from: i32, to: i32| PathElement::new(vec![(x + from * FINE, y), (x + to * FINE, y)], style);
        if look.dashed() {
            [(0, 10), (14, 24)].into_iter().try_for_each(|(from, to)| root.draw(&ends(from, to)))?;
        } else {
            root.draw(&ends(0, 24))?;
        }
    }
    if shapes(chart, index).any(|s| matches!(s, Shape::Marks(_))) {
        root.draw(&Polygon::new(corners(look, (x + 12 * FINE, y)), look.colour().filled()))?;
    } else if shapes(chart, index).any(|s| matches!(s, Shape::Points(_))) {
        root.draw(&Circle::new((x + 12 * FINE, y), 3 * FINE, look.colour().mix(0.7).filled()))?;
    }
    Ok(())
}

/// The legend, right of the axes: names that no label beside a line says. Its height in pixels.
fn keys<'a>(
    chart: &Chart,
    root: &Area<'a>,
    top: i32,
) -> Result<i32, DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let entries: Vec<usize> =
        (0..chart.names.len()).filter(|i| !chart.names[*i].is_empty() && !is_labelled(chart, *i)).collect();
    // Many names stand closer.
    let room = SIZE.1 - top - 20;
    let pitch = (room / entries.len().max(1) as i32).clamp(12, PITCH + 4);
    for (row, index) in entries.iter().enumerate() {
        let (x, y) = ((SIZE.0 + 4) * FINE, (top + 8 + pitch * row as i32) * FINE);
        swatch(chart, root, *index, x, y)?;
        root.draw(&Text::new(shown(&chart.names[*index]), (x + 32 * FINE, y), font(TEXT, HPos::Left, VPos::Center)))?;
    }
    Ok(pitch * entries.len() as i32)
}

/// Divisor that `plotters` applies to font sizes in its SVG.
const EM: f64 = 1.24;

fn font(size: i32, h: HPos, v: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", f64::from(size * FINE) * EM).into_font();
    TextStyle::from(font).color(&INK).pos(Pos::new(h, v))
}

fn bold(size: i32, h: HPos) -> TextStyle<'static> {
    let font = ("sans-serif", f64::from(size * FINE) * EM).into_font().style(FontStyle::Bold);
    TextStyle::from(font).color(&INK).pos(Pos::new(h, VPos::Top))
}

/// About how wide the widest of some texts is, in pixels of the picture.
fn text_width<'t>(texts: impl Iterator<Item = &'t str>, size: i32) -> i32 {
    let widest = texts.map(|t| t.chars().count() as i32).max().unwrap_or(0);
    (widest * size * 58 + 99) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance_and_stay_near_their_lines() {
        let close = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        // Far apart: each at its line. Together: evenly about their middle, in their order.
        assert!(close(&spread(&[10.0, 60.0, 90.0], 20.0, 0.0, 200.0), &[10.0, 60.0, 90.0]));
        assert!(close(&spread(&[50.0, 50.0, 50.0], 20.0, 0.0, 200.0), &[30.0, 50.0, 70.0]));
        assert!(close(&spread(&[50.0, 52.0, 150.0], 20.0, 0.0, 200.0), &[41.0, 61.0, 150.0]));
        // At the edges they turn inwards.
        assert!(close(&spread(&[0.0, 1.0], 20.0, 0.0, 200.0), &[0.0, 20.0]));
        assert!(close(&spread(&[199.0, 200.0], 20.0, 0.0, 200.0), &[180.0, 200.0]));
        // Three that push each other: the least squares of positions 20 apart.
        let placed = spread(&[40.0, 55.0, 60.0], 20.0, 0.0, 200.0);
        assert!(close(&placed, &[95.0 / 3.0, 155.0 / 3.0, 215.0 / 3.0]), "{placed:?}");
        assert!(spread(&[], 20.0, 0.0, 1.0).is_empty());
    }
}

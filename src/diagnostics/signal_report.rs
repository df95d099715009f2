//! Section of a report on pictures and sounds: the spectrum's gradient, F and its divergence, against edges and texture.

use nstr_field::jet::{Order, norm};
use nstr_field::model::Model;
use nstr_field::point_evaluator::PointEvaluator;
use nstr_image::Rgba8;
use nstr_image::colormap::{diverging_colormap, sequential_colormap};
use nstr_plot::format::{fixed, short};
use nstr_plot::{Axis, Chart, Estimate};
use serde_json::{Value, json};

use crate::feature_set;
use crate::feature_set::{FeatureSet, GRADIENT_NORM, NullModels, TRANSPORT_RESIDUAL};
use crate::null_models::FieldParameters;
use crate::regions::{COARSE_SIGMA, EDGE_RATIO, FINE_SIGMA, Region, SMOOTH_THRESHOLD, energy, regions};
use crate::report::{ReportImage, ReportPart, ReportSection, ReportTable};
use crate::stats::{auc, blocks, magnitude_quantile, mean};

/// Points at which a signal is evaluated: `size` columns and rows (one row for a sound).
#[derive(Clone, Debug, PartialEq)]
pub struct SampleGrid {
    /// Columns and rows.
    pub size: (usize, usize),
    /// Field coordinates, `[row][column][dim]`.
    pub x: Vec<f64>,
}

impl SampleGrid {
    /// Centres of boxes of `n`×`n` of the `width` × `height` pixels that fill the unit square; what is left over at the right
    /// and the bottom is left out.
    pub fn of_image(width: usize, height: usize, n: usize) -> Self {
        let n = n.max(1);
        let (w, h) = (width / n, height / n);
        let at = |i: usize, whole: usize| (i as f64 + 0.5) * n as f64 / whole as f64;
        let x = (0..w * h).flat_map(|i| [at(i % w, width), at(i / w, height)]).collect();
        Self { size: (w, h), x }
    }

    /// The first `count` of `frames` frames that fill the unit interval.
    pub fn of_audio(frames: usize, count: usize) -> Self {
        let count = count.min(frames);
        Self { size: (count, 1), x: (0..count).map(|i| (i as f64 + 0.5) / frames as f64).collect() }
    }
}

/// Input of [`analyze`].
#[derive(Clone, Copy, Debug)]
pub struct SignalInput<'a> {
    /// The model, of one or two coordinates.
    pub model: &'a Model,
    /// It before any training.
    pub untrained: &'a FieldParameters,
    /// Points to evaluate it at.
    pub points: &'a SampleGrid,
    /// The signal that it was fitted to at the points, `[point][outputs]`; the field's own values without it.
    pub reference: Option<&'a [f64]>,
    /// A field without spectrum that was fitted to the same signal, or the reason why there is none.
    pub without_spectrum: Result<&'a FieldParameters, &'a str>,
}

/// The field at the points of a [`SampleGrid`].
struct FieldSamples {
    size: (usize, usize),
    dim: usize,
    values: Vec<f64>,
    outputs: usize,
    /// S, `[point][k]`.
    spectrum: Vec<f64>,
    width: usize,
    gradient_norm: Vec<f64>,
    residual: Vec<f64>,
    divergence: Vec<f64>,
    /// F, `[point][k][dim]`; empty without F.
    flow: Vec<f64>,
}

impl FieldSamples {
    fn new(probe: &PointEvaluator<'_>, points: &SampleGrid) -> Self {
        let rows = probe.eval_many(&points.x, Order::First, |_, at| {
            let flow = at.transport.as_ref().map_or(Vec::new(), |f| f.values().to_vec());
            (
                at.value.values().to_vec(),
                at.spectrum.values().to_vec(),
                [at.spectrum.gradient_norm(), at.residual().unwrap_or(f64::NAN), at.divergence().unwrap_or(f64::NAN)],
                flow,
            )
        });
        let spec = probe.spec();
        let column = |c: usize| rows.iter().map(|r| r.2[c]).collect();
        Self {
            size: points.size,
            dim: spec.dim,
            outputs: spec.outputs,
            width: rows.first().map_or(0, |r| r.1.len()),
            gradient_norm: column(0),
            residual: column(1),
            divergence: column(2),
            values: rows.iter().flat_map(|r| r.0.clone()).collect(),
            spectrum: rows.iter().flat_map(|r| r.1.clone()).collect(),
            flow: rows.into_iter().flat_map(|r| r.3).collect(),
        }
    }

    fn has_flow(&self) -> bool {
        !self.flow.is_empty()
    }
}

/// Name of the quantity that measures are correlated with.
const TARGET: &str = "gradient of the signal";
/// Cells along the longest side of a picture that count as one observation each.
const IMAGE_BLOCKS: u32 = 24;
/// Cells of a sound.
const AUDIO_BLOCKS: u32 = 200;

/// Analyses a picture or a sound: a section of the report with its numbers.
pub fn analyze(input: &SignalInput<'_>, seed: u64) -> (ReportSection, Value) {
    let probe = PointEvaluator::new(&input.model.spec, &input.model.grid, &input.model.net);
    let samples = FieldSamples::new(&probe, input.points);
    let signal = input.reference.unwrap_or(&samples.values);
    let found = regions(signal, samples.outputs, samples.size);
    let nulls = NullModels { without_spectrum: input.without_spectrum, untrained: input.untrained };
    let mut model = FeatureSet::of_model(&probe, &input.points.x, None);
    if samples.has_flow() {
        model.measures.push(("|∇·F|", samples.divergence.iter().map(|d| d.abs()).collect()));
    }
    let sets = nulls.beside(model, &probe, &input.points.x, None, seed);
    let target: Vec<f64> = energy(signal, samples.outputs, samples.size).iter().map(|e| e.sqrt()).collect();
    let cells_along = if samples.dim == 1 { AUDIO_BLOCKS } else { IMAGE_BLOCKS };
    let blocks = blocks(&input.points.x, samples.dim, cells_along);
    let rows = feature_set::correlations(&sets, &[(TARGET.into(), target)], &blocks, seed);
    let edges: Vec<bool> = found.iter().map(|r| *r == Region::Edge).collect();
    let mut section = ReportSection::new("Edges, texture and the spectrum");
    (section.answer, section.verdict, section.evidence) =
        feature_set::verdict(&rows, GRADIENT_NORM, TARGET, "the signal's edges and texture");
    let share = |r: Region| 100.0 * found.iter().filter(|f| **f == r).count() as f64 / found.len().max(1) as f64;
    let shares: Vec<String> = Region::ALL.iter().map(|r| format!("{} {} %", r.name(), short(share(*r)))).collect();
    section.text(format!(
        "{} points, regions by the {}: with the energy of differences blurred over {FINE_SIGMA} and over {COARSE_SIGMA} samples, smooth \
         where the first is below {SMOOTH_THRESHOLD} of its mean, an edge where it is {EDGE_RATIO} times the second or more, texture \
         elsewhere ({}).",
        found.len(),
        if input.reference.is_some() { "reference" } else { "field's own values (no reference was given)" },
        shares.join(", ")
    ));
    if samples.dim == 1 {
        audio_parts(&samples, signal, &found, &mut section)
    } else {
        image_parts(&samples, signal, &found, &mut section)
    };
    if let Err(why) = input.without_spectrum {
        section.text(format!("No field without spectrum was fitted for comparison: {why}."));
    }
    let table = region_table(&sets, &found, &edges);
    section.parts.push(ReportPart::Table(table.0, REGIONS.into()));
    section.parts.push(ReportPart::Table(feature_set::table(&rows, true), SPEARMAN.into()));
    let numbers = json!({
        "places": found.len(),
        "shares": Region::ALL.iter().map(|r| (r.name(), share(*r) / 100.0)).collect::<std::collections::BTreeMap<_, _>>(),
        "regions": table.1, "correlations": rows, "without_spectrum": input.without_spectrum.err(),
        "mean_absolute_divergence": mean(&samples.divergence.iter().map(|d| d.abs()).collect::<Vec<_>>()),
    });
    (section, numbers)
}

const REGIONS: &str = "Of latent grids ∇S means ∇z. Means over each region over the field's mean everywhere, and how well the measure tells edges from the rest \
    (area under the ROC curve, 0.5 is chance). Expected if the spectrum follows the signal: large at edges, small where it is \
    smooth, and more so than in the latent grid. Expected under the null: as in the latent grid; 1.00 and 0.5 where untrained \
    or shuffled.";
const SPEARMAN: &str = "Spearman's ρ of the measures against the length of the signal's differences, with 95 % intervals from \
    drawing blocks of neighbours with replacement.";

/// Means by region, relative to the whole, and the area under the curve of edges against the rest.
fn region_table(sets: &[FeatureSet], found: &[Region], edges: &[bool]) -> (ReportTable, Value) {
    let mut table = ReportTable::new(["field", "measure"]);
    table.header.extend(Region::ALL.map(|r| r.name().to_string()));
    table.header.push("AUC of edges".into());
    let mut rows = Vec::new();
    for (i, set) in sets.iter().enumerate() {
        for (measure, values) in &set.measures {
            let whole = mean(values);
            let of = |region: Region| {
                let part: Vec<f64> = values.iter().zip(found).filter(|(_, r)| **r == region).map(|(v, _)| *v).collect();
                mean(&part) / whole
            };
            let means = Region::ALL.map(of);
            let area = auc(values, edges);
            if i == 0 {
                table.strong.push(table.rows.len());
            }
            let cells = means.iter().map(|m| if m.is_nan() { "–".into() } else { fixed(*m, 2) }).chain([short(area)]);
            table.row([set.name.clone(), measure.to_string()].into_iter().chain(cells));
            rows.push(json!({
                "subject": set.name, "measure": measure, "mean": whole,
                "edges": means[0], "texture": means[1], "smooth": means[2], "auc_of_edges": area,
            }));
        }
    }
    (table, Value::from(rows))
}

/// Fraction of the values within the range of the colours.
const COLOUR_RANGE: f64 = 0.98;

fn largest(values: &[f64]) -> f64 {
    magnitude_quantile(values.iter().copied(), COLOUR_RANGE).max(f64::MIN_POSITIVE)
}

fn bytes([r, g, b]: [f32; 3]) -> [u8; 4] {
    [r, g, b, 1.0].map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8)
}

/// A picture of `size` in false colours, dark 0 to yellow `most`.
fn positive(values: &[f64], size: (usize, usize), most: f64) -> Rgba8 {
    Rgba8::from_fn(size.0 as u32, size.1 as u32, |i| bytes(sequential_colormap((values[i] / most) as f32)))
}

/// A picture of `size`, blue −`most` over grey 0 to red `most`.
fn signed(values: &[f64], size: (usize, usize), most: f64) -> Rgba8 {
    Rgba8::from_fn(size.0 as u32, size.1 as u32, |i| bytes(diverging_colormap((values[i] / most) as f32)))
}

/// A vector as a colour: hue by direction (red along +x, then yellow, green, cyan, blue, magenta as it turns towards +y and
/// on), brightness by length over `most`.
pub fn flow_colour(u: f64, v: f64, most: f64) -> [f32; 3] {
    let turn = v.atan2(u).rem_euclid(std::f64::consts::TAU) / std::f64::consts::TAU * 6.0;
    let bright = (u.hypot(v) / most).clamp(0.0, 1.0);
    std::array::from_fn(|c| {
        let away = (turn + [0.0, 4.0, 2.0][c]).rem_euclid(6.0) - 3.0;
        (bright * (away.abs() - 1.0).clamp(0.0, 1.0)) as f32
    })
}

/// Channels of S that get a picture.
const CHANNELS: usize = 8;

fn image_parts(samples: &FieldSamples, signal: &[f64], found: &[Region], section: &mut ReportSection) {
    let (size, n) = (samples.size, samples.size.0 * samples.size.1);
    let plain = |values: &[f64]| {
        Rgba8::from_fn(size.0 as u32, size.1 as u32, |i| {
            let c = |c: usize| values[i * samples.outputs + if samples.outputs >= 3 { c } else { 0 }] as f32;
            bytes([c(0), c(1), c(2)])
        })
    };
    let parts = Rgba8::from_fn(size.0 as u32, size.1 as u32, |i| {
        bytes(match found[i] {
            Region::Smooth => [0.93, 0.93, 0.92],
            Region::Texture => [0.0, 0.62, 0.45],
            Region::Edge => [0.84, 0.37, 0.0],
        })
    });
    let steepest = largest(&samples.gradient_norm);
    let mut first = vec![
        ReportImage::new("signal", plain(signal), "The signal."),
        ReportImage::new("regions", parts, "Regions: edges orange, texture green, smooth grey."),
        ReportImage::new(
            "grad-s",
            positive(&samples.gradient_norm, size, steepest),
            format!("‖∇S‖, dark 0 to yellow {} per edge.", short(steepest)),
        )
        .with_bar("‖∇S‖", "per edge", (0.0, steepest), &sequential_colormap),
    ];
    if samples.has_flow() {
        let (residual, divergence) = (largest(&samples.residual), largest(&samples.divergence));
        let caption = format!("‖∇S − F‖, dark 0 to yellow {} per edge.", short(residual));
        let picture = ReportImage::new("residual", positive(&samples.residual, size, residual), caption);
        first.push(picture.with_bar("‖∇S − F‖", "per edge", (0.0, residual), &sequential_colormap));
        let caption = format!("Divergence of F summed over S, blue to red ±{} per edge squared.", short(divergence));
        let picture = ReportImage::new("divergence", signed(&samples.divergence, size, divergence), caption);
        let colour = |t: f32| diverging_colormap(2.0 * t - 1.0);
        first.push(picture.with_bar("∇·F", "per edge²", (-divergence, divergence), &colour));
    }
    let text = "Expected if the spectrum follows the signal: ‖∇S‖ bright at edges (orange), dark in smooth parts. Expected under \
                the null: the pattern of the grid's cells. Colours span 98 % of the values.";
    section.parts.push(ReportPart::Pictures(first, text.into()));
    let channel = |k: usize| -> Vec<f64> { (0..n).map(|i| samples.spectrum[i * samples.width + k]).collect() };
    let spectra = (0..CHANNELS.min(samples.width)).map(|k| {
        let values = channel(k);
        let centre = mean(&values);
        let moved: Vec<f64> = values.iter().map(|v| v - centre).collect();
        let most = largest(&moved);
        let caption = format!("S of base {k}: {} ± {}.", short(centre), short(most));
        ReportImage::new(format!("s-{k}"), signed(&moved, size, most), caption)
    });
    section.parts.push(ReportPart::Pictures(
        spectra.collect(),
        format!("The first of {} values of S about their means.", samples.width),
    ));
    if samples.has_flow() {
        section.parts.push(flows(samples));
    }
}

/// F of the bases whose flow is strongest.
fn flows(samples: &FieldSamples) -> ReportPart {
    let (n, k) = (samples.size.0 * samples.size.1, samples.width);
    let at =
        |i: usize, k: usize| [samples.flow[(i * samples.width + k) * 2], samples.flow[(i * samples.width + k) * 2 + 1]];
    let strength = |k: usize| (0..n).map(|i| norm(&at(i, k)).powi(2)).sum::<f64>();
    let mut order: Vec<(usize, f64)> = (0..k).map(|k| (k, strength(k))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let list = order.iter().take(4).map(|(k, _)| {
        let most = largest(&(0..n).map(|i| norm(&at(i, *k))).collect::<Vec<_>>());
        let colour = |i: usize| {
            let [u, v] = at(i, *k);
            bytes(flow_colour(u, v, most))
        };
        let image = Rgba8::from_fn(samples.size.0 as u32, samples.size.1 as u32, colour);
        ReportImage::new(format!("flow-{k}"), image, format!("F of base {k}, up to {} per edge.", short(most)))
    });
    let text = "F(x, S), what the transport network says S changes by: hue is direction (red right, green-yellow down, cyan left, \
                violet up), brightness is length. Untrained F (λ_pde = 0) shows arbitrary flows.";
    ReportPart::Pictures(list.collect(), text.into())
}

/// Pixels along a sound.
const COLUMNS: usize = 900;

fn audio_parts(samples: &FieldSamples, signal: &[f64], found: &[Region], section: &mut ReportSection) {
    let frames = samples.size.0;
    let columns = COLUMNS.min(frames);
    let part = |c: usize| c * frames / columns..((c + 1) * frames / columns).max(c * frames / columns + 1);
    let over = |values: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..columns).map(|c| mean(&part(c).map(values).collect::<Vec<_>>())).collect()
    };
    let (rows, height) = (samples.width.min(64), 6);
    let strips: Vec<Vec<f64>> = (0..rows)
        .map(|k| {
            let values = over(&|i| samples.spectrum[i * samples.width + k]);
            let centre = mean(&values);
            let most = largest(&values.iter().map(|v| v - centre).collect::<Vec<_>>());
            values.iter().map(|v| (v - centre) / most).collect()
        })
        .collect();
    let image = Rgba8::from_fn(columns as u32, (rows * height) as u32, |i| {
        bytes(diverging_colormap(strips[i / columns / height][i % columns] as f32))
    });
    let caption = "S over time, a row a value, each about its mean and over its range.";
    if rows > 0 {
        section.parts.push(ReportPart::Pictures(vec![ReportImage::new("spectrum", image, caption)], String::new()));
    }
    let time = |c: usize| (c as f64 + 0.5) / columns as f64;
    let curve = |values: Vec<f64>| -> Vec<Estimate> {
        let scale = 1.0 / mean(&values);
        values.iter().enumerate().map(|(c, v)| Estimate { x: time(c), y: v * scale, spread: 0.0 }).collect()
    };
    let mut chart =
        Chart::new("Spectrum over time", Axis::linear("time, in lengths of the sound"), Axis::linear("over its mean"));
    let outputs = samples.outputs;
    chart.lines("level of the sound", curve(over(&|i| norm(&signal[i * outputs..(i + 1) * outputs]))));
    chart.lines(GRADIENT_NORM, curve(over(&|i| samples.gradient_norm[i])));
    if samples.has_flow() {
        chart.lines(TRANSPORT_RESIDUAL, curve(over(&|i| samples.residual[i])));
    }
    let share = over(&|i| f64::from(u8::from(found[i] == Region::Edge)));
    if share.iter().any(|s| *s > 0.0) {
        chart.note("onsets and other edges are those regions that stand alone; see the table");
    }
    section.parts.push(ReportPart::Chart(
        "time".into(),
        chart,
        "Means over short stretches, each over its own mean.".into(),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::init::InitConfig;
    use nstr_spec::*;
    use std::collections::BTreeMap;

    fn model(dim: usize) -> Model {
        let mlp = |layers| MlpSpec::new(layers, 8, Activation::Relu);
        let levels = vec![LevelSpec::new(4, None)];
        let mut spec = nstr_spec::config::preset("sdf-tiny").unwrap().spec();
        (spec.dim, spec.outputs, spec.basis) = (dim, 3 - dim.min(2) + 1, 6);
        spec.latent = LatentSpec { levels, features: 3, ..spec.latent.clone() };
        (spec.spectrum, spec.decoder, spec.transport) = (mlp(1), mlp(1), mlp(1));
        let made = FieldParameters::random(&spec, &InitConfig { grid_scale: 1.0, ..InitConfig::default() });
        Model {
            spec,
            map: Default::default(),
            units: String::new(),
            grid: made.grid,
            net: made.net,
            config: Value::Null,
            provenance: BTreeMap::new(),
            metrics: BTreeMap::new(),
            occupancy: None,
        }
    }

    #[test]
    fn pictures_and_sounds_are_analysed() {
        for (dim, points) in [(2, SampleGrid::of_image(81, 60, 2)), (1, SampleGrid::of_audio(4000, 3000))] {
            let model = model(dim);
            let untrained = FieldParameters::random(&model.spec, &InitConfig::default());
            let null = Err("there is none");
            let untrained = &untrained;
            let input =
                SignalInput { model: &model, untrained, points: &points, reference: None, without_spectrum: null };
            let (section, numbers) = analyze(&input, 0);
            let evidence = &section.evidence;
            assert!(evidence.starts_with("Spearman's ρ(‖∇S‖, gradient of the signal) ="), "{evidence}");
            let regions = numbers["regions"].as_array().unwrap();
            assert!(regions.iter().all(|r| r["mean"].as_f64().unwrap() >= 0.0));
            let pictures = section.parts.iter().filter(|p| matches!(p, ReportPart::Pictures(..))).count();
            assert_eq!(pictures, if dim == 2 { 3 } else { 1 });
            let reference = vec![0.5; points.size.0 * points.size.1 * model.spec.outputs];
            // A flat reference has no edges; nothing may panic.
            analyze(&SignalInput { reference: Some(&reference), ..input }, 0);
        }
    }

    #[test]
    fn directions_have_their_hues() {
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(flow_colour(2.0, 0.0, 2.0), [1.0, 0.0, 0.0]));
        assert!(close(flow_colour(-1.0, 0.0, 2.0), [0.0, 0.5, 0.5]));
        assert!(close(flow_colour(0.0, 9.0, 2.0), [0.5, 1.0, 0.0]));
        assert!(close(flow_colour(0.0, -2.0, 2.0), [0.5, 0.0, 1.0]));
        assert!(close(flow_colour(0.0, 0.0, 2.0), [0.0; 3]));
    }
}

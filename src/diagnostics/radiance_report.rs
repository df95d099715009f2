//! Section of a report on radiance fields: the spectrum's gradient against jumps of depth.

use glam::DVec3;
use nstr_camera::CameraModel;
use nstr_field::model::Model;
use nstr_field::point_evaluator::PointEvaluator;
use nstr_image::Rgba8;
use nstr_image::colormap::sequential_colormap;
use nstr_plot::format::short;
use nstr_render::RenderError;
use nstr_render::RenderSettings;
use nstr_render::volume::VolumeRenderer;
use nstr_render::{Frame, Layer, LayerSet};
use nstr_render::{ValueRange, layer_image, layer_range};
use nstr_space::SceneMap;
use serde_json::{Value, json};

use crate::feature_set;
use crate::feature_set::{CorrelationRow, FeatureSet, GRADIENT_NORM, NullModels, TRANSPORT_RESIDUAL};
use crate::null_models::FieldParameters;
use crate::report::{Answer, ReportImage, ReportPart, ReportSection, ReportTable};
use crate::stats::{auc, magnitude_quantile};

/// Second difference of depth between neighbouring pixels, over the depth, above which a pixel counts as a depth edge. Slanted
/// planes have none.
pub const DEPTH_EDGE_RATIO: f32 = 0.03;
/// Least alpha of the pixels that are analysed.
const MIN_ALPHA: f32 = 0.5;
/// Pixels along the edge of the squares that count as one observation each.
const BLOCK_SIZE: u32 = 16;
/// Name of the quantity that measures are correlated with.
const TARGET: &str = "log depth jump";

/// Pixels of all views that are analysed.
#[derive(Debug, Default)]
struct Pixels {
    /// Field coordinates at the expected depth.
    x: Vec<f64>,
    jump: Vec<f64>,
    blocks: Vec<u32>,
    /// ‖∇S‖ and ‖∇S − F‖, means along the ray.
    along: [Vec<f64>; 2],
}

/// Input of [`analyze`].
pub struct RadianceInput<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its renderer.
    pub renderer: &'a VolumeRenderer<'a>,
    /// Cameras of the views.
    pub views: &'a [&'a dyn CameraModel],
    /// It before any training.
    pub untrained: &'a FieldParameters,
    /// A field without spectrum that was fitted to the same images, or the reason why there is none.
    pub without_spectrum: Result<&'a FieldParameters, &'a str>,
}

/// Analyses views of a radiance field: a section of the report with its numbers. `done` takes the fraction of the views that is
/// rendered.
///
/// # Errors
/// Views that cannot be rendered.
pub fn analyze(
    input: &RadianceInput<'_>,
    seed: u64,
    done: &mut dyn FnMut(f64),
) -> Result<(ReportSection, Value), RenderError> {
    let RadianceInput { model, renderer, views, untrained, without_spectrum } = input;
    let map = model.map;
    let layers =
        [Layer::Colour, Layer::Alpha, Layer::DepthRay, Layer::Position, Layer::SpectrumGradientNorm, Layer::Residual];
    let settings = RenderSettings { layers: LayerSet::of(&layers), ..RenderSettings::default() };
    let mut pixels = Pixels::default();
    let mut first: Option<Frame> = None;
    for (i, view) in views.iter().enumerate() {
        done(i as f64 / views.len() as f64);
        let frame = renderer.render(*view, &settings)?;
        pixels.add(&frame, &map, i as u32);
        first.get_or_insert(frame);
    }
    let probe = PointEvaluator::new(&model.spec, &model.grid, &model.net);
    let nulls = NullModels { without_spectrum: *without_spectrum, untrained };
    let model = FeatureSet::of_model(&probe, &pixels.x, None);
    let mut sets = nulls.beside(model, &probe, &pixels.x, None, seed);
    let mut along = FeatureSet { name: ALONG.into(), measures: Vec::new() };
    for (name, values) in [GRADIENT_NORM, TRANSPORT_RESIDUAL].into_iter().zip(&pixels.along) {
        if !values.is_empty() && values.len() == pixels.jump.len() {
            along.measures.push((name, values.clone()));
        }
    }
    sets.insert(1, along);
    let log: Vec<f64> = pixels.jump.iter().map(|j| (j + 1e-6).ln()).collect();
    let rows = feature_set::correlations(&sets, &[(TARGET.into(), log)], &pixels.blocks, seed);
    let jumps: Vec<bool> = pixels.jump.iter().map(|j| *j > f64::from(DEPTH_EDGE_RATIO)).collect();
    let areas: Vec<(String, &str, f64)> =
        sets.iter().flat_map(|s| s.measures.iter().map(|(m, v)| (s.name.clone(), *m, auc(v, &jumps)))).collect();
    let mut section = ReportSection::new("Depth and the spectrum");
    let area = areas.first().map_or(f64::NAN, |a| a.2);
    let (answer, words, evidence) = verdict(&rows);
    (section.answer, section.verdict) = (answer, words);
    section.evidence = format!(
        "‖∇S‖ tells jumps of depth from the rest with an area under the ROC curve (AUC) of {}, where 0.5 is chance. {evidence}",
        short(area),
    );
    section.parts.extend(first.as_ref().map(pictures));
    let share = jumps.iter().filter(|j| **j).count() as f64 / jumps.len().max(1) as f64;
    section.text(format!(
        "{} pixels of {} views that are covered by half or more and whose neighbours are too, taken at the expected depth of \
         their rays. Depth jumps where its second difference exceeds {DEPTH_EDGE_RATIO} of the depth ({} % of the pixels). Squares of \
         {BLOCK_SIZE}×{BLOCK_SIZE} pixels are drawn together for the intervals.",
        pixels.jump.len(),
        views.len(),
        short(100.0 * share)
    ));
    if let Err(why) = without_spectrum {
        section.text(format!("No field without spectrum was fitted for comparison: {why}."));
    }
    section.parts.push(ReportPart::Table(areas_table(&rows, &areas), CAPTION.into()));
    let areas: Vec<Value> =
        areas.into_iter().map(|(s, m, a)| json!({ "subject": s, "measure": m, "auc": a })).collect();
    let numbers = json!({
        "pixels": jumps.len(), "views": views.len(), "jump": DEPTH_EDGE_RATIO, "share_of_jumps": share,
        "correlations": rows, "auc": areas, "without_spectrum": without_spectrum.err(),
    });
    Ok((section, numbers))
}

const CAPTION: &str = "Spearman's ρ against the logarithm of the depth's second difference, and the area under the ROC curve \
    for telling jumps from the rest. Expected if the spectrum follows depth: the model's rows above the latent grid's. Expected \
    under the null: no better than the latent grid; what is untrained or shuffled at 0 and 0.5. At a jump the expected depth \
    lies between two surfaces, so that a point there says little of either; the mean along the ray weights both.";

/// Name of the means along rays.
const ALONG: &str = "model: mean along the ray";

/// The mean along the ray is the model's too, not a null model.
fn verdict(rows: &[CorrelationRow]) -> (Answer, String, String) {
    let kept: Vec<CorrelationRow> = rows.iter().filter(|c| c.feature_set != ALONG).cloned().collect();
    feature_set::verdict(&kept, GRADIENT_NORM, TARGET, "jumps of depth")
}

fn areas_table(rows: &[CorrelationRow], areas: &[(String, &str, f64)]) -> ReportTable {
    let mut table = feature_set::table(rows, true);
    table.header.push("AUC".into());
    table.rows.iter_mut().zip(areas).for_each(|(row, (_, _, area))| row.push(short(*area)));
    table
}

/// Second difference of depth over depth at a pixel; `None` at borders and where a neighbour is not covered.
fn jump(frame: &Frame, x: u32, y: u32) -> Option<f32> {
    let (w, h) = (frame.width, frame.height);
    let depth = |x: u32, y: u32| {
        let i = (y * w + x) as usize;
        (frame.alpha[i] >= MIN_ALPHA && frame.depth_ray[i].is_finite()).then_some(frame.depth_ray[i])
    };
    if x == 0 || y == 0 || x + 1 >= w || y + 1 >= h {
        return None;
    }
    let here = depth(x, y)?;
    let across = depth(x - 1, y)? + depth(x + 1, y)? - 2.0 * here;
    let down = depth(x, y - 1)? + depth(x, y + 1)? - 2.0 * here;
    Some(across.abs().max(down.abs()) / here)
}

impl Pixels {
    fn add(&mut self, frame: &Frame, map: &SceneMap, view: u32) {
        for y in 0..frame.height {
            for x in 0..frame.width {
                let Some(jump) = jump(frame, x, y) else { continue };
                let i = (y * frame.width + x) as usize;
                let place = map.to_unit(DVec3::from(frame.position[i].map(f64::from)));
                self.x.extend(place.to_array());
                self.jump.push(f64::from(jump));
                self.blocks.push((view * 4096 + y / BLOCK_SIZE) * 4096 + x / BLOCK_SIZE);
                for (to, from) in self.along.iter_mut().zip([&frame.grad_s, &frame.residual]) {
                    to.extend(from.get(i).map(|v| f64::from(*v)));
                }
            }
        }
    }
}

fn pictures(frame: &Frame) -> ReportPart {
    let covered = frame.grad_s.iter().map(|v| f64::from(*v)).filter(|v| *v > 0.0);
    let most = magnitude_quantile(covered, 0.98) as f32;
    let jumps = Rgba8::from_fn(frame.width, frame.height, |i| {
        let (x, y) = (i as u32 % frame.width, i as u32 / frame.width);
        let Some(jump) = jump(frame, x, y) else { return [0; 4] };
        let [r, g, b] = sequential_colormap(jump / (2.0 * DEPTH_EDGE_RATIO)).map(|v| (v * 255.0).round() as u8);
        [r, g, b, 255]
    });
    let mut list = Vec::new();
    let mut add = |name: &str, image: Option<Rgba8>, caption: String, bar: Option<(&str, &str, (f64, f64))>| {
        let picture = image.map(|image| ReportImage::new(name, image, caption));
        list.extend(picture.map(|picture| match bar {
            Some((title, unit, range)) => picture.with_bar(title, unit, range, &sequential_colormap),
            None => picture,
        }));
    };
    add("view", layer_image(frame, Layer::Colour, 0, ValueRange::Auto), "The first view.".into(), None);
    let range = layer_range(frame, Layer::DepthRay, 0).unwrap_or((0.0, 0.0));
    add(
        "depth",
        layer_image(frame, Layer::DepthRay, 0, ValueRange::Auto),
        "Expected depth, dark near to yellow far.".into(),
        Some(("depth", "world units", (range.0.into(), range.1.into()))),
    );
    let full = 2.0 * f64::from(DEPTH_EDGE_RATIO);
    add(
        "jumps",
        Some(jumps),
        format!("Second difference of depth, dark 0 to yellow {} of the depth.", short(full)),
        Some(("jump", "of the depth", (0.0, full))),
    );
    let caption = format!("‖∇S‖ along the ray, dark 0 to yellow {} per edge.", short(f64::from(most)));
    let image = layer_image(frame, Layer::SpectrumGradientNorm, 0, ValueRange::Fixed(0.0, most));
    add("grad-s", image, caption, Some(("‖∇S‖", "per edge", (0.0, most.into()))));
    let text = "Expected if the spectrum follows depth: the last picture bright where the third is.";
    ReportPart::Pictures(list, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_where_depth_breaks_and_slants_have_none() {
        let (w, h) = (12, 8);
        let depth: Vec<f32> =
            (0..w * h).map(|i| 1.0 + 0.1 * (i % w) as f32 + if i % w >= 6 { 3.0 } else { 0.0 }).collect();
        let mut frame = Frame {
            width: w,
            height: h,
            alpha: vec![1.0; 96],
            position: vec![[0.0; 3]; 96],
            depth_ray: depth,
            ..Frame::default()
        };
        for x in 1..w - 1 {
            let found = jump(&frame, x, 3).unwrap();
            assert_eq!(found > DEPTH_EDGE_RATIO, x == 5 || x == 6, "{x}: {found}");
        }
        frame.alpha[3 * w as usize + 2] = 0.1;
        assert!(jump(&frame, 2, 3).is_none() && jump(&frame, 3, 3).is_none() && jump(&frame, 0, 3).is_none());
        let mut pixels = Pixels::default();
        pixels.add(&frame, &SceneMap::default(), 0);
        assert_eq!(pixels.jump.len(), 10 * 6 - 5);
        assert_eq!(pixels.x.len(), 3 * pixels.jump.len());
    }
}

//! Radiance fields: does the spectrum change where depth jumps?

use glam::DVec3;
use serde_json::{Value, json};

use crate::nulls::{Parameters, untrained};
use crate::report::{Part, Picture, Section, Table, short};
use crate::sdf::StudyError;
use crate::stats::{auc, quantile};
use crate::subject;
use crate::subject::{RAW, RESIDUAL, Subject, Taken};
use nstr_spec::init::InitSpec;
use nstr_field::model::Model;
use nstr_field::probe::Probe;
use nstr_image::colour::false_colour;
use nstr_image::Rgba8;
use nstr_render::layers::{Range, picture};
use nstr_render::RenderSettings;
use nstr_render::volume::VolumeRenderer;
use nstr_render::{Frame, Layer, LayerSet};
use nstr_camera::caster::RayCaster;
use nstr_space::cube::UnitCube;

/// Second difference of depth between neighbouring pixels over the depth, above which depth is said to jump. Slanted
/// surfaces have none.
pub const JUMP: f32 = 0.03;
/// Least cover of pixels that are looked at.
const COVERED: f32 = 0.5;
/// Pixels along the edge of the squares that count as one observation each.
const SQUARE: u32 = 16;
/// What is correlated with.
const TARGET: &str = "log depth jump";

/// Pixels of all views that are looked at.
#[derive(Debug, Default)]
struct Pixels {
    /// Field coordinates at the expected depth.
    x: Vec<f64>,
    jump: Vec<f64>,
    blocks: Vec<u32>,
    /// ‖∇S‖ and ‖∇S − F‖, means along the ray.
    along: [Vec<f64>; 2],
}

/// What is studied.
pub struct RadianceInput<'a> {
    /// The model.
    pub model: &'a Model,
    /// What shows it.
    pub renderer: &'a VolumeRenderer<'a>,
    /// From where it is looked at.
    pub views: &'a [&'a dyn RayCaster],
    /// What its parameters began with.
    pub init: InitSpec,
    /// A field without spectrum that was fitted to the same images, or why there is none.
    pub without_spectrum: Result<&'a Parameters, &'a str>,
}

/// Studies views of a radiance field: a section of the report with its numbers.
///
/// # Errors
/// [`StudyError::Render`] where a view can't be rendered.
pub fn study(input: &RadianceInput<'_>, seed: u64) -> Result<(Section, Value), StudyError> {
    let RadianceInput { model, renderer, views, init, without_spectrum } = input;
    let cube = UnitCube::from(&model.domain);
    let layers = [Layer::Colour, Layer::Alpha, Layer::DepthRay, Layer::Position, Layer::GradS, Layer::Residual];
    let settings = RenderSettings { layers: LayerSet::of(&layers), ..RenderSettings::default() };
    let mut pixels = Pixels::default();
    let mut first: Option<Frame> = None;
    for (i, view) in views.iter().enumerate() {
        let frame = renderer.render(*view, &settings)?;
        pixels.add(&frame, cube, i as u32);
        first.get_or_insert(frame);
    }
    let probe = Probe::new(&model.spec, &model.grid, &model.net);
    let start = untrained(&model.spec, init);
    let own = if probe.has_spectrum() { "model: S" } else { "model: z, it has no S" };
    let mut subjects = vec![Subject::new(own, &probe, Taken::Spectrum, &pixels.x, None)];
    let mut along = Subject { name: "model: mean along the ray".into(), measures: Vec::new() };
    for (name, values) in [RAW, RESIDUAL].into_iter().zip(&pixels.along) {
        if !values.is_empty() && values.len() == pixels.jump.len() {
            along.measures.push((name, values.clone()));
        }
    }
    subjects.push(along);
    if probe.has_spectrum() {
        subjects.push(Subject::new("its own latent grid z", &probe, Taken::Latent, &pixels.x, None));
    }
    if let Ok(fitted) = without_spectrum {
        subjects.push(Subject::new("field without spectrum: z", &fitted.probe(), Taken::Latent, &pixels.x, None));
    }
    subjects.push(Subject::new("untrained field", &start.probe(), Taken::Spectrum, &pixels.x, None));
    subjects.push(Subject::shuffled(&subjects[0], seed));
    let log: Vec<f64> = pixels.jump.iter().map(|j| (j + 1e-6).ln()).collect();
    let cells = subject::correlations(&subjects, &[(TARGET.into(), log)], &pixels.blocks, seed);
    let jumps: Vec<bool> = pixels.jump.iter().map(|j| *j > f64::from(JUMP)).collect();
    let areas: Vec<(String, &str, f64)> =
        subjects.iter().flat_map(|s| s.measures.iter().map(|(m, v)| (s.name.clone(), *m, auc(v, &jumps)))).collect();
    let mut section = Section::new("Depth and the spectrum");
    let area = areas.first().map_or(f64::NAN, |a| a.2);
    section.verdict = format!(
        "‖∇S‖ tells jumps of depth from the rest with an AUC of {} (0.5 is chance). {}",
        short(area),
        verdict(&cells)
    );
    let share = jumps.iter().filter(|j| **j).count() as f64 / jumps.len().max(1) as f64;
    section.text(format!(
        "{} pixels of {} views that are covered by half or more and whose neighbours are too, taken at the expected depth of \
         their rays. Depth jumps where its second difference exceeds {JUMP} of the depth ({} % of the pixels). Squares of \
         {SQUARE}×{SQUARE} pixels are drawn together for the intervals.",
        pixels.jump.len(),
        views.len(),
        short(100.0 * share)
    ));
    if let Err(why) = without_spectrum {
        section.text(format!("No field without spectrum stands beside the model: {why}."));
    }
    section.parts.push(Part::Table(areas_table(&cells, &areas), CAPTION.into()));
    if let Some(frame) = &first {
        section.parts.push(pictures(frame));
    }
    let areas: Vec<Value> =
        areas.into_iter().map(|(s, m, a)| json!({ "subject": s, "measure": m, "auc": a })).collect();
    let numbers = json!({
        "pixels": jumps.len(), "views": views.len(), "jump": JUMP, "share_of_jumps": share,
        "correlations": cells, "auc": areas, "without_spectrum": without_spectrum.err(),
    });
    Ok((section, numbers))
}

const CAPTION: &str = "Spearman's ρ against the logarithm of the depth's second difference, and the area under the ROC curve \
    for telling jumps from the rest. Expected if the spectrum follows depth: the model's rows above the latent grid's. Expected \
    under the null: no better than the latent grid; what is untrained or shuffled at 0 and 0.5. At a jump the expected depth \
    lies between two surfaces, so that a point there says little of either; the mean along the ray weights both.";

/// The mean along the ray is the model's too, not a null.
fn verdict(cells: &[subject::Cell]) -> String {
    let kept: Vec<subject::Cell> = cells.iter().filter(|c| !c.subject.contains("along the ray")).cloned().collect();
    subject::verdict(&kept, RAW, TARGET)
}

fn areas_table(cells: &[subject::Cell], areas: &[(String, &str, f64)]) -> Table {
    let mut table = subject::table(cells, true);
    table.header.push("AUC".into());
    table.rows.iter_mut().zip(areas).for_each(|(row, (_, _, area))| row.push(short(*area)));
    table
}

/// Second difference of depth over depth at a pixel; `None` at borders and where a neighbour is not covered.
fn jump(frame: &Frame, x: u32, y: u32) -> Option<f32> {
    let (w, h) = (frame.width, frame.height);
    let depth = |x: u32, y: u32| {
        let i = (y * w + x) as usize;
        (frame.alpha[i] >= COVERED && frame.depth_ray[i].is_finite()).then_some(frame.depth_ray[i])
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
    fn add(&mut self, frame: &Frame, cube: UnitCube, view: u32) {
        for y in 0..frame.height {
            for x in 0..frame.width {
                let Some(jump) = jump(frame, x, y) else { continue };
                let i = (y * frame.width + x) as usize;
                let place = cube.to_unit(DVec3::from(frame.position[i].map(f64::from)));
                self.x.extend(place.to_array());
                self.jump.push(f64::from(jump));
                self.blocks.push((view * 4096 + y / SQUARE) * 4096 + x / SQUARE);
                for (to, from) in self.along.iter_mut().zip([&frame.grad_s, &frame.residual]) {
                    to.extend(from.get(i).map(|v| f64::from(*v)));
                }
            }
        }
    }
}

fn pictures(frame: &Frame) -> Part {
    let mut sorted: Vec<f64> = frame.grad_s.iter().map(|v| f64::from(*v)).filter(|v| *v > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    let most = quantile(&sorted, 0.98) as f32;
    let jumps = Rgba8::from_fn(frame.width, frame.height, |i| {
        let (x, y) = (i as u32 % frame.width, i as u32 / frame.width);
        let Some(jump) = jump(frame, x, y) else { return [0; 4] };
        let [r, g, b] = false_colour(jump / (2.0 * JUMP)).map(|v| (v * 255.0).round() as u8);
        [r, g, b, 255]
    });
    let mut list = Vec::new();
    let mut add = |name: &str, image: Option<Rgba8>, caption: String| {
        list.extend(image.map(|image| Picture::new(name, image, caption)));
    };
    add("view", picture(frame, Layer::Colour, 0, Range::Auto), "The first view.".into());
    add("depth", picture(frame, Layer::DepthRay, 0, Range::Auto), "Expected depth, dark near to yellow far.".into());
    add("jumps", Some(jumps), format!("Second difference of depth, dark 0 to yellow {} of the depth.", 2.0 * JUMP));
    let said = format!("‖∇S‖ along the ray, dark 0 to yellow {} per edge.", short(f64::from(most)));
    add("grad-s", picture(frame, Layer::GradS, 0, Range::Fixed(0.0, most)), said);
    let text = "Expected if the spectrum follows depth: the last picture bright where the third is.";
    Part::Pictures(list, text.into())
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
            assert_eq!(found > JUMP, x == 5 || x == 6, "{x}: {found}");
        }
        frame.alpha[3 * w as usize + 2] = 0.1;
        assert!(jump(&frame, 2, 3).is_none() && jump(&frame, 3, 3).is_none() && jump(&frame, 0, 3).is_none());
        let mut pixels = Pixels::default();
        pixels.add(&frame, UnitCube::default(), 0);
        assert_eq!(pixels.jump.len(), 10 * 6 - 5);
        assert_eq!(pixels.x.len(), 3 * pixels.jump.len());
    }
}

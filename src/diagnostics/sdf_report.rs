//! Section of a report on signed distance fields: the spectrum's gradient against the curvature of the surface.

use std::path::Path;

use glam::{DVec3, Vec3};
use nstr_camera::orbit::Orbit;
use nstr_field::jet::Order;
use nstr_field::model::Model;
use nstr_field::point_evaluator::PointEvaluator;
use nstr_field::sdf::NeuralSdf;
use nstr_fit::eval::sdf::{SdfEvalError, extract_surface};
use nstr_geometry::attributes::{VertexData, write_ply_with};
use nstr_geometry::sample::SurfaceSampler;
use nstr_geometry::{DistanceQuery, MeshError, TriMesh};
use nstr_image::colormap::{diverging_colormap, sequential_colormap};
use nstr_pipeline::Error;
use nstr_plot::format::{fixed, short};
use nstr_plot::{Axis, Bin, Chart, Estimate, binned};
use nstr_render::{Frame, Layer, LayerSet, RenderSettings, SphereTracer, TracerSettings};
use nstr_render::{ValueRange, layer_image};
use nstr_space::Cube;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::feature_set;
use crate::feature_set::{
    FeatureSet, GRADIENT_NORM, NullModels, RELATIVE_GRADIENT_NORM, TANGENT_GRADIENT_NORM, TRANSPORT_RESIDUAL,
};
use crate::level_set_curvature::Curvature;
use crate::null_models::FieldParameters;
use crate::report::{ReportImage, ReportPart, ReportSection, ReportTable};
use crate::stats::{blocks, magnitude_quantile, mean, median};
use crate::surface::{Attributes, SCALES, SurfacePoints, curvature_at, of_mesh};

/// The mesh that a field was fitted to.
#[derive(Clone, Copy, Debug)]
pub struct MeshReference<'a> {
    /// Its triangles.
    pub mesh: &'a TriMesh,
    /// Their closest points.
    pub query: &'a DistanceQuery,
}

/// Input of [`analyze`].
#[derive(Clone, Copy, Debug)]
pub struct SdfInput<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its field.
    pub field: &'a NeuralSdf,
    /// Its mesh, where it is there.
    pub reference: Option<MeshReference<'a>>,
    /// It before any training.
    pub untrained: &'a FieldParameters,
    /// A field without spectrum that was fitted to the same mesh, or the reason why there is none.
    pub without_spectrum: Result<&'a FieldParameters, &'a str>,
}

/// Options of [`analyze`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdfReportOptions {
    /// Points of the surface.
    pub samples: usize,
    /// Seed of the points, the bootstrap and the shuffling.
    pub seed: u64,
    /// Cells along the cube's edge for the surface that points are drawn from.
    pub resolution: usize,
    /// Pixels along the edge of pictures.
    pub picture: u32,
}

impl Default for SdfReportOptions {
    fn default() -> Self {
        Self { samples: 20_000, seed: 0, resolution: 128, picture: 480 }
    }
}

/// Cells along the longest side of the points' box that count as one observation each.
const BLOCKS: u32 = 12;
/// Names of the quantities that measures are correlated with.
const MEAN: &str = "|H|";
const GAUSSIAN: &str = "|K|";
const MESH_MEAN: &str = "|H| of the mesh";
const MESH_GAUSSIAN: &str = "|K| of the mesh";

/// A surface with values and colours at its vertices.
#[derive(Clone, Debug, Default)]
pub struct ColouredSurface {
    /// World units.
    pub mesh: TriMesh,
    /// Normals and values.
    pub attributes: Attributes,
    /// Colours by the tangential ‖∇S‖, and by mean curvature.
    pub colours: [Vec<[u8; 3]>; 2],
}

impl ColouredSurface {
    /// Writes `surface-grad-s.ply` and `surface-curvature.ply` into `folder`, each with all values at the vertices.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), MeshError> {
        let values: Vec<(&str, &[f32])> = self.attributes.values.iter().map(|(n, v)| (*n, v.as_slice())).collect();
        for (name, colours) in ["surface-grad-s.ply", "surface-curvature.ply"].iter().zip(&self.colours) {
            let data = VertexData { normals: &self.attributes.normals, colours, values: &values };
            write_ply_with(&folder.join(name), &self.mesh, data)?;
        }
        Ok(())
    }
}

/// Analyses the surface: a section of the report with its numbers, and the surface itself in colours.
///
/// # Errors
/// Fields without a surface, surfaces that cannot be rendered.
pub fn analyze(
    input: &SdfInput<'_>,
    options: &SdfReportOptions,
) -> Result<((ReportSection, Value), ColouredSurface), Error> {
    let cube = input.model.cube();
    let probe = PointEvaluator::new(&input.model.spec, &input.model.grid, &input.model.net);
    let mesh = extract_surface(input.field, cube, options.resolution)?.mesh;
    let sampler = SurfaceSampler::new(&mesh).ok_or(SdfEvalError::NoSurface)?;
    let drawn: Vec<DVec3> = sampler.sample(options.samples, options.seed).iter().map(|s| s.position).collect();
    let mut points = SurfacePoints::new(&probe, cube, &drawn);
    let of_mesh = input.reference.map(|r| of_mesh(r.mesh, r.query, &points.world(cube)));
    let agreement = of_mesh.as_ref().map(|m| points.agreement(&m.iter().map(|c| c[0]).collect::<Vec<f64>>()));
    agreement.iter().for_each(|a| points.select_scale(a));
    let nulls = NullModels { without_spectrum: input.without_spectrum, untrained: input.untrained };
    let normals = Some(points.normals.as_slice());
    let model = FeatureSet::of_model(&probe, &points.x, normals);
    let sets = nulls.beside(model, &probe, &points.x, normals, options.seed);
    let targets = targets(&points, of_mesh.as_deref());
    let rows = feature_set::correlations(&sets, &targets, &blocks(&points.x, 3, BLOCKS), options.seed);
    let mut section = ReportSection::new("Curvature and the spectrum");
    let target = if input.reference.is_some() { MESH_MEAN } else { MEAN };
    (section.answer, section.verdict, section.evidence) =
        feature_set::verdict(&rows, TANGENT_GRADIENT_NORM, target, "the surface's curvature");
    let mut frame = frame(input.field, cube, options.picture)?;
    add_curvature(&mut frame, &probe, cube, points.scale);
    section.parts.push(pictures(&frame));
    charts(&sets, &targets, &mut section);
    describe(input, &points, agreement.as_ref(), cube, &mut section);
    section.parts.push(ReportPart::Table(feature_set::table(&rows, true), SPEARMAN.into()));
    section.parts.push(ReportPart::Table(feature_set::table(&rows, false), PEARSON.into()));
    section.parts.push(ReportPart::Table(sizes(&sets), SIZES.into()));
    let numbers = json!({
        "points": points.len(),
        "blocks_along_the_longest_side": BLOCKS,
        "curvature_from": if points.scale.is_none() { "second derivatives" } else { "differences" },
        "difference_step": points.scale.map(|s| SCALES[s]),
        "difference_step_world": points.scale.map(|s| SCALES[s] * cube.size),
        "mean_curvature_against_the_mesh_spearman": agreement.map(|a| json!({
            "second_derivatives": a[0],
            "differences": SCALES.iter().zip(&a[1..]).map(|(step, rho)| json!([step, rho])).collect::<Vec<_>>(),
        })),
        "correlations": rows,
        "medians": sets.iter().map(|s| (s.name.clone(), medians(s))).collect::<serde_json::Map<_, _>>(),
        "without_spectrum": input.without_spectrum.err(),
    });
    let surface = coloured(&probe, cube, mesh, points.scale);
    Ok(((section, numbers), surface))
}

const SPEARMAN: &str = "Spearman's ρ with 95 % intervals; of latent grids ∇S means ∇z. Expected if the spectrum follows the surface: the model's rows lie \
    above all others. Expected under the null: the latent grids, which every fit bends where the surface bends, do as well, \
    and what is shuffled or untrained lies around 0 (an untrained field may be off 0 by chance: it has one random grid).";
const PEARSON: &str = "Pearson's r of the same pairs. Curvature and ∇S have heavy tails, which a few points decide; the ranks \
    above are the safer reading.";
const SIZES: &str = "Medians over the surface, ∇S per edge of the cube.";

fn targets(points: &SurfacePoints, of_mesh: Option<&[[f64; 2]]>) -> Vec<(String, Vec<f64>)> {
    let of = |f: fn(&Curvature) -> f64| points.curvature().iter().map(f).collect::<Vec<f64>>();
    let mut targets = vec![(MEAN.into(), of(|c| c.mean.abs())), (GAUSSIAN.into(), of(|c| c.gaussian.abs()))];
    if let Some(rows) = of_mesh {
        targets.push((MESH_MEAN.into(), rows.iter().map(|r| r[0].abs()).collect()));
        targets.push((MESH_GAUSSIAN.into(), rows.iter().map(|r| r[1].abs()).collect()));
    }
    targets
}

fn describe(
    input: &SdfInput<'_>,
    points: &SurfacePoints,
    agreement: Option<&[f64; 1 + SCALES.len()]>,
    cube: Cube,
    section: &mut ReportSection,
) {
    section.text(format!(
        "{} points of the zero level set, drawn evenly by area and moved onto the zero. Coefficients are taken over all of \
         them. Neighbours say the same, so intervals come from drawing cells of a lattice of {BLOCKS} along the longest side \
         with replacement, all points of a cell together.",
        points.len()
    ));
    let how = match points.scale {
        None => "H and K are mean and Gaussian curvature of the level set by the field's exact second derivatives, which are \
                 continuous: its activations are smooth and its grid blends with smoothstep."
            .to_string(),
        Some(s) => format!(
            "H and K are mean and Gaussian curvature of the level set by central differences of the exact gradient over ±{} of \
             the cube's edge (±{} world units). The field has rectifiers or linear interpolation, so its second derivatives miss \
             what happens at kinks and cell borders, where it does much of its bending; what bends more tightly than the step is \
             smoothed.",
            SCALES[s],
            short(SCALES[s] * cube.size)
        ),
    };
    section.text(how);
    match agreement {
        Some([exact, differences @ ..]) => {
            let list = SCALES.iter().zip(differences).map(|(step, rho)| format!("{} over ±{step}", fixed(*rho, 2)));
            section.text(format!(
                "The mesh's curvature is discrete (cotangent Laplacian and angle defect over mixed Voronoi areas) at its \
                 vertices, blended at the closest point; it follows the tessellation: flat within large faces, growing at edges \
                 as triangles shrink. Rank correlation of the field's mean curvature with it: {} by second derivatives, \
                 by differences {}. The step that agrees best is used.",
                fixed(*exact, 2),
                list.collect::<Vec<_>>().join(", ")
            ));
        }
        None => section.text(
            "No mesh was given: curvature is that of the field alone, which shares its grid with S. Give the mesh for curvature \
             that does not.",
        ),
    }
    if let Err(why) = input.without_spectrum {
        section.text(format!("No field without spectrum was fitted for comparison: {why}."));
    }
}

/// Adds the mean curvature at the pixels' hits, computed as everywhere else in the section.
fn add_curvature(frame: &mut Frame, probe: &PointEvaluator<'_>, cube: Cube, scale: Option<usize>) {
    let at = |(p, d): (&[f32; 3], &f32)| match d.is_finite() {
        true => curvature_at(probe, cube, cube.to_unit(DVec3::from(p.map(f64::from))), scale).mean as f32,
        false => 0.0,
    };
    frame.curvature = frame.position.par_iter().zip(&frame.depth_ray).map(at).collect();
}

/// Bins of a chart.
const BINS: usize = 12;

fn charts(sets: &[FeatureSet], targets: &[(String, Vec<f64>)], section: &mut ReportSection) {
    let (name, target) = if targets.len() > 2 { &targets[2] } else { &targets[0] };
    let axis = format!("{name} per world unit");
    // Flat places, whose curvature is round-off, have no place on a logarithmic axis.
    let flat = 1e-6 * target.iter().copied().filter(|x| x.is_finite()).fold(0.0, f64::max);
    let pairs = |values: &[f64]| -> Vec<(f64, f64)> {
        let all = target.iter().copied().zip(values.iter().copied());
        all.filter(|(x, y)| *x > flat && *y > 0.0 && x.is_finite() && y.is_finite()).collect()
    };
    let Some(own) = sets.first().and_then(|s| s.measure(TANGENT_GRADIENT_NORM)) else { return };
    let mut scatter = Chart::new(
        "Spectrum against curvature",
        Axis::log(&axis),
        Axis::log(format!("{TANGENT_GRADIENT_NORM}, per edge")),
    );
    scatter.note("dots: points of the surface; steps: means of equally many points; flat places left out");
    scatter.points("points", pairs(own));
    scatter.bins("means", standard_errors(binned(&pairs(own), BINS)));
    section.parts.push(ReportPart::Chart(
        "scatter".into(),
        scatter,
        "Expected under the null: level steps. A slope alone is no evidence for the spectrum; see the next figure."
            .into(),
    ));
    let mut chart = Chart::new(
        "Model and null models",
        Axis::log(&axis),
        Axis::linear(format!("{TANGENT_GRADIENT_NORM}, over its mean")),
    );
    chart.note("means of equally many points with standard errors; flat places left out");
    for set in sets {
        let Some(values) = set.measure(TANGENT_GRADIENT_NORM) else { continue };
        let scale = 1.0 / mean(values);
        let scaled: Vec<f64> = values.iter().map(|v| v * scale).collect();
        let pairs = pairs(&scaled);
        let points = binned(&pairs, BINS).into_iter().map(|b| {
            let inside = pairs.iter().map(|p| p.0).filter(|x| (b.from..=b.to).contains(x));
            let x = median(&inside.collect::<Vec<f64>>());
            Estimate { x, y: b.mean, spread: b.spread / (b.count.max(1) as f64).sqrt() }
        });
        let points: Vec<Estimate> = points.collect();
        chart.lines(&set.name, points.clone());
        chart.marks(&set.name, points);
    }
    section.parts.push(ReportPart::Chart(
        "binned".into(),
        chart,
        "Each field's measure over its own mean, so that shapes can be compared. Expected if the spectrum itself follows \
         curvature: the model rises more steeply than the latent grids. Expected under the null: it does not."
            .into(),
    ));
}

/// Error bars of the mean in place of the values' deviation.
fn standard_errors(bins: Vec<Bin>) -> Vec<Bin> {
    bins.into_iter().map(|b| Bin { spread: b.spread / (b.count.max(1) as f64).sqrt(), ..b }).collect()
}

fn medians(set: &FeatureSet) -> Value {
    set.measures.iter().map(|(name, v)| (name.to_string(), json!(median(v)))).collect::<serde_json::Map<_, _>>().into()
}

fn sizes(sets: &[FeatureSet]) -> ReportTable {
    let names = [GRADIENT_NORM, RELATIVE_GRADIENT_NORM, TANGENT_GRADIENT_NORM, TRANSPORT_RESIDUAL];
    let mut table =
        ReportTable::new(["field", GRADIENT_NORM, RELATIVE_GRADIENT_NORM, TANGENT_GRADIENT_NORM, TRANSPORT_RESIDUAL]);
    for set in sets.iter().filter(|s| !s.name.contains("shuffled")) {
        let cell = |name: &&str| set.measure(name).map_or("–".into(), |v| short(median(v)));
        table.row([set.name.clone()].into_iter().chain(names.iter().map(cell)));
    }
    table
}

/// A picture of the surface with the layers that the report has.
fn frame(field: &NeuralSdf, cube: Cube, size: u32) -> Result<Frame, Error> {
    let tracer = SphereTracer::new(field, cube, TracerSettings { grid_cells: 64, ..TracerSettings::default() })?;
    let orbit = Orbit { size: (size, size), elevation: 20.0, azimuth: 30.0, margin: 0.85, ..Orbit::default() };
    let layers = [Layer::Colour, Layer::DepthRay, Layer::Position, Layer::SpectrumGradientNorm, Layer::Residual];
    let settings = RenderSettings { layers: LayerSet::of(&layers), samples: 4, ..RenderSettings::default() };
    let cameras = orbit.cameras(tracer.bounds())?;
    Ok(tracer.render(&cameras[0], &settings)?)
}

/// Fraction of the values within the range of the colours.
const COLOUR_RANGE: f64 = 0.98;

fn pictures(frame: &Frame) -> ReportPart {
    let largest = |values: &[f32]| {
        let hits = values.iter().zip(&frame.depth_ray).filter(|(_, d)| d.is_finite());
        magnitude_quantile(hits.map(|(v, _)| f64::from(*v)), COLOUR_RANGE) as f32
    };
    let layers = [
        (Layer::Colour, "shaded", 0.0, "The surface.".to_string()),
        (Layer::Curvature, "curvature", largest(&frame.curvature), String::new()),
        (Layer::SpectrumGradientNorm, "grad-s", largest(&frame.grad_s), String::new()),
        (Layer::Residual, "residual", largest(&frame.residual), String::new()),
    ];
    let list = layers.into_iter().filter_map(|(layer, name, most, text)| {
        let low = if layer == Layer::Curvature { -most } else { 0.0 };
        let image = layer_image(frame, layer, 0, ValueRange::Fixed(low, most))?;
        let range = (f64::from(low), f64::from(most));
        let most = short(f64::from(most));
        let caption = match layer {
            Layer::Curvature => format!("Mean curvature, blue hollow to red convex, ±{most} per world unit."),
            Layer::SpectrumGradientNorm => format!("‖∇S‖, dark 0 to yellow {most} per edge."),
            Layer::Residual => format!("‖∇S − F‖, dark 0 to yellow {most} per edge."),
            _ => text,
        };
        let picture = ReportImage::new(name, image, caption);
        Some(match layer {
            Layer::Colour => picture,
            Layer::Curvature => {
                picture.with_bar("curvature", "per unit", range, &|t| diverging_colormap(2.0 * t - 1.0))
            }
            Layer::Residual => picture.with_bar("‖∇S − F‖", "per edge", range, &sequential_colormap),
            _ => picture.with_bar("‖∇S‖", "per edge", range, &sequential_colormap),
        })
    });
    let text = "Colours span 98 % of what is seen. Expected if the spectrum follows curvature: bright where the second \
                picture is strongly coloured. Expected under the null: the pattern of the grid's cells.";
    ReportPart::Pictures(list.collect(), text.into())
}

/// Values and colours at the vertices of the surface.
fn coloured(probe: &PointEvaluator<'_>, cube: Cube, mesh: TriMesh, scale: Option<usize>) -> ColouredSurface {
    let x: Vec<f64> = mesh.positions.iter().flat_map(|p| cube.to_unit(*p).to_array()).collect();
    let rows = probe.eval_many(&x, Order::First, |x, at| {
        let normal = DVec3::from(at.value.gradient(0)).normalize_or_zero();
        let curvature = curvature_at(probe, cube, DVec3::from_slice(x), scale);
        let tangent = feature_set::tangential(&at.spectrum, normal);
        let residual = at.residual().unwrap_or(f64::NAN);
        (normal.as_vec3(), [curvature.mean, curvature.gaussian, at.spectrum.gradient_norm(), tangent, residual])
    });
    let column = |c: usize| -> Vec<f32> { rows.iter().map(|r| r.1[c] as f32).collect() };
    let names = ["mean_curvature", "gaussian_curvature", "grad_s", "grad_s_tangent", "residual"];
    let values: Vec<(&'static str, Vec<f32>)> = names.into_iter().enumerate().map(|(c, n)| (n, column(c))).collect();
    let most = |v: &[f32]| magnitude_quantile(v.iter().map(|v| f64::from(*v)), COLOUR_RANGE).max(1e-30) as f32;
    let byte = |rgb: [f32; 3]| rgb.map(|v| (v * 255.0).round() as u8);
    let (curvature, tangent) = (&values[0].1, &values[3].1);
    let (curvature_most, tangent_most) = (most(curvature), most(tangent));
    let colours = [
        tangent.iter().map(|v| byte(sequential_colormap(v / tangent_most))).collect(),
        curvature.iter().map(|v| byte(diverging_colormap(v / curvature_most))).collect(),
    ];
    let normals: Vec<Vec3> = rows.iter().map(|r| r.0).collect();
    ColouredSurface { mesh, attributes: Attributes { normals, values }, colours }
}

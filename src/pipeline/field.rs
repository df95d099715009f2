//! Saved models, opened as the kind of field that they are.

use std::fmt;
use std::path::Path;

use glam::{DVec3, Vec3};
use nstr_camera::CameraArc;
use nstr_field::model::{Model, is_model_name};
use nstr_field::radiance::NeuralRadiance;
use nstr_field::sdf::NeuralSdf;
use nstr_field::signal::{NeuralSignal, SampleRegion};
use nstr_field::{BoundsError, BoxEvaluator, Rounding};
use nstr_fit::eval::{ProvenSurface, SdfEvalError, extract_proven_surface, extract_surface_observed};
use nstr_fit::signal::SignalConfig;
use nstr_geometry::TriMesh;
use nstr_image::colour::Background;
use nstr_render::RenderError;
use nstr_render::volume::{LevelSet, LevelSetError, level_set};
use nstr_render::{SphereTracer, TracerSettings, VolumeRenderer};
use nstr_signal::{Signal, SignalInfo};
use nstr_space::{Cube, DistanceField, Occupancy, RadianceField, SceneMap};

use crate::error::Error;
use crate::record::{FitRecord, MarchSettings, unreadable};

/// Default density, per edge of the cube, at which the surface of a radiance field lies.
const DEFAULT_SURFACE_DENSITY: f32 = 50.0;

/// Kind of signal that a field stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// A signed distance, of a mesh.
    Sdf,
    /// Density and colour, of a capture.
    Radiance,
    /// A picture or a sound.
    Signal,
}

impl FieldKind {
    /// Kind of a model, from the shape of its field; `None` for shapes that no task fits.
    pub fn of(model: &Model) -> Option<Self> {
        let spec = &model.spec;
        if spec.color_head.is_some() {
            Some(Self::Radiance)
        } else if spec.dim < 3 {
            Some(Self::Signal)
        } else {
            (spec.dim == 3 && spec.outputs == 1).then_some(Self::Sdf)
        }
    }

    /// Kind of input that such a field is fitted to, with its article.
    pub fn input(self) -> &'static str {
        match self {
            Self::Sdf => "a mesh",
            Self::Radiance => "a capture",
            Self::Signal => "a picture or a sound",
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sdf => "signed distance",
            Self::Radiance => "radiance",
            Self::Signal => "picture or sound",
        })
    }
}

/// A model of any kind, ready to evaluate.
#[derive(Debug)]
pub enum Field {
    /// A signed distance field.
    Sdf(SdfModel),
    /// A radiance field.
    Radiance(RadianceModel),
    /// A picture or a sound.
    Signal(SignalModel),
}

impl Field {
    /// Reads and opens a model.
    ///
    /// ```
    /// use nstr_pipeline::{Error, Field, FieldKind, FitOptions, fit_signal};
    ///
    /// # let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenes/chirp.png");
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("chirp.safetensors");
    /// let options = FitOptions::preset("image-tiny").set("train.batch=256").steps(10).output(&file);
    /// fit_signal(picture, &options, &mut ())?;
    ///
    /// let field = Field::load(&file)?;
    /// assert_eq!(field.kind(), FieldKind::Signal);
    /// assert!(matches!(Field::load(&file)?.into_sdf(), Err(Error::Kind { found: FieldKind::Signal, .. })));
    /// let middle = field.into_signal()?.values(&[0.5, 0.5]);
    /// assert_eq!(middle.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Files that are not models, and models that [`Self::open`] refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::open(path, read_model(path)?)
    }

    /// Opens a model that was read from `path`.
    ///
    /// # Errors
    /// Fields of a shape that no task fits; radiance and signal models whose record of the fit cannot be read.
    pub fn open(path: &Path, model: Model) -> Result<Self, Error> {
        match FieldKind::of(&model) {
            Some(FieldKind::Sdf) => Ok(Self::Sdf(SdfModel::open(model))),
            Some(FieldKind::Radiance) => Ok(Self::Radiance(RadianceModel::open(path, model)?)),
            Some(FieldKind::Signal) => Ok(Self::Signal(SignalModel::open(path, model)?)),
            None => {
                let (d, o) = (model.spec.dim, model.spec.outputs);
                Err(Error::file(
                    path,
                    format!("a field of {d} coordinates and {o} values is not a signed distance field"),
                ))
            }
        }
    }

    /// Kind of the field.
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Sdf(_) => FieldKind::Sdf,
            Self::Radiance(_) => FieldKind::Radiance,
            Self::Signal(_) => FieldKind::Signal,
        }
    }

    /// The model that it was opened from.
    pub fn model(&self) -> &Model {
        match self {
            Self::Sdf(field) => &field.model,
            Self::Radiance(field) => &field.model,
            Self::Signal(field) => &field.model,
        }
    }

    /// The signed distance field.
    ///
    /// # Errors
    /// [`Error::Kind`] for another kind.
    pub fn into_sdf(self) -> Result<SdfModel, Error> {
        match self {
            Self::Sdf(field) => Ok(field),
            other => Err(other.wrong_kind(FieldKind::Sdf)),
        }
    }

    /// The radiance field.
    ///
    /// # Errors
    /// [`Error::Kind`] for another kind.
    pub fn into_radiance(self) -> Result<RadianceModel, Error> {
        match self {
            Self::Radiance(field) => Ok(field),
            other => Err(other.wrong_kind(FieldKind::Radiance)),
        }
    }

    /// The field of a picture or a sound.
    ///
    /// # Errors
    /// [`Error::Kind`] for another kind.
    pub fn into_signal(self) -> Result<SignalModel, Error> {
        match self {
            Self::Signal(field) => Ok(field),
            other => Err(other.wrong_kind(FieldKind::Signal)),
        }
    }

    /// Arc of a capture's cameras that did not stand all around.
    pub fn camera_arc(&self) -> Option<CameraArc> {
        match self {
            Self::Radiance(field) => field.march.camera_arc,
            _ => None,
        }
    }

    /// Background of pictures of the field: the one colour that it was trained over, else white.
    pub fn background(&self) -> Background {
        match self {
            Self::Radiance(field) => field.march.background,
            _ => Background::default(),
        }
    }

    fn wrong_kind(&self, expected: FieldKind) -> Error {
        Error::Kind { found: self.kind(), expected }
    }
}

/// Reads a model file.
///
/// # Errors
/// Files that are not models.
pub fn read_model(path: &Path) -> Result<Model, Error> {
    if path.exists() && !is_model_name(path) {
        let reason = "not an nstr model (.safetensors or .nstr); the model comes first, then what it was fitted to (`nstr fit` makes one)";
        return Err(Error::file(path, reason));
    }
    Ok(Model::load(path)?)
}

/// A signed distance model with its field ready to evaluate.
#[derive(Debug)]
pub struct SdfModel {
    /// The model.
    pub model: Model,
    /// Its field, in field coordinates.
    pub field: NeuralSdf,
}

/// Evaluator of a signed distance model, with the Lipschitz bound that it was saved with, measured where there is none.
pub(crate) fn sdf_field(model: &Model) -> NeuralSdf {
    let lipschitz = model.metrics.get("lipschitz").map(|l| *l as f32);
    NeuralSdf::new(&model.spec, model.grid.clone(), &model.net, lipschitz)
}

impl SdfModel {
    /// Opens a model of three coordinates and one value, with the Lipschitz bound that it was saved with.
    pub fn open(model: Model) -> Self {
        let field = sdf_field(&model);
        Self { model, field }
    }

    /// The cube of the world that the field is defined on.
    pub fn cube(&self) -> Cube {
        self.model.cube()
    }

    /// Signed distances at world points, world units, negative inside.
    pub fn distance(&self, points: &[DVec3]) -> Vec<f32> {
        let cube = self.cube();
        let mut distance = vec![0.0; points.len()];
        self.field.distance_parallel(&to_unit(cube, points), &mut distance);
        distance.iter_mut().for_each(|d| *d *= cube.size as f32);
        distance
    }

    /// Signed distances at world points, world units, and their gradients (dimensionless; length near 1).
    pub fn distance_gradient(&self, points: &[DVec3]) -> (Vec<f32>, Vec<Vec3>) {
        let cube = self.cube();
        let (mut distance, mut gradient) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
        self.field.distance_gradient(&to_unit(cube, points), &mut distance, &mut gradient);
        distance.iter_mut().for_each(|d| *d *= cube.size as f32);
        (distance, gradient)
    }

    /// A sphere tracer of the field.
    ///
    /// # Errors
    /// Fields and cubes that cannot be rendered.
    pub fn renderer(&self) -> Result<SphereTracer<'_>, RenderError> {
        SphereTracer::new(&self.field, self.cube(), TracerSettings::default())
    }

    /// The surface in world units with the field's normals, `resolution` cells along the cube's edge, and the number of
    /// evaluations that it took.
    ///
    /// # Errors
    /// Resolutions that need too much memory.
    pub fn surface(&self, resolution: usize) -> Result<(TriMesh, Vec<Vec3>, usize), SdfEvalError> {
        self.surface_observed(resolution, &|_| ())
    }

    /// As [`Self::surface`]; `done` takes the fraction that is done, from any thread.
    ///
    /// # Errors
    /// Those of [`Self::surface`].
    pub fn surface_observed(
        &self,
        resolution: usize,
        done: &(dyn Fn(f64) + Sync),
    ) -> Result<(TriMesh, Vec<Vec3>, usize), SdfEvalError> {
        let surface = extract_surface_observed(&self.field, self.cube(), resolution, done)?;
        let normals = self.normals(&surface.mesh);
        Ok((surface.mesh, normals, surface.evaluations))
    }

    /// The surface and its normals as [`Self::surface`] gives them, but with a proof in place of the measured slope bound: in the
    /// cells that were not visited the field, as the CPU computes it, has no zero. The proof halves the cube `depth` times; `None` takes boxes
    /// of four cells.
    ///
    /// # Errors
    /// Resolutions that need too much memory, and parameters that are not finite.
    pub fn proven_surface(
        &self,
        resolution: usize,
        depth: Option<u32>,
    ) -> Result<(ProvenSurface, Vec<Vec3>), SdfEvalError> {
        let depth = depth.unwrap_or_else(|| resolution.max(1).div_ceil(4).next_power_of_two().ilog2());
        let found = extract_proven_surface(&self.field, &self.bounds()?, self.cube(), resolution, depth)?;
        let normals = self.normals(&found.enclosed.surface.mesh);
        Ok((found, normals))
    }

    /// Proven bounds of the field over boxes of the unit cube, as the CPU computes it.
    ///
    /// # Errors
    /// Parameters that are not finite.
    pub fn bounds(&self) -> Result<BoxEvaluator<'_>, BoundsError> {
        let Model { spec, grid, net, .. } = &self.model;
        BoxEvaluator::new(spec, grid, net, Rounding::Single)
    }

    /// Directions of the field's gradient at a mesh's vertices.
    fn normals(&self, mesh: &TriMesh) -> Vec<Vec3> {
        let unit = to_unit(self.cube(), &mesh.positions);
        let (mut distance, mut normals) = (vec![0.0; unit.len()], vec![Vec3::ZERO; unit.len()]);
        self.field.distance_gradient(&unit, &mut distance, &mut normals);
        normals.iter_mut().for_each(|n| *n = n.normalize_or_zero());
        normals
    }
}

/// A radiance model with its field ready to evaluate.
#[derive(Debug)]
pub struct RadianceModel {
    /// The model.
    pub model: Model,
    /// Its field, in field coordinates.
    pub field: NeuralRadiance,
    /// Marching of its rays as in training.
    pub march: MarchSettings,
}

impl RadianceModel {
    /// Opens the radiance model that was read from `path`.
    ///
    /// # Errors
    /// Models whose record of the fit cannot be read.
    pub fn open(path: &Path, model: Model) -> Result<Self, Error> {
        let march = MarchSettings::of(path, &model)?;
        let occupancy = model.occupancy.clone().unwrap_or_else(|| Occupancy::full(march.resolution));
        let field = NeuralRadiance::new(&model.spec, model.grid.clone(), &model.net, occupancy);
        Ok(Self { model, field, march })
    }

    /// The cube of the world that the field is defined on, or that its map is detailed in.
    pub fn cube(&self) -> Cube {
        self.model.cube()
    }

    /// The map from the world to the field's unit cube.
    pub fn map(&self) -> SceneMap {
        self.model.map
    }

    /// Places of world points in the unit cube, and the world lengths of its unit there. What the map does not reach is put
    /// outside of the cube.
    fn places(&self, points: &[DVec3]) -> (Vec<Vec3>, Vec<f32>) {
        let map = self.map();
        let place = |p: &DVec3| {
            let unit = map.to_unit(*p);
            let unit = if unit.is_nan() { DVec3::splat(-1.0) } else { unit };
            (unit.as_vec3(), map.length_scale_at(unit) as f32)
        };
        points.iter().map(place).unzip()
    }

    /// Densities at world points, per world unit. Where the map is no similarity, densities depend on the direction that the unit
    /// has: this is their geometric mean.
    pub fn density(&self, points: &[DVec3]) -> Vec<f32> {
        let (places, scales) = self.places(points);
        let mut density = vec![0.0; points.len()];
        self.field.density(&places, &mut density);
        density.iter_mut().zip(scales).for_each(|(d, scale)| *d /= scale);
        density
    }

    /// Densities at world points, per world unit, and their gradients. Where the map is no similarity, the gradient is that of the
    /// density in the unit cube, at the point's scale.
    pub fn density_gradient(&self, points: &[DVec3]) -> (Vec<f32>, Vec<Vec3>) {
        let map = self.map();
        let (places, scales) = self.places(points);
        let (mut density, mut gradient) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
        self.field.density_gradient(&places, &mut density, &mut gradient);
        density.iter_mut().zip(&scales).for_each(|(d, scale)| *d /= scale);
        for ((g, place), scale) in gradient.iter_mut().zip(&places).zip(&scales) {
            *g = match map {
                SceneMap::Box(_) => *g / (*scale * *scale),
                map => map.gradient_to_world(place.as_dvec3(), g.as_dvec3()).as_vec3() / *scale,
            };
        }
        (density, gradient)
    }

    /// Red, green, blue (sRGB values, 0 to 1) and density per world unit (see [`Self::density`]) at world points seen along unit
    /// `directions`, from the eye into the scene.
    pub fn radiance(&self, points: &[DVec3], directions: &[Vec3]) -> Vec<[f32; 4]> {
        let (places, scales) = self.places(points);
        let mut out = vec![[0.0; 4]; points.len()];
        self.field.radiance(&places, directions, &mut out);
        out.iter_mut().zip(scales).for_each(|(p, scale)| p[3] /= scale);
        out
    }

    /// A renderer of the field, with the marching that it was trained for.
    ///
    /// # Errors
    /// Settings and cubes that cannot be rendered.
    pub fn renderer(&self) -> Result<VolumeRenderer<'_>, RenderError> {
        VolumeRenderer::new(&self.field, self.map(), self.march.volume)
    }

    /// Level of [`Self::surface`] where none is asked for: none where the density follows a distance.
    pub fn usual_level(&self) -> Option<f32> {
        self.field.sharpness().is_none().then_some(DEFAULT_SURFACE_DENSITY)
    }

    /// The surface where the density per edge of the cube is `level`, or without a level where the distance is 0 that the density
    /// follows, with normals and colours, `resolution` cells along
    /// the cube's edge; see [`level_set`].
    ///
    /// # Errors
    /// Levels that the density does not reach, no level where there is no distance, resolutions that need too much memory.
    pub fn surface(&self, level: Option<f32>, resolution: usize) -> Result<LevelSet, LevelSetError> {
        level_set(&self.field, self.map(), level, resolution)
    }
}

/// A model of a picture or a sound with its field ready to evaluate.
#[derive(Debug)]
pub struct SignalModel {
    /// The model.
    pub model: Model,
    /// Its field, in field coordinates and encoded values.
    pub field: NeuralSignal,
    /// Size and value range of the original.
    pub info: SignalInfo,
    pub(crate) config: SignalConfig,
    pub(crate) seed: u64,
}

impl SignalModel {
    /// Opens the signal model that was read from `path`.
    ///
    /// # Errors
    /// Models whose record of the fit cannot be read or does not describe their field.
    pub fn open(path: &Path, model: Model) -> Result<Self, Error> {
        let record = FitRecord::of(&model).map_err(|e| unreadable(path, &e, "signal"))?;
        let differs = "its header does not describe the signal of its field; fit the signal again";
        let pair = record.signal.zip(record.fit.signal);
        let (info, config) = pair.ok_or_else(|| Error::file(path, differs))?;
        let (dim, channels) = match info {
            SignalInfo::Image { channels, .. } => (2, channels),
            SignalInfo::Audio { channels, .. } => (1, channels),
        };
        if model.spec.dim != dim || model.spec.outputs != channels {
            return Err(Error::file(path, differs));
        }
        let field = NeuralSignal::of(&model);
        Ok(Self { model, field, info, config, seed: record.seed })
    }

    /// The signal that the model stands for, at the original's samples.
    pub fn reconstruct(&self) -> Signal {
        self.reconstruct_region(&SampleRegion::whole(self.info.size()))
    }

    /// The signal at the samples of `region`: any resolution, any part.
    pub fn reconstruct_region(&self, region: &SampleRegion) -> Signal {
        self.info.assemble(self.field.sample(region), region.size, region.count)
    }

    /// Values at points of the unit interval or square (`[point][dim]`), `[point][channel]`.
    pub fn values(&self, points: &[f32]) -> Vec<f32> {
        let transform = self.info.transform();
        self.field.at(points).into_iter().map(|v| transform.decode(v)).collect()
    }
}

fn to_unit(cube: Cube, points: &[DVec3]) -> Vec<Vec3> {
    points.iter().map(|p| cube.to_unit(*p).as_vec3()).collect()
}

/// Models are shared between threads, as viewers do.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<SdfModel>();
    shared::<RadianceModel>();
    shared::<SignalModel>();
};

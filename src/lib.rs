//! nstr fits, opens, renders and measures **neural spectral transport** (NSTR) fields: signed distance fields of meshes,
//! radiance fields of posed images, and fields of pictures and sounds. It trains on a plain CPU; `cuda` and `wgpu` are
//! optional.
//!
//! Everything that the command `nstr` does is a function here. A fit takes a file and [`FitOptions`]; an observer may watch
//! and stop it (`()` does neither):
//!
//! ```
//! use nstr::{FitOptions, fit_mesh};
//! # fn main() -> Result<(), nstr::Error> {
//! # let mesh = concat!(env!("CARGO_MANIFEST_DIR"), "/scenes/chair.obj");
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("chair.safetensors");
//! let options = FitOptions::preset("sdf-tiny").steps(50).seed(1).without_evaluation();
//! let fitted = fit_mesh(mesh, &options, &mut ())?;
//! fitted.model.save(&file, nstr::Precision::F16)?;
//! # Ok(())
//! # }
//! ```
//!
//! A saved model is opened as the kind of field that it is. Another kind is an error with a type, not a surprise:
//!
//! ```
//! use glam::DVec3;
//! use nstr::{Field, FieldKind};
//! # fn main() -> Result<(), nstr::Error> {
//! # let mesh = concat!(env!("CARGO_MANIFEST_DIR"), "/scenes/chair.obj");
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("chair.safetensors");
//! # let options = nstr::FitOptions::preset("sdf-tiny").steps(20).without_evaluation().output(&file);
//! # nstr::fit_mesh(mesh, &options, &mut ())?;
//! let chair = Field::load(&file)?.into_sdf()?;
//! let (distance, gradient) = chair.distance_gradient(&[DVec3::new(0.0, 0.5, 0.0)]);
//! assert!(distance[0].is_finite() && gradient[0].is_finite());
//!
//! let refused = Field::load(&file)?.into_radiance().unwrap_err();
//! assert!(matches!(refused, nstr::Error::Kind { found: FieldKind::Sdf, .. }));
//! # Ok(())
//! # }
//! ```
//!
//! [`Renderer`] draws any field with views, on the CPU or on a GPU; [`evaluate`](fn@evaluate) measures a model against what
//! it was fitted to; `surface` of [`SdfModel`] and [`RadianceModel`] exports meshes.
//!
//! ```no_run
//! use nstr::camera::Orbit;
//! use nstr::render::RenderSettings;
//! use nstr::{EvalOptions, Field, Renderer, RendererChoice, evaluate};
//! # fn main() -> Result<(), nstr::Error> {
//! let path = std::path::Path::new("chair.safetensors");
//! let field = Field::load(path)?;
//! let renderer = Renderer::new(&field, RendererChoice::Auto)?;
//! let cameras = Orbit { up: renderer.up(), ..Orbit::default() }.cameras(renderer.bounds())?;
//! let frame = renderer.render(&cameras[0], &RenderSettings::default())?;
//! nstr::image::png::write("chair.png".as_ref(), &frame.to_srgb())?;
//! println!("{:?}", evaluate(path, &field, "chair.obj".as_ref(), &EvalOptions::default())?);
//! # Ok(())
//! # }
//! ```
//!
//! The rest of the crate is its *rooms*, one crate each, from the shape of a field up to the viewer; `docs/architecture.md`
//! is their map. `examples/` holds whole programs: a fit, queries, a picture, and a training loop of one's own.

pub use nstr_backend as backend;
pub use nstr_camera as camera;
pub use nstr_capture as capture;
pub use nstr_codec as codec;
pub use nstr_compare as compare;
pub use nstr_diagnostics as diagnostics;
pub use nstr_field as field;
pub use nstr_files as files;
pub use nstr_fit as fit;
pub use nstr_geometry as geometry;
pub use nstr_image as image;
pub use nstr_kernel as kernel;
pub use nstr_metrics as metrics;
pub use nstr_pipeline as pipeline;
pub use nstr_plot as plot;
pub use nstr_render as render;
pub use nstr_sfm as sfm;
pub use nstr_signal as signal;
pub use nstr_space as space;
pub use nstr_spec as spec;
#[cfg(feature = "viewer")]
pub use nstr_viewer as viewer;

pub use nstr_field::model::{Model, Precision};
#[doc(inline)]
pub use nstr_pipeline::compact::compact;
#[doc(inline)]
pub use nstr_pipeline::evaluate::evaluate;
pub use nstr_pipeline::{
    CaptureSettings, CompactOptions, Compacted, Error, EvalOptions, Field, FieldKind, FitObserver, FitOptions,
    FitRecord, FitScene, Fitted, MeshInput, RadianceModel, Renderer, RendererChoice, Scores, SdfModel, SignSettings,
    SignalModel, fit_capture, fit_mesh, fit_signal,
};

/// The README, so that its program is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Models can be shared between threads, and moved to others.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Model>();
    shared::<Field>();
    shared::<FitOptions>();
    shared::<Error>();
};

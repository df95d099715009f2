//! Targets of the rooms that train or stand above those: recipes, opened models, settings of fits, tables of points.

use std::path::Path;

use crate::rooms::cli::query;
use crate::rooms::compare::{self, Selection};
use crate::rooms::field::signal::SampleRegion;
use crate::rooms::fit::FitConfig;
use crate::rooms::pipeline::Field;
use crate::targets::{Target, put, refused, said};

/// Every target of these rooms, by the name of its folder of inputs.
pub const TARGETS: &[(&str, Target)] = &[("fit_set", fit_set), ("open", open), ("points", points), ("recipe", recipe)];

fn recipe(folder: &Path, data: &[u8]) -> bool {
    let path = put(folder, "recipe.toml", data);
    put(folder, "a.obj", b"");
    let read = |quick| {
        let recipe = match compare::load(&path, quick, &Selection::default()) {
            Ok(recipe) => recipe,
            Err(error) => return refused(error),
        };
        assert!(!recipe.methods.is_empty() && !recipe.inputs.is_empty() && !recipe.seeds.is_empty());
        assert!(recipe.reference < recipe.methods.len());
        match compare::resolve_methods(&recipe) {
            Ok(resolved) => {
                compare::warnings(&recipe, &resolved).iter().for_each(said);
                true
            }
            Err(error) => refused(error),
        }
    };
    read(false) & read(true)
}

/// A preset's name, and a change of the fit a line.
fn fit_set(_: &Path, data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let (config, _) = match FitConfig::preset(lines.next().unwrap_or_default()) {
        Ok(found) => found,
        Err(error) => return refused(error),
    };
    let changes: Vec<String> = lines.take(16).map(String::from).collect();
    match config.set(&changes) {
        Ok(config) => {
            assert!(config.validate().is_ok());
            true
        }
        Err(error) => refused(error),
    }
}

/// Opens a model as the kind of field that it says it is, and asks it for one value.
fn open(folder: &Path, data: &[u8]) -> bool {
    match Field::load(put(folder, "m.safetensors", data)) {
        Ok(Field::Sdf(model)) => assert_eq!(model.distance(&[glam::DVec3::ZERO]).len(), 1),
        Ok(Field::Radiance(model)) => assert_eq!(model.density(&[glam::DVec3::ZERO]).len(), 1),
        Ok(Field::Signal(model)) => {
            let size = model.info.size();
            let corner = SampleRegion { size, first: [size[0] - 1, size[1] - 1], count: [1; 2] };
            let signal = model.reconstruct_region(&corner);
            assert_eq!(signal.data().len(), signal.channels());
        }
        Err(error) => return refused(error),
    }
    true
}

/// The table of points of `nstr query`.
fn points(folder: &Path, data: &[u8]) -> bool {
    match query::read_points(&put(folder, "points.npy", data)) {
        Ok((points, directions)) => {
            assert!(points.iter().all(|p| p.is_finite()));
            assert!(directions.is_none_or(|d| d.len() == points.len()));
            true
        }
        Err(error) => refused(format!("{error:#}")),
    }
}

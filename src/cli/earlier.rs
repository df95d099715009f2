//! Files of earlier work that a command must not replace without being told: models of other inputs, and the originals that
//! models were fitted to.

use std::path::Path;

use anyhow::bail;
use nstr_field::model::{Checkpoint, Model, ModelErrorKind};
use nstr_pipeline::FitRecord;
use nstr_pipeline::fingerprint::{input_fingerprint, other_input};
use nstr_pipeline::fit::checkpoint_path;

use super::output::is_in_a_capture;

/// Permissions of a fit to replace what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replace {
    /// `--overwrite` is given.
    pub overwrite: bool,
    /// The user named the output; otherwise its name was made from the input's, which another input may have too.
    pub is_named: bool,
    /// The checkpoint that is there is gone on from, and checked then.
    pub resume: bool,
}

/// Refuses to let a fit of `input` replace the model at `output`, or the checkpoint beside it, if that is not its to replace.
pub fn check_model(output: &Path, input: &Path, replace: Replace) -> anyhow::Result<()> {
    if replace.overwrite {
        return Ok(());
    }
    let name = output.display();
    if holds_something(output) {
        let model = match Model::load(output) {
            Ok(model) => model,
            Err(error) if matches!(error.kind, ModelErrorKind::Io { .. }) => return Err(error.into()),
            Err(error) => bail!("{error}; name another file with -o, or replace this one with --overwrite"),
        };
        // One that the user named is replaced, with a note of the fit's.
        if let Some(before) = origin(&model, input).filter(|_| !replace.is_named) {
            bail!("{name}: is the model of {before}; name another with -o, or replace it with --overwrite");
        }
    }
    let checkpoint = checkpoint_path(output);
    if replace.resume || !holds_something(&checkpoint) {
        return Ok(());
    }
    let path = checkpoint.display();
    let remedy = "name another model with -o, or replace it with --overwrite";
    match Checkpoint::load(&checkpoint) {
        Err(error) => bail!("{error}, and a fit to {name} keeps its checkpoint there; {remedy}"),
        Ok(saved) => match origin(&saved.model, input) {
            None => Ok(()),
            Some(before) => bail!("{path}: is the checkpoint of a fit to {before}; {remedy}"),
        },
    }
}

/// Whether the fit of `input` ran to its end and left the model at `output`.
pub fn is_finished_fit(output: &Path, input: &Path) -> bool {
    holds_something(output)
        && Model::load(output)
            .is_ok_and(|model| model.metrics.get("finished") == Some(&1.0) && origin(&model, input).is_none())
}

/// Refuses to replace the file at `path` if it is, or may be, the original of `model`, or a picture of a capture.
pub fn check_original(path: &Path, model: &Model, overwrite: bool) -> anyhow::Result<()> {
    if overwrite || !holds_something(path) {
        return Ok(());
    }
    let (name, remedy) = (path.display(), "name another file, or replace it with --overwrite");
    let record = FitRecord::of(model).ok().and_then(|record| record.input);
    if record.is_some_and(|hash| input_fingerprint(path).is_ok_and(|found| found == hash)) {
        bail!("{name}: is the file that the model was fitted to; {remedy}");
    }
    let original = model.provenance.get("input").map(String::as_str);
    if original.is_some() && path.file_name().and_then(|name| name.to_str()) == original {
        bail!("{name}: has the name of the file that the model was fitted to; {remedy}");
    }
    if is_in_a_capture(path) {
        bail!("{name}: may be a picture of the capture in its folder; {remedy}");
    }
    Ok(())
}

/// The input that a model was fitted to, in words, where that is another than `input`.
fn origin(model: &Model, input: &Path) -> Option<String> {
    // An input that cannot be read has no hash; the fit says so itself.
    other_input(model, input, input_fingerprint(input).ok().as_deref())
}

/// Whether a regular file that is not empty is there.
fn holds_something(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.len() > 0)
}

#[cfg(test)]
mod tests {
    use nstr_field::model::Precision;
    use nstr_pipeline::{FitOptions, fit_mesh};

    use super::*;

    /// A tetrahedron with an edge of `size`.
    fn tetrahedron(path: &Path, size: f64) {
        let mesh = format!("v 0 0 0\nv {size} 0 0\nv 0 {size} 0\nv 0 0 {size}\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n");
        std::fs::write(path, mesh).unwrap();
    }

    fn replace(is_named: bool, overwrite: bool) -> Replace {
        Replace { overwrite, is_named, resume: false }
    }

    #[test]
    fn a_model_of_another_input_is_not_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("b")).unwrap();
        for (name, size) in [("q.obj", 1.0), ("b/q.obj", 2.0), ("p.obj", 3.0)] {
            tetrahedron(&at(name), size);
        }
        std::fs::copy(at("q.obj"), at("copy.obj")).unwrap();
        let model = at("q.safetensors");
        let options = FitOptions::preset("sdf-tiny").set("train.batch=64").steps(1).without_evaluation().output(&model);
        fit_mesh(at("q.obj"), &options, &mut ()).unwrap();
        let check = |input: &str, named, overwrite| check_model(&model, &at(input), replace(named, overwrite));
        check("q.obj", false, false).unwrap();
        check("copy.obj", false, false).unwrap();
        for (input, words) in [("b/q.obj", "another q.obj"), ("p.obj", "is the model of q.obj")] {
            let said = check(input, false, false).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("--overwrite"), "{said}");
            check(input, true, false).unwrap();
            check(input, false, true).unwrap();
        }
        assert!(is_finished_fit(&model, &at("q.obj")) && !is_finished_fit(&model, &at("p.obj")));

        // A finished model has the name of the checkpoint.
        let other = at("n.safetensors");
        std::fs::copy(&model, checkpoint_path(&other)).unwrap();
        let said = check_model(&other, &at("q.obj"), replace(true, false)).unwrap_err().to_string();
        assert!(said.contains("n.checkpoint.safetensors") && said.contains("--overwrite"), "{said}");
        check_model(&other, &at("q.obj"), replace(true, true)).unwrap();

        // Weights of something else.
        std::fs::write(at("w.safetensors"), b"weights").unwrap();
        let said = check_model(&at("w.safetensors"), &at("q.obj"), replace(true, false)).unwrap_err().to_string();
        assert!(said.contains("w.safetensors") && said.contains("--overwrite"), "{said}");
        std::fs::write(at("w.safetensors"), b"").unwrap();
        check_model(&at("w.safetensors"), &at("q.obj"), replace(true, false)).unwrap();
    }

    #[test]
    fn the_original_of_a_model_is_not_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        tetrahedron(&at("q.obj"), 1.0);
        let options = FitOptions::preset("sdf-tiny").set("train.batch=64").steps(1).without_evaluation();
        let model = fit_mesh(at("q.obj"), &options, &mut ()).unwrap().model;
        model.save(at("m.safetensors"), Precision::F32).unwrap();
        std::fs::copy(at("q.obj"), at("copy.obj")).unwrap();
        std::fs::write(at("free.obj"), "v 0 0 0").unwrap();
        for (name, is_free) in [("q.obj", false), ("copy.obj", false), ("free.obj", true), ("new.obj", true)] {
            assert_eq!(check_original(&at(name), &model, false).is_ok(), is_free, "{name}");
            check_original(&at(name), &model, true).unwrap();
        }
        // Its name is enough, should it have changed since.
        tetrahedron(&at("q.obj"), 2.0);
        assert!(check_original(&at("q.obj"), &model, false).is_err());
    }
}

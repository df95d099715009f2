//! Options of fits and evaluations as a recipe writes them: `--downscale=4`.

use std::fmt::Display;
use std::str::FromStr;

use nstr_field::model::Precision;
use nstr_files::{excerpt, shorten};
use nstr_pipeline::{EvalOptions, FitOptions};

/// Options that the comparison sets itself, and what to write in a recipe instead.
const RESERVED: [(&str, &str); 19] = [
    ("output", "the folder is given with -o"),
    ("preset", "use `preset`"),
    ("set", "use `set`"),
    ("steps", "use `steps`"),
    ("time", "use `time`"),
    ("seed", "use `seeds`"),
    ("resume", "finished runs are skipped anyway"),
    ("checkpoint-every", "runs have no checkpoints"),
    ("render", "keep the models with --keep-models and render them"),
    ("no-eval", "every run is measured by `nstr eval`"),
    ("json", "metrics are kept in runs/"),
    ("table", "tables are written to the folder"),
    ("shard", "runs follow one another"),
    ("overwrite", "use --again"),
    ("view", "there is no window"),
    ("images", "keep the models with --keep-models and evaluate them"),
    ("sheet-order", "keep the models with --keep-models and evaluate them"),
    ("sheet-rows", "keep the models with --keep-models and evaluate them"),
    ("help", "see `nstr fit --help`"),
];

/// Applies options of `nstr fit` to `options`.
///
/// # Errors
/// Unknown options, those that the comparison sets itself, and unusable values.
pub(crate) fn apply_fit(options: &mut FitOptions, texts: &[String]) -> Result<(), String> {
    for text in texts {
        let (name, value) = split(text)?;
        match name {
            "device" => options.device = parse(text, value)?,
            "transport-from" => options.transport_from = Some(parse(text, value)?),
            "sign" => options.sign.sign = parse(text, value)?,
            "thickness" => options.sign.thickness = parse(text, value)?,
            "sign-resolution" => options.sign.sign_resolution = parse(text, value)?,
            "downscale" => options.capture.downscale = parse(text, value)?,
            "every" => options.capture.every = parse(text, value)?,
            "holdout" => options.capture.holdout = parse(text, value)?,
            "scene" => options.capture.scene = Some(parse(text, value)?),
            "space" => options.capture.space = parse(text, value)?,
            "near" => options.capture.near = Some(parse(text, value)?),
            "capture-format" => options.capture.format = Some(parse(text, value)?),
            "background" => options.capture.background = parse(text, value)?,
            "precision" => options.precision = parse::<Precision>(text, value)?,
            _ => return Err(refused(text, name, "fit")),
        }
    }
    Ok(())
}

/// Applies options of `nstr eval` to `options`.
///
/// # Errors
/// Unknown options, those that the comparison sets itself, and unusable values.
pub(crate) fn apply_eval(options: &mut EvalOptions, texts: &[String]) -> Result<(), String> {
    for text in texts {
        let (name, value) = split(text)?;
        match name {
            "lattice" => options.sdf.lattice = parse(text, value)?,
            "resolution" => options.sdf.resolution = parse(text, value)?,
            "samples" => options.sdf.samples = parse(text, value)?,
            "sign" => options.sign = Some(parse(text, value)?),
            "background" => options.background = Some(parse(text, value)?),
            "downscale" => options.downscale = Some(parse(text, value)?),
            "train-views" if value.is_none() => options.train_views = true,
            _ => return Err(refused(text, name, "eval")),
        }
    }
    options.check().map_err(|e| e.to_string())
}

/// Name and value of `--name=value` or `--name`.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    let rest = text
        .strip_prefix("--")
        .ok_or_else(|| format!("`{}` is not an option; write for example \"--downscale=4\"", excerpt(text)))?;
    Ok(rest.split_once('=').map_or((rest, None), |(name, value)| (name, Some(value))))
}

fn parse<T: FromStr<Err: Display>>(text: &str, value: Option<&str>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("`{0}` lacks its value; write {0}=VALUE", excerpt(text)))?;
    value.parse().map_err(|e: T::Err| format!("`{}`: {}", excerpt(text), shorten(&e.to_string())))
}

fn refused(text: &str, name: &str, command: &str) -> String {
    let text = excerpt(text);
    match RESERVED.iter().find(|(own, _)| *own == name) {
        Some((_, remedy)) => format!("`{text}` is not for a recipe to give: {remedy}"),
        None => {
            format!("`{text}` is not an option of `nstr {command}` that a recipe can give; see `nstr {command} --help`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|t| t.to_string()).collect()
    }

    #[test]
    fn options_reach_their_fields_and_errors_name_them() {
        let mut fit = FitOptions::default();
        apply_fit(&mut fit, &texts(&["--downscale=4", "--precision=f32", "--sign=visibility", "--near=0.5"])).unwrap();
        assert_eq!((fit.capture.downscale, fit.precision, fit.capture.near), (4, Precision::F32, Some(0.5)));
        let mut eval = EvalOptions::default();
        apply_eval(&mut eval, &texts(&["--lattice=64", "--train-views"])).unwrap();
        assert!(eval.sdf.lattice == 64 && eval.train_views);
        for (bad, word) in [
            ("downscale=4", "--downscale=4"),
            ("--downscale", "lacks its value"),
            ("--downscale=x", "--downscale=x"),
            ("--seed=1", "use `seeds`"),
            ("--nothing=1", "nstr fit --help"),
        ] {
            let error = apply_fit(&mut fit, &texts(&[bad])).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert!(apply_eval(&mut eval, &texts(&["--lattice=1"])).unwrap_err().contains("2 to 2048"));
        assert!(apply_eval(&mut eval, &texts(&["--images=x"])).unwrap_err().contains("--keep-models"));
    }
}

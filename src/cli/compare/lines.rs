//! The command lines that a comparison stands for, parsed by the same code as those of a user.

use std::path::Path;

use clap::Parser;
use nstr::compare::recipe::{Recipe, RecipeError, Run, Shape};

use crate::cli::eval::EvalArgs;
use crate::cli::fit::FitArgs;

#[derive(Parser)]
#[command(name = "nstr fit", no_binary_name = true, disable_help_flag = true)]
struct FitLine {
    #[command(flatten)]
    args: FitArgs,
}

#[derive(Parser)]
#[command(name = "nstr eval", no_binary_name = true, disable_help_flag = true)]
struct EvalLine {
    #[command(flatten)]
    args: EvalArgs,
}

/// Options that the comparison itself gives, and what a recipe says instead.
const OWN: [(&str, &str); 17] = [
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
    ("json", "figures are kept in runs/"),
    ("table", "tables are written to the folder"),
    ("shard", "runs follow one another"),
    ("overwrite", "use --again"),
    ("view", "there is no window"),
    ("images", "keep the models with --keep-models and evaluate them"),
    ("help", "see `nstr fit --help`"),
];

/// What `nstr fit` is given for a run.
pub fn fit_words(recipe: &Recipe, run: Run, shape: &Shape, output: &Path) -> Vec<String> {
    let (method, input) = (&recipe.methods[run.method], &recipe.inputs[run.input]);
    let mut words = vec![input.path.display().to_string(), "-o".into(), output.display().to_string()];
    words.extend(["--preset".into(), method.preset.clone()]);
    words.extend(method.budget.option());
    words.extend(["--seed".into(), run.seed.to_string()]);
    words.extend(shape.overrides.iter().flat_map(|text| ["--set".to_string(), text.clone()]));
    words.extend(method.fit.iter().chain(&input.fit).cloned());
    words
}

/// What `nstr eval` is given for a run.
pub fn eval_words(recipe: &Recipe, run: Run, model: &Path) -> Vec<String> {
    let (method, input) = (&recipe.methods[run.method], &recipe.inputs[run.input]);
    let mut words = vec![model.display().to_string(), input.path.display().to_string()];
    words.extend(method.eval.iter().chain(&input.eval).cloned());
    words
}

/// The arguments of a run's fit.
pub fn fit(recipe: &Recipe, run: Run, shape: &Shape, output: &Path) -> Result<FitArgs, RecipeError> {
    let words = fit_words(recipe, run, shape, output);
    let (method, input) = (&recipe.methods[run.method], &recipe.inputs[run.input]);
    check(recipe, "fit", &method.fit, &input.fit)?;
    FitLine::try_parse_from(words).map(|line| line.args).map_err(|e| refused(recipe, run, "fit", &e))
}

/// The arguments of a run's evaluation.
pub fn eval(recipe: &Recipe, run: Run, model: &Path) -> Result<EvalArgs, RecipeError> {
    let words = eval_words(recipe, run, model);
    let (method, input) = (&recipe.methods[run.method], &recipe.inputs[run.input]);
    check(recipe, "eval", &method.eval, &input.eval)?;
    EvalLine::try_parse_from(words).map(|line| line.args).map_err(|e| refused(recipe, run, "eval", &e))
}

/// Refuses what is no option, and options that are the comparison's own.
fn check(recipe: &Recipe, field: &str, method: &[String], input: &[String]) -> Result<(), RecipeError> {
    for text in method.iter().chain(input) {
        let Some(rest) = text.strip_prefix("--") else {
            return Err(recipe.error(field, format!("`{text}` is no option; write for example \"--downscale=4\"")));
        };
        let name = rest.split('=').next().unwrap_or(rest);
        if let Some((_, remedy)) = OWN.iter().find(|(own, _)| *own == name) {
            return Err(recipe.error(field, format!("`{text}` is not for a recipe to give: {remedy}")));
        }
    }
    Ok(())
}

fn refused(recipe: &Recipe, run: Run, field: &str, error: &clap::Error) -> RecipeError {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ").trim();
    let (method, input) = (&recipe.methods[run.method].name, &recipe.inputs[run.input].name);
    recipe.error(format!("{field} of method `{method}` on `{input}`"), first)
}

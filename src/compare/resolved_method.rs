//! Methods resolved on an input: overrides, configuration and size of the fit.

use std::collections::BTreeMap;

use nstr_files::excerpt;
use nstr_fit::FitConfig;
use nstr_spec::config::ConfigError;

use crate::parameter_budget::fit_parameter_budget;
use crate::recipe::{Method, Recipe, RecipeError, RecipeInput};

/// A method on an input, as `nstr fit` is given it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedMethod {
    /// All overrides `key=value`.
    pub overrides: Vec<String>,
    /// The configuration that follows.
    pub config: FitConfig,
    /// Number of parameters.
    pub parameters: usize,
    /// Value of the filled keys.
    pub filled: Option<u64>,
}

/// All methods of a recipe on all inputs, `[method][input]`.
///
/// # Errors
/// Overrides that cannot be used, numbers of parameters that cannot be kept to.
pub fn resolve_methods(recipe: &Recipe) -> Result<Vec<Vec<ResolvedMethod>>, RecipeError> {
    let of = |method| recipe.inputs.iter().map(|input| resolve_method(recipe, method, input)).collect();
    recipe.methods.iter().map(of).collect()
}

fn resolve_method(recipe: &Recipe, method: &Method, input: &RecipeInput) -> Result<ResolvedMethod, RecipeError> {
    let base: Vec<String> = [method.overrides.set.as_slice(), &input.overrides.set].concat();
    let error =
        |what: &str, e: &dyn std::fmt::Display| recipe.error(format!("method `{}`, {what}", excerpt(&method.name)), e);
    let resolve = |overrides: Vec<String>, filled| -> Result<ResolvedMethod, ConfigError> {
        let config = config(method, input, &overrides)?;
        Ok(ResolvedMethod { parameters: config.field.spec().parameters(), overrides, config, filled })
    };
    let fixed = resolve(base.clone(), None).map_err(|e| error("preset or set", &e))?;
    let Some(budget) = method.parameters.filter(|_| !method.fill.is_empty()) else { return Ok(fixed) };
    let with = |value: u64| {
        let filled = method.fill.iter().map(|key| format!("{key}={value}"));
        base.iter().cloned().chain(filled).collect::<Vec<_>>()
    };
    let value = fit_parameter_budget(budget, |value| resolve(with(value), None).map(|r| r.parameters))
        .map_err(|e| error(&format!("fill of {}", method.fill.join(", ")), &e))?;
    resolve(with(value), Some(value)).map_err(|e| error("fill", &e))
}

/// The preset for an input, with overrides.
fn config(method: &Method, input: &RecipeInput, overrides: &[String]) -> Result<FitConfig, ConfigError> {
    let (preset, _) = FitConfig::preset(&method.preset)?;
    let preset = match &input.signal {
        Some(signal) => preset.for_signal(signal),
        None => preset,
    };
    preset.set(overrides)
}

/// Share of unused parameters from which a filled method is warned of.
const UNUSED: f64 = 0.03;

/// Notes that a user should read before the runs begin; `resolved` as [`resolve_methods`] gives it.
pub fn warnings(recipe: &Recipe, resolved: &[Vec<ResolvedMethod>]) -> Vec<String> {
    let mut sizes = BTreeMap::new();
    let left_out = recipe.left_out.iter().map(|name| {
        let [instead, name] = [&recipe.methods[recipe.reference].name, name].map(|name| excerpt(name));
        format!("differences are to `{instead}`, because the reference, `{name}`, is left out")
    });
    for (method, row) in recipe.methods.iter().zip(resolved) {
        let Some(budget) = method.parameters else { continue };
        for one in row {
            let excess = one.parameters as f64 / budget as f64 - 1.0;
            let what = if excess > 0.0 { "more" } else { "fewer" };
            if excess > 0.0 || (excess < -UNUSED && !method.fill.is_empty()) {
                let (has, percent) = (one.parameters, (100.0 * excess).abs());
                let name = excerpt(&method.name);
                let text = format!("`{name}` has {has} parameters, {percent:.1} % {what} than the {budget} given");
                sizes.insert((method.name.clone(), has), text);
            }
        }
    }
    left_out.chain(sizes.into_values()).collect()
}

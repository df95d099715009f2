//! Comparisons of methods at equal budget: recipes, their runs, and tables and charts of the results.

pub mod charts;
mod inputs;
mod options;
mod parameter_budget;
pub mod recipe;
mod recipe_file;
pub mod record;
mod resolve;
pub mod resolved_method;
pub mod run;
pub mod summary;
pub mod table;
pub mod text_table;

pub use recipe::{Method, Metric, Recipe, RecipeError, RecipeInput, Run, RunOverrides, Selection};
pub use record::{Results, RunRecord, RunStatus};
pub use resolve::{load, parse};
pub use resolved_method::{ResolvedMethod, resolve_methods, warnings};
pub use run::Runs;

#[cfg(test)]
mod tests;

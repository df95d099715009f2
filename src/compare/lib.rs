//! Comparisons at equal budget: what a recipe asks for, what came of it, and how it is shown.

pub mod charts;
pub mod fill;
pub mod grid;
pub mod inputs;
pub mod options;
pub mod recipe;
pub mod record;
pub mod resolve;
pub mod run;
pub mod summary;
pub mod table;

pub use recipe::{Input, Method, Metric, Recipe, RecipeError};
pub use record::{Record, Results, Status};
pub use run::Runs;

#[cfg(test)]
mod tests;

//! The command line of nstr, one file a subcommand: options, messages and exit codes.

mod batch;
mod capture;
mod compare;
mod diagnose;
mod eval;
mod fit;
mod inspect;
mod mesh;
mod output;
mod plural;
mod progress;
mod query;
mod render;
mod render_signal;
mod sign;
#[cfg(feature = "viewer")]
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Fits, renders and measures neural spectral transport (NSTR) fields: signed distance fields from meshes, radiance
/// fields from posed images, pictures and sounds.
#[derive(Parser)]
#[command(name = "nstr", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fit a field to a mesh, to many, to posed images, to a picture or a sound
    Fit(Box<fit::FitArgs>),
    /// Render a model by sphere tracing or volume ray marching, or write its picture or sound
    Render(Box<render::RenderArgs>),
    /// Show a model in a window, or fit a mesh or a capture and watch it in the viewer
    #[cfg(feature = "viewer")]
    View(Box<view::ViewArgs>),
    /// Export a model's surface as a mesh
    Mesh(mesh::MeshArgs),
    /// Measure a model against its mesh, capture, picture or sound
    Eval(eval::EvalArgs),
    /// Compare methods at equal budget, over inputs and seeds, as a recipe asks
    Compare(compare::CompareArgs),
    /// Report how a model's spectrum relates to its signal, beside null models
    Diagnose(diagnose::DiagnoseArgs),
    /// Evaluate a model at points of a .npy file
    Query(query::QueryArgs),
    /// List what a mesh, a capture, a picture, a sound or a model holds, and what is wrong with it
    Inspect(inspect::InspectArgs),
}

/// Runs the command with the arguments of the process. Exit codes: 0 done, 1 failed, 2 misused.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Fit(args) => fit::run(&args),
        Command::Render(args) => render::run(&args),
        #[cfg(feature = "viewer")]
        Command::View(args) => view::run(&args),
        Command::Mesh(args) => mesh::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Inspect(args) => inspect::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nstr: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line, without causes that its text already ends with.
fn explain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        _ if text.ends_with(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_each_cause_once() {
        let read = |path: &str| nstr_field::model::Model::load(std::path::Path::new(path)).unwrap_err();
        let text = explain(&anyhow::Error::from(read("none.safetensors")).context("in a batch"));
        let cause = std::fs::read("none.safetensors").unwrap_err().to_string();
        assert!(text.starts_with("in a batch: none.safetensors: "), "{text}");
        assert_eq!(text.matches(&cause).count(), 1, "{text}");
    }
}

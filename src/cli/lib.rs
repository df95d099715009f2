//! The command line of nstr, one file a subcommand: options, messages and exit codes.
#![warn(clippy::print_stdout, clippy::print_stderr, reason = "these macros panic where nothing can be printed")]

mod batch;
mod byte_size;
mod capture;
mod compare;
mod convert;
mod device_choice;
mod diagnose;
mod earlier;
mod eval;
mod fit;
mod inspect;
mod interrupt;
mod layer_pictures;
mod make_capture;
mod mesh;
mod output;
mod plural;
mod progress;
// For the fuzzer of its tables.
#[doc(hidden)]
pub mod query;
mod render;
mod render_signal;
mod sign;
mod terminal;
mod threads;
#[cfg(feature = "viewer")]
mod view;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use terminal::stderr;

/// Fits, renders and measures neural spectral transport (NSTR) fields: signed distance fields from meshes, radiance
/// fields from posed images, pictures and sounds.
#[derive(Parser)]
#[command(name = "nstr", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a capture of a video or a folder of photographs: sharp frames, cameras by COLMAP
    Capture(Box<make_capture::MakeCaptureArgs>),
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
    /// Write a model as a compact file (.nstr), of a wanted loss or size, or a compact file as .safetensors
    Convert(convert::ConvertArgs),
    /// List what a mesh, a capture, a picture, a sound or a model holds, and what is wrong with it
    Inspect(inspect::InspectArgs),
}

/// Runs the command with the arguments of the process. Exit codes: 0 done, 1 failed, 2 misused.
pub fn run() -> ExitCode {
    let cli = arguments();
    if let Err(error) = threads::start() {
        stderr!("nstr: {}", explain(&error));
        return ExitCode::FAILURE;
    }
    let is_fit = matches!(cli.command, Command::Fit(_));
    let result = match cli.command {
        Command::Capture(args) => make_capture::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Render(args) => render::run(&args),
        #[cfg(feature = "viewer")]
        Command::View(args) => view::run(&args),
        Command::Mesh(args) => mesh::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Inspect(args) => inspect::run(&args),
    };
    match result {
        Ok(()) => end(terminal::stdout_failure(), is_fit),
        // As where nothing but text is printed: `nstr eval … --json - | head`.
        Err(error) if terminal::is_stdout_reserved() && is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            stderr!("nstr: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The arguments of the process. A refusal quotes them, so that it is cut where they are very long.
fn arguments() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let text = error.to_string();
        if !error.use_stderr() || text.chars().count() <= MOST_CHARACTERS {
            error.exit();
        }
        stderr!("{}", nstr_files::shorten(&text));
        std::process::exit(error.exit_code())
    })
}

/// Exit code of a command that did its work, whether or not its text could be printed.
fn end(failure: Option<io::Error>, is_fit: bool) -> ExitCode {
    match failure {
        // A reader that has seen enough, as in `nstr inspect … | head`.
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            stderr!("nstr: cannot print: standard output: {error}");
            // The model of a fit is written, and its numbers are stored in it.
            if is_fit { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => ExitCode::SUCCESS,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(closed))
}

/// Most characters of an error.
const MOST_CHARACTERS: usize = 4000;

/// An error and its causes in one line, without causes that its text already ends with; the middle of a very long one is
/// left out.
fn explain(error: &anyhow::Error) -> String {
    let text = causes(error);
    let count = text.chars().count();
    if count <= MOST_CHARACTERS {
        return text;
    }
    let start = text.chars().take(MOST_CHARACTERS / 2);
    let end = text.chars().skip(count - MOST_CHARACTERS / 2);
    start.chain(" … ".chars()).chain(end).collect()
}

fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        _ if text.ends_with(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Help of every subcommand, at the width of a terminal.
    fn helps(width: usize) -> Vec<(String, String)> {
        let mut command = Cli::command().term_width(width);
        command.build();
        let help = |sub: &mut clap::Command| (sub.get_name().to_string(), sub.render_help().to_string());
        command.get_subcommands_mut().filter(|sub| sub.get_name() != "help").map(help).collect()
    }

    #[test]
    fn help_fits_the_width_and_ends_with_examples() {
        Cli::command().debug_assert();
        for (name, text) in helps(100) {
            let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
            assert!(long.is_empty(), "{name}: {long:?}");
            let (_, examples) = text.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{name}: no examples"));
            assert!((2..=4).contains(&examples.trim_end().lines().count()), "{name}: {examples}");
        }
    }

    /// Options that were renamed or that exclude each other would be told here.
    #[test]
    fn examples_are_commands_that_parse() {
        for (name, text) in helps(100) {
            let (_, examples) = text.split_once("\nExamples:\n").unwrap();
            for line in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let words: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(words[..2], ["nstr", name.as_str()], "{line}");
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{line}: {error}");
                }
            }
        }
    }

    #[test]
    fn long_lists_of_options_have_headings() {
        for (name, headings) in [
            ("fit", &["Training:", "Meshes:", "Captures:", "Collections of meshes:", "Output:"][..]),
            ("render", &["Camera:", "Animations:", "Layers:", "Look:"]),
            ("eval", &["Meshes:", "Captures:"]),
        ] {
            let (_, text) = helps(100).into_iter().find(|help| help.0 == name).unwrap();
            for heading in headings {
                assert_eq!(text.lines().filter(|line| line == heading).count(), 1, "{name}: {heading}");
            }
            let plain = text.split("\nOptions:\n").nth(1).unwrap_or("").split("\n\n").next().unwrap_or("");
            assert!(plain.lines().filter(|line| line.trim_start().starts_with('-')).count() <= 8, "{name}: {plain}");
        }
    }

    #[test]
    fn an_error_says_each_cause_once() {
        let read = |path: &str| nstr_field::model::Model::load(std::path::Path::new(path)).unwrap_err();
        let text = explain(&anyhow::Error::from(read("none.safetensors")).context("in a batch"));
        let cause = std::fs::read("none.safetensors").unwrap_err().to_string();
        assert!(text.starts_with("in a batch: none.safetensors: "), "{text}");
        assert_eq!(text.matches(&cause).count(), 1, "{text}");
    }

    #[test]
    fn errors_are_never_longer_than_can_be_read() {
        let text = explain(&anyhow::anyhow!("a.obj: {}: expected a number", "ä".repeat(100_000)));
        assert!(text.chars().count() < 4100 && text.starts_with("a.obj: ä") && text.ends_with("ä: expected a number"));
        let short = anyhow::anyhow!("{}", "ä".repeat(4000));
        assert_eq!(explain(&short), "ä".repeat(4000));
    }

    #[test]
    fn printing_that_fails_is_an_error_but_for_closed_pipes_and_fits() {
        let code = |kind: io::ErrorKind, is_fit| format!("{:?}", end(Some(kind.into()), is_fit));
        let [success, failure] = [ExitCode::SUCCESS, ExitCode::FAILURE].map(|code| format!("{code:?}"));
        assert_eq!(code(io::ErrorKind::StorageFull, false), failure);
        assert_eq!(code(io::ErrorKind::StorageFull, true), success);
        assert_eq!(code(io::ErrorKind::BrokenPipe, false), success);
        let closed = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("-");
        assert!(is_closed_pipe(&closed) && !is_closed_pipe(&anyhow::anyhow!("else")));
    }
}

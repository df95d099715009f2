//! Helpers of the tests of the built command.
#![allow(dead_code, unused_imports, reason = "each test executable uses some of them")]

use std::path::Path;
use std::process::{Command, Output};

pub use nstr::files::testing::{Requirement, data_dir, skip};
use serde_json::Value;

/// The command in `folder`, as if outside any cluster's job.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nstr"));
    command.current_dir(folder).args(arguments).env_remove("SLURM_ARRAY_TASK_ID").env_remove("JOB_COMPLETION_INDEX");
    command
}

/// Runs the command to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// Output of a command that must succeed.
pub fn ok(folder: &Path, arguments: &[&str]) -> String {
    let out = run(folder, arguments);
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "nstr {arguments:?} failed:\n{error}");
    String::from_utf8_lossy(&out.stdout).into_owned() + &error
}

/// The message of a command that must fail with exit code 1 and without a panic.
pub fn fails(folder: &Path, arguments: &[&str]) -> String {
    let out = run(folder, arguments);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "nstr {arguments:?}:\n{error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// Path of a sample scene.
pub fn scene(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenes").join(name).display().to_string()
}

/// A file's JSON.
pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

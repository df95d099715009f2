//! The fuzzers' kept inputs, those that once broke a reader, and small changes of them, through every reader.
//!
//! `tests/fuzz/run.sh` makes new inputs; this test runs the kept ones in seconds, with the same checks.

#[path = "fuzz/limits.rs"]
mod limits;
#[path = "fuzz/targets.rs"]
mod targets;
#[path = "fuzz/training_targets.rs"]
mod training_targets;

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rand::{RngExt, SeedableRng};
use targets::Target;

mod rooms {
    pub use nstr::{camera, capture, codec, compare, field, fit, geometry, image, pipeline, signal, spec};
    pub use nstr_cli as cli;
}

#[global_allocator]
static COUNTER: limits::Counter = limits::Counter;

/// Memory and time are counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn all() -> impl Iterator<Item = &'static (&'static str, Target)> {
    targets::TARGETS.iter().chain(training_targets::TARGETS)
}

/// Files of a target in `corpus` or `regressions`, in the order of their names.
fn files(kind: &str, name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind).join(name);
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

/// Runs a target on an input: whether it was read, or what went wrong.
fn attempt(target: Target, folder: &Path, data: &[u8]) -> Result<bool, String> {
    let mut read = false;
    let run = catch_unwind(AssertUnwindSafe(|| limits::within(data.len(), || read = target(folder, data))));
    run.map_err(|panic| text(&*panic)).flatten().map(|()| read)
}

fn text(panic: &(dyn Any + Send)) -> String {
    let fixed = || panic.downcast_ref::<&str>().map(|text| text.to_string());
    panic.downcast_ref::<String>().cloned().or_else(fixed).unwrap_or_else(|| "a panic".into())
}

#[test]
fn kept_inputs_are_read_or_refused_as_they_should_be() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for &(name, target) in all() {
        let kept = files("corpus", name);
        assert!(!kept.is_empty(), "{name} has no input; tests/fuzz/run.sh makes them");
        for file in kept.into_iter().chain(files("regressions", name)) {
            let result = attempt(target, &folder.path().join(name), &fs::read(&file).unwrap());
            // Inputs that are right say so in their name.
            let good = file.file_name().unwrap().to_string_lossy().starts_with("good");
            match result {
                Ok(read) if read || !good => {}
                Ok(_) => faults.push(format!("{}: refused", file.display())),
                Err(reason) => faults.push(format!("{}: {reason}", file.display())),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Cut inputs, and inputs with some bytes changed, doubled or left out. The same in every run.
fn changed(data: &[u8], random: &mut rand_pcg::Pcg64) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..random.random_range(1..4) {
        if data.is_empty() {
            break;
        }
        let at = random.random_range(0..data.len());
        let end = (at + random.random_range(1..16)).min(data.len());
        match random.random_range(0..6) {
            0 => data.truncate(at),
            1 => data[at] = random.random(),
            2 => data[at] ^= 1 << random.random_range(0..8),
            3 => data[at..end].fill([0, 0xFF, 0x7F, b'9'][random.random_range(0..4)]),
            4 => data.extend_from_within(at..end),
            _ => _ = data.drain(at..end),
        }
    }
    data
}

#[test]
fn changed_inputs_break_no_reader() {
    const CHANGES: usize = 60;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for &(name, target) in all() {
        for file in files("corpus", name) {
            let data = fs::read(&file).unwrap();
            let mut random = rand_pcg::Pcg64::seed_from_u64(data.len() as u64);
            for change in 0..CHANGES {
                let input = changed(&data, &mut random);
                if let Err(reason) = attempt(target, &folder.path().join(name), &input) {
                    let start = String::from_utf8_lossy(&input[..input.len().min(200)]).into_owned();
                    faults.push(format!("{}, change {change}: {reason}: {start:?}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

//! Number of threads: one a core, or as many as `RAYON_NUM_THREADS` asks for, within reason.

use std::num::NonZero;

use anyhow::Context;
use nstr_files::excerpt;

use super::terminal::stderr;

/// Variables that ask for a number of threads, as rayon reads them: the first that is set counts.
const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"];
/// Threads that may be asked for on any machine, to get the same bits as one of so many cores.
const ALWAYS_ALLOWED: usize = 256;
/// Threads a core that may be asked for on larger machines.
const PER_CORE: usize = 4;

/// Starts the threads that the whole process uses.
///
/// # Errors
/// The system refuses so many.
pub fn start() -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let set = VARIABLES.iter().find_map(|name| Some((*name, std::env::var_os(name)?)));
    let asked = set.map(|(name, value)| (name, value.to_string_lossy().into_owned()));
    let (count, note) = match &asked {
        Some((name, value)) => decide(name, value, cores),
        None => (cores, None),
    };
    if let Some(note) = note {
        stderr!("{note}");
    }
    let started = rayon::ThreadPoolBuilder::new().num_threads(count).build_global();
    started.with_context(|| {
        let name = asked.map_or(VARIABLES[0], |(name, _)| name);
        format!("cannot start {count} threads; set {name} to fewer, or raise the limit of processes (ulimit -u)")
    })
}

/// The number of threads where the variable `name` has this value, and what to say about it.
fn decide(name: &str, value: &str, cores: usize) -> (usize, Option<String>) {
    let most = ALWAYS_ALLOWED.max(PER_CORE.saturating_mul(cores));
    let reason = match value.trim().parse::<u128>() {
        // As rayon has it.
        Ok(0) => return (cores, None),
        Ok(count) if count <= most as u128 => return (count as usize, None),
        Ok(_) => format!("more than {most} threads are of no use on {cores} cores"),
        Err(_) => "not a whole number".into(),
    };
    (cores, Some(format!("warning: {name}={}: {reason}; using {cores}, one a core", excerpt(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_reason_are_kept_and_others_are_one_a_core() {
        for (value, cores, count) in [("1", 2, 1), (" 8\n", 2, 8), ("256", 2, 256), ("512", 128, 512), ("0", 6, 6)] {
            assert_eq!(decide("RAYON_NUM_THREADS", value, cores), (count, None), "{value:?}");
        }
        for (value, part) in [
            ("257", "more than 256 threads"),
            ("1000000", "RAYON_NUM_THREADS=1000000: more than 256 threads are of no use on 2 cores; using 2"),
            ("18446744073709551616", "more than 256"),
            ("99999999999999999999999999999999999999999999", "not a whole number"),
            ("-1", "RAYON_NUM_THREADS=-1: not a whole number"),
            ("", "not a whole number"),
            ("many", "not a whole number"),
            ("2.5", "not a whole number"),
        ] {
            let (count, note) = decide("RAYON_NUM_THREADS", value, 2);
            assert!(count == 2 && note.as_ref().unwrap().contains(part), "{value:?}: {note:?}");
        }
        assert!(decide("RAYON_NUM_THREADS", &"9".repeat(100_000), 2).1.unwrap().len() < 300);
    }
}

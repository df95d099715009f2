//! Skips of tests that need something a machine may lack, and the reference data's folder.
//!
//! Tests that find their requirement missing return early through [`skip`]. `NSTR_REQUIRE`, a list such as `data,gpu`,
//! names the requirements that must be there: their absence then fails the test instead.

use std::fmt;
use std::path::PathBuf;

/// Something that a test needs and a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The folder of reference data that the environment variable `NSTR_DATA` names.
    Data,
    /// A graphics adapter or a compute device, and its driver.
    Gpu,
    /// A virtual display: Xvfb, weston, xdotool.
    Display,
    /// The program ffmpeg.
    Ffmpeg,
    /// python3 with the packages that a test names.
    Python,
    /// The right to mount file systems.
    Mount,
}

impl Requirement {
    const ALL: [Self; 6] = [Self::Data, Self::Gpu, Self::Display, Self::Ffmpeg, Self::Python, Self::Mount];
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Gpu => "gpu",
            Self::Display => "display",
            Self::Ffmpeg => "ffmpeg",
            Self::Python => "python",
            Self::Mount => "mount",
        })
    }
}

/// Notes on stderr that a test is skipped for want of `requirement`; the caller returns.
///
/// # Panics
/// If `NSTR_REQUIRE` names the requirement, or holds a word that is none.
pub fn skip(requirement: Requirement, reason: &str) {
    let list = std::env::var("NSTR_REQUIRE").unwrap_or_default();
    if is_required(&list, requirement) {
        panic!("NSTR_REQUIRE={list} asks for {requirement}, which this test does not find: {reason}");
    }
    eprintln!("skipped: {reason}");
}

/// The folder `sub` of the reference data in `NSTR_DATA` (`""`: all of it), or `None` after [`skip`].
///
/// # Panics
/// As [`skip`], without the variable.
pub fn data_dir(sub: &str) -> Option<PathBuf> {
    let root = std::env::var_os("NSTR_DATA").filter(|root| !root.is_empty());
    if root.is_none() {
        skip(Requirement::Data, "NSTR_DATA is not set");
    }
    root.map(|root| PathBuf::from(root).join(sub))
}

fn is_required(list: &str, requirement: Requirement) -> bool {
    let words = || list.split(',').map(str::trim).filter(|word| !word.is_empty());
    let known = |word: &str| Requirement::ALL.iter().any(|r| r.to_string() == word);
    if let Some(word) = words().find(|word| !known(word)) {
        panic!("NSTR_REQUIRE={list}: {word} is not one of data, gpu, display, ffmpeg, python, mount");
    }
    words().any(|word| word == requirement.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_what_must_be_there() {
        for list in ["", " ", ","] {
            assert!(!Requirement::ALL.iter().any(|r| is_required(list, *r)), "{list:?}");
        }
        let required = |list| Requirement::ALL.map(|r| is_required(list, r));
        assert_eq!(required("data"), [true, false, false, false, false, false]);
        assert_eq!(required("gpu, display,"), [false, true, true, false, false, false]);
        assert_eq!(required("ffmpeg,data,python,mount,display,gpu"), [true; 6]);
    }

    #[test]
    #[should_panic(expected = "dta is not one of")]
    fn a_misspelt_requirement_is_refused() {
        is_required("gpu,dta", Requirement::Gpu);
    }
}

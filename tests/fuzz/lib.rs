//! Frame of the fuzz targets: each runs one reader on libFuzzer's input and checks what it took.

use std::path::PathBuf;
use std::sync::LazyLock;

pub mod limits;
pub mod targets;
#[cfg(feature = "training")]
pub mod training_targets;

/// The rooms by the names that the facade of the main workspace gives them.
mod rooms {
    pub use nstr_camera as camera;
    pub use nstr_capture as capture;
    pub use nstr_codec as codec;
    #[cfg(feature = "training")]
    pub use nstr_cli as cli;
    #[cfg(feature = "training")]
    pub use nstr_compare as compare;
    pub use nstr_field as field;
    #[cfg(feature = "training")]
    pub use nstr_fit as fit;
    pub use nstr_geometry as geometry;
    pub use nstr_image as image;
    #[cfg(feature = "training")]
    pub use nstr_pipeline as pipeline;
    pub use nstr_signal as signal;
    pub use nstr_spec as spec;
}

#[global_allocator]
static COUNTER: limits::Counter = limits::Counter;

/// The process's own folder for files that readers take by path. libFuzzer leaves without a farewell, so `run.sh` removes it:
/// it lies in `TMPDIR`.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("nstr-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    folder
});

/// Runs the target `name` on an input.
///
/// # Panics
/// Where the reader panics, breaks a promise, or takes more memory or time than the input's size allows.
pub fn run(name: &str, data: &[u8]) {
    let mut known = targets::TARGETS.iter();
    #[cfg(feature = "training")]
    let mut known = known.chain(training_targets::TARGETS);
    let (_, target) = known.find(|(n, _)| *n == name).unwrap_or_else(|| panic!("there is no target {name}"));
    let folder = FOLDER.join(name);
    if let Err(reason) = limits::within(data.len(), || _ = target(&folder, data)) {
        panic!("{name}: {reason}");
    }
}

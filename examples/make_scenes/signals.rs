//! A picture and a sound whose local frequency is known everywhere.

use std::path::Path;

use nstr::signal::synthetic::{chirp_image, sweep_audio};
use nstr::signal::{AudioSignal, ImageSignal};

/// `chirp.png`: 256×256, grey, 8 bits.
pub fn chirp() -> ImageSignal {
    chirp_image(256)
}

/// `sweep.wav`: two seconds at 16 kHz, mono, 16 bits.
pub fn sweep() -> AudioSignal {
    sweep_audio(16_000, 2.0)
}

/// Writes both to `folder`.
///
/// # Errors
/// Files that cannot be written.
pub fn write(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    chirp().write(&folder.join("chirp.png"))?;
    sweep().write(&folder.join("sweep.wav"))?;
    Ok(())
}

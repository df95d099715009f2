//! A picture and a sound whose local frequency is known everywhere.

use nstr::signal::synthetic::{chirp_picture, sweep_sound};
use nstr::signal::{Picture, Sound};
use std::path::Path;

/// `chirp.png`: 256×256, grey, 8 bits.
pub fn chirp() -> Picture {
    chirp_picture(256)
}

/// `sweep.wav`: two seconds at 16 kHz, mono, 16 bits.
pub fn sweep() -> Sound {
    sweep_sound(16_000, 2.0)
}

/// Writes both to `folder`.
pub fn write(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    chirp().write(&folder.join("chirp.png"))?;
    sweep().write(&folder.join("sweep.wav"))?;
    Ok(())
}

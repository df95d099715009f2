//! Options of the sign of meshes: inside or outside.

use clap::Args;
use nstr_geometry::SignMethod;
use nstr_pipeline::SignSettings;

/// Options of the sign method.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SignArgs {
    /// Source of the sign: auto, winding, visibility, parity or unsigned
    #[arg(long, default_value = "auto")]
    pub sign: SignMethod,
    /// Thickness given to sheets without an inside, as a fraction of the bounding box's diagonal
    #[arg(long, default_value_t = 0.005, value_name = "FRACTION")]
    pub thickness: f64,
    /// Cells along the longest edge for `--sign visibility`: gaps narrower than a cell are closed
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub sign_resolution: usize,
}

/// The defaults of the options.
impl Default for SignArgs {
    fn default() -> Self {
        Self { sign: SignMethod::default(), thickness: 0.005, sign_resolution: 256 }
    }
}

impl SignArgs {
    /// The options of the library.
    pub fn options(&self) -> SignSettings {
        let mut options = SignSettings::default();
        (options.sign, options.thickness, options.sign_resolution) = (self.sign, self.thickness, self.sign_resolution);
        options
    }
}

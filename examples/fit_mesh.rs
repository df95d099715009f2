//! Fits a signed distance field to a mesh, with progress, and saves it.
//!
//!     cargo run --release --example fit_mesh -- scenes/chair.obj chair.safetensors

use nstr::fit::Progress;
use nstr::{Error, FitObserver, FitOptions, Scores, fit_mesh};

/// Observer that prints what it is told.
struct Print;

impl FitObserver for Print {
    fn message(&mut self, text: &str) {
        println!("{text}");
    }

    fn progress(&mut self, progress: &Progress) -> bool {
        if progress.step.is_multiple_of(160) {
            println!("  step {}, loss {:.2e}", progress.step, progress.loss);
        }
        true
    }
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mesh = arguments.next().unwrap_or("scenes/chair.obj".into());
    let output = arguments.next().unwrap_or("chair.safetensors".into());
    let options = FitOptions::preset("sdf-tiny").steps(800).output(&output);
    let fitted = fit_mesh(&mesh, &options, &mut Print)?;
    if let Some(Scores::Sdf(scores)) = fitted.scores {
        println!("{output}: IoU {:.4}, Chamfer-L1 {:.2e} of the diagonal", scores.iou, scores.chamfer_l1);
    }
    Ok(())
}

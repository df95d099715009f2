//! Observer of a run: messages, progress, and its end.

/// What is told of a run while it goes on, and the place to stop it.
pub trait SfmObserver {
    /// A sentence about what is finished or was found.
    fn message(&mut self, _text: &str) {}

    /// Progress of the stage at hand: its name, the part that is done (0 to 1, where it is known) and a few words. `false` stops the
    /// run; the program that is running is ended, and what is finished is kept. Called several times a second.
    fn progress(&mut self, _stage: &str, _fraction: Option<f64>, _text: &str) -> bool {
        true
    }
}

/// Watches nothing.
impl SfmObserver for () {}

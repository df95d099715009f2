//! Progress of a fit on a terminal or in a log, checkpoints and Ctrl-C.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use nstr::fit::{Observer, Progress, TrainState};

/// Set by Ctrl-C (and by a scheduler's SIGTERM).
pub fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    let flag = FLAG.get_or_init(Arc::default).clone();
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            // A second one does not wait for the step to end.
            std::process::exit(1);
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(flag)
}

/// What to do with a state worth keeping.
type Save<'a> = Box<dyn FnMut(&TrainState) -> anyhow::Result<PathBuf> + 'a>;

/// Shows a run's progress and saves its checkpoints.
pub struct Watch<'a> {
    bar: Option<ProgressBar>,
    quiet: bool,
    printed: Instant,
    stop: Arc<AtomicBool>,
    every: Option<Duration>,
    save: Save<'a>,
}

/// Time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Resolution of the bar.
const TICKS: u64 = 1000;

impl<'a> Watch<'a> {
    pub fn new(
        quiet: bool,
        every: Option<Duration>,
        stop: Arc<AtomicBool>,
        save: impl FnMut(&TrainState) -> anyhow::Result<PathBuf> + 'a,
    ) -> anyhow::Result<Self> {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| ProgressBar::new(TICKS));
        if let Some(bar) = &bar {
            bar.set_style(ProgressStyle::with_template("  {bar:30} {percent:>3} %  {msg}  {eta} left")?);
        }
        Ok(Self { bar, quiet, printed: Instant::now(), stop, every, save: Box::new(save) })
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Watch<'_> {
    fn progress(&mut self, p: &Progress) -> bool {
        let mut text = format!("step {}  loss {:.3e}  lr {:.1e}", p.step, p.loss, p.net_lr);
        if let Some((name, value)) = p.figure {
            text += &format!("  {name} {value:.2}");
        }
        if let Some(bar) = &self.bar {
            bar.set_position((p.share * TICKS as f64) as u64);
            bar.set_message(text);
        } else if !self.quiet && self.printed.elapsed() >= LINE_EVERY {
            self.printed = Instant::now();
            eprintln!("  {:3.0} %  {text}  {:.0} s", 100.0 * p.share, p.elapsed.as_secs_f64());
        }
        !self.stop.load(Ordering::SeqCst)
    }

    fn checkpoint_every(&self) -> Option<Duration> {
        self.every
    }

    fn checkpoint(&mut self, state: &TrainState) -> anyhow::Result<()> {
        (self.save)(state).map(|_| ())
    }
}

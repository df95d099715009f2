//! Progress of a fit on a terminal or in a log, and its end by a signal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use nstr_fit::Progress;
use nstr_pipeline::FitObserver;

use super::interrupt::interrupted;
use super::terminal::stderr;

/// Observer that prints the messages and the progress of a fit, and stops it on Ctrl-C.
pub struct ProgressObserver {
    bar: Option<ProgressBar>,
    quiet: bool,
    printed: Instant,
    stop: Arc<AtomicBool>,
}

/// Time between lines where there is no terminal.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);
/// Length of the bar in ticks.
pub(super) const TICKS: u64 = 1000;

impl ProgressObserver {
    /// A new observer; a quiet one prints warnings alone, and stops on Ctrl-C.
    pub fn new(quiet: bool) -> anyhow::Result<Self> {
        Ok(Self { bar: None, quiet, printed: Instant::now(), stop: interrupted()? })
    }

    /// A quiet observer that still shows a bar on a terminal, where it leaves no trace.
    pub fn bar_only() -> anyhow::Result<Self> {
        let mut observer = Self::new(true)?;
        observer.bar = bar(TEMPLATE);
        Ok(observer)
    }
}

impl ProgressObserver {
    /// Moves the bar; where there is none, prints a line every few seconds.
    fn show(&mut self, fraction: f64, text: String, elapsed: Option<Duration>) {
        if !self.quiet && self.bar.is_none() {
            self.bar = bar(TEMPLATE);
        }
        if let Some(bar) = &self.bar {
            bar.set_position((fraction * TICKS as f64) as u64);
            bar.set_message(text);
        } else if !self.quiet && self.printed.elapsed() >= LINE_EVERY {
            self.printed = Instant::now();
            let time = elapsed.map(|time| format!("  {:.0} s", time.as_secs_f64())).unwrap_or_default();
            stderr!("  {:3.0} %  {text}{time}", 100.0 * fraction);
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }
}

/// Template of a fit's bar.
const TEMPLATE: &str = "  {bar:30} {percent:>3} %  {msg}  {eta} left";

/// A bar of [`TICKS`] on a terminal.
pub(super) fn bar(template: &str) -> Option<ProgressBar> {
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(TICKS))?;
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    Some(bar)
}

impl Drop for ProgressObserver {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl FitObserver for ProgressObserver {
    fn message(&mut self, text: &str) {
        if !self.quiet {
            // A trial's bar ends with its message; the fit has one of its own.
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            stderr!("{text}");
        }
    }

    fn warning(&mut self, text: &str) {
        // A bar would be drawn over the line.
        match &self.bar {
            Some(bar) => bar.suspend(|| stderr!("{text}")),
            None => stderr!("{text}"),
        }
    }

    fn trial(&mut self, fraction: f64) -> bool {
        self.show(fraction, "trial".into(), None);
        self.goes_on()
    }

    fn progress(&mut self, p: &Progress) -> bool {
        let mut text = format!("step {}  loss {:.3e}  lr {:.1e}", p.step, p.loss, p.net_lr);
        if let Some((name, value)) = p.validation_metric {
            text += &format!("  {name} {value:.2}");
        }
        self.show(p.fraction, text, Some(p.elapsed));
        self.goes_on()
    }
}

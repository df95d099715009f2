//! Progress of long work on a terminal or in a log, and its end by a signal: one display for all commands.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use nstr_files::decimals;
use nstr_fit::Progress;
use nstr_pipeline::FitObserver;
use nstr_pipeline::time_left::{TimeLeft, spoken};
use nstr_sfm::SfmObserver;

use super::interrupt::interrupted;
use super::terminal::stderr;

/// Amount that a display prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verbosity {
    /// Messages, and the progress as a bar or, without a terminal, as a line now and then.
    Full,
    /// The progress as a bar on a terminal, where it leaves no trace; else nothing but warnings.
    BarOnly,
}

/// Display of the progress of some work; it ends, and its bar goes, when it is dropped.
pub struct ProgressDisplay {
    verbosity: Verbosity,
    bar: Option<Bar>,
    stage: Stage,
    start: Instant,
    printed: Instant,
    runs: Option<Runs>,
    /// Validation metric as it was last printed in a line.
    metric: Option<(&'static str, f64)>,
    /// Set by a signal that asks the work to stop, where that is heard.
    stop: Option<Arc<AtomicBool>>,
}

/// Time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Length of the bar in ticks.
const TICKS: u64 = 1000;

impl ProgressDisplay {
    /// A display of messages and progress.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            verbosity: Verbosity::Full,
            bar: None,
            stage: Stage::default(),
            start: now,
            printed: now,
            runs: None,
            metric: None,
            stop: None,
        }
    }

    /// A display of a fit or another work that Ctrl-C ends at the next step, with what it has.
    ///
    /// # Errors
    /// Signals that cannot be heard.
    pub fn stoppable() -> anyhow::Result<Self> {
        Ok(Self { stop: Some(interrupted()?), ..Self::new() })
    }

    /// A display of `total` fits one after the other, of which only a bar is shown: their lines are printed by [`Self::line`].
    ///
    /// # Errors
    /// Signals that cannot be heard.
    pub fn of_runs(total: usize) -> anyhow::Result<Self> {
        let stage = Stage { left: TimeLeft::of_runs(), ..Stage::default() };
        Ok(Self { verbosity: Verbosity::BarOnly, runs: Some(Runs::new(total)), stage, ..Self::stoppable()? })
    }

    /// Begins the next of several runs.
    pub fn begin_run(&mut self, name: &str) {
        let now = self.now();
        if let Some(runs) = &mut self.runs {
            runs.begin(now, name);
        }
        self.show("", Some(0.0), "");
    }

    /// Ends the run at hand, finished or not.
    pub fn end_run(&mut self) {
        let now = self.now();
        if let Some(runs) = &mut self.runs {
            runs.end(now);
            self.stage.left.update(now, runs.fraction());
        }
    }

    /// Words about the time that all runs still take: `; about 5 min left`. Empty where it is short or not known.
    pub fn rest(&self) -> String {
        match self.stage.left.left(self.now()) {
            Some(left) if left >= 10.0 => format!("; about {} left", spoken(left)),
            _ => String::new(),
        }
    }

    /// Seconds since the display began.
    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Shows that a fraction of a stage is done, 0 to 1, where that is known, and a few words; `false` where a signal asked to stop.
    pub fn show(&mut self, stage: &str, fraction: Option<f64>, text: &str) -> bool {
        self.show_since(stage, fraction, text, None)
    }

    /// As [`Self::show`], with the time that the work took so far, where it began before the display.
    fn show_since(&mut self, stage: &str, fraction: Option<f64>, text: &str, elapsed: Option<Duration>) -> bool {
        let now = self.now();
        let (fraction, name) = match &mut self.runs {
            Some(runs) => {
                runs.show(now, stage, fraction);
                (Some(runs.fraction()), runs.name())
            }
            None => {
                self.stage.enter(now, stage);
                (fraction, String::new())
            }
        };
        fraction.iter().for_each(|fraction| self.stage.left.update(now, *fraction));
        let words: Vec<&str> = [&name, stage, text].into_iter().filter(|words| !words.is_empty()).collect();
        let words = words.join("  ");
        let left = self.stage.left.left(now).filter(|left| *left >= 0.5).map(spoken);
        if std::io::stderr().is_terminal() {
            let left = left.map_or(String::new(), |left| format!("  {left} left"));
            self.bar.get_or_insert_with(Bar::new).show(fraction, words + &left);
        } else if self.prints_line() {
            self.printed = Instant::now();
            let elapsed = elapsed.map_or(now - self.stage.start, |elapsed| elapsed.as_secs_f64());
            stderr!("{}", line(fraction, &words, elapsed, left.as_deref()));
        }
        !self.is_stopped()
    }

    /// Returns whether a line is printed at the next report: where there is no terminal, and enough time has passed.
    fn prints_line(&self) -> bool {
        self.verbosity == Verbosity::Full && !std::io::stderr().is_terminal() && self.printed.elapsed() >= LINE_EVERY
    }

    /// Prints a line on standard error, above the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            // The bar would be drawn over the line.
            Some(bar) => bar.bar.suspend(|| stderr!("{text}")),
            None => stderr!("{text}"),
        }
    }

    /// Returns whether a signal asked the work to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::SeqCst))
    }
}

/// Stage of some work, whose time is told and estimated.
#[derive(Default)]
struct Stage {
    name: String,
    /// Time from the beginning of the display to that of the stage.
    start: f64,
    left: TimeLeft,
}

impl Stage {
    /// Goes on with the stage `name` at the time `now`, or begins it. Tries of one search (`size, try 3`) are one stage.
    fn enter(&mut self, now: f64, name: &str) {
        let name = name.split(',').next().unwrap_or_default();
        if self.name != name {
            *self = Self { name: name.into(), start: now, left: TimeLeft::default() };
        }
    }
}

/// The line about work without a terminal.
fn line(fraction: Option<f64>, words: &str, elapsed: f64, left: Option<&str>) -> String {
    let percent = fraction.map_or(String::new(), |f| format!("{:3.0} %  ", 100.0 * f));
    let words = if words.is_empty() { String::new() } else { format!("{words}  ") };
    let left = left.map_or(String::new(), |left| format!(", about {left} left"));
    format!("  {percent}{words}{}{left}", spoken(elapsed))
}

/// A bar on a terminal, or a spinner where no fraction is known.
struct Bar {
    bar: ProgressBar,
    is_spinner: bool,
}

impl Bar {
    fn new() -> Self {
        let mut bar = Self { bar: ProgressBar::new(TICKS), is_spinner: true };
        bar.style(false);
        bar
    }

    fn style(&mut self, is_spinner: bool) {
        if self.is_spinner == is_spinner {
            return;
        }
        self.is_spinner = is_spinner;
        let template = if is_spinner { "  {spinner} {wide_msg}" } else { "  {bar:30} {percent:>3} %  {wide_msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        match is_spinner {
            true => self.bar.enable_steady_tick(Duration::from_millis(120)),
            false => self.bar.disable_steady_tick(),
        }
    }

    fn show(&mut self, fraction: Option<f64>, text: String) {
        self.style(fraction.is_none());
        self.bar.set_message(text);
        self.bar.set_position((fraction.unwrap_or(0.0).clamp(0.0, 1.0) * TICKS as f64) as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Count of several runs, each a fit and what follows it.
struct Runs {
    total: usize,
    done: usize,
    name: String,
    began: f64,
    /// Fraction of the fit at hand.
    fitted: f64,
    /// When the fit at hand had ended.
    ended: Option<f64>,
    /// Share of a run that its fit takes, as it was in the last run.
    share: f64,
}

impl Runs {
    fn new(total: usize) -> Self {
        Self { total, done: 0, name: String::new(), began: 0.0, fitted: 0.0, ended: None, share: 0.9 }
    }

    fn begin(&mut self, now: f64, name: &str) {
        (self.name, self.began, self.fitted, self.ended) = (name.into(), now, 0.0, None);
    }

    fn show(&mut self, now: f64, stage: &str, fraction: Option<f64>) {
        // Stages have names; the fit has none.
        if let Some(fraction) = fraction.filter(|_| stage.is_empty()) {
            self.fitted = self.fitted.max(fraction.clamp(0.0, 1.0));
            if self.fitted >= 1.0 {
                self.ended.get_or_insert(now);
            }
        }
    }

    fn end(&mut self, now: f64) {
        if let Some(ended) = self.ended.filter(|_| now > self.began) {
            self.share = ((ended - self.began) / (now - self.began)).clamp(0.05, 1.0);
        }
        (self.done, self.fitted, self.ended) = (self.done + 1, 0.0, None);
    }

    /// Fraction of all runs.
    fn fraction(&self) -> f64 {
        (self.done as f64 + self.share * self.fitted) / self.total.max(1) as f64
    }

    fn name(&self) -> String {
        format!("[{}/{}] {}", (self.done + 1).min(self.total), self.total, self.name)
    }
}

impl FitObserver for ProgressDisplay {
    fn message(&mut self, text: &str) {
        if self.verbosity == Verbosity::Full {
            // A trial's bar ends with its message; the fit has one of its own.
            self.bar = None;
            stderr!("{text}");
        }
    }

    fn warning(&mut self, text: &str) {
        self.line(text);
    }

    fn trial(&mut self, fraction: f64) -> bool {
        self.show("trial", Some(fraction), "")
    }

    fn progress(&mut self, p: &Progress) -> bool {
        let mut text = format!("step {}  loss {:.3e}  lr {:.1e}", p.step, p.loss, p.net_lr);
        // Measured now and then: a line repeats no old one.
        if let Some((name, value)) = p.validation_metric
            && (std::io::stderr().is_terminal() || self.metric != p.validation_metric)
        {
            text += &format!("  {name} {}", decimals(value, 2));
            if self.prints_line() {
                self.metric = p.validation_metric;
            }
        }
        self.show_since("", Some(p.fraction), &text, Some(p.elapsed))
    }

    fn stage(&mut self, name: &str, fraction: Option<f64>) {
        self.show(name, fraction, "");
    }
}

impl SfmObserver for ProgressDisplay {
    fn message(&mut self, text: &str) {
        self.line(text);
    }

    fn progress(&mut self, stage: &str, fraction: Option<f64>, text: &str) -> bool {
        self.show(stage, fraction, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_what_is_known() {
        assert_eq!(line(Some(0.5), "step 9", 12.4, Some("12 s")), "   50 %  step 9  12 s, about 12 s left");
        assert_eq!(line(None, "reading", 30.0, None), "  reading  30 s");
    }

    #[test]
    fn stages_have_their_own_time() {
        let mut stage = Stage::default();
        stage.enter(0.0, "");
        for (now, name, start) in [
            (40.0, "views", 40.0),
            (43.0, "views", 40.0),
            (45.0, "space before the cameras", 45.0),
            (47.5, "size, try 1", 47.5),
            (48.0, "size, try 2", 47.5),
            (50.0, "views", 50.0),
        ] {
            stage.enter(now, name);
            assert_eq!(stage.start, start, "{name}");
        }
    }

    #[test]
    fn runs_learn_how_long_their_fits_take() {
        // Three runs of 10 s, of which the fit takes 6 s: fractions of the whole are right from the second run on.
        let mut runs = Runs::new(3);
        let (mut left, mut now) = (TimeLeft::of_runs(), 0.0);
        for run in 0..3 {
            runs.begin(now, "a");
            for second in 0..10 {
                runs.show(now, "", Some(f64::from(second) / 6.0));
                if run > 0 && second <= 6 {
                    assert!((runs.fraction() - now / 30.0).abs() < 1e-9, "{} at {now}", runs.fraction());
                }
                runs.show(now, "measuring", Some(0.5));
                left.update(now, runs.fraction());
                now += 1.0;
            }
            runs.end(now);
            left.update(now, runs.fraction());
            let (found, rest) = (left.left(now).unwrap(), 30.0 - now);
            assert!((found - rest).abs() <= 0.2 * rest, "{found} for {rest}");
        }
        assert_eq!((runs.fraction(), runs.name().as_str()), (1.0, "[3/3] a"));
    }

    #[test]
    fn a_run_that_fails_counts_as_done() {
        let mut runs = Runs::new(2);
        runs.begin(0.0, "a");
        runs.end(1.0);
        assert_eq!((runs.fraction(), runs.share), (0.5, 0.9));
    }
}

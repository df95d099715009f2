//! Estimate of the time that work still takes, from the fractions of it that were done at earlier times.
//!
//! The rate is the mean over the later half of what was seen, so that a slow start (reading, first use of a device, a resumed
//! fit's missing beginning) is forgotten while it matters and steps of uneven length are averaged.

use std::collections::VecDeque;

/// Estimator of the time left. It has no clock: times are seconds from any beginning, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct TimeLeft {
    /// When the piece of work began, as far as was told.
    began: f64,
    /// Times and the fractions that were done then, both ascending.
    seen: VecDeque<(f64, f64)>,
    /// The rate is the mean over all that was seen.
    keeps_all: bool,
}

/// Least time in seconds between reports that are kept, and that an estimate rests on.
const APART: f64 = 0.05;
const LEAST: f64 = 1.0;
/// Least share of the whole time that the rate is averaged over, in seconds and as a part of what was seen.
const WINDOW: (f64, f64) = (5.0, 0.5);

impl TimeLeft {
    /// An estimator of like pieces of work, one after the other, whose stages have rates of their own: all that was seen counts.
    pub fn of_runs() -> Self {
        Self { keeps_all: true, ..Self::default() }
    }

    /// Takes the fraction that is done at a time. A smaller one than before begins a new piece of work.
    pub fn update(&mut self, now: f64, fraction: f64) {
        if !fraction.is_finite() {
            return;
        }
        match self.seen.back().copied() {
            Some((_, last)) if fraction < last => self.seen.clear(),
            // Nothing was finished since: the last report stands for when that much was done.
            Some((_, last)) if fraction == last => return,
            _ => {}
        }
        if self.seen.is_empty() {
            self.began = now;
        }
        if let Some(before) = self.seen.len().checked_sub(2)
            && now - self.seen[before].0 < APART
        {
            self.seen.pop_back();
        }
        self.seen.push_back((now, fraction));
        let window = WINDOW.0.max(WINDOW.1 * (now - self.began));
        while !self.keeps_all && self.seen.len() > 2 && self.seen[1].0 <= now - window {
            self.seen.pop_front();
        }
    }

    /// Seconds left at a time; `None` as long as too little is known. Counts down between reports.
    pub fn left(&self, now: f64) -> Option<f64> {
        let ((t0, f0), (t1, f1)) = (*self.seen.front()?, *self.seen.back()?);
        if f1 >= 1.0 {
            return Some(0.0);
        }
        if t1 - t0 < LEAST || f1 <= f0 {
            return None;
        }
        let whole = (1.0 - f1).max(0.0) * (t1 - t0) / (f1 - f0);
        Some((whole - (now - t1).max(0.0)).max(0.0))
    }
}

/// A time for readers: as many digits as an estimate has.
pub fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 20.0 => format!("{s:.0} s"),
        s if s < 100.0 => format!("{:.0} s", 5.0 * (s / 5.0).round()),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => {
            let minutes = 5 * (s / 300.0).round() as u64;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds work of `parts` whose durations `duration` tells; asserts that from a fraction of `from` on every estimate lies
    /// within 20 % of what the rest will take; of uneven parts the last few may be off by `slack` seconds, as nobody knows them.
    fn check(name: &str, parts: usize, delay: f64, from: f64, slack: f64, duration: impl Fn(usize) -> f64) {
        let whole: f64 = delay + (0..parts).map(&duration).sum::<f64>();
        let (mut estimate, mut now) = (TimeLeft::default(), delay);
        let mut judged = 0;
        estimate.update(now, 0.0);
        for part in 0..parts {
            now += duration(part);
            let fraction = (part + 1) as f64 / parts as f64;
            estimate.update(now, fraction);
            let left = whole - now;
            if fraction >= from && part + 1 < parts {
                let found = estimate.left(now).unwrap_or_else(|| panic!("{name}: nothing at {fraction}"));
                assert!((found - left).abs() <= (0.2 * left).max(slack), "{name} at {fraction:.3}: {found} for {left}");
                judged += 1;
            }
        }
        assert!(judged > 0, "{name}");
        assert!(estimate.left(now).is_none_or(|left| left == 0.0), "{name}");
    }

    /// Uneven but repeatable: 0 to 1.
    fn noise(i: usize) -> f64 {
        ((i as f64 * 12.9898).sin() * 43_758.545_3).rem_euclid(1.0)
    }

    #[test]
    fn steady_work_is_told_within_a_fifth() {
        check("steps of a fit", 5000, 0.0, 0.05, 0.0, |_| 0.012);
        check("eight long views", 8, 0.0, 0.1, 0.0, |_| 30.0);
        check("two halves", 2, 0.0, 0.4, 0.0, |_| 40.0);
        check("hours", 100_000, 0.0, 0.01, 0.0, |_| 0.2);
        check("uneven frames", 120, 0.0, 0.1, 1.5, |i| 1.0 + noise(i));
        check("wild steps", 2000, 0.0, 0.1, 0.3, |i| 0.1 * noise(i));
    }

    #[test]
    fn what_came_before_the_work_does_not_count() {
        check("after long reading", 1000, 300.0, 0.02, 0.0, |_| 0.1);
        // A start that takes a tenth of the time is forgotten by the middle.
        check("slow first steps", 1000, 0.0, 0.5, 0.0, |i| if i < 20 { 0.6 } else { 0.1 });
        // A resumed fit begins at its fraction.
        let mut estimate = TimeLeft::default();
        (0..=20).for_each(|i| estimate.update(f64::from(i), 0.6 + 0.01 * f64::from(i)));
        assert!((estimate.left(20.0).unwrap() - 20.0).abs() < 0.5, "{:?}", estimate.left(20.0));
    }

    #[test]
    fn a_slower_pace_is_followed() {
        // Three times slower from the middle on: right again at three quarters.
        check("slower", 1000, 0.0, 0.8, 0.0, |i| if i < 500 { 0.05 } else { 0.15 });
    }

    #[test]
    fn between_reports_time_runs_down_and_never_below_zero() {
        let mut estimate = TimeLeft::default();
        assert_eq!(estimate.left(0.0), None);
        estimate.update(0.0, 0.0);
        assert_eq!(estimate.left(5.0), None);
        estimate.update(10.0, 0.25);
        assert_eq!(estimate.left(10.0), Some(30.0));
        assert_eq!(estimate.left(16.0), Some(24.0));
        assert_eq!(estimate.left(99.0), Some(0.0));
        // The same fraction again tells nothing new.
        estimate.update(12.0, 0.25);
        assert_eq!(estimate.left(12.0), Some(28.0));
        // A smaller one is a new piece of work.
        estimate.update(20.0, 0.0);
        assert_eq!(estimate.left(20.0), None);
        estimate.update(21.0, f64::NAN);
        estimate.update(24.0, 0.5);
        assert_eq!(estimate.left(24.0), Some(4.0));
    }

    #[test]
    fn times_have_the_digits_of_an_estimate() {
        let texts = [0.4, 7.2, 33.0, 98.0, 130.0, 3000.0, 7300.0].map(spoken);
        assert_eq!(texts, ["0 s", "7 s", "35 s", "100 s", "2 min", "50 min", "2 h 0 min"]);
    }
}

//! Attention of the user, by which the window spends its share of the computer while a fit runs.

use std::time::{Duration, Instant};

use winit::event::WindowEvent;
use winit::window::Window;

use crate::paint_budget::PaintBudget;

/// Time after the last input from which the window counts as untouched.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// Time after the last input within which presenting does not wait.
const HAND_TIME: Duration = Duration::from_millis(500);
/// Time between the pictures of an untouched window.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two looks at whether the window is minimised.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What the window knows of its user's attention.
#[derive(Debug)]
pub(super) struct Attention {
    /// Whether other windows cover it.
    pub is_covered: bool,
    is_minimised: bool,
    looked: Option<Instant>,
    touched: Instant,
    requested: Option<Instant>,
}

impl Default for Attention {
    fn default() -> Self {
        Self { is_covered: false, is_minimised: false, looked: None, touched: Instant::now(), requested: None }
    }
}

impl Attention {
    /// Notes an event of the window.
    pub fn touched(&mut self, event: &WindowEvent) {
        if matches!(
            event,
            WindowEvent::CursorMoved { .. }
                | WindowEvent::MouseInput { .. }
                | WindowEvent::MouseWheel { .. }
                | WindowEvent::KeyboardInput { .. }
                | WindowEvent::Focused(true)
        ) {
            self.touched = Instant::now();
        }
    }

    /// Notes an event of a script.
    pub fn touched_by_script(&mut self) {
        self.touched = Instant::now();
    }

    /// Finds out now and then whether the window is minimised.
    pub fn look_at(&mut self, window: &Window) {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_INTERVAL) {
            self.looked = Some(Instant::now());
            self.is_minimised = window.is_minimized() == Some(true);
        }
    }

    fn is_hidden(&self) -> bool {
        self.is_covered || self.is_minimised
    }

    fn is_idle(&self) -> bool {
        self.touched.elapsed() >= IDLE_TIME
    }

    /// Whether the field in training should be painted anew.
    pub fn wants_picture(&self, budget: &PaintBudget) -> bool {
        let interval = if self.is_idle() { IDLE_INTERVAL } else { Duration::ZERO };
        let due = self.requested.is_none_or(|at| at.elapsed() >= interval);
        due && !self.is_hidden() && budget.wait(false).is_none()
    }

    /// Notes that a picture of a newer field is asked for.
    pub fn picture_requested(&mut self) {
        self.requested = Some(Instant::now());
    }

    /// Whether the window may be presented again, after it was at `last`.
    pub fn may_present(&self, budget: &PaintBudget, last: Instant) -> bool {
        if self.is_hidden() || (self.is_idle() && last.elapsed() < IDLE_INTERVAL / 2) {
            return false;
        }
        self.touched.elapsed() < HAND_TIME || budget.wait(false).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_window_is_not_painted_and_an_untouched_one_once_a_second() {
        let budget = PaintBudget::default();
        let mut attention = Attention::default();
        let long_ago = Instant::now() - Duration::from_secs(60);
        assert!(attention.wants_picture(&budget) && attention.may_present(&budget, long_ago));
        // At work as often as the budget allows.
        attention.picture_requested();
        assert!(attention.wants_picture(&budget));
        attention.touched = long_ago;
        assert!(!attention.wants_picture(&budget) && !attention.may_present(&budget, Instant::now()));
        attention.requested = Some(long_ago);
        assert!(attention.wants_picture(&budget) && attention.may_present(&budget, long_ago));
        attention.is_covered = true;
        assert!(!attention.wants_picture(&budget) && !attention.may_present(&budget, long_ago));
        attention = Attention { is_minimised: true, ..Attention::default() };
        assert!(!attention.wants_picture(&budget) && !attention.may_present(&budget, long_ago));
    }

    #[test]
    fn a_spent_budget_delays_all_but_the_hand() {
        let budget = PaintBudget::default();
        budget.set_running(true);
        budget.spend(1, Duration::from_secs(5));
        let mut attention = Attention::default();
        let long_ago = Instant::now() - Duration::from_secs(60);
        assert!(!attention.wants_picture(&budget) && attention.may_present(&budget, long_ago));
        attention.touched = Instant::now() - 2 * HAND_TIME;
        assert!(!attention.may_present(&budget, long_ago));
    }
}

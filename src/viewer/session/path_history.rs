//! Undo and redo of changes of the camera path.

use crate::camera_path::CameraPath;

/// Most states that are kept.
const MOST: usize = 200;

/// States of the path, the oldest first.
#[derive(Debug)]
pub(crate) struct PathHistory {
    states: Vec<CameraPath>,
    /// State that the path is in.
    at: usize,
}

impl Default for PathHistory {
    fn default() -> Self {
        Self { states: vec![CameraPath::default()], at: 0 }
    }
}

impl PathHistory {
    /// Notes the state of the path if it has changed; what was taken back is then forgotten. To be called once a change is over: a
    /// drag is one change.
    pub fn observe(&mut self, path: &CameraPath) {
        if self.states[self.at] == *path {
            return;
        }
        self.states.truncate(self.at + 1);
        self.states.push(path.clone());
        if self.states.len() > MOST {
            self.states.remove(0);
        }
        self.at = self.states.len() - 1;
    }

    /// The state before the last change; `None` at the beginning.
    pub fn undo(&mut self) -> Option<&CameraPath> {
        self.at = self.at.checked_sub(1)?;
        self.states.get(self.at)
    }

    /// The state after the change that was taken back last; `None` without one.
    pub fn redo(&mut self) -> Option<&CameraPath> {
        let state = self.states.get(self.at + 1)?;
        self.at += 1;
        Some(state)
    }

    /// Whether there is a change to take back, and one to make again.
    pub fn can_go(&self) -> (bool, bool) {
        (self.at > 0, self.at + 1 < self.states.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(seconds: f64) -> CameraPath {
        CameraPath { seconds_between_keys: seconds, ..CameraPath::default() }
    }

    #[test]
    fn changes_are_taken_back_and_made_again() {
        let mut history = PathHistory::default();
        assert_eq!(history.undo(), None);
        for seconds in [1.0, 1.0, 3.0] {
            history.observe(&path(seconds));
        }
        assert_eq!(history.undo(), Some(&path(1.0)));
        assert_eq!(history.undo(), Some(&CameraPath::default()));
        assert_eq!(history.undo(), None);
        assert_eq!(history.can_go(), (false, true));
        assert_eq!(history.redo(), Some(&path(1.0)));
        // Another change takes the place of what was taken back.
        history.observe(&path(7.0));
        assert_eq!(history.redo(), None);
        assert_eq!(history.can_go(), (true, false));
        assert_eq!(history.undo(), Some(&path(1.0)));
    }

    #[test]
    fn old_states_are_forgotten() {
        let mut history = PathHistory::default();
        (0..3 * MOST).for_each(|i| history.observe(&path(5.0 + i as f64)));
        let count = std::iter::from_fn(|| history.undo().cloned()).count();
        assert_eq!(count, MOST - 1);
    }
}

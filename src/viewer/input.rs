//! Mapping from keys and pointer to actions. Independent of the window, so that scripts take the same path.

mod action;
mod event;
mod keys;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use glam::{DVec2, DVec3};

pub(crate) use action::Action;
pub(crate) use event::{Button, InputEvent, Key, Modifiers};

/// Camera motion of a drag.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Drag {
    Orbit,
    Pan,
    Look,
}

/// Keys that fly, and their directions (right, up, forward).
const FLIGHT_KEYS: [(char, DVec3); 6] = [
    ('w', DVec3::new(0.0, 0.0, 1.0)),
    ('s', DVec3::new(0.0, 0.0, -1.0)),
    ('a', DVec3::new(-1.0, 0.0, 0.0)),
    ('d', DVec3::new(1.0, 0.0, 0.0)),
    ('e', DVec3::new(0.0, 1.0, 0.0)),
    ('q', DVec3::new(0.0, -1.0, 0.0)),
];
/// Distance in pixels that the pointer has to move before a press becomes a drag.
const DRAG_DISTANCE: f64 = 4.0;
/// Maximum time from one click to the next of a double click.
const DOUBLE_CLICK_TIME: Duration = Duration::from_millis(400);

/// A button that is held on the image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Press {
    button: Button,
    drag: Drag,
    shift: bool,
    at: DVec2,
    /// Whether the pointer has moved far enough for a drag.
    moves: bool,
}

/// Held keys and buttons, and the pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    modifiers: Modifiers,
    held: [bool; 6],
    press: Option<Press>,
    /// Place and time of the last click.
    clicked: Option<(DVec2, Instant)>,
    /// Whether the key that shows the capture's image is held.
    photograph: bool,
    pointer: DVec2,
}

impl Input {
    /// Processes an event and returns its action. `on_image` tells that it belongs to the image, not to the panel.
    pub fn handle(&mut self, event: InputEvent, on_image: bool) -> Option<Action> {
        match event {
            InputEvent::Modifiers(modifiers) => {
                self.modifiers = modifiers;
                None
            }
            InputEvent::Key { key, down, repeat } => self.key(key, down, repeat, on_image),
            InputEvent::Button { button, down: false } => {
                let released = self.press.take_if(|p| p.button == button)?;
                (!released.moves).then(|| self.click(released)).flatten()
            }
            InputEvent::Button { button, down: true } => {
                if on_image && self.press.is_none() {
                    let (drag, shift) = (self.drag_of(button), self.modifiers.shift);
                    self.press = Some(Press { button, drag, shift, at: self.pointer, moves: false });
                }
                None
            }
            InputEvent::Pointer(to) => {
                let mut by = to - self.pointer;
                self.pointer = to;
                let press = self.press.as_mut()?;
                if !press.moves {
                    if press.at.distance(to) < DRAG_DISTANCE {
                        return None;
                    }
                    (press.moves, by) = (true, to - press.at);
                }
                if by == DVec2::ZERO {
                    return None;
                }
                Some(match press.drag {
                    Drag::Orbit => Action::Orbit(by),
                    Drag::Pan => Action::Pan(by),
                    Drag::Look => Action::Look(by),
                })
            }
            InputEvent::Wheel(notches) => (on_image && notches != 0.0).then_some(Action::Zoom(notches)),
            InputEvent::Unfocused => {
                let photograph = std::mem::take(&mut self.photograph);
                *self = Self { pointer: self.pointer, ..Self::default() };
                photograph.then_some(Action::HoldPhotograph(false))
            }
        }
    }

    /// The action of a press that did not become a drag.
    fn click(&mut self, press: Press) -> Option<Action> {
        if press.button != Button::Left || press.drag == Drag::Look {
            return None;
        }
        if press.shift {
            return Some(Action::Measure(press.at));
        }
        let now = Instant::now();
        let near = |(at, when): &(DVec2, Instant)| {
            at.distance(press.at) < 2.0 * DRAG_DISTANCE && now.duration_since(*when) < DOUBLE_CLICK_TIME
        };
        if self.clicked.take_if(|c| near(c)).is_some() {
            return Some(Action::CentreOn(press.at));
        }
        self.clicked = Some((press.at, now));
        Some(Action::Pick(press.at))
    }

    fn drag_of(&self, button: Button) -> Drag {
        match (button, self.modifiers) {
            (Button::Right, _) | (Button::Left, Modifiers { shift: true, .. }) => Drag::Pan,
            (Button::Middle, _) | (Button::Left, Modifiers { ctrl: true, .. }) => Drag::Look,
            (Button::Left, _) => Drag::Orbit,
        }
    }

    fn key(&mut self, key: Key, down: bool, repeat: bool, on_image: bool) -> Option<Action> {
        if let Key::Char(c) = key
            && let Some(i) = FLIGHT_KEYS.iter().position(|(k, _)| *k == c)
        {
            // A release always counts, so that no flight goes on.
            self.held[i] = down && (self.held[i] || (on_image && !self.modifiers.ctrl));
            if !self.modifiers.ctrl {
                return None;
            }
        }
        if key == Key::Char('i') && !self.modifiers.ctrl && !repeat {
            let shows = down && on_image;
            let changed = std::mem::replace(&mut self.photograph, shows) != shows;
            return changed.then_some(Action::HoldPhotograph(shows));
        }
        if !down || !on_image {
            return None;
        }
        keys::action(key, self.modifiers, repeat)
    }

    /// Direction that the held keys fly in (right, up, forward), and whether fast; `None` without any.
    pub fn flight(&self) -> Option<(DVec3, bool)> {
        let held = self.held.iter().zip(FLIGHT_KEYS).filter(|(held, _)| **held);
        let sum: DVec3 = held.map(|(_, (_, direction))| direction).sum();
        (sum != DVec3::ZERO).then_some((sum, self.modifiers.shift))
    }

    /// Whether a drag is moving the camera.
    pub fn is_dragging(&self) -> bool {
        self.press.is_some_and(|p| p.moves)
    }

    /// Position of the pointer.
    pub fn pointer(&self) -> DVec2 {
        self.pointer
    }
}

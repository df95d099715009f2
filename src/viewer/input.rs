//! From keys and pointer to actions. Knows no window: real events and scripts come the same way.

use glam::{DVec2, DVec3};

use crate::layer::Show;

/// A key, as far as the viewer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character key without modifiers, in lower case.
    Char(char),
    /// A function key.
    F(u8),
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// Escape.
    Escape,
    /// Space bar.
    Space,
}

/// A button of the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// Left.
    Left,
    /// Right.
    Right,
    /// Middle.
    Middle,
}

/// Keys held beside others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// Shift.
    pub shift: bool,
    /// Control (or command).
    pub ctrl: bool,
}

/// What comes in. Positions in physical pixels from the window's upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A key goes down (`repeat`: again, as it is held) or up.
    Key {
        /// Which.
        key: Key,
        /// Down or up.
        down: bool,
        /// Whether it was down already.
        repeat: bool,
    },
    /// The modifiers are now these.
    Modifiers(Modifiers),
    /// A button goes down or up where the pointer is.
    Button {
        /// Which.
        button: Button,
        /// Down or up.
        down: bool,
    },
    /// The pointer is here.
    Pointer(DVec2),
    /// The wheel turned by notches, positive away from the user.
    Wheel(f64),
    /// The window lost the keyboard: what is held is held no longer.
    Unfocused,
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Turn around the object; pixels.
    Orbit(DVec2),
    /// Move sideways; pixels.
    Pan(DVec2),
    /// Look around; pixels.
    Look(DVec2),
    /// Come nearer; notches.
    Zoom(f64),
    /// Back to the first camera.
    Reset,
    /// To the capture's camera that lies this many further on.
    Snap(i32),
    /// Another field of view; degrees.
    Widen(f64),
    /// Another layer.
    Show(Show),
    /// Write the picture as PNG.
    SavePng,
    /// Write the picture as EXR.
    SaveExr,
    /// Camera to the clipboard.
    Copy,
    /// Camera from the clipboard.
    Paste,
    /// Add the camera to the path.
    AddKey,
    /// Play or stop the path.
    Play,
    /// Take a path from the file that the panel names.
    LoadPath,
    /// Pause or go on with training.
    Pause,
    /// Show or hide the help.
    Help,
    /// Show or hide the panel.
    Panel,
    /// Close what is open: the help.
    Dismiss,
}

/// What a drag does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Drag {
    Orbit,
    Pan,
    Look,
}

/// Keys that fly, and where to (right, up, forward).
const FLIGHT: [(char, DVec3); 6] = [
    ('w', DVec3::new(0.0, 0.0, 1.0)),
    ('s', DVec3::new(0.0, 0.0, -1.0)),
    ('a', DVec3::new(-1.0, 0.0, 0.0)),
    ('d', DVec3::new(1.0, 0.0, 0.0)),
    ('e', DVec3::new(0.0, 1.0, 0.0)),
    ('q', DVec3::new(0.0, -1.0, 0.0)),
];
/// Degrees that a press of + or − changes the field of view by.
const WIDEN: f64 = 2.5;

/// What is held, and since where.
#[derive(Clone, Debug, Default)]
pub struct Input {
    modifiers: Modifiers,
    held: [bool; 6],
    drag: Option<(Button, Drag)>,
    pointer: DVec2,
}

impl Input {
    /// Takes an event in; `free` tells whether it is the picture's (not the panel's). Returns what it asks for.
    pub fn take(&mut self, event: Event, free: bool) -> Option<Action> {
        match event {
            Event::Modifiers(modifiers) => {
                self.modifiers = modifiers;
                None
            }
            Event::Key { key, down, repeat } => self.key(key, down, repeat, free),
            Event::Button { button, down: false } => {
                self.drag = self.drag.filter(|(held, _)| *held != button);
                None
            }
            Event::Button { button, down: true } => {
                if free && self.drag.is_none() {
                    self.drag = Some((button, self.drag_of(button)));
                }
                None
            }
            Event::Pointer(to) => {
                let by = to - self.pointer;
                self.pointer = to;
                if by == DVec2::ZERO {
                    return None;
                }
                self.drag.map(|(_, drag)| match drag {
                    Drag::Orbit => Action::Orbit(by),
                    Drag::Pan => Action::Pan(by),
                    Drag::Look => Action::Look(by),
                })
            }
            Event::Wheel(notches) => (free && notches != 0.0).then_some(Action::Zoom(notches)),
            Event::Unfocused => {
                *self = Self { pointer: self.pointer, ..Self::default() };
                None
            }
        }
    }

    fn drag_of(&self, button: Button) -> Drag {
        match (button, self.modifiers) {
            (Button::Right, _) | (Button::Left, Modifiers { shift: true, .. }) => Drag::Pan,
            (Button::Middle, _) | (Button::Left, Modifiers { ctrl: true, .. }) => Drag::Look,
            (Button::Left, _) => Drag::Orbit,
        }
    }

    fn key(&mut self, key: Key, down: bool, repeat: bool, free: bool) -> Option<Action> {
        if let Key::Char(c) = key
            && let Some(i) = FLIGHT.iter().position(|(k, _)| *k == c)
        {
            // A release always counts, so that nothing flies on.
            self.held[i] = down && (self.held[i] || (free && !self.modifiers.ctrl));
            return None;
        }
        if !down || !free {
            return None;
        }
        let again = match key {
            Key::Char('+' | '=') => Some(Action::Widen(-WIDEN)),
            Key::Char('-') => Some(Action::Widen(WIDEN)),
            Key::Char('[') | Key::PageUp => Some(Action::Snap(-1)),
            Key::Char(']') | Key::PageDown => Some(Action::Snap(1)),
            _ => None,
        };
        if again.is_some() || repeat {
            return again;
        }
        match key {
            Key::Char('c') if self.modifiers.ctrl => Some(Action::Copy),
            Key::Char('v') if self.modifiers.ctrl => Some(Action::Paste),
            Key::Char(_) if self.modifiers.ctrl => None,
            Key::Char('r') | Key::Home => Some(Action::Reset),
            Key::Char('p') => Some(Action::SavePng),
            Key::Char('x') => Some(Action::SaveExr),
            Key::Char('h') | Key::F(1) => Some(Action::Help),
            Key::Char('t') => Some(Action::Panel),
            Key::Char(c) => {
                let number = c.to_digit(10).filter(|n| *n > 0)?;
                Show::ALL.get(number as usize - 1).copied().map(Action::Show)
            }
            Key::F(5) => Some(Action::AddKey),
            Key::F(6) => Some(Action::Play),
            Key::F(7) => Some(Action::LoadPath),
            Key::Space => Some(Action::Pause),
            Key::Escape => Some(Action::Dismiss),
            _ => None,
        }
    }

    /// Where the held keys fly to (right, up, forward), and whether fast; `None` where none is held.
    pub fn course(&self) -> Option<(DVec3, bool)> {
        let held = self.held.iter().zip(FLIGHT).filter(|(held, _)| **held);
        let sum: DVec3 = held.map(|(_, (_, way))| way).sum();
        (sum != DVec3::ZERO).then_some((sum, self.modifiers.shift))
    }

    /// Whether a drag moves the camera.
    pub fn dragging(&self) -> bool {
        self.drag.is_some()
    }

    /// The pointer's place.
    pub fn pointer(&self) -> DVec2 {
        self.pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, key: Key) -> Option<Action> {
        let action = input.take(Event::Key { key, down: true, repeat: false }, true);
        input.take(Event::Key { key, down: false, repeat: false }, true);
        action
    }

    fn modifiers(shift: bool, ctrl: bool) -> Event {
        Event::Modifiers(Modifiers { shift, ctrl })
    }

    #[test]
    fn drags_follow_button_and_modifiers() {
        let by = DVec2::new(3.0, -4.0);
        let cases = [
            (Button::Left, (false, false), Action::Orbit(by)),
            (Button::Left, (true, false), Action::Pan(by)),
            (Button::Left, (false, true), Action::Look(by)),
            (Button::Right, (false, false), Action::Pan(by)),
            (Button::Middle, (false, false), Action::Look(by)),
        ];
        for (button, (shift, ctrl), wanted) in cases {
            let mut input = Input::default();
            input.take(modifiers(shift, ctrl), true);
            assert_eq!(input.take(Event::Pointer(DVec2::splat(50.0)), true), None);
            input.take(Event::Button { button, down: true }, true);
            // What began on the picture stays its own over the panel; other buttons don't end it.
            input.take(modifiers(false, false), true);
            assert_eq!(input.take(Event::Pointer(DVec2::splat(50.0) + by), false), Some(wanted));
            let other = if button == Button::Left { Button::Right } else { Button::Left };
            input.take(Event::Button { button: other, down: true }, true);
            input.take(Event::Button { button: other, down: false }, true);
            assert!(input.dragging());
            input.take(Event::Button { button, down: false }, false);
            assert_eq!(input.take(Event::Pointer(DVec2::ZERO), true), None);
        }
    }

    #[test]
    fn the_panel_keeps_its_events() {
        let mut input = Input::default();
        input.take(Event::Button { button: Button::Left, down: true }, false);
        assert_eq!(input.take(Event::Pointer(DVec2::ONE), true), None);
        assert_eq!(input.take(Event::Wheel(1.0), false), None);
        assert_eq!(input.take(Event::Wheel(1.0), true), Some(Action::Zoom(1.0)));
        assert_eq!(input.take(Event::Key { key: Key::Char('r'), down: true, repeat: false }, false), None);
    }

    #[test]
    fn flight_ends_with_release_and_focus() {
        let mut input = Input::default();
        let key = |c, down| Event::Key { key: Key::Char(c), down, repeat: false };
        input.take(key('w', true), true);
        input.take(key('e', true), true);
        input.take(modifiers(true, false), true);
        assert_eq!(input.course(), Some((DVec3::new(0.0, 1.0, 1.0), true)));
        input.take(key('w', false), false);
        assert_eq!(input.course(), Some((DVec3::Y, true)));
        input.take(Event::Unfocused, true);
        assert_eq!(input.course(), None);
        // Opposite keys cancel; ctrl+s is no flight.
        input.take(key('a', true), true);
        input.take(key('d', true), true);
        assert_eq!(input.course(), None);
        let mut input = Input::default();
        input.take(modifiers(false, true), true);
        input.take(key('s', true), true);
        assert_eq!(input.course(), None);
    }

    #[test]
    fn keys_ask_for_what_the_manual_says() {
        let mut input = Input::default();
        for (i, show) in Show::ALL.into_iter().enumerate() {
            let c = char::from_digit(i as u32 + 1, 10).unwrap();
            assert_eq!(press(&mut input, Key::Char(c)), Some(Action::Show(show)));
        }
        assert_eq!(press(&mut input, Key::Char('0')), None);
        assert_eq!(press(&mut input, Key::Char('c')), None);
        assert_eq!(press(&mut input, Key::Char(']')), Some(Action::Snap(1)));
        assert_eq!(press(&mut input, Key::F(5)), Some(Action::AddKey));
        // Held keys repeat only where that makes sense.
        let held = |key| Event::Key { key, down: true, repeat: true };
        assert_eq!(input.take(held(Key::Char('p')), true), None);
        assert_eq!(input.take(held(Key::Char('+')), true), Some(Action::Widen(-WIDEN)));
        input.take(modifiers(false, true), true);
        assert_eq!(press(&mut input, Key::Char('c')), Some(Action::Copy));
        assert_eq!(press(&mut input, Key::Char('v')), Some(Action::Paste));
        assert_eq!(press(&mut input, Key::Char('p')), None);
    }
}

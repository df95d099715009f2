//! Mapping from keys and pointer to actions. Independent of the window, so that scripts take the same path.

use std::time::{Duration, Instant};

use glam::{DVec2, DVec3};

use crate::display_mode::DisplayMode;
use crate::orientation::{Aid, Preset};

/// Key that the viewer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
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
    /// A digit key by its place in the row above the letters, whatever is printed on it.
    Digit(u8),
}

/// Pointer button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Button {
    /// Left.
    Left,
    /// Right.
    Right,
    /// Middle.
    Middle,
}

/// Modifier keys that are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modifiers {
    /// Shift.
    pub shift: bool,
    /// Control (or command).
    pub ctrl: bool,
}

/// Input event. Positions are in physical pixels from the upper left corner of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum InputEvent {
    /// A key goes down (`repeat`: again while it is held) or up.
    Key {
        /// Key.
        key: Key,
        /// Whether it goes down.
        down: bool,
        /// Whether it was down before.
        repeat: bool,
    },
    /// The modifiers changed to these.
    Modifiers(Modifiers),
    /// A button goes down or up at the pointer.
    Button {
        /// Button.
        button: Button,
        /// Whether it goes down.
        down: bool,
    },
    /// The pointer moved here.
    Pointer(DVec2),
    /// The wheel turned by notches, positive away from the user.
    Wheel(f64),
    /// The window lost the keyboard focus, which releases all keys and buttons.
    Unfocused,
}

/// Action of the user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// Orbit around the object by pixels.
    Orbit(DVec2),
    /// Move sideways by pixels.
    Pan(DVec2),
    /// Look around by pixels.
    Look(DVec2),
    /// Move nearer by notches.
    Zoom(f64),
    /// Return to the first camera.
    Reset,
    /// Show the whole object from the same side.
    FrameAll,
    /// Look along an axis at the object.
    View(Preset),
    /// Switch between the usual perspective and nearly parallel rays.
    Parallel,
    /// Show or hide an orientation aid.
    Toggle(Aid),
    /// Read the field at this pixel of the window.
    Pick(DVec2),
    /// Orbit around the point at this pixel of the window.
    CentreOn(DVec2),
    /// Take the point at this pixel of the window as an end of a measurement.
    Measure(DVec2),
    /// Show the capture's image in place of the picture, or the picture again.
    HoldPhotograph(bool),
    /// Fill the screen, or return to a window.
    FullScreen,
    /// Go to the capture view this many further on.
    NextView(i32),
    /// Widen the field of view by degrees.
    AdjustFov(f64),
    /// Display another layer.
    SetMode(DisplayMode),
    /// Save the image as PNG.
    SavePng,
    /// Save all layers as EXR.
    SaveExr,
    /// Copy the camera to the clipboard.
    Copy,
    /// Paste the camera from the clipboard.
    Paste,
    /// Add the camera to the path.
    AddKey,
    /// Play or stop the path.
    Play,
    /// Load the path from the file named in the panel.
    LoadPath,
    /// Pause or resume training.
    Pause,
    /// Show or hide the help.
    Help,
    /// Show or hide the panel.
    Panel,
    /// Close the help.
    Dismiss,
}

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
/// Change of the field of view by a press of + or −, degrees.
const FOV_STEP: f64 = 2.5;

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
            return None;
        }
        if key == Key::Char('i') && !self.modifiers.ctrl && !repeat {
            let shows = down && on_image;
            let changed = std::mem::replace(&mut self.photograph, shows) != shows;
            return changed.then_some(Action::HoldPhotograph(shows));
        }
        if !down || !on_image {
            return None;
        }
        let repeated = match key {
            Key::Char('+' | '=') => Some(Action::AdjustFov(-FOV_STEP)),
            Key::Char('-') => Some(Action::AdjustFov(FOV_STEP)),
            Key::Char('[') | Key::PageUp => Some(Action::NextView(-1)),
            Key::Char(']') | Key::PageDown => Some(Action::NextView(1)),
            _ => None,
        };
        if repeated.is_some() || repeat {
            return repeated;
        }
        match key {
            Key::Char('c') if self.modifiers.ctrl => Some(Action::Copy),
            Key::Char('v') if self.modifiers.ctrl => Some(Action::Paste),
            Key::Char(_) if self.modifiers.ctrl => None,
            Key::Char('r') | Key::Home => Some(Action::Reset),
            Key::Char('f') => Some(Action::FrameAll),
            Key::Char('o') => Some(Action::Parallel),
            Key::Char('g') => Some(Action::Toggle(Aid::Grid)),
            Key::Char('b') => Some(Action::Toggle(Aid::Bounds)),
            Key::Char('v') => Some(Action::Toggle(Aid::Frusta)),
            Key::Char('p') => Some(Action::SavePng),
            Key::Char('x') => Some(Action::SaveExr),
            Key::Char('h') | Key::F(1) => Some(Action::Help),
            Key::Char('t') => Some(Action::Panel),
            Key::Char(c) => layer_of(c.to_digit(10)?),
            Key::Digit(number) if !self.modifiers.ctrl => layer_of(number.into()),
            Key::F(2) => Some(Action::View(if self.modifiers.shift { Preset::Back } else { Preset::Front })),
            Key::F(3) => Some(Action::View(if self.modifiers.shift { Preset::Left } else { Preset::Right })),
            Key::F(4) => Some(Action::View(if self.modifiers.shift { Preset::Bottom } else { Preset::Top })),
            Key::F(5) => Some(Action::AddKey),
            Key::F(6) => Some(Action::Play),
            Key::F(7) => Some(Action::LoadPath),
            Key::F(11) => Some(Action::FullScreen),
            Key::Space => Some(Action::Pause),
            Key::Escape => Some(Action::Dismiss),
            _ => None,
        }
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

/// The action of a digit: layer `number`, from 1 on.
fn layer_of(number: u32) -> Option<Action> {
    DisplayMode::ALL.get((number as usize).checked_sub(1)?).copied().map(Action::SetMode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, key: Key) -> Option<Action> {
        let action = input.handle(InputEvent::Key { key, down: true, repeat: false }, true);
        input.handle(InputEvent::Key { key, down: false, repeat: false }, true);
        action
    }

    fn modifiers(shift: bool, ctrl: bool) -> InputEvent {
        InputEvent::Modifiers(Modifiers { shift, ctrl })
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
        for (button, (shift, ctrl), expected) in cases {
            let mut input = Input::default();
            input.handle(modifiers(shift, ctrl), true);
            assert_eq!(input.handle(InputEvent::Pointer(DVec2::splat(50.0)), true), None);
            input.handle(InputEvent::Button { button, down: true }, true);
            // A drag that began on the image goes on over the panel; other buttons do not end it.
            input.handle(modifiers(false, false), true);
            assert_eq!(input.handle(InputEvent::Pointer(DVec2::splat(50.0) + by), false), Some(expected));
            let other = if button == Button::Left { Button::Right } else { Button::Left };
            input.handle(InputEvent::Button { button: other, down: true }, true);
            input.handle(InputEvent::Button { button: other, down: false }, true);
            assert!(input.is_dragging());
            assert_eq!(input.handle(InputEvent::Button { button, down: false }, false), None, "a drag is no click");
            assert_eq!(input.handle(InputEvent::Pointer(DVec2::ZERO), true), None);
        }
    }

    fn click(input: &mut Input, at: DVec2) -> Option<Action> {
        input.handle(InputEvent::Pointer(at), true);
        input.handle(InputEvent::Button { button: Button::Left, down: true }, true);
        // The hand shakes.
        assert_eq!(input.handle(InputEvent::Pointer(at + 1.0), true), None);
        assert!(!input.is_dragging());
        input.handle(InputEvent::Button { button: Button::Left, down: false }, true)
    }

    #[test]
    fn clicks_pick_centre_and_measure() {
        let mut input = Input::default();
        let (here, there) = (DVec2::splat(50.0), DVec2::new(90.0, 10.0));
        assert_eq!(click(&mut input, here), Some(Action::Pick(here)));
        assert_eq!(click(&mut input, there), Some(Action::Pick(there)), "two places are no double click");
        assert_eq!(click(&mut input, there), Some(Action::CentreOn(there)));
        assert_eq!(click(&mut input, there), Some(Action::Pick(there)), "a third click begins again");
        input.handle(modifiers(true, false), true);
        assert_eq!(click(&mut input, here), Some(Action::Measure(here)));
        input.handle(modifiers(false, true), true);
        assert_eq!(click(&mut input, here), None);
        // On the panel nothing begins.
        input.handle(modifiers(false, false), true);
        input.handle(InputEvent::Button { button: Button::Left, down: true }, false);
        assert_eq!(input.handle(InputEvent::Button { button: Button::Left, down: false }, true), None);
    }

    #[test]
    fn the_photograph_shows_while_its_key_is_held() {
        let mut input = Input::default();
        let key = |down, repeat| InputEvent::Key { key: Key::Char('i'), down, repeat };
        assert_eq!(input.handle(key(true, false), true), Some(Action::HoldPhotograph(true)));
        assert_eq!(input.handle(key(true, true), true), None);
        assert_eq!(input.handle(key(false, false), true), Some(Action::HoldPhotograph(false)));
        input.handle(key(true, false), true);
        assert_eq!(input.handle(InputEvent::Unfocused, true), Some(Action::HoldPhotograph(false)));
        assert_eq!(input.handle(key(true, false), false), None, "typed into a field of the panel");
    }

    #[test]
    fn the_panel_keeps_its_events() {
        let mut input = Input::default();
        input.handle(InputEvent::Button { button: Button::Left, down: true }, false);
        assert_eq!(input.handle(InputEvent::Pointer(DVec2::ONE), true), None);
        assert_eq!(input.handle(InputEvent::Wheel(1.0), false), None);
        assert_eq!(input.handle(InputEvent::Wheel(1.0), true), Some(Action::Zoom(1.0)));
        assert_eq!(input.handle(InputEvent::Key { key: Key::Char('r'), down: true, repeat: false }, false), None);
    }

    #[test]
    fn flight_ends_with_release_and_focus() {
        let mut input = Input::default();
        let key = |c, down| InputEvent::Key { key: Key::Char(c), down, repeat: false };
        input.handle(key('w', true), true);
        input.handle(key('e', true), true);
        input.handle(modifiers(true, false), true);
        assert_eq!(input.flight(), Some((DVec3::new(0.0, 1.0, 1.0), true)));
        input.handle(key('w', false), false);
        assert_eq!(input.flight(), Some((DVec3::Y, true)));
        input.handle(InputEvent::Unfocused, true);
        assert_eq!(input.flight(), None);
        // Opposite keys cancel; ctrl+s does not fly.
        input.handle(key('a', true), true);
        input.handle(key('d', true), true);
        assert_eq!(input.flight(), None);
        let mut input = Input::default();
        input.handle(modifiers(false, true), true);
        input.handle(key('s', true), true);
        assert_eq!(input.flight(), None);
    }

    #[test]
    fn keys_do_what_the_manual_says() {
        let mut input = Input::default();
        for (i, mode) in DisplayMode::ALL.into_iter().enumerate() {
            let c = char::from_digit(i as u32 + 1, 10).unwrap();
            assert_eq!(press(&mut input, Key::Char(c)), Some(Action::SetMode(mode)));
            assert_eq!(press(&mut input, Key::Digit(i as u8 + 1)), Some(Action::SetMode(mode)));
        }
        assert_eq!(press(&mut input, Key::Char('0')), None);
        assert_eq!(press(&mut input, Key::Char('c')), None);
        assert_eq!(press(&mut input, Key::Char(']')), Some(Action::NextView(1)));
        assert_eq!(press(&mut input, Key::F(5)), Some(Action::AddKey));
        // Held keys repeat only where that makes sense.
        let held = |key| InputEvent::Key { key, down: true, repeat: true };
        assert_eq!(input.handle(held(Key::Char('p')), true), None);
        assert_eq!(input.handle(held(Key::Char('+')), true), Some(Action::AdjustFov(-FOV_STEP)));
        input.handle(modifiers(false, true), true);
        assert_eq!(press(&mut input, Key::Char('c')), Some(Action::Copy));
        assert_eq!(press(&mut input, Key::Char('v')), Some(Action::Paste));
        assert_eq!(press(&mut input, Key::Char('p')), None);
    }
}

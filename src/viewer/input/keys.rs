//! Keys and their actions.

use crate::display_mode::DisplayMode;
use crate::input::{Action, Key, Modifiers};
use crate::orientation::{Aid, Preset};

/// Change of the field of view by a press of + or −, degrees.
pub(super) const FOV_STEP: f64 = 2.5;

/// The action of a key that goes down, or is held (`repeat`).
pub(super) fn action(key: Key, modifiers: Modifiers, repeat: bool) -> Option<Action> {
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
        Key::Char(c) if modifiers.ctrl => with_control(c, modifiers.shift),
        Key::Char('r') | Key::Home => Some(Action::Reset),
        Key::Char('f') => Some(Action::FrameAll),
        Key::Char('o') => Some(Action::Parallel),
        Key::Char('l') => Some(Action::NextLook),
        Key::Char('c') => Some(Action::ToggleSection),
        Key::Char('g') => Some(Action::Toggle(Aid::Grid)),
        Key::Char('b') => Some(Action::Toggle(Aid::Bounds)),
        Key::Char('v') => Some(Action::Toggle(Aid::Frusta)),
        Key::Char('p') => Some(Action::SavePng),
        Key::Char('x') => Some(Action::SaveExr),
        Key::Char('m') => Some(Action::SaveMesh),
        Key::Char('h') | Key::F(1) => Some(Action::Help),
        Key::Char('t') => Some(Action::Panel),
        Key::Char(c) => layer_of(c.to_digit(10)?),
        Key::Digit(number) if !modifiers.ctrl => layer_of(number.into()),
        Key::F(2) => Some(Action::View(if modifiers.shift { Preset::Back } else { Preset::Front })),
        Key::F(3) => Some(Action::View(if modifiers.shift { Preset::Left } else { Preset::Right })),
        Key::F(4) => Some(Action::View(if modifiers.shift { Preset::Bottom } else { Preset::Top })),
        Key::F(5) => Some(Action::AddKey),
        Key::F(6) => Some(Action::Play),
        Key::F(7) => Some(Action::LoadPath),
        Key::F(8) => Some(Action::RenderVideo),
        Key::F(11) => Some(Action::FullScreen),
        Key::Space => Some(Action::Pause),
        Key::Escape => Some(Action::Dismiss),
        _ => None,
    }
}

/// The action of a character with the control key, as other programs have it.
fn with_control(c: char, shift: bool) -> Option<Action> {
    match c {
        'c' => Some(Action::Copy),
        'v' => Some(Action::Paste),
        'z' if shift => Some(Action::Redo),
        'z' => Some(Action::Undo),
        'y' => Some(Action::Redo),
        's' => Some(Action::SaveModel),
        _ => None,
    }
}

/// The action of a digit: layer `number`, from 1 on.
fn layer_of(number: u32) -> Option<Action> {
    DisplayMode::ALL.get((number as usize).checked_sub(1)?).copied().map(Action::SetMode)
}

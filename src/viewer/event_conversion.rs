//! Conversion between the events of winit, the viewer and egui.

use egui::{Event as Ui, Modifiers as UiModifiers, PointerButton, Pos2, pos2};
use glam::DVec2;
use winit::event::{ElementState, MouseButton, MouseScrollDelta, WindowEvent};
use winit::keyboard::{Key as Logical, KeyCode, NamedKey, PhysicalKey};

use crate::input::{Button, InputEvent, Key, Modifiers};

/// Digit keys above the letters, from 0 on.
const DIGITS: [KeyCode; 10] = [
    KeyCode::Digit0,
    KeyCode::Digit1,
    KeyCode::Digit2,
    KeyCode::Digit3,
    KeyCode::Digit4,
    KeyCode::Digit5,
    KeyCode::Digit6,
    KeyCode::Digit7,
    KeyCode::Digit8,
    KeyCode::Digit9,
];
/// Points scrolled on a touchpad for one notch of a wheel.
const POINTS_PER_NOTCH: f64 = 50.0;

/// The viewer's event for one of a window with `scale` physical pixels a point; `None` if it has none.
pub(crate) fn from_winit(event: &WindowEvent, scale: f64) -> Option<InputEvent> {
    match event {
        WindowEvent::KeyboardInput { event, is_synthetic: false, .. } => {
            let key = key(&event.logical_key, event.physical_key)?;
            Some(InputEvent::Key { key, down: event.state == ElementState::Pressed, repeat: event.repeat })
        }
        WindowEvent::ModifiersChanged(held) => {
            let state = held.state();
            Some(InputEvent::Modifiers(Modifiers {
                shift: state.shift_key(),
                ctrl: state.control_key() || (cfg!(target_os = "macos") && state.super_key()),
            }))
        }
        WindowEvent::MouseInput { state, button, .. } => {
            let button = match button {
                MouseButton::Left => Button::Left,
                MouseButton::Right => Button::Right,
                MouseButton::Middle => Button::Middle,
                _ => return None,
            };
            Some(InputEvent::Button { button, down: *state == ElementState::Pressed })
        }
        WindowEvent::CursorMoved { position, .. } => Some(InputEvent::Pointer(DVec2::new(position.x, position.y))),
        WindowEvent::MouseWheel { delta, .. } => Some(InputEvent::Wheel(match delta {
            MouseScrollDelta::LineDelta(_, y) => f64::from(*y),
            MouseScrollDelta::PixelDelta(by) => by.y / (POINTS_PER_NOTCH * scale),
        })),
        WindowEvent::Focused(false) => Some(InputEvent::Unfocused),
        _ => None,
    }
}

/// The key: flight keys and digits by their place on the keyboard, others by the character on them.
fn key(logical: &Logical, physical: PhysicalKey) -> Option<Key> {
    let flight = match physical {
        PhysicalKey::Code(KeyCode::KeyW) => Some('w'),
        PhysicalKey::Code(KeyCode::KeyA) => Some('a'),
        PhysicalKey::Code(KeyCode::KeyS) => Some('s'),
        PhysicalKey::Code(KeyCode::KeyD) => Some('d'),
        PhysicalKey::Code(KeyCode::KeyQ) => Some('q'),
        PhysicalKey::Code(KeyCode::KeyE) => Some('e'),
        _ => None,
    };
    if let Some(c) = flight {
        return Some(Key::Char(c));
    }
    // French and Czech boards have other characters on the digit keys unless shift is held.
    if let PhysicalKey::Code(code) = physical
        && let Some(number) = DIGITS.iter().position(|d| *d == code)
        && !matches!(logical, Logical::Character(text) if text.chars().any(|c| "[]".contains(c)))
    {
        return Some(Key::Digit(number as u8));
    }
    match logical {
        Logical::Character(text) => text.chars().next().map(|c| Key::Char(c.to_ascii_lowercase())),
        Logical::Named(named) => match named {
            NamedKey::Space => Some(Key::Space),
            NamedKey::Escape => Some(Key::Escape),
            NamedKey::Home => Some(Key::Home),
            NamedKey::PageUp => Some(Key::PageUp),
            NamedKey::PageDown => Some(Key::PageDown),
            NamedKey::F1 => Some(Key::F(1)),
            NamedKey::F2 => Some(Key::F(2)),
            NamedKey::F3 => Some(Key::F(3)),
            NamedKey::F4 => Some(Key::F(4)),
            NamedKey::F5 => Some(Key::F(5)),
            NamedKey::F6 => Some(Key::F(6)),
            NamedKey::F7 => Some(Key::F(7)),
            NamedKey::F11 => Some(Key::F(11)),
            _ => None,
        },
        _ => None,
    }
}

/// The pointer event that egui gets for a scripted event; `None` for keys and wheel.
pub(crate) fn to_egui(event: InputEvent, pointer: DVec2, pixels_per_point: f32) -> Option<Ui> {
    let at = |p: DVec2| -> Pos2 { pos2(p.x as f32 / pixels_per_point, p.y as f32 / pixels_per_point) };
    match event {
        InputEvent::Pointer(to) => Some(Ui::PointerMoved(at(to))),
        InputEvent::Button { button, down } => Some(Ui::PointerButton {
            pos: at(pointer),
            button: match button {
                Button::Left => PointerButton::Primary,
                Button::Right => PointerButton::Secondary,
                Button::Middle => PointerButton::Middle,
            },
            pressed: down,
            modifiers: UiModifiers::NONE,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use winit::dpi::PhysicalPosition;
    use winit::event::{DeviceId, TouchPhase};

    use super::*;

    #[test]
    fn digits_go_by_their_place_and_brackets_by_their_character() {
        let place = |code| PhysicalKey::Code(code);
        // A French board: é on the key of 2, - on that of 6, and ] with AltGr on that right of 0.
        assert_eq!(key(&Logical::Character("é".into()), place(KeyCode::Digit2)), Some(Key::Digit(2)));
        assert_eq!(key(&Logical::Character("-".into()), place(KeyCode::Digit6)), Some(Key::Digit(6)));
        assert_eq!(key(&Logical::Character("2".into()), place(KeyCode::Digit2)), Some(Key::Digit(2)));
        assert_eq!(key(&Logical::Character("]".into()), place(KeyCode::Minus)), Some(Key::Char(']')));
        // A German board: AltGr with 8 and 9.
        assert_eq!(key(&Logical::Character("[".into()), place(KeyCode::Digit8)), Some(Key::Char('[')));
        assert_eq!(key(&Logical::Character("7".into()), place(KeyCode::Numpad7)), Some(Key::Char('7')));
    }

    #[test]
    fn scrolling_and_panel_use_points() {
        let wheel = |delta| WindowEvent::MouseWheel { device_id: DeviceId::dummy(), delta, phase: TouchPhase::Moved };
        // The same distance on a touchpad is twice as many pixels on a display twice as dense.
        for scale in [1.0, 1.5, 2.0] {
            let pixels = MouseScrollDelta::PixelDelta(PhysicalPosition::new(0.0, 100.0 * scale));
            assert_eq!(from_winit(&wheel(pixels), scale), Some(InputEvent::Wheel(2.0)));
            assert_eq!(from_winit(&wheel(MouseScrollDelta::LineDelta(0.0, 1.0)), scale), Some(InputEvent::Wheel(1.0)));
            let at = DVec2::new(300.0, 150.0) * scale;
            let moved =
                WindowEvent::CursorMoved { device_id: DeviceId::dummy(), position: PhysicalPosition::new(at.x, at.y) };
            assert_eq!(from_winit(&moved, scale), Some(InputEvent::Pointer(at)), "image pixels are physical");
            assert_eq!(to_egui(InputEvent::Pointer(at), at, scale as f32), Some(Ui::PointerMoved(pos2(300.0, 150.0))));
        }
    }
}

//! Between the events of winit, of the viewer and of egui.

use egui::{Event as Ui, Modifiers as UiModifiers, PointerButton, Pos2, pos2};
use glam::DVec2;
use winit::event::{ElementState, MouseButton, MouseScrollDelta, WindowEvent};
use winit::keyboard::{Key as Logical, KeyCode, NamedKey, PhysicalKey};

use crate::input::{Button, Event, Key, Modifiers};

/// Points of a touchpad's scrolling for one notch.
const NOTCH: f64 = 50.0;

/// What an event of a window with `scale` physical pixels a point says to the viewer.
pub fn event(event: &WindowEvent, scale: f64) -> Option<Event> {
    match event {
        WindowEvent::KeyboardInput { event, is_synthetic: false, .. } => {
            let key = key(&event.logical_key, event.physical_key)?;
            Some(Event::Key { key, down: event.state == ElementState::Pressed, repeat: event.repeat })
        }
        WindowEvent::ModifiersChanged(held) => {
            let state = held.state();
            Some(Event::Modifiers(Modifiers {
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
            Some(Event::Button { button, down: *state == ElementState::Pressed })
        }
        WindowEvent::CursorMoved { position, .. } => Some(Event::Pointer(DVec2::new(position.x, position.y))),
        WindowEvent::MouseWheel { delta, .. } => Some(Event::Wheel(match delta {
            MouseScrollDelta::LineDelta(_, y) => f64::from(*y),
            MouseScrollDelta::PixelDelta(by) => by.y / (NOTCH * scale),
        })),
        WindowEvent::Focused(false) => Some(Event::Unfocused),
        _ => None,
    }
}

/// Keys that fly count by their place on the keyboard, the others by what is on them.
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
    match logical {
        Logical::Character(text) => text.chars().next().map(|c| Key::Char(c.to_ascii_lowercase())),
        Logical::Named(named) => match named {
            NamedKey::Space => Some(Key::Space),
            NamedKey::Escape => Some(Key::Escape),
            NamedKey::Home => Some(Key::Home),
            NamedKey::PageUp => Some(Key::PageUp),
            NamedKey::PageDown => Some(Key::PageDown),
            NamedKey::F1 => Some(Key::F(1)),
            NamedKey::F5 => Some(Key::F(5)),
            NamedKey::F6 => Some(Key::F(6)),
            NamedKey::F7 => Some(Key::F(7)),
            _ => None,
        },
        _ => None,
    }
}

/// The panel's half of a scripted event: what egui would have been told of the pointer.
pub fn for_panel(event: Event, pointer: DVec2, pixels_per_point: f32) -> Option<Ui> {
    let at = |p: DVec2| -> Pos2 { pos2(p.x as f32 / pixels_per_point, p.y as f32 / pixels_per_point) };
    match event {
        Event::Pointer(to) => Some(Ui::PointerMoved(at(to))),
        Event::Button { button, down } => Some(Ui::PointerButton {
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
    fn scrolling_and_the_panel_count_in_points() {
        let wheel = |delta| WindowEvent::MouseWheel { device_id: DeviceId::dummy(), delta, phase: TouchPhase::Moved };
        // The same stretch of a touchpad is twice as many pixels on a display twice as dense.
        for scale in [1.0, 1.5, 2.0] {
            let pixels = MouseScrollDelta::PixelDelta(PhysicalPosition::new(0.0, 100.0 * scale));
            assert_eq!(event(&wheel(pixels), scale), Some(Event::Wheel(2.0)));
            assert_eq!(event(&wheel(MouseScrollDelta::LineDelta(0.0, 1.0)), scale), Some(Event::Wheel(1.0)));
            let at = DVec2::new(300.0, 150.0) * scale;
            let moved =
                WindowEvent::CursorMoved { device_id: DeviceId::dummy(), position: PhysicalPosition::new(at.x, at.y) };
            assert_eq!(event(&moved, scale), Some(Event::Pointer(at)), "the picture's pixels are physical");
            assert_eq!(for_panel(Event::Pointer(at), at, scale as f32), Some(Ui::PointerMoved(pos2(300.0, 150.0))));
        }
    }
}

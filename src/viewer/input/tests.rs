//! Tests of the input state: drags, clicks, held keys, and the keys of the manual.

use super::keys::FOV_STEP;
use super::*;
use crate::display_mode::DisplayMode;

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
    assert_eq!(press(&mut input, Key::Char('c')), Some(Action::ToggleSection));
    assert_eq!(press(&mut input, Key::Char('k')), None);
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
    assert_eq!(press(&mut input, Key::Char('z')), Some(Action::Undo));
    assert_eq!(press(&mut input, Key::Char('y')), Some(Action::Redo));
    // A key that flies without control.
    assert_eq!(press(&mut input, Key::Char('s')), Some(Action::SaveModel));
    assert_eq!(input.flight(), None);
    input.handle(modifiers(true, true), true);
    assert_eq!(press(&mut input, Key::Char('z')), Some(Action::Redo));
}

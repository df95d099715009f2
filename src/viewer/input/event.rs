//! Input events, the same of the window system and of scripts.

use glam::DVec2;

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

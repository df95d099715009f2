//! Text of the system's clipboard. egui-winit's own support also reads pictures, for which it builds a picture library
//! that nothing here uses.

use egui::OutputCommand;
use winit::event::{ElementState, WindowEvent};

/// The system's clipboard, or none where there is none: text is then copied within the window only.
pub(super) struct Clipboard(Option<arboard::Clipboard>);

impl Clipboard {
    pub fn new() -> Self {
        Self(arboard::Clipboard::new().ok())
    }

    /// Hands the system's text to egui before a key that may paste it. Call it before egui sees the event.
    pub fn before_event(&mut self, egui: &mut egui_winit::State, event: &WindowEvent) {
        let WindowEvent::KeyboardInput { event: key, .. } = event else { return };
        // Reading can take a while, so only where text is typed, and for keys that can be shortcuts: egui decides which
        // of them paste.
        let typing = egui.egui_ctx().egui_wants_keyboard_input();
        let shortcut = egui.egui_input().modifiers.command || key.text.is_none();
        if typing
            && shortcut
            && key.state == ElementState::Pressed
            && let Some(text) = self.0.as_mut().and_then(|system| system.get_text().ok())
        {
            egui.set_clipboard_text(text);
        }
    }

    /// Hands text that was copied in the panel to the system.
    pub fn after_frame(&mut self, commands: &[OutputCommand]) {
        for command in commands {
            if let (OutputCommand::CopyText(text), Some(system)) = (command, &mut self.0)
                && let Err(error) = system.set_text(text.clone())
            {
                super::note(format_args!("the text was not copied: {error}"));
            }
        }
    }
}

//! Input of the user and of scripts: both become the same events, actions and commands.

use glam::DVec2;

use crate::app::{App, OpenWindow};
use crate::event_conversion;
use crate::input::{Action, InputEvent};
use crate::panel::PanelCommand;
use crate::panel::canvas::is_on_wipe;
use crate::presenter::Viewport;
use crate::readout::readout;

/// Upper left corner of a viewport, pixels of the window.
fn origin(viewport: Viewport) -> DVec2 {
    DVec2::new(f64::from(viewport.x), f64::from(viewport.y))
}

/// A viewport in points of `scale` pixels.
fn points(viewport: Viewport, scale: f32) -> egui::Rect {
    let Viewport { x, y, width, height } = viewport;
    let [x, y, width, height] = [x, y, width, height].map(|v| v as f32 / scale);
    egui::Rect::from_min_size(egui::pos2(x, y), egui::vec2(width, height))
}
impl App {
    /// Processes an event of the user or a script.
    pub(super) fn handle_event(&mut self, event: InputEvent) {
        let on_image = self.is_on_image(event);
        let drags = self.input.is_dragging() && matches!(event, InputEvent::Pointer(_));
        let Some(action) = self.input.handle(event, on_image) else {
            self.dirty |= !drags;
            return;
        };
        match action {
            // The image alone changes, and is drawn when it comes.
            Action::Orbit(_) | Action::Pan(_) | Action::Look(_) => {
                self.session.act(action, self.image_size());
                self.has_moved = true;
            }
            _ => self.execute(PanelCommand::Act(self.on_picture(action))),
        }
    }

    /// The action with places in pixels of the picture instead of the window.
    fn on_picture(&self, action: Action) -> Action {
        let origin = self.opened.as_ref().map_or(DVec2::ZERO, |o| origin(o.viewport));
        match action {
            Action::Pick(at) => Action::Pick(at - origin),
            Action::CentreOn(at) => Action::CentreOn(at - origin),
            Action::Measure(at) => Action::Measure(at - origin),
            other => other,
        }
    }

    /// Reads the picture under the pointer, unless something moves or the panel is in between.
    pub(super) fn read_pointer(&mut self, opened: &OpenWindow) {
        (self.session.readout, self.session.hovered_view) = (None, None);
        let event = InputEvent::Wheel(0.0);
        if self.input.is_dragging() || self.is_moving() || !self.belongs_to_image(event, opened) {
            return;
        }
        let pixel = self.input.pointer() - origin(opened.viewport);
        let size = (opened.viewport.width.max(1), opened.viewport.height.max(1));
        self.session.hovered_view = self.session.view_at(pixel, size);
        self.session.readout = self.image.as_ref().and_then(|image| readout(image, pixel));
    }

    /// Whether an event belongs to the image, not to the panel.
    fn is_on_image(&self, event: InputEvent) -> bool {
        self.opened.as_ref().is_some_and(|opened| self.belongs_to_image(event, opened))
    }

    fn belongs_to_image(&self, event: InputEvent, opened: &OpenWindow) -> bool {
        let context = opened.egui.egui_ctx();
        match event {
            InputEvent::Button { .. } | InputEvent::Wheel(_) => {
                let Viewport { width, height, .. } = opened.viewport;
                let at = self.input.pointer() - origin(opened.viewport);
                let inside = at.x >= 0.0 && at.y >= 0.0 && at.x < f64::from(width) && at.y < f64::from(height);
                let point = self.input.pointer() / f64::from(context.pixels_per_point());
                let place = egui::pos2(point.x as f32, point.y as f32);
                let layer = context.layer_id_at(place);
                let inside = inside && !self.canvas.handles.contains(place);
                let inside =
                    inside && !is_on_wipe(&self.session, points(opened.viewport, context.pixels_per_point()), place);
                inside && layer.is_none_or(|l| l.order == egui::Order::Background) && !context.egui_is_using_pointer()
            }
            InputEvent::Key { .. } => !context.egui_wants_keyboard_input(),
            _ => true,
        }
    }

    /// Passes a scripted event to the panel and to the image.
    pub(super) fn inject(&mut self, event: InputEvent) {
        self.attention.touched_by_script();
        if let Some(opened) = &mut self.opened {
            let scale = opened.egui.egui_ctx().pixels_per_point();
            if let Some(event) = event_conversion::to_egui(event, self.input.pointer(), scale) {
                opened.egui.egui_input_mut().events.push(event);
            }
        }
        self.handle_event(event);
    }
}

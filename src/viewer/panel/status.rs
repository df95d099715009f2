//! Status line below the image: the state of the picture in words, and what it measures; the point under the pointer instead while it
//! is on the object.

use egui::{Align, Label, Layout, RichText, Ui};

use crate::panel::PanelInfo;
use crate::session::Session;

/// Facts that the line tells.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// Size of the picture in the window, pixels; `None` before the first.
    size: Option<(u32, u32)>,
    /// Pixels of the window along an edge for one of the picture.
    divisor: u32,
    psnr: Option<f64>,
    /// Pictures a second while the camera moves.
    pictures_per_second: Option<f64>,
    is_done: bool,
    is_training: bool,
    /// Share of the work up to the final picture that is done.
    progress: f32,
}

impl Facts {
    /// The line, the most useful first, since a narrow window cuts its end.
    fn text(&self) -> String {
        let Some((width, height)) = self.size else { return String::new() };
        let mut parts = vec![match (self.pictures_per_second, self.is_done) {
            (Some(rate), _) => format!("moving, {rate:.0} pictures a second"),
            (None, _) if self.is_training => "following the fit".into(),
            (None, true) => "refined".into(),
            // Rounded down, and never all of it: a picture that is done is called refined.
            (None, false) => format!("refining {:.0} %", (100.0 * self.progress).floor().clamp(0.0, 99.0)),
        }];
        parts.extend(self.psnr.map(|psnr| format!("PSNR {psnr:.2} dB")));
        parts.push(match self.divisor {
            0 | 1 => format!("{width} x {height} pixels"),
            by => format!("{width} x {height} pixels, 1/{by} of the resolution"),
        });
        parts.join("   ")
    }
}

/// Lays the line out.
pub(super) fn show(ui: &mut Ui, session: &Session, info: &PanelInfo<'_>) {
    let small = |text: String| RichText::new(text).size(12.0);
    let camera = info.image.map(|image| image.request.camera);
    let facts = Facts {
        size: camera.map(|camera| (camera.width, camera.height)),
        divisor: info.image.map_or(1, |image| image.divisor),
        psnr: info.image.and_then(|image| image.psnr),
        pictures_per_second: info.fps,
        is_done: info.done,
        is_training: session.is_training,
        progress: info.progress,
    };
    let hint = if session.panel { "H help" } else { "H help   T panel" };
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.label(small(hint.into()).weak());
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let text = session.readout.clone().unwrap_or_else(|| facts.text());
            let line = ui.add(Label::new(small(text)).truncate());
            line.on_hover_text(details(info));
        });
    });
}

/// Facts about rendering, for those who want to know.
fn details(info: &PanelInfo<'_>) -> String {
    let PanelInfo { backend, adapter, .. } = info;
    let pass = info.image.map_or(String::new(), |image| {
        let samples = match image.samples {
            1 => "1 sample a pixel".to_string(),
            more => format!("{more} samples a pixel at edges"),
        };
        format!("{samples}, last pass {:.0} ms\n", 1e3 * image.seconds)
    });
    let presented = if backend.contains(adapter) { String::new() } else { format!("\npresented by {adapter}") };
    format!("{pass}rendered by the {backend}{presented}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_comes_first_and_is_never_ambiguous() {
        let facts = Facts {
            size: Some((988, 774)),
            divisor: 1,
            psnr: None,
            pictures_per_second: None,
            is_done: true,
            is_training: false,
            progress: 0.456,
        };
        assert_eq!(facts.text(), "refined   988 x 774 pixels");
        let refining = Facts { is_done: false, divisor: 3, ..facts };
        assert_eq!(refining.text(), "refining 45 %   988 x 774 pixels, 1/3 of the resolution");
        let last = Facts { progress: 0.999, ..refining };
        assert!(last.text().starts_with("refining 99 %"));
        let moving = Facts { pictures_per_second: Some(31.2), ..refining };
        assert!(moving.text().starts_with("moving, 31 pictures a second"));
        let training = Facts { is_training: true, psnr: Some(29.5), ..refining };
        assert!(training.text().starts_with("following the fit   PSNR 29.50 dB"));
        // Before the first picture nothing is said of one.
        assert_eq!(Facts { size: None, ..facts }.text(), "");
    }
}

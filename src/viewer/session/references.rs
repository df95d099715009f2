//! Things that a session compares the field with: the capture's images and a mesh.

use glam::DVec3;
use nstr_capture as capture;

use crate::display_mode::DisplayMode;
use crate::photograph::PhotographMode;
use crate::reference_mesh::ReferenceMesh;
use crate::session::Session;

impl Session {
    /// Goes to the capture view `by` after the current or last one.
    pub(super) fn next_view(&mut self, by: i32, size: (u32, u32)) {
        if self.views.is_empty() {
            return self.notify("there is no capture: give one with --capture DIR");
        }
        let count = self.views.len() as i64;
        let next = match self.active_view.or(self.last_view) {
            Some(i) if self.active_view.is_some() => (i as i64 + i64::from(by)).rem_euclid(count),
            Some(i) => i as i64,
            None if by < 0 => count - 1,
            None => 0,
        };
        self.go_to_view(next as usize, size);
    }

    /// Goes to capture view `i`, so that all of its image is visible.
    pub fn go_to_view(&mut self, i: usize, size: (u32, u32)) {
        if let Some(view) = self.views.get(i) {
            self.playback_time = None;
            self.camera = self.home.framing(&view.camera, self.scene_centre, size);
            (self.active_view, self.last_view) = (Some(i), Some(i));
        }
    }

    /// Selects a layer. The error layer goes to the nearest capture view.
    pub(super) fn set_mode(&mut self, mode: DisplayMode, size: (u32, u32)) {
        self.settings.mode = mode;
        if mode != DisplayMode::Error || self.active_view.is_some() || self.mesh_of_error().is_some() {
            return;
        }
        if !self.go_to_nearest_view(size)
            && let Some(reason) = self.refusal(mode)
        {
            self.notify(reason);
        }
    }

    /// Goes to the capture view that is most like the camera; returns whether there is one.
    pub fn go_to_nearest_view(&mut self, size: (u32, u32)) -> bool {
        let dissimilarity = |v: &capture::View| {
            let turned = 1.0 - v.forward().dot(self.camera.rotation * DVec3::NEG_Z);
            (v.camera.position() - self.camera.eye).length() + turned * self.camera.radius
        };
        let nearest = (0..self.views.len())
            .min_by(|a, b| dissimilarity(&self.views[*a]).total_cmp(&dissimilarity(&self.views[*b])));
        nearest.inspect(|i| self.go_to_view(*i, size)).is_some()
    }

    /// The mesh that the error is measured against; surfaces only.
    pub(super) fn mesh_of_error(&self) -> Option<&ReferenceMesh> {
        self.mesh.as_ref().filter(|_| self.scene.as_ref().is_some_and(|s| !s.is_radiance()))
    }

    /// Reason why a layer cannot be shown, if there is one.
    pub fn refusal(&self, mode: DisplayMode) -> Option<&'static str> {
        if mode != DisplayMode::Error || self.mesh_of_error().is_some() || !self.views.is_empty() {
            return None;
        }
        Some(match self.scene.as_ref().is_some_and(|s| s.is_radiance()) {
            true => "the error needs images to compare with: give a capture with --capture DIR",
            false => "the error needs a mesh to compare with: give it with --mesh FILE",
        })
    }

    /// Description of a layer for the panel.
    pub fn describe(&self, mode: DisplayMode) -> String {
        match self.mesh_of_error().filter(|_| mode == DisplayMode::Error) {
            Some(mesh) => format!("Distance of the surface to {}, world units", mesh.name()),
            None => mode.description().into(),
        }
    }

    /// Line over the picture while it is not what the user asked for.
    pub fn missing_image(&self) -> Option<String> {
        let mode = self.settings.mode;
        if let Some(reason) = self.refusal(mode) {
            return Some(reason.into());
        }
        if let Some(mesh) = self.mesh_of_error().filter(|_| mode == DisplayMode::Error) {
            return mesh.waits_for();
        }
        let compares = self.photograph.mode != PhotographMode::Off && !self.views.is_empty();
        let wanted = self.active_view.is_none() && (mode == DisplayMode::Error || compares);
        let from_here = "no image was taken from here: page up and page down, or [ and ], go to the capture's cameras";
        wanted.then(|| from_here.into())
    }
}

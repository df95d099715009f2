//! One frame of the window: camera, panel, request to the renderer, presentation.

use std::time::{Duration, Instant};

use winit::event_loop::ActiveEventLoop;

use crate::app::script_driver::ScriptDriver;
use crate::app::{App, MAX_TIME_STEP, OpenWindow, window};
use crate::display_mode::DisplayMode;
use crate::error::ViewerError;
use crate::panel::{self, PanelCommand, PanelInfo};
use crate::presenter::{Overlay, Viewport};
use crate::training::Training;
use crate::video_export::VideoExport;

impl App {
    /// Advances the camera, lays the panel out, requests an image, and presents.
    pub(super) fn redraw(&mut self, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        self.poll();
        let now = Instant::now();
        self.last_redraw = now;
        // Before anything is drawn, so that the next image is rendered meanwhile.
        self.follow_camera();
        let Some(mut opened) = self.opened.take() else { return Ok(()) };
        let size = opened.window.inner_size();
        if size.width == 0 || size.height == 0 {
            self.opened = Some(opened);
            return Ok(());
        }
        opened.presenter.resize(size.width, size.height)?;
        opened.presenter.background = self.session.settings.background;
        self.dirty = false;
        self.read_pointer(&opened);
        if let Some(scores) = &self.scores {
            scores.wait(!self.status.done);
        }
        let (overlay, commands) = self.layout_ui(&mut opened, (size.width, size.height));
        self.opened = Some(opened);
        commands.into_iter().for_each(|c| self.execute(c));
        self.request_frame();
        self.save_files();
        let Some(opened) = &mut self.opened else { return Ok(()) };
        opened.presenter.present(self.image.as_ref(), opened.viewport, &overlay)?;
        if let Some(training) = &self.options.training {
            let budget = training.paint_budget();
            budget.spend(if opened.presenter.is_software() { budget.cores() } else { 1 }, now.elapsed());
        }
        self.presented.push_back(now);
        if let Some(bench) = &mut self.bench {
            bench.presented(&opened.presenter, self.image.as_ref(), now);
        }
        if let Some(driver) = &mut self.driver {
            driver.write_screenshot(&mut opened.presenter, self.image.as_ref(), opened.viewport, &overlay)?;
        }
        if self.driver.as_ref().is_some_and(ScriptDriver::closes) {
            self.close(events);
        }
        Ok(())
    }

    /// Runs the panel; returns its triangles and the commands of the user.
    fn layout_ui(&mut self, opened: &mut OpenWindow, size: (u32, u32)) -> (Overlay, Vec<PanelCommand>) {
        let context = opened.egui.egui_ctx().clone();
        let training = self.options.training.as_ref().map(Training::status);
        let adapter = opened.presenter.adapter();
        let fps = self.frames_per_second();
        let info = PanelInfo {
            title: &self.options.title,
            details: &self.options.details,
            image: self.image.as_ref(),
            progress: self.status.progress,
            done: self.status.done,
            backend: self.backend.as_ref().map_or("", |b| b.name()),
            adapter: &adapter,
            fps,
            training: training.as_ref(),
            scores: self.scores.as_ref(),
            paint_shares: self.options.training.as_ref().map_or((0.0, 0.0), |t| {
                let budget = t.paint_budget();
                (budget.share(), budget.taken())
            }),
            recent: self.recent.models(),
            video: self.video.as_mut().map(VideoExport::progress),
        };
        let raw = opened.egui.take_egui_input(&opened.window);
        let (mut commands, mut remaining) = (Vec::new(), egui::Rect::NOTHING);
        let (session, canvas) = (&mut self.session, &mut self.canvas);
        let before = session.settings;
        let output = context.run_ui(raw, |ui| {
            let (requested, rest) = panel::show(ui, session, &info, canvas);
            commands.extend(requested);
            remaining = rest;
        });
        self.dirty |= before != session.settings;
        opened.clipboard.after_frame(&output.platform_output.commands);
        opened.egui.handle_platform_output(&opened.window, output.platform_output);
        let delay = output.viewport_output.get(&egui::ViewportId::ROOT).map_or(Duration::MAX, |v| v.repaint_delay);
        // Once more when the message ends, to remove it.
        let message_time = session.message().map(|m| m.1);
        let delay = message_time.map_or(delay, |left| delay.min(left + Duration::from_millis(20)));
        self.repaint_at = Instant::now().checked_add(delay);
        let scale = output.pixels_per_point;
        let viewport = window::viewport(remaining, scale, size);
        if (viewport.width, viewport.height) != (opened.viewport.width, opened.viewport.height) {
            session.resized((viewport.width.max(1), viewport.height.max(1)));
        }
        opened.viewport = viewport;
        let primitives = context.tessellate(output.shapes, scale);
        (Overlay { primitives, textures: output.textures_delta, pixels_per_point: scale }, commands)
    }

    /// Advances the camera's own motion, and requests an image if the camera has moved.
    pub(super) fn follow_camera(&mut self) {
        let now = Instant::now();
        let elapsed = (now - self.advanced).as_secs_f64().min(MAX_TIME_STEP);
        self.advanced = now;
        self.has_moved |= self.session.advance(elapsed, self.input.flight());
        if self.has_moved {
            self.request_frame();
        }
    }

    /// Sends a request to the backend if it differs from the last.
    pub(super) fn request_frame(&mut self) {
        self.has_moved = false;
        let Viewport { width, height, .. } = self.opened.as_ref().map_or(Viewport::EMPTY, |o| o.viewport);
        if width == 0 || height == 0 {
            return;
        }
        if let Some(mesh) = self.session.mesh.as_ref().filter(|_| self.session.settings.mode == DisplayMode::Error) {
            mesh.prepare(self.waker());
        }
        let Some(request) = self.session.render_request((width, height)) else { return };
        if self.requested.as_ref().is_some_and(|r| r.same(&request)) {
            return;
        }
        if let Some(backend) = &mut self.backend {
            backend.request(request.clone());
            self.requested = Some(request);
            self.status.done = false;
        }
    }

    /// Whether presenting would leave training its share: always unless training runs.
    pub(super) fn may_present(&mut self) -> bool {
        let Some(training) = self.options.training.as_ref().filter(|_| self.session.is_training) else { return true };
        if self.driver.as_ref().is_some_and(ScriptDriver::wants_screenshot) {
            return true;
        }
        if let Some(opened) = &self.opened {
            self.attention.look_at(&opened.window);
        }
        self.attention.may_present(training.paint_budget(), self.last_redraw)
    }

    /// Presented frames a second; `None` unless the camera moves.
    fn frames_per_second(&mut self) -> Option<f64> {
        let now = Instant::now();
        while self.presented.front().is_some_and(|t| now - *t > Duration::from_secs(1)) {
            self.presented.pop_front();
        }
        let first = *self.presented.front()?;
        let moves = self.is_moving() || self.input.is_dragging();
        (moves && self.presented.len() > 2).then(|| self.presented.len() as f64 / (now - first).as_secs_f64().max(1e-3))
    }
}

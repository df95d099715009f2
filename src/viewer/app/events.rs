//! Events of the window system and of other threads, and when the window is drawn.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalSize};
use winit::event::{StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow};
use winit::window::WindowId;

use crate::app::{App, FRAME_INTERVAL, SOFTWARE_FRAME_INTERVAL, STATUS_INTERVAL, UserEvent};
use crate::event_conversion;
use crate::training::{Training, TrainingPhase};

impl ApplicationHandler<UserEvent> for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.opened.is_some() {
            return;
        }
        match self.open(events) {
            Ok(opened) => {
                opened.window.request_redraw();
                self.opened = Some(opened);
            }
            Err(failure) => self.fail(events, failure),
        }
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, mut event: WindowEvent) {
        let Some(opened) = &mut self.opened else { return };
        opened.clipboard.before_event(&mut opened.egui, &event);
        let repaint = opened.egui.on_window_event(&opened.window, &event).repaint;
        // A drag changes the image alone, which is drawn when it comes.
        self.dirty |= repaint && !(self.input.is_dragging() && matches!(event, WindowEvent::CursorMoved { .. }));
        match &mut event {
            WindowEvent::CloseRequested | WindowEvent::Destroyed => self.close(events),
            WindowEvent::ScaleFactorChanged { scale_factor, inner_size_writer } => {
                // A Wayland window learns its scale after it is created: the requested size must stay in pixels.
                if let Some((w, h)) = self.options.size.take()
                    && opened.window.inner_size().to_logical::<u32>(*scale_factor) == LogicalSize::new(w, h)
                {
                    let _ = inner_size_writer.request_inner_size(PhysicalSize::new(w, h));
                }
                self.dirty = true;
            }
            WindowEvent::Occluded(covered) => {
                self.attention.is_covered = *covered;
                self.dirty |= !*covered;
            }
            WindowEvent::Resized(_) => self.dirty = true,
            WindowEvent::DroppedFile(file) => {
                if let Some(effect) = self.session.load_dropped_file(file) {
                    self.apply(effect);
                }
                self.dirty = true;
            }
            WindowEvent::RedrawRequested => {
                if let Err(failure) = self.redraw(events) {
                    self.fail(events, failure);
                }
            }
            other => {
                self.attention.touched(other);
                if let Some(event) = event_conversion::from_winit(other, opened.window.scale_factor()) {
                    self.handle_event(event);
                }
            }
        }
    }

    fn user_event(&mut self, _: &ActiveEventLoop, _: UserEvent) {
        // Something of another thread than the renderer's may be there too.
        self.dirty |= self.scores.is_some() || self.video.is_some() || self.session.missing_image().is_some();
        self.poll();
    }

    fn new_events(&mut self, events: &ActiveEventLoop, _: StartCause) {
        let failed = |t: &Training| matches!(t.phase(), TrainingPhase::Failed(_)) && self.image.is_none();
        let over = |t: &Training| matches!(t.phase(), TrainingPhase::Done(_) | TrainingPhase::Failed(_));
        let closes = self.options.close_when_done && self.options.training.as_ref().is_some_and(over);
        if closes
            || self.options.quit.as_ref().is_some_and(|q| q.load(Ordering::SeqCst))
            || self.options.training.as_ref().is_some_and(failed)
        {
            self.close(events);
        }
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        if let Err(failure) = self.run_script(events) {
            return self.fail(events, failure);
        }
        if let Err(failure) = self.run_bench(events) {
            return self.fail(events, failure);
        }
        self.save_files();
        self.follow_camera();
        let now = Instant::now();
        let interval = match self.opened.as_ref().is_some_and(|o| o.presenter.is_software()) {
            true => SOFTWARE_FRAME_INTERVAL,
            false => FRAME_INTERVAL,
        };
        let earliest = self.last_redraw + interval;
        let repaint = self.repaint_at.is_some_and(|t| t <= now);
        // Progress alone is displayed only now and then: presenting takes time from rendering.
        let progress = !self.status.done && self.last_redraw + STATUS_INTERVAL <= now;
        let may_present = self.may_present();
        if (self.dirty || repaint || progress) && now >= earliest && may_present {
            self.repaint_at = None;
            if let Some(opened) = &self.opened {
                opened.window.request_redraw();
            }
        }
        let (redraws, moves) = (self.dirty, self.is_moving());
        let is_driven = self.driver.is_some() || self.bench.is_some();
        let polls = !self.status.done || self.options.quit.is_some() || is_driven;
        let next = [
            (redraws && may_present).then_some(earliest.max(now + Duration::from_millis(1))),
            self.repaint_at.filter(|_| may_present),
            (!may_present).then_some(now + STATUS_INTERVAL / 4),
            moves.then_some(now + FRAME_INTERVAL),
            polls.then_some(now + if is_driven { FRAME_INTERVAL } else { STATUS_INTERVAL }),
        ];
        events.set_control_flow(match next.into_iter().flatten().min() {
            Some(at) => ControlFlow::WaitUntil(at),
            None => ControlFlow::Wait,
        });
    }

    fn exiting(&mut self, _: &ActiveEventLoop) {
        self.saver.finish();
        self.backend = None;
        self.opened = None;
    }
}

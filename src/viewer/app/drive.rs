//! Follows a script: its steps become the events that a user's hand would make.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use glam::DVec2;
use winit::dpi::PhysicalSize;
use winit::event_loop::ActiveEventLoop;

use crate::app::App;
use nstr_image::png;
use crate::error::ViewerError;
use crate::input::{Button, Event, Modifiers};
use crate::painter::Shown;
use crate::present::{Overlay, Presenter, Viewport};
use crate::script::{Script, Step};
use crate::translate;

/// Longest wait for a refined picture.
const PATIENCE: Duration = Duration::from_secs(600);
/// Events of a drag, and the time between them.
const DRAG: (usize, Duration) = (12, Duration::from_millis(16));

/// What is left of a script.
pub struct Driver {
    script: Script,
    /// Events to come, each after a time.
    events: VecDeque<(Duration, Event)>,
    /// Where the script is.
    line: usize,
    wait: Option<Wait>,
    since: Instant,
    /// The window's picture to write when it is next presented.
    screenshot: Option<PathBuf>,
    closes: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Refined,
    Picture,
    Time(Duration),
    /// Until the size that was asked for is presented, or is not to be had.
    Resize,
}

impl Driver {
    /// Begins a script.
    pub fn new(script: Script) -> Self {
        Self {
            script,
            events: VecDeque::new(),
            line: 0,
            wait: None,
            since: Instant::now(),
            screenshot: None,
            closes: false,
        }
    }

    /// Whether the script asked to close the window.
    pub fn closes(&self) -> bool {
        self.closes
    }

    fn stuck(&self, what: &str) -> ViewerError {
        ViewerError::Script(format!("{}: line {}: {what}", self.script.name(), self.line))
    }

    /// Writes the screenshot that is due, from what was just presented.
    pub fn presented(
        &mut self,
        presenter: &mut Presenter,
        shown: Option<&Shown>,
        viewport: Viewport,
        overlay: &Overlay,
    ) -> Result<(), ViewerError> {
        let Some(file) = self.screenshot.take() else { return Ok(()) };
        let mut image = presenter.screenshot(shown, viewport, overlay)?;
        image.data.chunks_exact_mut(4).for_each(|p| p[3] = 255);
        png::write(&file, &image).map_err(|e| self.stuck(&e.to_string()))
    }

    /// The events of a key, a drag, a click.
    fn queue(&mut self, step: &Step) {
        let none = Duration::ZERO;
        let mut push = |after, event| self.events.push_back((after, event));
        match *step {
            Step::Key(key, modifiers, time) => {
                push(none, Event::Modifiers(modifiers));
                push(none, Event::Key { key, down: true, repeat: false });
                push(time, Event::Key { key, down: false, repeat: false });
                push(none, Event::Modifiers(Modifiers::default()));
            }
            Step::Drag(button, modifiers, from, to) => {
                push(none, Event::Modifiers(modifiers));
                push(none, Event::Pointer(from));
                push(DRAG.1, Event::Button { button, down: true });
                for i in 1..=DRAG.0 {
                    push(DRAG.1, Event::Pointer(from.lerp(to, i as f64 / DRAG.0 as f64)));
                }
                push(DRAG.1, Event::Button { button, down: false });
                push(none, Event::Modifiers(Modifiers::default()));
            }
            Step::Click(at) => {
                let button = Button::Left;
                push(none, Event::Pointer(at));
                push(4 * DRAG.1, Event::Button { button, down: true });
                push(4 * DRAG.1, Event::Button { button, down: false });
                push(4 * DRAG.1, Event::Pointer(at));
            }
            Step::Wheel(notches) => push(none, Event::Wheel(notches)),
            _ => {}
        }
    }
}

impl App {
    /// Goes on with the script as far as it goes now.
    pub(super) fn drive(&mut self, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        let Some(mut driver) = self.driver.take() else { return Ok(()) };
        let result = self.follow(&mut driver, events);
        self.driver = Some(driver);
        result
    }

    fn follow(&mut self, driver: &mut Driver, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        loop {
            if driver.screenshot.is_some() || driver.closes || self.opened.is_none() {
                return Ok(());
            }
            if let Some((after, event)) = driver.events.front().copied() {
                if driver.since.elapsed() < after {
                    return Ok(());
                }
                driver.events.pop_front();
                driver.since = Instant::now();
                self.inject(event);
                continue;
            }
            if let Some(wait) = driver.wait {
                if !self.is_over(driver, wait)? {
                    return Ok(());
                }
                driver.wait = None;
            }
            let Some((line, step)) = driver.script.next_step() else { return Ok(()) };
            driver.line = line;
            driver.since = Instant::now();
            self.begin(driver, step, events);
        }
    }

    fn is_over(&self, driver: &Driver, wait: Wait) -> Result<bool, ViewerError> {
        let waited = driver.since.elapsed();
        let over = match wait {
            Wait::Time(time) => return Ok(waited >= time),
            Wait::Resize => return Ok(waited >= Duration::from_millis(400)),
            Wait::Picture => self.shown.is_some(),
            Wait::Refined => self.is_refined() && self.exrs.is_empty() && self.pngs.is_empty() && !self.session.passing,
        };
        match over || waited < PATIENCE {
            true => Ok(over),
            false => Err(driver.stuck(&format!("the picture was not refined within {} s", PATIENCE.as_secs()))),
        }
    }

    fn begin(&mut self, driver: &mut Driver, step: Step, events: &ActiveEventLoop) {
        let Some(opened) = &self.opened else { return };
        match step {
            Step::WaitRefined => driver.wait = Some(Wait::Refined),
            Step::WaitPicture => driver.wait = Some(Wait::Picture),
            Step::Wait(time) => driver.wait = Some(Wait::Time(time)),
            Step::Resize(w, h) => {
                // The answer comes as an event, or at once.
                let _ = opened.window.request_inner_size(PhysicalSize::new(w, h));
                driver.wait = Some(Wait::Resize);
            }
            Step::Minimise(on) => {
                opened.window.set_minimized(on);
                driver.wait = Some(Wait::Resize);
            }
            Step::Load(file) => self.session.drop_file(&file),
            Step::Screenshot(file) => driver.screenshot = Some(file),
            Step::Picture(file) => {
                match file.extension().and_then(|e| e.to_str()) {
                    Some("exr") => self.save_exr(file),
                    _ => self.pngs.push(file),
                }
                driver.wait = Some(Wait::Refined);
            }
            Step::Close => {
                driver.closes = true;
                self.close(events);
            }
            other => driver.queue(&other),
        }
        self.dirty = true;
    }

    /// What a scripted event does: the panel and the picture are both told.
    fn inject(&mut self, event: Event) {
        if let Some(opened) = &mut self.opened {
            let scale = opened.egui.egui_ctx().pixels_per_point();
            let pointer: DVec2 = self.input.pointer();
            if let Some(event) = translate::for_panel(event, pointer, scale) {
                opened.egui.egui_input_mut().events.push(event);
            }
        }
        self.take(event);
    }
}

//! Scripts: their steps become the events of a user, or wait for the picture.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nstr_image::png;
use winit::dpi::PhysicalSize;
use winit::event_loop::ActiveEventLoop;

use crate::app::App;
use crate::error::ViewerError;
use crate::input::{InputEvent, Modifiers};
use crate::presenter::{Overlay, Presenter, Viewport};
use crate::render_backend::RenderedImage;
use crate::script::{Script, ScriptStep};

/// Maximum wait of a script for a refined image.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// Time that a script gives the window system to resize or minimise the window.
const RESIZE_TIME: Duration = Duration::from_millis(400);
/// Number of pointer events of a scripted drag.
const DRAG_EVENTS: usize = 12;
/// Time between the events of a scripted drag.
const EVENT_INTERVAL: Duration = Duration::from_millis(16);

impl App {
    /// Runs the script as far as it can run now.
    ///
    /// # Errors
    /// [`ViewerError::Script`] if an image is not refined in time.
    pub(super) fn run_script(&mut self, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        let Some(mut driver) = self.driver.take() else { return Ok(()) };
        let result = self.advance_script(&mut driver, events);
        self.driver = Some(driver);
        result
    }

    fn advance_script(&mut self, driver: &mut ScriptDriver, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        loop {
            if driver.screenshot.is_some() || driver.closes || self.opened.is_none() {
                return Ok(());
            }
            if let Some((delay, event)) = driver.events.front().copied() {
                if driver.since.elapsed() < delay {
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
            self.start_step(driver, step, events);
        }
    }

    fn is_over(&self, driver: &ScriptDriver, wait: Wait) -> Result<bool, ViewerError> {
        let waited = driver.since.elapsed();
        let over = match wait {
            Wait::Time(time) => return Ok(waited >= time),
            Wait::Resize => return Ok(waited >= RESIZE_TIME),
            Wait::Image => self.image.is_some(),
            Wait::Refined => {
                let is_idle = self.opening.is_none() && self.video.is_none() && self.saver.is_idle();
                self.is_refined() && is_idle && !self.session.is_training
            }
        };
        match over || waited < MAX_WAIT {
            true => Ok(over),
            false => Err(driver.error(&format!("the picture was not refined within {} s", MAX_WAIT.as_secs()))),
        }
    }

    fn start_step(&mut self, driver: &mut ScriptDriver, step: ScriptStep, events: &ActiveEventLoop) {
        let Some(opened) = &self.opened else { return };
        match step {
            ScriptStep::WaitRefined => driver.wait = Some(Wait::Refined),
            ScriptStep::WaitImage => driver.wait = Some(Wait::Image),
            ScriptStep::Wait(time) => driver.wait = Some(Wait::Time(time)),
            ScriptStep::Resize(w, h) => {
                // The new size comes as an event, or at once.
                let _ = opened.window.request_inner_size(PhysicalSize::new(w, h));
                driver.wait = Some(Wait::Resize);
            }
            ScriptStep::Minimise(on) => {
                opened.window.set_minimized(on);
                driver.wait = Some(Wait::Resize);
            }
            ScriptStep::Load(file) => {
                if let Some(effect) = self.session.load_dropped_file(&file) {
                    self.apply(effect);
                }
            }
            ScriptStep::Screenshot(file) => driver.screenshot = Some(file),
            ScriptStep::SaveImage(file) => {
                match file.extension().and_then(|e| e.to_str()) {
                    Some("exr") => self.save_exr(file),
                    _ => self.saver.save_png(file),
                }
                driver.wait = Some(Wait::Refined);
            }
            ScriptStep::Close => {
                driver.closes = true;
                self.close(events);
            }
            other => driver.queue(&other),
        }
        self.dirty = true;
    }
}

/// Script in progress.
pub(super) struct ScriptDriver {
    script: Script,
    /// Events to come, each after a delay.
    events: VecDeque<(Duration, InputEvent)>,
    /// Line of the current step.
    line: usize,
    wait: Option<Wait>,
    /// Time of the last event, or the start of the current step.
    since: Instant,
    /// File for the window's content when it is presented next.
    screenshot: Option<PathBuf>,
    closes: bool,
}

/// Condition that ends the wait of a script.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Refined,
    Image,
    Time(Duration),
    /// The window system had time to resize the window, or to refuse.
    Resize,
}

impl ScriptDriver {
    /// Starts a script.
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

    /// Whether a screenshot waits for the next presented frame.
    pub fn wants_screenshot(&self) -> bool {
        self.screenshot.is_some()
    }

    /// Whether the script closed the window.
    pub fn closes(&self) -> bool {
        self.closes
    }

    fn error(&self, reason: &str) -> ViewerError {
        ViewerError::Script(format!("{}: line {}: {reason}", self.script.name(), self.line))
    }

    /// Writes the screenshot that is due, with the content that was just presented.
    ///
    /// # Errors
    /// Errors of the driver, and [`ViewerError::Script`] for files that cannot be written.
    pub fn write_screenshot(
        &mut self,
        presenter: &mut Presenter,
        image: Option<&RenderedImage>,
        viewport: Viewport,
        overlay: &Overlay,
    ) -> Result<(), ViewerError> {
        let Some(file) = self.screenshot.take() else { return Ok(()) };
        let mut screenshot = presenter.screenshot(image, viewport, overlay)?;
        screenshot.data.chunks_exact_mut(4).for_each(|p| p[3] = 255);
        png::write(&file, &screenshot).map_err(|e| self.error(&e.to_string()))
    }

    /// Queues the events of a key, drag, click or turn of the wheel.
    fn queue(&mut self, step: &ScriptStep) {
        let none = Duration::ZERO;
        let mut push = |delay, event| self.events.push_back((delay, event));
        match *step {
            ScriptStep::Key(key, modifiers, time) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Key { key, down: true, repeat: false });
                push(time, InputEvent::Key { key, down: false, repeat: false });
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            ScriptStep::Drag(button, modifiers, from, to) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Pointer(from));
                push(EVENT_INTERVAL, InputEvent::Button { button, down: true });
                for i in 1..=DRAG_EVENTS {
                    push(EVENT_INTERVAL, InputEvent::Pointer(from.lerp(to, i as f64 / DRAG_EVENTS as f64)));
                }
                push(EVENT_INTERVAL, InputEvent::Button { button, down: false });
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            ScriptStep::Hold(key, modifiers, down) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Key { key, down, repeat: false });
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            // Drawn before the next step.
            ScriptStep::Move(to) => {
                push(none, InputEvent::Pointer(to));
                push(4 * EVENT_INTERVAL, InputEvent::Pointer(to));
            }
            ScriptStep::Click(button, modifiers, at) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Pointer(at));
                push(4 * EVENT_INTERVAL, InputEvent::Button { button, down: true });
                push(4 * EVENT_INTERVAL, InputEvent::Button { button, down: false });
                push(4 * EVENT_INTERVAL, InputEvent::Pointer(at));
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            ScriptStep::Wheel(notches) => push(none, InputEvent::Wheel(notches)),
            _ => {}
        }
    }
}

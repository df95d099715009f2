//! Thread of a render backend, and the mailbox in which it finds requests and leaves images.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nstr_render::Frame;

use crate::display_mode::DisplayMode;
use crate::render_backend::{CpuPixels, RenderBackend, RenderRequest, RenderStatus, RenderedImage};
use crate::tonemap::tonemap;

/// Callback that wakes the event loop; may be called from any thread.
pub(crate) type Waker = Arc<dyn Fn() + Send + Sync>;

/// Work of a render thread.
pub(crate) trait RenderWorker: Send {
    /// Renders request `serial` until its quality is reached or a newer request comes. `Err` is a message for the user.
    fn render(&mut self, serial: u64, request: &RenderRequest) -> Result<(), String>;
}

/// Backend that renders in a thread of its own.
pub(crate) struct RenderThread {
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
    serial: u64,
    name: String,
}

/// Exchange between a backend and its thread.
#[derive(Clone)]
pub(crate) struct Mailbox(Arc<Shared>);

struct Shared {
    slots: Mutex<Slots>,
    changed: Condvar,
    /// Serial number of the newest request, read while rendering.
    newest: AtomicU64,
    wake: Waker,
}

#[derive(Default)]
struct Slots {
    request: Option<(u64, RenderRequest)>,
    image: Option<Box<RenderedImage>>,
    progress: f32,
    /// Serial number of the last finished request.
    done: u64,
    quit: bool,
}

impl RenderThread {
    /// Starts a thread that runs the worker made by `make`; `wake` is called after every change that `poll` would show.
    ///
    /// # Errors
    /// The system's error if it has no thread to give.
    pub fn start(
        name: String,
        wake: Waker,
        make: impl FnOnce(Mailbox) -> Box<dyn RenderWorker>,
    ) -> std::io::Result<Self> {
        let mailbox = Mailbox::new(wake);
        let (worker, of_thread) = (make(mailbox.clone()), mailbox.clone());
        let thread = std::thread::Builder::new().name("render".into()).spawn(move || of_thread.run(worker))?;
        Ok(Self { mailbox, thread: Some(thread), serial: 0, name })
    }
}

impl RenderBackend for RenderThread {
    fn request(&mut self, request: RenderRequest) {
        self.serial += 1;
        self.mailbox.0.newest.store(self.serial, Ordering::SeqCst);
        let mut slots = self.mailbox.slots();
        slots.request = Some((self.serial, request));
        slots.progress = 0.0;
        self.mailbox.0.changed.notify_one();
    }

    fn poll(&mut self) -> RenderStatus {
        let mut slots = self.mailbox.slots();
        RenderStatus { image: slots.image.take(), progress: slots.progress, done: slots.done == self.serial }
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for RenderThread {
    fn drop(&mut self) {
        self.mailbox.0.newest.store(u64::MAX, Ordering::SeqCst);
        self.mailbox.slots().quit = true;
        self.mailbox.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Fails only if the thread panicked, which was reported then.
            let _ = thread.join();
        }
    }
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new(wake: Waker) -> Self {
        let newest = AtomicU64::new(0);
        Self(Arc::new(Shared { slots: Mutex::default(), changed: Condvar::new(), newest, wake }))
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Every change of the slots is a single assignment: a panic elsewhere leaves them valid.
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut worker: Box<dyn RenderWorker>) {
        while let Some((serial, request)) = self.next() {
            if let Err(note) = worker.render(serial, &request) {
                self.publish_failure(&request, note);
            }
            if self.is_newest(serial) {
                self.slots().done = serial;
                (self.0.wake)();
            }
        }
    }

    /// Waits for a request; `None` once the backend is dropped.
    fn next(&self) -> Option<(u64, RenderRequest)> {
        let mut slots = self.slots();
        loop {
            if slots.quit {
                return None;
            }
            if let Some(request) = slots.request.take() {
                return Some(request);
            }
            slots = self.0.changed.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether no request came after this one.
    pub fn is_newest(&self, serial: u64) -> bool {
        self.0.newest.load(Ordering::SeqCst) == serial
    }

    /// Sets the serial number of the newest request.
    #[cfg(test)]
    pub fn set_newest(&self, serial: u64) {
        self.0.newest.store(serial, Ordering::SeqCst);
    }

    /// Sets the done share of the work on request `serial`, 0 to 1; of an older one than the newest it says nothing.
    pub fn set_progress(&self, serial: u64, progress: f32) {
        if self.is_newest(serial) {
            self.slots().progress = progress;
        }
        (self.0.wake)();
    }

    /// Publishes an image in place of the last one.
    pub fn publish(&self, image: RenderedImage) {
        self.slots().image = Some(Box::new(image));
        (self.0.wake)();
    }

    /// Publishes an empty image with the reason.
    fn publish_failure(&self, request: &RenderRequest, note: String) {
        let frame = Frame { width: 1, height: 1, ..Frame::default() };
        let empty = RenderRequest { mode: DisplayMode::Shaded, ..request.clone() };
        let image = tonemap(&frame, &[], &empty, &request.camera, None).image;
        let pixels = CpuPixels { image, frame: Arc::new(frame) };
        let divisor = request.camera.width.max(request.camera.height);
        self.publish(RenderedImage {
            note: Some(note),
            ..RenderedImage::of_one_sample(pixels, request.clone(), divisor)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_of_an_older_request_is_not_that_of_the_newest() {
        let mailbox = Mailbox::new(Arc::new(|| ()));
        mailbox.set_newest(2);
        mailbox.set_progress(1, 0.9);
        assert_eq!(mailbox.slots().progress, 0.0);
        mailbox.set_progress(2, 0.25);
        assert_eq!(mailbox.slots().progress, 0.25);
    }
}

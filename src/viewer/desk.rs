//! A painter's thread: where requests wait and pictures are left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::layer::Show;
use crate::painter::{CpuPicture, Painter, Picture, Shown, Update, View};
use crate::tone::tone;
use nstr_render::Frame;

/// Called when there is news; from any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What a painter's thread does.
pub(super) trait Work: Send {
    /// Paints request `serial` until its effort is spent or a newer one comes; says why where it can't.
    fn paint(&mut self, serial: u64, view: &View) -> Result<(), String>;
}

/// A painter that works in a thread of its own.
pub struct ThreadPainter {
    desk: Desk,
    thread: Option<JoinHandle<()>>,
    serial: u64,
    name: String,
}

/// Shared by the painter and its thread.
#[derive(Clone)]
pub(super) struct Desk(Arc<Shared>);

struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
    /// Number of the newest request, looked at while painting.
    newest: AtomicU64,
    wake: Waker,
}

#[derive(Default)]
struct Slot {
    request: Option<(u64, View)>,
    shown: Option<Box<Shown>>,
    share: f32,
    /// Number of the last request that is done.
    done: u64,
    quit: bool,
}

impl ThreadPainter {
    /// Starts a thread that does what `work` makes; `wake` is called when there is news.
    pub(super) fn start(name: String, wake: Waker, work: impl FnOnce(Desk) -> Box<dyn Work>) -> std::io::Result<Self> {
        let desk = Desk::new(wake);
        let (work, its) = (work(desk.clone()), desk.clone());
        let thread = std::thread::Builder::new().name("painter".into()).spawn(move || its.run(work))?;
        Ok(Self { desk, thread: Some(thread), serial: 0, name })
    }
}

impl Painter for ThreadPainter {
    fn request(&mut self, view: View) {
        self.serial += 1;
        self.desk.0.newest.store(self.serial, Ordering::SeqCst);
        let mut slot = self.desk.slot();
        slot.request = Some((self.serial, view));
        slot.share = 0.0;
        self.desk.0.changed.notify_one();
    }

    fn poll(&mut self) -> Update {
        let mut slot = self.desk.slot();
        Update { shown: slot.shown.take(), share: slot.share, done: slot.done == self.serial }
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ThreadPainter {
    fn drop(&mut self) {
        self.desk.0.newest.store(u64::MAX, Ordering::SeqCst);
        self.desk.slot().quit = true;
        self.desk.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panicked where this fails, which was reported.
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// An empty one.
    pub fn new(wake: Waker) -> Self {
        let newest = AtomicU64::new(0);
        Self(Arc::new(Shared { slot: Mutex::default(), changed: Condvar::new(), newest, wake }))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // A panic elsewhere leaves the slot as it was: still whole.
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut work: Box<dyn Work>) {
        while let Some((serial, view)) = self.next() {
            if let Err(note) = work.paint(serial, &view) {
                self.report(&view, note);
            }
            if self.is_newest(serial) {
                self.slot().done = serial;
                (self.0.wake)();
            }
        }
    }

    /// Waits for a request; `None` at the end.
    fn next(&self) -> Option<(u64, View)> {
        let mut slot = self.slot();
        loop {
            if slot.quit {
                return None;
            }
            if let Some(request) = slot.request.take() {
                return Some(request);
            }
            slot = self.0.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether no other request came after this one.
    pub fn is_newest(&self, serial: u64) -> bool {
        self.0.newest.load(Ordering::SeqCst) == serial
    }

    /// Says how much of the pass at work is done.
    pub fn progress(&self, share: f32) {
        self.slot().share = share;
        (self.0.wake)();
    }

    /// Hands a picture out.
    pub fn publish(&self, shown: Shown) {
        self.slot().shown = Some(Box::new(shown));
        (self.0.wake)();
    }

    /// A picture of nothing that says why.
    fn report(&self, view: &View, note: String) {
        let frame = Arc::new(Frame { width: 1, height: 1, ..Frame::default() });
        let empty = View { show: Show::Shaded, ..view.clone() };
        let image = tone(&frame, &empty, &view.camera, true).image;
        self.publish(Shown {
            picture: Picture::Cpu(Arc::new(CpuPicture { image, frame })),
            view: view.clone(),
            divisor: view.camera.width.max(view.camera.height),
            samples: 1,
            seconds: 0.0,
            range: None,
            psnr: None,
            note: Some(note),
        });
    }
}

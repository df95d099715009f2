//! Measured session: drives the camera as a user would and notes when pictures are presented.

use std::time::{Duration, Instant};

use glam::DVec2;
use winit::event_loop::ActiveEventLoop;

use crate::app::App;
use crate::bench::{BenchReport, MotionRecord, hash, median};
use crate::error::ViewerError;
use crate::input::{Button, InputEvent, Key};
use crate::presenter::{Presenter, Viewport};
use crate::render_backend::{PixelBuffer, RenderedImage};

/// Nudges from rest whose time to the first change is measured.
const NUDGES: usize = 5;
/// Time that the drag and the flight take.
const MOTION_TIME: Duration = Duration::from_secs(3);
/// Time between pointer events, that of a common mouse.
const EVENT_INTERVAL: Duration = Duration::from_millis(8);
/// Maximum time of one phase.
const MAX_PHASE_TIME: Duration = Duration::from_secs(300);
/// Rest before each motion.
const REST_TIME: Duration = Duration::from_millis(300);

/// Phase of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for the first refined picture.
    Opening,
    /// The `i`th nudge: a drag of a few pixels, until the picture changes.
    Nudging(usize),
    /// Waits for the refined picture after a nudge.
    Nudged(usize),
    /// Drags in circles.
    Dragging,
    /// Waits for the refined picture after the drag.
    Dragged,
    /// Holds a key to fly.
    Flying,
    /// Waits for the refined picture after the flight.
    Flown,
    /// All is measured.
    Over,
}

/// Driver of a measured session.
pub(super) struct BenchDriver {
    phase: Phase,
    /// Start of the session, which all times count from.
    origin: Instant,
    /// Start of the phase.
    since: Instant,
    /// When the displayed picture was first seen to be refined.
    rested: Option<Instant>,
    last_event: Instant,
    motion: MotionRecord,
    /// The last presented picture and its hash.
    hashed: Option<(PixelBuffer, u64)>,
    first_picture: Option<f64>,
    present_seconds: (f64, u32),
    report: BenchReport,
}

impl BenchDriver {
    /// Starts a session.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Opening,
            origin: now,
            since: now,
            rested: None,
            last_event: now,
            motion: MotionRecord::default(),
            hashed: None,
            first_picture: None,
            present_seconds: (0.0, 0),
            report: BenchReport::default(),
        }
    }

    /// The figures, once all are measured.
    pub fn into_report(self) -> Option<BenchReport> {
        (self.phase == Phase::Over).then_some(self.report)
    }

    fn seconds(&self, at: Instant) -> f64 {
        (at - self.origin).as_secs_f64()
    }

    fn hash(&self) -> Option<u64> {
        self.hashed.as_ref().map(|h| h.1)
    }

    /// Notes a frame that was presented now and whose layout began at `began`.
    pub fn presented(&mut self, presenter: &Presenter, image: Option<&RenderedImage>, began: Instant) {
        let Some(image) = image else { return };
        if self.phase == Phase::Dragging {
            self.present_seconds.0 += began.elapsed().as_secs_f64();
            self.present_seconds.1 += 1;
        }
        if matches!(self.phase, Phase::Nudging(_)) {
            // The driver draws on after `present` returns.
            presenter.wait();
        }
        let now = self.seconds(Instant::now());
        self.first_picture.get_or_insert(now);
        let same = self.hashed.as_ref().filter(|(pixels, _)| pixels.is_same(&image.pixels));
        let hash = match (same, &image.pixels) {
            (Some((_, known)), _) => *known,
            (None, PixelBuffer::Cpu(cpu)) => hash(&cpu.image.data),
            (None, PixelBuffer::Gpu(gpu)) => presenter.read_back(gpu).map_or(0, |read| hash(&read.data)),
        };
        self.hashed = Some((image.pixels.clone(), hash));
        let scale = f64::from(image.pixels.size().0) / f64::from(image.request.camera.width.max(1));
        self.motion.presented(now, hash, scale.min(1.0));
    }
}

impl App {
    /// Advances the measured session, if there is one.
    ///
    /// # Errors
    /// [`ViewerError::Script`] if a picture is not refined within minutes.
    pub(super) fn run_bench(&mut self, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        let Some(mut bench) = self.bench.take() else { return Ok(()) };
        let result = self.advance_bench(&mut bench, events);
        self.bench = Some(bench);
        result
    }

    fn advance_bench(&mut self, bench: &mut BenchDriver, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        let now = Instant::now();
        let Some(opened) = &self.opened else { return Ok(()) };
        let Viewport { x, y, width, height } = opened.viewport;
        let (centre, radius) = (
            DVec2::new(f64::from(x) + 0.5 * f64::from(width), f64::from(y) + 0.5 * f64::from(height)),
            0.3 * f64::from(width.min(height)),
        );
        if now - bench.since > MAX_PHASE_TIME {
            return Err(ViewerError::Script("--bench: a picture was not refined within 300 s".into()));
        }
        let clean = self.is_refined();
        bench.rested = bench.rested.filter(|_| clean).or(clean.then_some(now));
        let is_at_rest = bench.rested.is_some_and(|at| now - at >= REST_TIME);
        let next = match bench.phase {
            Phase::Opening if is_at_rest => {
                let refined = bench.rested.map_or(0.0, |at| bench.seconds(at));
                (bench.report.first_refined_s, bench.report.first_picture_s) =
                    (refined, bench.first_picture.unwrap_or(refined));
                Some(self.nudge(bench, 0, centre))
            }
            Phase::Nudging(i) => bench.motion.first_change().map(|seconds| {
                bench.report.first_changes_ms.push(1e3 * seconds);
                self.press(false);
                Phase::Nudged(i)
            }),
            Phase::Nudged(i) if is_at_rest => Some(match i + 1 < NUDGES {
                true => self.nudge(bench, i + 1, centre),
                false => {
                    self.inject(InputEvent::Pointer(centre + DVec2::X * radius));
                    self.press(true);
                    bench.motion = MotionRecord::new(bench.seconds(now), bench.hash());
                    Phase::Dragging
                }
            }),
            Phase::Dragging if now - bench.since >= MOTION_TIME => {
                self.press(false);
                bench.motion.end(bench.seconds(now));
                Some(Phase::Dragged)
            }
            Phase::Dragging => {
                if now - bench.last_event >= EVENT_INTERVAL {
                    bench.last_event = now;
                    let angle = 1.5 * bench.motion.seconds(bench.seconds(now));
                    self.inject(InputEvent::Pointer(centre + DVec2::from_angle(angle) * radius));
                }
                None
            }
            Phase::Dragged if is_at_rest => {
                let clean = bench.rested.map_or(0.0, |at| bench.seconds(at));
                bench.report.drag = bench.motion.report(clean);
                self.inject(InputEvent::Key { key: Key::Char('r'), down: true, repeat: false });
                self.inject(InputEvent::Key { key: Key::Char('r'), down: false, repeat: false });
                self.inject(InputEvent::Key { key: Key::Char('d'), down: true, repeat: false });
                bench.motion = MotionRecord::new(bench.seconds(now), bench.hash());
                Some(Phase::Flying)
            }
            Phase::Flying if now - bench.since >= MOTION_TIME / 2 => {
                self.inject(InputEvent::Key { key: Key::Char('d'), down: false, repeat: false });
                bench.motion.end(bench.seconds(now));
                Some(Phase::Flown)
            }
            Phase::Flown if is_at_rest => {
                let clean = bench.rested.map_or(0.0, |at| bench.seconds(at));
                bench.report.fly = bench.motion.report(clean);
                self.finish_bench(bench, (width, height));
                self.close(events);
                Some(Phase::Over)
            }
            _ => None,
        };
        if let Some(next) = next {
            (bench.phase, bench.since, bench.rested) = (next, now, None);
        }
        Ok(())
    }

    /// Begins a drag of a few pixels.
    fn nudge(&mut self, bench: &mut BenchDriver, i: usize, centre: DVec2) -> Phase {
        self.inject(InputEvent::Pointer(centre));
        self.press(true);
        bench.motion = MotionRecord::new(bench.seconds(Instant::now()), bench.hash());
        self.inject(InputEvent::Pointer(centre + DVec2::new(12.0, 4.0)));
        Phase::Nudging(i)
    }

    fn press(&mut self, down: bool) {
        self.inject(InputEvent::Button { button: Button::Left, down });
    }

    fn finish_bench(&self, bench: &mut BenchDriver, (width, height): (u32, u32)) {
        let report = &mut bench.report;
        let drag = report.drag;
        (report.pictures_per_second, report.scale, report.clean_s) =
            (drag.pictures_per_second, drag.scale, drag.clean_s);
        report.first_change_ms = median(&report.first_changes_ms);
        report.present_ms = 1e3 * bench.present_seconds.0 / f64::from(bench.present_seconds.1.max(1));
        report.picture = [width, height];
        report.samples = self.image.as_ref().map_or(0, |i| i.samples);
        report.renderer = self.backend.as_ref().map_or(String::new(), |b| b.name().to_string());
        report.presenter = self.opened.as_ref().map_or(String::new(), |o| o.presenter.adapter());
        report.threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    }
}

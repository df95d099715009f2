//! A field in training, between the thread that trains and the window that looks on.
//!
//! The trainer's side wraps its observer in a [`Watcher`], which takes note of losses and, when the window is ready for
//! one, makes a scene of the parameters as they are. The window's side pauses, resumes and stops.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::desk::Waker;
use crate::scene::Scene;
use nstr_field::model::Model;
use nstr_fit::Progress;
use nstr_pipeline::{FitObserver, FitScene};

/// A training run that is looked at.
#[derive(Clone, Default)]
pub struct Training(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    resumed: Condvar,
    stop: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The input is read.
    #[default]
    Preparing,
    /// Steps are taken.
    Running,
    /// Held by the user.
    Paused,
    /// To stop after the step at hand, and to be saved.
    Stopping,
    /// At its end; what became of it.
    Done(String),
    /// It failed; why.
    Failed(String),
}

/// A point of the curves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Smoothed loss.
    pub loss: f64,
    /// The task's figure, where it has one.
    pub figure: Option<f64>,
}

/// What the panel shows of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How far it is.
    pub phase: Phase,
    /// The last progress.
    pub progress: Option<Progress>,
    /// Loss and figure so far, evenly thinned out.
    pub curve: Vec<Point>,
}

#[derive(Default)]
struct State {
    report: Report,
    start: Option<FitScene>,
    scene: Option<Arc<Scene>>,
    /// Whether the window is ready for a scene.
    wanted: bool,
    /// Whether there is a window.
    opened: bool,
    /// Points between two that are kept.
    stride: usize,
    seen: usize,
}

/// Time between scenes at least.
const EVERY: Duration = Duration::from_millis(300);
/// Most points of a curve.
const POINTS: usize = 1024;

impl Training {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker();
        }
    }

    /// Says what there is to see; the window opens its eyes.
    pub fn begin(&self, start: FitScene) {
        let mut state = self.state();
        state.start = Some(start);
        state.report.phase = Phase::Running;
        state.wanted = true;
        drop(state);
        self.wake();
    }

    /// Says how it ended; `Err` for failures. A `scene` is the final one.
    pub fn end(&self, result: Result<String, String>, scene: Option<Scene>) {
        let mut state = self.state();
        state.report.phase = match result {
            Ok(said) => Phase::Done(said),
            Err(said) => Phase::Failed(said),
        };
        if let Some(scene) = scene {
            state.scene = Some(Arc::new(scene));
        }
        drop(state);
        self.wake();
    }

    /// Waits until there is a window; `false` where there will be none.
    pub fn wait_for_window(&self) -> bool {
        let mut state = self.state();
        while !state.opened && !self.is_stopped() {
            state = self.0.resumed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.opened
    }

    /// Says that there is a window.
    pub fn open(&self) {
        self.state().opened = true;
        self.0.resumed.notify_all();
    }

    /// Whether the user stopped it.
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// Wraps the observer of a fit whose model is written to `output`.
    pub fn observer<'a>(&self, output: &Path, inner: &'a mut dyn FitObserver) -> SnapshotObserver<'a> {
        SnapshotObserver { training: self.clone(), output: output.into(), inner, shown: None, idle: Duration::ZERO }
    }

    /// Whom to call when there is news.
    pub fn on_news(&self, waker: Waker) {
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// What there is to see, once.
    pub fn take_start(&self) -> Option<FitScene> {
        self.state().start.take()
    }

    /// The newest scene, once.
    pub fn take_scene(&self) -> Option<Arc<Scene>> {
        self.state().scene.take()
    }

    /// Asks for another scene.
    pub fn want(&self) {
        self.state().wanted = true;
    }

    /// What the panel shows.
    pub fn report(&self) -> Report {
        self.state().report.clone()
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.state().report.phase.clone()
    }

    /// Holds the run after the step at hand, or lets it go on.
    pub fn pause(&self) {
        let mut state = self.state();
        state.report.phase = match &state.report.phase {
            Phase::Running => Phase::Paused,
            Phase::Paused => Phase::Running,
            other => other.clone(),
        };
        self.0.resumed.notify_all();
    }

    /// Ends the run after the step at hand; what there is is saved as with Ctrl-C.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
        let mut state = self.state();
        if matches!(state.report.phase, Phase::Running | Phase::Paused | Phase::Preparing) {
            state.report.phase = Phase::Stopping;
        }
        self.0.resumed.notify_all();
    }
}

impl std::fmt::Debug for Training {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Training").field(&self.phase()).finish()
    }
}

/// Observer that shows a fit in a window.
pub struct SnapshotObserver<'a> {
    training: Training,
    output: PathBuf,
    inner: &'a mut dyn FitObserver,
    /// When the last scene was made.
    shown: Option<Instant>,
    idle: Duration,
}

/// Time between measurements on held-out views.
const VALIDATE_EVERY: Duration = Duration::from_secs(5);

impl SnapshotObserver<'_> {
    fn wanted(&self) -> bool {
        self.shown.is_none_or(|at| at.elapsed() >= EVERY) && self.training.state().wanted
    }

    fn note(&self, progress: &Progress) {
        let mut state = self.training.state();
        state.report.progress = Some(*progress);
        if state.seen.is_multiple_of(state.stride.max(1)) {
            let figure = progress.figure.map(|(_, v)| v);
            state.report.curve.push(Point { step: progress.step, loss: progress.loss, figure });
        }
        state.seen += 1;
        if state.report.curve.len() >= POINTS {
            let mut odd = false;
            state.report.curve.retain(|_| {
                odd = !odd;
                odd
            });
            state.stride = state.stride.max(1) * 2;
        }
        drop(state);
        self.training.wake();
    }

    /// Waits while the user holds the run.
    fn hold(&mut self) {
        let start = Instant::now();
        let inner = &self.training.0;
        let mut state = self.training.state();
        while state.report.phase == Phase::Paused && !inner.stop.load(Ordering::SeqCst) {
            state = inner.resumed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.idle += start.elapsed();
    }
}

impl FitObserver for SnapshotObserver<'_> {
    fn message(&mut self, text: &str) {
        self.inner.message(text);
    }

    fn begin(&mut self, scene: FitScene) {
        self.training.begin(scene.clone());
        self.inner.begin(scene);
    }

    fn progress(&mut self, progress: &Progress) -> bool {
        self.note(progress);
        self.hold();
        let go_on = self.inner.progress(progress);
        go_on && !self.training.is_stopped()
    }

    fn idle(&self) -> Duration {
        self.idle + self.inner.idle()
    }

    fn wants_snapshot(&self) -> bool {
        self.wanted()
    }

    fn snapshot(&mut self, model: Model) {
        // A model that cannot be shown yet is asked for again.
        if let Ok(scene) = Scene::of_model(&self.output, Arc::new(model)) {
            let mut shared = self.training.state();
            (shared.scene, shared.wanted) = (Some(Arc::new(scene.passing())), false);
            drop(shared);
        }
        self.shown = Some(Instant::now());
        self.training.wake();
    }

    fn validate_every(&self) -> Option<Duration> {
        Some(VALIDATE_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use glam::DVec3;
    use nstr_camera::Up;
    use nstr_field::model::Domain;
    use nstr_spec::{config, init};

    struct Inner(usize);
    impl FitObserver for Inner {
        fn progress(&mut self, _: &Progress) -> bool {
            self.0 += 1;
            true
        }
    }

    fn model() -> Model {
        let config = config::preset("sdf-tiny").unwrap();
        let (grid, net) = init::parameters(&config.spec(), &config.init);
        Model {
            spec: config.spec(),
            domain: Domain::default(),
            grid,
            net,
            config: serde_json::Value::Null,
            provenance: BTreeMap::new(),
            metrics: BTreeMap::new(),
            occupancy: None,
        }
    }

    fn scene() -> FitScene {
        FitScene::new((DVec3::ZERO, DVec3::ONE), Up::Y, Arc::default())
    }

    fn progress(step: u64) -> Progress {
        Progress { step, share: 0.1, loss: 1.0, net_lr: 1e-3, elapsed: Duration::ZERO, figure: Some(("PSNR", 20.0)) }
    }

    #[test]
    fn scenes_come_when_they_are_wanted() {
        let training = Training::default();
        let mut inner = Inner(0);
        let mut observer = training.observer(Path::new("m.safetensors"), &mut inner);
        assert!(!observer.wants_snapshot());
        observer.begin(scene());
        assert!(observer.wants_snapshot());
        observer.snapshot(model());
        assert!(training.take_scene().is_some() && training.take_scene().is_none());
        // Not at once again, whoever asks.
        training.want();
        assert!(!observer.wants_snapshot());
    }

    #[test]
    fn curves_stay_short_and_stop_ends_a_pause() {
        let training = Training::default();
        training.begin(scene());
        let mut inner = Inner(0);
        let mut watcher = training.observer(Path::new("m.safetensors"), &mut inner);
        assert!((0..5000).all(|i| watcher.progress(&progress(i))));
        let report = training.report();
        assert!((POINTS / 4..POINTS).contains(&report.curve.len()));
        assert!(report.curve.windows(2).all(|w| w[0].step < w[1].step));
        training.pause();
        assert_eq!(training.phase(), Phase::Paused);
        let other = training.clone();
        let waiter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60));
            other.stop();
        });
        assert!(!watcher.progress(&progress(1)));
        waiter.join().unwrap();
        assert!(watcher.idle() >= Duration::from_millis(50));
        assert_eq!(training.phase(), Phase::Stopping);
    }
}

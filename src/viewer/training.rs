//! Connection between a training thread and the window that displays its field.
//!
//! The training thread wraps its observer in a [`SnapshotObserver`], which records losses and, when the window has asked for
//! one, makes a scene of the current parameters. The window pauses, resumes and stops the run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nstr_field::model::Model;
use nstr_fit::Progress;
use nstr_pipeline::{FitObserver, FitScene};

use crate::paint_budget::PaintBudget;
use crate::render_thread::Waker;
use crate::scene::Scene;

/// Training run that a window displays; clones share it.
#[derive(Clone, Default)]
pub struct Training(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    resumed: Condvar,
    stop: AtomicBool,
    waker: Mutex<Option<Waker>>,
    paint: Arc<PaintBudget>,
}

/// Phase of a training run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrainingPhase {
    /// Reading the input.
    #[default]
    Preparing,
    /// Training.
    Running,
    /// Paused by the user.
    Paused,
    /// Stopping after the current step, then saving.
    Stopping,
    /// Finished, with a message for the user.
    Done(String),
    /// Failed, with the reason.
    Failed(String),
}

/// Point of the training curves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CurvePoint {
    /// Number of steps taken.
    pub step: u64,
    /// Smoothed loss.
    pub loss: f64,
    /// Validation metric, for tasks that have one.
    pub metric: Option<f64>,
}

/// State of a run as shown in the panel.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrainingStatus {
    /// Phase.
    pub phase: TrainingPhase,
    /// Last reported progress.
    pub progress: Option<Progress>,
    /// Loss and metric so far, evenly thinned out.
    pub curve: Vec<CurvePoint>,
}

#[derive(Default)]
struct State {
    status: TrainingStatus,
    fit_scene: Option<FitScene>,
    scene: Option<Arc<Scene>>,
    /// Whether the window asked for a scene.
    snapshot_requested: bool,
    /// Whether the window is open.
    window_opened: bool,
    /// Reports for each point of the curve.
    stride: usize,
    reports: usize,
}

/// Minimum time between snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(300);
/// Maximum number of points of a curve.
const MAX_POINTS: usize = 1024;

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

    /// Publishes the scene bounds and views; the window starts rendering.
    fn start(&self, scene: FitScene) {
        let mut state = self.state();
        state.fit_scene = Some(scene);
        state.status.phase = TrainingPhase::Running;
        state.snapshot_requested = true;
        drop(state);
        self.0.paint.set_running(true);
        self.wake();
    }

    /// Publishes the end of the run, with a message or the reason of the failure, and the final scene.
    pub fn finish(&self, result: Result<String, String>, scene: Option<Scene>) {
        self.0.paint.set_running(false);
        let mut state = self.state();
        state.status.phase = match result {
            Ok(message) => TrainingPhase::Done(message),
            Err(reason) => TrainingPhase::Failed(reason),
        };
        if let Some(scene) = scene {
            state.scene = Some(Arc::new(scene));
        }
        drop(state);
        self.wake();
    }

    /// Waits until the window is open; returns `false` if the run was stopped before.
    pub fn wait_for_window(&self) -> bool {
        let mut state = self.state();
        while !state.window_opened && !self.is_stopped() {
            state = self.0.resumed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.window_opened
    }

    /// Reports that the window is open.
    pub(crate) fn window_opened(&self) {
        self.state().window_opened = true;
        self.0.resumed.notify_all();
    }

    /// Whether the run was stopped, by the user or because the window closed.
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// Wraps the observer of a fit whose model is written to `output`.
    pub fn observer<'a>(&self, output: &Path, inner: &'a mut dyn FitObserver) -> SnapshotObserver<'a> {
        SnapshotObserver {
            training: self.clone(),
            output: output.into(),
            inner,
            last_snapshot: None,
            idle: Duration::ZERO,
        }
    }

    /// Sets the callback that is called after every change.
    pub(crate) fn set_waker(&self, waker: Waker) {
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// Takes the scene bounds and views, once they are published.
    pub(crate) fn take_fit_scene(&self) -> Option<FitScene> {
        self.state().fit_scene.take()
    }

    /// Takes the newest snapshot, if there is one since the last call.
    pub(crate) fn take_scene(&self) -> Option<Arc<Scene>> {
        self.state().scene.take()
    }

    /// Requests another snapshot.
    pub(crate) fn request_snapshot(&self) {
        self.state().snapshot_requested = true;
    }

    /// State of the run for the panel.
    pub(crate) fn status(&self) -> TrainingStatus {
        self.state().status.clone()
    }

    /// Current phase.
    pub fn phase(&self) -> TrainingPhase {
        self.state().status.phase.clone()
    }

    /// Pauses the run after the current step, or resumes it.
    pub(crate) fn toggle_pause(&self) {
        let mut state = self.state();
        state.status.phase = match &state.status.phase {
            TrainingPhase::Running => TrainingPhase::Paused,
            TrainingPhase::Paused => TrainingPhase::Running,
            other => other.clone(),
        };
        self.0.paint.set_running(state.status.phase == TrainingPhase::Running);
        self.0.resumed.notify_all();
    }

    /// Budget of painting.
    pub(crate) fn paint_budget(&self) -> &Arc<PaintBudget> {
        &self.0.paint
    }

    /// Whether a step was taken and reported.
    pub fn has_run(&self) -> bool {
        self.state().status.progress.is_some()
    }

    /// Share of the cores' time, 0 to 1, that painting took while training ran.
    pub fn painting_share(&self) -> f64 {
        self.0.paint.taken()
    }

    /// Stops the run after the current step; model and checkpoint are saved as after Ctrl-C.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
        let mut state = self.state();
        if matches!(state.status.phase, TrainingPhase::Running | TrainingPhase::Paused | TrainingPhase::Preparing) {
            state.status.phase = TrainingPhase::Stopping;
            self.0.paint.set_running(false);
        }
        self.0.resumed.notify_all();
    }
}

impl std::fmt::Debug for Training {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Training").field(&self.phase()).finish()
    }
}

/// Observer that publishes snapshots of a fit for the window.
pub struct SnapshotObserver<'a> {
    training: Training,
    output: PathBuf,
    inner: &'a mut dyn FitObserver,
    /// Time of the last snapshot.
    last_snapshot: Option<Instant>,
    idle: Duration,
}

/// Shortest time between measurements on held-out views, which take a twentieth of the time at most.
const VALIDATION_INTERVAL: Duration = Duration::from_secs(1);

impl SnapshotObserver<'_> {
    fn record(&self, progress: &Progress) {
        let mut state = self.training.state();
        state.status.progress = Some(*progress);
        if state.reports.is_multiple_of(state.stride.max(1)) {
            let metric = progress.validation_metric.map(|(_, v)| v);
            state.status.curve.push(CurvePoint { step: progress.step, loss: progress.loss, metric });
        }
        state.reports += 1;
        if state.status.curve.len() >= MAX_POINTS {
            let mut odd = false;
            state.status.curve.retain(|_| {
                odd = !odd;
                odd
            });
            state.stride = state.stride.max(1) * 2;
        }
        drop(state);
        self.training.wake();
    }

    /// Waits while the run is paused.
    fn wait_while_paused(&mut self) {
        let start = Instant::now();
        let inner = &self.training.0;
        let mut state = self.training.state();
        while state.status.phase == TrainingPhase::Paused && !inner.stop.load(Ordering::SeqCst) {
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

    fn warning(&mut self, text: &str) {
        self.inner.warning(text);
    }

    fn begin(&mut self, scene: FitScene) {
        self.training.start(scene.clone());
        self.inner.begin(scene);
    }

    fn trial(&mut self, fraction: f64) -> bool {
        self.inner.trial(fraction) && !self.training.is_stopped()
    }

    fn stage(&mut self, name: &str, fraction: Option<f64>) {
        self.inner.stage(name, fraction);
    }

    fn progress(&mut self, progress: &Progress) -> bool {
        self.record(progress);
        self.wait_while_paused();
        let go_on = self.inner.progress(progress);
        go_on && !self.training.is_stopped()
    }

    fn idle(&self) -> Duration {
        self.idle + self.inner.idle()
    }

    fn wants_snapshot(&self) -> bool {
        self.last_snapshot.is_none_or(|at| at.elapsed() >= SNAPSHOT_INTERVAL)
            && self.training.state().snapshot_requested
    }

    fn snapshot(&mut self, model: Model) {
        let start = Instant::now();
        // A model that cannot be shown yet is asked for again.
        if let Ok(scene) = Scene::of_model(&self.output, Arc::new(model)) {
            let mut shared = self.training.state();
            (shared.scene, shared.snapshot_requested) = (Some(Arc::new(scene.low_latency())), false);
            drop(shared);
        }
        self.last_snapshot = Some(Instant::now());
        // Training waits meanwhile.
        let paint = self.training.paint_budget();
        paint.spend(paint.cores(), start.elapsed());
        self.training.wake();
    }

    fn validate_every(&self) -> Option<Duration> {
        Some(VALIDATION_INTERVAL)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use glam::DVec3;
    use nstr_camera::Up;
    use nstr_space::SceneMap;
    use nstr_spec::{config, init};

    struct Inner(usize);
    impl FitObserver for Inner {
        fn progress(&mut self, _: &Progress) -> bool {
            self.0 += 1;
            true
        }
    }

    /// A model as training begins with it.
    pub fn small_model() -> Model {
        let config = config::preset("sdf-tiny").unwrap();
        let (grid, net) = init::parameters(&config.spec(), &config.init);
        Model {
            spec: config.spec(),
            map: SceneMap::default(),
            units: String::new(),
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
        Progress {
            step,
            fraction: 0.1,
            loss: 1.0,
            net_lr: 1e-3,
            elapsed: Duration::ZERO,
            validation_metric: Some(("PSNR", 20.0)),
        }
    }

    #[test]
    fn snapshots_come_when_they_are_requested() {
        let training = Training::default();
        let mut inner = Inner(0);
        let mut observer = training.observer(Path::new("m.safetensors"), &mut inner);
        assert!(!observer.wants_snapshot());
        observer.begin(scene());
        assert!(observer.wants_snapshot());
        observer.snapshot(small_model());
        assert!(training.take_scene().is_some() && training.take_scene().is_none());
        // Not again at once.
        training.request_snapshot();
        assert!(!observer.wants_snapshot());
    }

    #[test]
    fn curves_stay_short_and_stop_ends_a_pause() {
        let training = Training::default();
        training.start(scene());
        let mut inner = Inner(0);
        let mut observer = training.observer(Path::new("m.safetensors"), &mut inner);
        assert!((0..5000).all(|i| observer.progress(&progress(i))));
        let status = training.status();
        assert!((MAX_POINTS / 4..MAX_POINTS).contains(&status.curve.len()));
        assert!(status.curve.windows(2).all(|w| w[0].step < w[1].step));
        training.toggle_pause();
        assert_eq!(training.phase(), TrainingPhase::Paused);
        let other = training.clone();
        let waiter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60));
            other.stop();
        });
        assert!(!observer.progress(&progress(1)));
        waiter.join().unwrap();
        assert!(observer.idle() >= Duration::from_millis(50));
        assert_eq!(training.phase(), TrainingPhase::Stopping);
    }
}

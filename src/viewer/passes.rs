//! In which passes a picture is refined, from how fast earlier ones went.

use std::collections::{HashMap, VecDeque};

use crate::layer::Show;
use crate::painter::{Effort, View};

/// One rendering of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Pixels of the view along an edge for one of the pass.
    pub divisor: u32,
    /// Samples a pixel.
    pub samples: u32,
    /// Seed of the samples' places.
    pub seed: u64,
    /// Whether it ends even if there is a newer request.
    pub first: bool,
    /// Whether its samples are averaged with those of the pass before.
    pub adds: bool,
}

/// Seconds that the first picture of a view may take: what is seen follows the hand.
const MOVING: f64 = 0.05;
/// Seconds that the only picture of a passing field may take.
const PASSING: f64 = 0.35;
/// Seconds of a band of rows.
const BAND: f64 = 0.03;
/// Rows of pixels that are traced together.
const BLOCK: u32 = 8;
/// Coarsest divisor.
const COARSEST: u32 = 16;
/// Rays a second before anything is known.
const GUESS: f64 = 1e5;

/// Rays a second, by what is rendered.
#[derive(Debug, Default)]
pub struct Pace {
    known: HashMap<(bool, Show, bool), f64>,
}

fn kind(view: &View) -> (bool, Show, bool) {
    (view.scene.is_radiance(), view.show, view.shadows)
}

impl Pace {
    fn rate(&self, view: &View) -> f64 {
        self.known.get(&kind(view)).copied().unwrap_or(GUESS)
    }

    /// Takes a measurement in.
    pub fn learn(&mut self, view: &View, rays: f64, seconds: f64) {
        let now = rays / seconds.max(1e-6);
        let rate = self.known.entry(kind(view)).or_insert(now);
        *rate = 0.5 * *rate + 0.5 * now;
    }

    /// Rows of a band: whole blocks of 8, as many as take a few hundredths of a second. With several samples a pixel always
    /// one block, as where they lie depends on the band: a view is the same picture however fast it came.
    pub fn rows(&self, view: &View, width: u32, samples: u32) -> u32 {
        if samples > 1 {
            return BLOCK;
        }
        let rows = self.rate(view) * BAND / f64::from(width);
        (rows / f64::from(BLOCK)).clamp(1.0, 512.0) as u32 * BLOCK
    }

    /// Divisor at which the view takes `seconds` or less.
    fn divisor(&self, view: &View, seconds: f64) -> u32 {
        let pixels = f64::from(view.camera.width) * f64::from(view.camera.height);
        let least = (pixels / (self.rate(view) * seconds)).sqrt().ceil();
        (least as u32).clamp(1, COARSEST)
    }
}

/// The passes that a view still needs.
#[derive(Debug)]
pub struct Plan(VecDeque<Pass>);

impl Plan {
    /// For a view of which nothing is there. `replaces`: the same view of another field is on the screen, and should not
    /// grow coarser.
    pub fn new(view: &View, pace: &Pace, replaces: bool) -> Self {
        let slow = pace.divisor(view, PASSING);
        let divisor = if replaces { slow } else { pace.divisor(view, MOVING) };
        let mut passes = VecDeque::from([Pass { divisor, samples: 1, seed: 0, first: true, adds: false }]);
        passes.extend(finer(divisor, view, slow));
        passes.extend(samples(view, 0));
        Self(passes)
    }

    /// For a view whose pass `last`, with `count` samples in all, is there.
    pub fn after(last: Pass, count: u32, view: &View, pace: &Pace) -> Self {
        let done = if last.divisor > 1 || count == 1 { 0 } else { count };
        Self(finer(last.divisor, view, pace.divisor(view, PASSING)).into_iter().chain(samples(view, done)).collect())
    }

    /// The next pass.
    pub fn next_pass(&mut self) -> Option<Pass> {
        self.0.pop_front()
    }
}

/// Passes of one sample from below `divisor` to full resolution, or to `enough` for a passing field.
fn finer(divisor: u32, view: &View, enough: u32) -> Vec<Pass> {
    let target = if view.effort == Effort::Passing { enough } else { 1 };
    let mut passes = Vec::new();
    let mut divisor = divisor;
    while divisor > target {
        divisor = if divisor <= 3 { 1 } else { divisor.div_ceil(2) }.max(target);
        passes.push(Pass { divisor, samples: 1, seed: 0, first: false, adds: false });
    }
    passes
}

/// Passes of several samples at full resolution, `done` of which are there.
fn samples(view: &View, done: u32) -> Vec<Pass> {
    let Effort::Full(target) = view.effort else { return Vec::new() };
    if target <= 1 || !view.show.multisamples() {
        return Vec::new();
    }
    let each = if view.scene.is_radiance() { 2 } else { 4 };
    let pass = |k: u32| Pass { divisor: 1, samples: each, seed: u64::from(k), first: false, adds: k > 0 };
    (done / each..target.div_ceil(each)).map(pass).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use glam::{DMat4, Vec3};

    use super::*;
    use nstr_space::analytic::{Analytic, sphere};
    use nstr_camera::camera::Camera;
    use nstr_space::cube::UnitCube;
    use crate::scene::{Field, Scene};

    fn view(effort: Effort) -> View {
        let sphere = Analytic::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Arc::new(Scene::new(Field::Sdf(Arc::new(sphere)), UnitCube::default()));
        View::plain(scene, Camera::with_fov_y(800, 600, 40.0, DMat4::IDENTITY).unwrap(), effort)
    }

    fn all(mut plan: Plan) -> Vec<Pass> {
        std::iter::from_fn(|| plan.next_pass()).collect()
    }

    #[test]
    fn pictures_grow_finer_to_the_end() {
        let pace = Pace::default();
        let passes = all(Plan::new(&view(Effort::Full(16)), &pace, false));
        assert!(passes[0].first && passes[0].divisor > 4 && passes[1..].iter().all(|p| !p.first));
        assert!(passes.windows(2).all(|w| w[0].divisor >= w[1].divisor));
        let fine: Vec<&Pass> = passes.iter().filter(|p| p.samples > 1).collect();
        assert_eq!(fine.iter().map(|p| p.samples).sum::<u32>(), 16);
        assert!(!fine[0].adds && fine[1..].iter().all(|p| p.adds));
        assert!(fine.windows(2).all(|w| w[0].seed != w[1].seed));
        // Going on from any pass gives the rest.
        let mut count = 0;
        for (i, pass) in passes.iter().enumerate() {
            count = if pass.adds { count + pass.samples } else { pass.samples };
            assert_eq!(all(Plan::after(*pass, count, &view(Effort::Full(16)), &pace)), passes[i + 1..]);
        }
        let one = all(Plan::new(&View { show: Show::Depth, ..view(Effort::Full(16)) }, &pace, false));
        assert_eq!(one.last().map(|p| (p.divisor, p.samples)), Some((1, 1)));
    }

    #[test]
    fn a_fast_machine_needs_no_coarse_pass() {
        let mut pace = Pace::default();
        pace.learn(&view(Effort::Full(1)), 1e9, 1.0);
        assert_eq!(all(Plan::new(&view(Effort::Full(1)), &pace, false)).len(), 1);
    }

    #[test]
    fn passing_fields_do_not_flicker() {
        let pace = Pace::default();
        let moved = all(Plan::new(&view(Effort::Passing), &pace, false));
        let replaced = all(Plan::new(&view(Effort::Passing), &pace, true));
        assert_eq!(replaced.len(), 1);
        assert_eq!(moved.last().map(|p| p.divisor), replaced.last().map(|p| p.divisor));
        assert!(moved[0].divisor > replaced[0].divisor);
    }
}

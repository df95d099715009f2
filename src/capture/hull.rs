//! The visual hull: the part of a cube that the silhouettes of all views leave.
//!
//! A cell goes where one view that sees all of it sees nothing but background. Every bound errs towards keeping: cells are
//! enclosed in spheres, their images in rectangles, and a rectangle is looked up in a pyramid of maxima, so that parts
//! thinner than a cell survive.
//!
//! That leaves what no view can deny: space beside all pictures, and the long shadow that an object seen from above casts
//! below itself. So a cell must also be seen by enough views: about as many as it takes for the kept cells to explain
//! every silhouette. Where all pictures show the whole object that is nearly all of them; where they show parts, fewer.

use glam::{DVec2, DVec3};
use rayon::prelude::*;

use crate::lens::Lens;
use crate::scene::CentredCube;
use crate::view::View;

/// Cells along an edge of the cube.
pub const HULL_CELLS: usize = 64;
/// Greatest alpha (of 255) that is still background.
const BACKGROUND: u8 = 7;
/// Least number of views that must see a cell (where there are as many).
const LEAST_SEEN: usize = 2;
/// Fraction of the silhouettes' rays that may stay unexplained, and of the number of views that explains them what a cell
/// needs.
const SEEN: (f64, f64) = (0.001, 0.8);
/// Alpha from which a pixel is surely the object, and rays a view that are tried.
const RAYS: (u8, usize) = (192, 128);
/// Most rounds of carving and tightening.
const ROUNDS: usize = 6;
/// A cube that shrinks by less than this has settled.
const SETTLED: f64 = 0.98;
/// Edge of the final cube over the hull's extent.
const MARGIN: f64 = 1.02;
/// Views that carve, at most, evenly picked: each cell is held against each, and more than this many neighbours show the
/// same.
const MAX_VIEWS: usize = 500;

/// A coarse grid over the scene's cube: the cells that the object may occupy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hull {
    /// Cells along an edge.
    pub resolution: usize,
    /// `[(z · resolution + y) · resolution + x]`: `false` where there is nothing for certain.
    pub cells: Vec<bool>,
}

impl Hull {
    /// True where the object may occupy cell (x, y, z).
    pub fn get(&self, x: usize, y: usize, z: usize) -> bool {
        self.cells[(z * self.resolution + y) * self.resolution + x]
    }

    /// Fraction of the cells that are kept, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.cells.iter().filter(|c| **c).count() as f64 / self.cells.len().max(1) as f64
    }

    /// Lowest and highest corner of the kept cells in the unit cube, or `None` where none is kept.
    pub fn bounds(&self) -> Option<(DVec3, DVec3)> {
        let n = self.resolution;
        let mut bounds: Option<(DVec3, DVec3)> = None;
        for i in (0..self.cells.len()).filter(|i| self.cells[*i]) {
            let low = DVec3::new((i % n) as f64, (i / n % n) as f64, (i / n / n) as f64) / n as f64;
            let high = low + DVec3::splat(1.0 / n as f64);
            let (a, b) = bounds.unwrap_or((low, high));
            bounds = Some((a.min(low), b.max(high)));
        }
        bounds
    }
}

impl CentredCube {
    /// Greatest of the cells' values that a ray meets, by steps of half a cell; 0 if it misses the cube.
    fn most_along(&self, origin: DVec3, direction: DVec3, cells: &[u32]) -> u32 {
        let n = HULL_CELLS as f64;
        let start = ((origin - self.centre) / self.size + 0.5) * n;
        // In cells per step: the direction has length 1.
        let (a, b) = (-start / direction, (DVec3::splat(n) - start) / direction);
        let (enter, leave) = (a.min(b).max_element().max(0.0), a.max(b).min_element());
        let steps = ((leave - enter).max(0.0) * 2.0) as usize;
        let value = |i: usize| {
            let p = (start + direction * (enter + (i as f64 + 0.5) * 0.5)).clamp(DVec3::ZERO, DVec3::splat(n - 1.0));
            cells[(p.z as usize * HULL_CELLS + p.y as usize) * HULL_CELLS + p.x as usize]
        };
        (0..steps).map(value).max().unwrap_or(0)
    }
}

/// Rays through pixels that surely show the object, and how many of them a hull explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExplainedRays {
    /// Rays that meet a cell that the object may occupy.
    pub explained: usize,
    /// Rays that meet the hull's cube.
    pub crossing: usize,
    /// All of them.
    pub all: usize,
}

impl ExplainedRays {
    /// Counts the rays of views with silhouettes against the hull that lies in `cube`.
    pub fn count(hull: &Hull, cube: &CentredCube, views: &[View]) -> Self {
        let kept: Vec<u32> = hull.cells.iter().map(|c| u32::from(*c)).collect();
        let whole = vec![1; kept.len()];
        let of = |view: &View| {
            let (origin, rays) = (view.camera.position(), sure_rays(view));
            let meeting = |cells: &[u32]| rays.iter().filter(|d| cube.most_along(origin, **d, cells) > 0).count();
            Self { explained: meeting(&kept), crossing: meeting(&whole), all: rays.len() }
        };
        let none = || Self { explained: 0, crossing: 0, all: 0 };
        let sum = |a: Self, b: Self| Self {
            explained: a.explained + b.explained,
            crossing: a.crossing + b.crossing,
            all: a.all + b.all,
        };
        views.par_iter().map(of).reduce(none, sum)
    }
}

/// The silhouettes of a capture, ready to carve with.
pub(super) struct Carver {
    silhouettes: Vec<Silhouette>,
}

impl Carver {
    /// Prepares the views, in an order in which neighbours differ: background is then found early.
    pub fn new(views: &[View]) -> Self {
        let picked: Vec<usize> = match views.len() {
            n if n <= MAX_VIEWS => (0..n).collect(),
            n => (0..MAX_VIEWS).map(|i| i * n / MAX_VIEWS).collect(),
        };
        let count = picked.len();
        let stride = [37, 41, 43].into_iter().find(|s| !count.is_multiple_of(*s)).unwrap_or(1);
        let order: Vec<usize> = (0..count).map(|i| picked[i * stride % count]).collect();
        Self { silhouettes: order.into_par_iter().map(|i| Silhouette::new(&views[i])).collect() }
    }

    /// Carves a cube.
    pub fn carve(&self, cube: &CentredCube) -> Hull {
        let n = HULL_CELLS;
        let radius = 0.5 * 3f64.sqrt() * cube.size / n as f64;
        let seen = |i: usize| {
            let cell = DVec3::new((i % n) as f64, (i / n % n) as f64, (i / n / n) as f64);
            self.seen(cube.at((cell + 0.5) / n as f64), radius)
        };
        let seen: Vec<u32> = (0..n * n * n).into_par_iter().with_min_len(n * n).map(seen).collect();
        let needed = self.needed(cube, &seen);
        Hull { resolution: n, cells: seen.into_iter().map(|s| s >= needed).collect() }
    }

    /// Number of views that see all of a cell and something in it; 0 if one sees background.
    fn seen(&self, centre: DVec3, radius: f64) -> u32 {
        let mut seen = 0;
        for silhouette in &self.silhouettes {
            match silhouette.look(centre, radius) {
                Sight::Background => return 0,
                Sight::Object => seen += 1,
                Sight::Unsure => {}
            }
        }
        seen
    }

    /// Number of views that must see a cell so that the kept cells still explain the silhouettes.
    fn needed(&self, cube: &CentredCube, seen: &[u32]) -> u32 {
        let rays = self.silhouettes.par_iter().flat_map_iter(|s| s.rays.iter().map(|d| (s.position, *d)));
        // What the best seen cell along a ray is seen by; rays that meet none explain nothing at any number.
        let mut best: Vec<u32> = rays.map(|(o, d)| cube.most_along(o, d, seen)).filter(|b| *b > 0).collect();
        let least = LEAST_SEEN.min(self.silhouettes.len()) as u32;
        if best.is_empty() {
            return least.max(1);
        }
        let at = (SEEN.0 * best.len() as f64) as usize;
        let explains = *best.select_nth_unstable(at).1;
        ((SEEN.1 * explains as f64) as u32).max(least).max(1)
    }

    /// Carves and tightens until the cube fits; the cube that holds the hull, and the hull in it.
    ///
    /// `None` where nothing is left of `start`.
    pub fn fit(&self, start: CentredCube) -> Option<(CentredCube, Hull)> {
        let mut cube = start;
        for _ in 0..ROUNDS {
            let (low, high) = self.carve(&cube).bounds()?;
            let extent = (high - low).max_element();
            let tight = CentredCube { centre: cube.at((low + high) * 0.5), size: cube.size * extent * MARGIN };
            let settled = tight.size > SETTLED * cube.size;
            cube = tight;
            if settled {
                break;
            }
        }
        let hull = self.carve(&cube);
        hull.bounds().map(|_| (cube, hull))
    }
}

/// Visibility of a cell in a view.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sight {
    /// All of it is seen, and nothing but background.
    Background,
    /// All of it is seen, and something is there.
    Object,
    /// It is not or not wholly in the picture.
    Unsure,
}

/// A view reduced to the pixels that show something.
struct Silhouette {
    position: DVec3,
    /// Right, down, forward.
    axes: [DVec3; 3],
    focal: DVec2,
    centre: DVec2,
    lens: Lens,
    /// Width, height and pixels of each level; a pixel is true where one of the four below it is.
    levels: Vec<(usize, usize, Vec<bool>)>,
    /// Directions of some rays that surely meet the object.
    rays: Vec<DVec3>,
}

impl Silhouette {
    fn new(view: &View) -> Self {
        let [right, up, back] = view.camera.axes();
        let (w, h) = (view.image.width as usize, view.image.height as usize);
        let there = |(i, p): (usize, &[u8; 4])| p[3] > BACKGROUND || !view.usable(i);
        let mut levels = vec![(w, h, view.image.pixels.iter().enumerate().map(there).collect::<Vec<bool>>())];
        while let Some((w, h, below)) = levels.last().filter(|(w, h, _)| *w > 1 || *h > 1) {
            let (w, h) = (*w, *h);
            let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
            let any = |x: usize, y: usize| {
                (2 * y..(2 * y + 2).min(h)).any(|r| below[r * w + 2 * x..r * w + (2 * x + 2).min(w)].contains(&true))
            };
            levels.push((cw, ch, (0..cw * ch).map(|i| any(i % cw, i / cw)).collect()));
        }
        Self {
            position: view.camera.position(),
            axes: [right, -up, -back],
            focal: view.camera.focal,
            centre: view.camera.centre,
            lens: view.lens,
            levels,
            rays: sure_rays(view),
        }
    }

    fn look(&self, centre: DVec3, radius: f64) -> Sight {
        let offset = centre - self.position;
        let p = DVec3::from_array(self.axes.map(|a| a.dot(offset)));
        if p.z < 2.0 * radius {
            return Sight::Unsure;
        }
        let Some(d) = self.lens.project(p) else { return Sight::Unsure };
        // Within the sphere u moves by at most radius · √(1 + u²) / (z − radius), v likewise.
        let uv = p.truncate() / p.z;
        let spread = (DVec2::ONE + uv * uv).map(f64::sqrt) * (radius / (p.z - radius));
        let bend = if self.lens == Lens::Pinhole { DVec2::ONE } else { self.lens.stretch(uv) * 1.1 };
        let half = spread.max_element() * bend * self.focal;
        let middle = self.centre + d * self.focal;
        self.rectangle(middle - half, middle + half)
    }

    fn rectangle(&self, low: DVec2, high: DVec2) -> Sight {
        let (w, h, _) = self.levels[0];
        // False for NaN as well.
        let inside = low.x >= 0.0 && low.y >= 0.0 && high.x < w as f64 && high.y < h as f64;
        if !inside {
            return Sight::Unsure;
        }
        let [mut x0, mut y0, mut x1, mut y1] = [low.x, low.y, high.x, high.y].map(|v| v as usize);
        let mut level = 0;
        while (x1 - x0 > 2 || y1 - y0 > 2) && level + 1 < self.levels.len() {
            (x0, y0, x1, y1) = (x0 / 2, y0 / 2, x1 / 2, y1 / 2);
            level += 1;
        }
        let (w, _, pixels) = &self.levels[level];
        let something = (y0..=y1).any(|y| pixels[y * w + x0..=y * w + x1].contains(&true));
        if something { Sight::Object } else { Sight::Background }
    }
}

/// Directions through pixels that surely show the object, spread over the picture.
fn sure_rays(view: &View) -> Vec<DVec3> {
    let sure = |(i, p): &(usize, &[u8; 4])| p[3] >= RAYS.0 && view.usable(*i);
    let pixels: Vec<usize> = view.image.pixels.iter().enumerate().filter(sure).map(|(i, _)| i).collect();
    let w = view.image.width as usize;
    // Not a multiple of the width, in effect: columns must not repeat.
    let stride = (pixels.len() / RAYS.1).max(1) | 1;
    let ray = |i: &usize| view.ray((i % w) as f64 + 0.5, (i / w) as f64 + 0.5).direction;
    pixels.iter().step_by(stride).map(ray).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ball_views, ring};

    #[test]
    fn a_ball_keeps_itself_and_little_more() {
        let (middle, radius) = (DVec3::new(0.3, -0.2, 0.1), 0.5);
        let views = ball_views(&ring(24, 4.0, middle), 100, middle, radius);
        let carver = Carver::new(&views);
        let (cube, hull) = carver.fit(CentredCube { centre: DVec3::ZERO, size: 8.0 }).unwrap();
        assert!((cube.centre - middle).length() < 0.05, "{cube:?}");
        assert!(cube.size > 2.0 * radius && cube.size < 2.3 * radius, "{cube:?}");
        let n = HULL_CELLS;
        let mut kept_outside = 0;
        for i in 0..n * n * n {
            let cell = DVec3::new((i % n) as f64, (i / n % n) as f64, (i / n / n) as f64);
            let r = (cube.at((cell + 0.5) / n as f64) - middle).length();
            assert!(hull.cells[i] || r > radius, "a cell inside the ball is gone");
            kept_outside += (hull.cells[i] && r > 1.25 * radius) as usize;
        }
        assert!(kept_outside < n * n * n / 50, "{kept_outside}");
        assert!(hull.fraction() > 0.4 && hull.fraction() < 0.8, "{}", hull.fraction());
        assert!(hull.get(n / 2, n / 2, n / 2) && !hull.get(0, 0, 0));
    }

    #[test]
    fn thousands_of_views_carve_as_hundreds() {
        let views = ball_views(&ring(3000, 4.0, DVec3::ZERO), 6, DVec3::ZERO, 0.8);
        let carver = Carver::new(&views);
        assert_eq!(carver.silhouettes.len(), MAX_VIEWS);
        // From the first to the last sixth of them, none twice.
        let position = |s: &Silhouette| views.iter().position(|v| v.camera.position() == s.position).unwrap();
        let picked: std::collections::BTreeSet<usize> = carver.silhouettes.iter().map(position).collect();
        assert!(picked.len() == MAX_VIEWS && picked.iter().enumerate().all(|(i, p)| i * 6 == *p));
        assert_eq!(Carver::new(&views[..MAX_VIEWS]).silhouettes.len(), MAX_VIEWS);
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -p nstr-capture --lib -- --ignored --nocapture hull_speed"]
    fn hull_speed() {
        for count in [100, 500, 3000] {
            let views = ball_views(&ring(count, 4.0, DVec3::ZERO), 16, DVec3::ZERO, 0.8);
            let start = std::time::Instant::now();
            let found = Carver::new(&views).fit(CentredCube { centre: DVec3::ZERO, size: 8.0 });
            println!("{count} views: {:.2} s, {}", start.elapsed().as_secs_f64(), found.is_some());
        }
    }

    #[test]
    fn a_wire_thinner_than_a_cell_survives() {
        let middle = DVec3::ZERO;
        let views = ball_views(&ring(12, 4.0, middle), 200, middle, 0.03);
        // Cells of 0.125 against a ball of 0.06 across.
        let hull = Carver::new(&views).carve(&CentredCube { centre: DVec3::splat(0.02), size: 8.0 });
        assert!(hull.bounds().is_some());
    }

    #[test]
    fn rays_through_what_was_cut_away_are_not_explained() {
        let views = ball_views(&ring(12, 4.0, DVec3::ZERO), 64, DVec3::ZERO, 0.5);
        let (cube, mut hull) = Carver::new(&views).fit(CentredCube { centre: DVec3::ZERO, size: 8.0 }).unwrap();
        let whole = ExplainedRays::count(&hull, &cube, &views);
        assert!(whole.all > 1000 && whole.explained == whole.all && whole.crossing == whole.all, "{whole:?}");
        // The upper half is cut away.
        let n = HULL_CELLS;
        (0..n * n * n).filter(|i| i / (n * n) >= n / 2).for_each(|i| hull.cells[i] = false);
        let half = ExplainedRays::count(&hull, &cube, &views);
        assert!(half.explained < half.all * 9 / 10 && half.crossing == half.all, "{half:?}");
        let beside = CentredCube { centre: DVec3::splat(9.0), size: 0.1 };
        let none = ExplainedRays::count(&hull, &beside, &views);
        assert_eq!((none.explained, none.crossing, none.all), (0, 0, whole.all));
    }

    #[test]
    fn contradicting_silhouettes_leave_nothing() {
        let mut views = ball_views(&ring(8, 4.0, DVec3::ZERO), 64, DVec3::ZERO, 0.5);
        for view in views.iter_mut().skip(4) {
            view.image.pixels.iter_mut().for_each(|p| p[3] = 0);
        }
        assert!(Carver::new(&views).fit(CentredCube { centre: DVec3::ZERO, size: 8.0 }).is_none());
        // What a mask takes out says nothing.
        for view in views.iter_mut().skip(4) {
            view.mask = Some(vec![false; 64 * 64]);
        }
        assert!(Carver::new(&views).fit(CentredCube { centre: DVec3::ZERO, size: 8.0 }).is_some());
    }
}

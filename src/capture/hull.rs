//! The visual hull: what the silhouettes of all views leave of a cube.
//!
//! A cell goes where one view that sees all of it sees nothing but background, and where hardly any view sees it. Every
//! bound errs towards keeping: cells are enclosed in spheres, their images in rectangles, and a rectangle is looked up in
//! a pyramid of maxima, so that parts thinner than a cell survive.

use glam::{DVec2, DVec3};
use rayon::prelude::*;

use super::lens::Lens;
use super::view::View;

/// Cells along an edge of the cube.
pub const HULL_CELLS: usize = 64;
/// Greatest alpha (of 255) that is still background.
const BACKGROUND: u8 = 7;
/// Of the views, the share that must see a cell for it to stay, and the least number (where there are as many).
const SEEN: (f64, usize) = (0.05, 2);
/// Most rounds of carving and tightening.
const ROUNDS: usize = 4;
/// A cube that shrinks by less than this has settled.
const SETTLED: f64 = 0.95;
/// Edge of the final cube over the hull's extent.
const MARGIN: f64 = 1.02;

/// A coarse grid over the scene's cube: which cells the object may occupy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hull {
    /// Cells along an edge.
    pub resolution: usize,
    /// `[(z · resolution + y) · resolution + x]`: `false` where there is nothing for certain.
    pub cells: Vec<bool>,
}

impl Hull {
    /// Whether the object may occupy cell (x, y, z).
    pub fn get(&self, x: usize, y: usize, z: usize) -> bool {
        self.cells[(z * self.resolution + y) * self.resolution + x]
    }

    /// Share of the cells that are kept, 0 to 1.
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

/// An axis-aligned cube: centre and edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cube {
    pub centre: DVec3,
    pub size: f64,
}

impl Cube {
    fn at(&self, unit: DVec3) -> DVec3 {
        self.centre + (unit - 0.5) * self.size
    }
}

/// The silhouettes of a capture, ready to carve with.
pub(super) struct Carver {
    silhouettes: Vec<Silhouette>,
}

impl Carver {
    /// Prepares the views, in an order in which neighbours differ: background is then found early.
    pub fn new(views: &[View]) -> Self {
        let stride = [37, 41, 43].into_iter().find(|s| !views.len().is_multiple_of(*s)).unwrap_or(1);
        let order: Vec<usize> = (0..views.len()).map(|i| i * stride % views.len()).collect();
        Self { silhouettes: order.into_par_iter().map(|i| Silhouette::new(&views[i])).collect() }
    }

    /// Carves a cube.
    pub fn carve(&self, cube: &Cube) -> Hull {
        let n = HULL_CELLS;
        let radius = 0.5 * 3f64.sqrt() * cube.size / n as f64;
        let needed = (SEEN.0 * self.silhouettes.len() as f64).ceil() as usize;
        let needed = needed.max(SEEN.1).min(self.silhouettes.len());
        let keep = |i: usize| {
            let cell = DVec3::new((i % n) as f64, (i / n % n) as f64, (i / n / n) as f64);
            self.keeps(cube.at((cell + 0.5) / n as f64), radius, needed)
        };
        Hull { resolution: n, cells: (0..n * n * n).into_par_iter().with_min_len(n * n).map(keep).collect() }
    }

    fn keeps(&self, centre: DVec3, radius: f64, needed: usize) -> bool {
        let mut seen = 0;
        for silhouette in &self.silhouettes {
            match silhouette.look(centre, radius) {
                Sight::Background => return false,
                Sight::Object => seen += 1,
                Sight::Unsure => {}
            }
        }
        seen >= needed
    }

    /// Carves and tightens until the cube fits; the cube that holds the hull, and the hull in it.
    ///
    /// `None` where nothing is left of `start`.
    pub fn fit(&self, start: Cube) -> Option<(Cube, Hull)> {
        let mut cube = start;
        for _ in 0..ROUNDS {
            let (low, high) = self.carve(&cube).bounds()?;
            let extent = (high - low).max_element();
            let tight = Cube { centre: cube.at((low + high) * 0.5), size: cube.size * extent * MARGIN };
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

/// What a view says of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sight {
    /// All of it is seen, and nothing but background.
    Background,
    /// All of it is seen, and something is there.
    Object,
    /// It is not or not wholly in the picture.
    Unsure,
}

/// A view reduced to where something is.
struct Silhouette {
    position: DVec3,
    /// Right, down, forward.
    axes: [DVec3; 3],
    focal: DVec2,
    centre: DVec2,
    lens: Lens,
    /// Width, height and pixels of each level; a pixel is true where one of the four below it is.
    levels: Vec<(usize, usize, Vec<bool>)>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::testing::{ball_views, ring};

    #[test]
    fn a_ball_keeps_itself_and_little_more() {
        let (middle, radius) = (DVec3::new(0.3, -0.2, 0.1), 0.5);
        let views = ball_views(&ring(24, 4.0, middle), 100, middle, radius);
        let carver = Carver::new(&views);
        let (cube, hull) = carver.fit(Cube { centre: DVec3::ZERO, size: 8.0 }).unwrap();
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
    fn a_wire_thinner_than_a_cell_survives() {
        let middle = DVec3::ZERO;
        let views = ball_views(&ring(12, 4.0, middle), 200, middle, 0.03);
        // Cells of 0.125 against a ball of 0.06 across.
        let hull = Carver::new(&views).carve(&Cube { centre: DVec3::splat(0.02), size: 8.0 });
        assert!(hull.bounds().is_some());
    }

    #[test]
    fn contradicting_silhouettes_leave_nothing() {
        let mut views = ball_views(&ring(8, 4.0, DVec3::ZERO), 64, DVec3::ZERO, 0.5);
        for view in views.iter_mut().skip(4) {
            view.image.pixels.iter_mut().for_each(|p| p[3] = 0);
        }
        assert!(Carver::new(&views).fit(Cube { centre: DVec3::ZERO, size: 8.0 }).is_none());
        // What a mask takes out says nothing.
        for view in views.iter_mut().skip(4) {
            view.mask = Some(vec![false; 64 * 64]);
        }
        assert!(Carver::new(&views).fit(Cube { centre: DVec3::ZERO, size: 8.0 }).is_some());
    }
}

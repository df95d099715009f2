//! Test for closed polygons in the plane that no cut into triangles covers: tangled and repeated outlines.
//!
//! Ear clipping takes quadratic to cubic time on them and ends in nonsense. The test counts proper crossings of edges in
//! a quadtree, and so takes near-linear time itself.

/// Crossings up to which a polygon still counts as an outline: projecting one that is not quite flat makes some.
const MOST_CROSSINGS: usize = 8;
/// Edges of a cell that are compared each with each.
const FEW: usize = 16;
/// Depth of the quadtree.
const MOST_DEPTH: u32 = 24;
/// Steps a corner, beyond which a polygon counts as tangled.
const MOST_STEPS: usize = 400;
/// Corners up to which all pairs of edges are compared where the quadtree does not decide.
const SMALL: usize = 512;
/// Sine of the angle below which edges touch instead of crossing: what rounding does to corners on straight lines.
const TOUCHING: f64 = 1e-9;

/// True where the polygon with these corners runs through one of its edges twice, mostly repeats corners, or crosses itself
/// more than a few times. Outlines with holes that are joined by bridges are none of that.
pub(crate) fn is_tangled(corners: &[[f64; 2]]) -> bool {
    repeats(corners) || crosses(corners)
}

/// True where more than half of the corners, or any edge in the same direction, occur again.
fn repeats(corners: &[[f64; 2]]) -> bool {
    let n = corners.len();
    // Adding 0 makes −0 equal to 0.
    let bits = |i: u32| corners[i as usize].map(|v| (v + 0.0).to_bits());
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_unstable_by_key(|&i| (bits(i), i));
    let mut place = vec![0u32; n];
    let mut places = 0;
    for group in order.chunk_by(|&a, &b| bits(a) == bits(b)) {
        group.iter().for_each(|&i| place[i as usize] = places);
        places += 1;
    }
    if 2 * (n - places as usize) > n {
        return true;
    }
    let mut edges: Vec<(u32, u32)> = (0..n).map(|i| (place[i], place[(i + 1) % n])).filter(|(a, b)| a != b).collect();
    edges.sort_unstable();
    edges.windows(2).any(|w| w[0] == w[1])
}

/// True where edges cross more than [`MOST_CROSSINGS`] times, or so many lie close together that counting gets slow.
fn crosses(corners: &[[f64; 2]]) -> bool {
    let n = corners.len();
    let edges = Edges { corners };
    let mut count = 0;
    let decided = edges.search(&mut count, n.saturating_mul(MOST_STEPS));
    if decided || n > SMALL {
        return !decided || count > MOST_CROSSINGS;
    }
    let pairs = (0..n as u32).flat_map(|a| (a + 1..n as u32).map(move |b| (a, b)));
    pairs.filter(|&(a, b)| edges.crossing(a, b).is_some()).take(MOST_CROSSINGS + 1).count() > MOST_CROSSINGS
}

/// A square of the quadtree, and the edges that pass through it.
struct Cell {
    lo: [f64; 2],
    size: f64,
    depth: u32,
    edges: Vec<u32>,
}

impl Cell {
    fn holds(&self, p: [f64; 2]) -> bool {
        (0..2).all(|k| p[k] >= self.lo[k] && p[k] < self.lo[k] + self.size)
    }
}

struct Edges<'a> {
    corners: &'a [[f64; 2]],
}

impl Edges<'_> {
    fn ends(&self, edge: u32) -> ([f64; 2], [f64; 2]) {
        let i = edge as usize;
        (self.corners[i], self.corners[(i + 1) % self.corners.len()])
    }

    /// Counts crossings until there are too many; false if `steps` did not suffice.
    fn search(&self, count: &mut usize, mut steps: usize) -> bool {
        let mut lo = [f64::INFINITY; 2];
        let mut hi = [f64::NEG_INFINITY; 2];
        for p in self.corners {
            for k in 0..2 {
                (lo[k], hi[k]) = (lo[k].min(p[k]), hi[k].max(p[k]));
            }
        }
        // A little more, so that the outermost corners lie inside too.
        let size = (hi[0] - lo[0]).max(hi[1] - lo[1]) * (1.0 + 1e-9);
        let mut cells = vec![Cell { lo, size, depth: 0, edges: (0..self.corners.len() as u32).collect() }];
        while let Some(cell) = cells.pop() {
            let many = cell.edges.len();
            let work = if many <= FEW || cell.depth == MOST_DEPTH { many * many / 2 } else { 4 * many };
            if work > steps {
                return false;
            }
            steps -= work;
            if many <= FEW || cell.depth == MOST_DEPTH {
                for (i, &a) in cell.edges.iter().enumerate() {
                    let later = cell.edges[i + 1..].iter();
                    *count += later.filter(|&&b| self.crossing(a, b).is_some_and(|p| cell.holds(p))).count();
                }
                if *count > MOST_CROSSINGS {
                    return true;
                }
                continue;
            }
            let half = cell.size * 0.5;
            for quarter in 0..4 {
                let lo = [cell.lo[0] + half * f64::from(quarter & 1), cell.lo[1] + half * f64::from(quarter >> 1)];
                let edges: Vec<u32> = cell.edges.iter().copied().filter(|&e| self.meets(e, lo, half)).collect();
                if edges.len() > 1 {
                    cells.push(Cell { lo, size: half, depth: cell.depth + 1, edges });
                }
            }
        }
        true
    }

    /// True where an edge passes through a square.
    fn meets(&self, edge: u32, lo: [f64; 2], size: f64) -> bool {
        let (a, b) = self.ends(edge);
        let beside = |k: usize| a[k].max(b[k]) < lo[k] || a[k].min(b[k]) > lo[k] + size;
        if beside(0) || beside(1) {
            return false;
        }
        let (d, middle) = ([b[0] - a[0], b[1] - a[1]], lo.map(|v| v + 0.5 * size));
        let off = d[0] * (middle[1] - a[1]) - d[1] * (middle[0] - a[0]);
        off.abs() <= 0.5 * size * (d[0].abs() + d[1].abs()) * (1.0 + 1e-9)
    }

    /// The point where the insides of two edges cross, if they do.
    fn crossing(&self, first: u32, second: u32) -> Option<[f64; 2]> {
        let ((a, b), (c, d)) = (self.ends(first), self.ends(second));
        let apart = |k: usize| a[k].max(b[k]) < c[k].min(d[k]) || c[k].max(d[k]) < a[k].min(b[k]);
        if apart(0) || apart(1) {
            return None;
        }
        let (from_c, from_d) = (turn(a, b, c), turn(a, b, d));
        let (from_a, from_b) = (turn(c, d, a), turn(c, d, b));
        let opposite = |v: f64, w: f64| (v > 0.0 && w < 0.0) || (v < 0.0 && w > 0.0);
        if !opposite(from_c, from_d) || !opposite(from_a, from_b) {
            return None;
        }
        let sure = |v: f64, p, q, r| v * v > TOUCHING * TOUCHING * square(p, q) * square(p, r);
        let all = sure(from_c, a, b, c) && sure(from_d, a, b, d) && sure(from_a, c, d, a) && sure(from_b, c, d, b);
        all.then(|| {
            let t = from_a / (from_a - from_b);
            [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
        })
    }
}

/// Twice the signed area of the triangle `abc`.
fn turn(a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

/// Squared distance.
fn square(p: [f64; 2], q: [f64; 2]) -> f64 {
    let d = [q[0] - p[0], q[1] - p[1]];
    d[0] * d[0] + d[1] * d[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A circle of `n` corners whose radius swings `teeth` times.
    fn gear(n: usize, teeth: f64, depth: f64) -> Vec<[f64; 2]> {
        let corner = |i: usize| {
            let angle = i as f64 / n as f64 * std::f64::consts::TAU;
            let r = 1.0 - depth * (0.5 + 0.5 * (teeth * angle).sin());
            [r * angle.cos(), r * angle.sin()]
        };
        (0..n).map(corner).collect()
    }

    #[test]
    fn outlines_are_not_tangled() {
        for (n, teeth, depth) in [(9, 1.0, 0.7), (60, 7.0, 0.7), (1000, 125.0, 0.7), (200_000, 200.0, 0.3)] {
            assert!(!is_tangled(&gear(n, teeth, depth)), "{n}");
        }
        // Crossed once, as a figure of eight.
        let eight: Vec<[f64; 2]> = gear(64, 0.0, 0.0).iter().map(|p| [p[0], p[0] * p[1]]).collect();
        assert!(!is_tangled(&eight));
        // A plate with square holes, each joined to the rim by a bridge that is run through both ways.
        let mut plate = vec![[0.0, 0.0]];
        for i in 0..40 {
            let x = f64::from(i) + 1.0;
            plate.extend([[x, 0.0], [x, 1.0], [x, 2.0], [x + 0.5, 2.0], [x + 0.5, 1.0], [x, 1.0], [x, 0.0]]);
        }
        plate.extend([[50.0, 0.0], [50.0, 4.0], [0.0, 4.0]]);
        assert!(!is_tangled(&plate));
        // Corners on straight edges.
        let comb: Vec<[f64; 2]> = (0..1000)
            .map(|i| [f64::from(i) * 1e-3, 0.0])
            .chain((0..1000).rev().map(|i| [f64::from(i) * 1e-3, if i % 2 == 0 { 0.3 } else { 0.7 }]))
            .collect();
        assert!(!is_tangled(&comb));
    }

    #[test]
    fn repeated_and_tangled_outlines_are_found() {
        let turns: Vec<[f64; 2]> = (0..8000).map(|i| [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]][i % 3]).collect();
        assert!(repeats(&turns));
        let twice: Vec<[f64; 2]> = gear(20, 3.0, 0.2).repeat(2);
        assert!(repeats(&twice));
        // Corners of a circle in leaps: all edges cross.
        for n in [11, 301, 8191, 100_003] {
            let circle = gear(n, 0.0, 0.0);
            let leaps: Vec<[f64; 2]> = (0..n).map(|i| circle[i * (n / 2) % n]).collect();
            assert!(!repeats(&leaps) && crosses(&leaps), "{n}");
        }
        let scattered = |i: u64| {
            let hash = |k: u64| (k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64;
            [hash(2 * i + 1), hash(hash(i).to_bits())]
        };
        let many: Vec<[f64; 2]> = (0..200_000).map(scattered).collect();
        assert!(!repeats(&many) && crosses(&many));
    }
}

//! Orientation aids: axes, ground grid and boxes as lines in the world, and the cameras of the named views.

use glam::DVec3;
use nstr_render::section_scale::round_length;

/// Thing drawn over the picture that a key shows or hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aid {
    /// Grid on the ground.
    Grid,
    /// Boxes around the object and around the field's cube.
    Bounds,
    /// Cameras of the capture.
    Frusta,
}

/// Aids that are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aids {
    /// Directions of the world's axes.
    pub axes: bool,
    /// Grid on the ground.
    pub grid: bool,
    /// Boxes around the object and the field.
    pub bounds: bool,
    /// Cameras of the capture.
    pub frusta: bool,
    /// Camera path.
    pub path: bool,
}

impl Default for Aids {
    fn default() -> Self {
        Self { axes: true, grid: false, bounds: false, frusta: false, path: true }
    }
}

impl Aids {
    /// The switch of an aid.
    pub fn switch(&mut self, aid: Aid) -> &mut bool {
        match aid {
            Aid::Grid => &mut self.grid,
            Aid::Bounds => &mut self.bounds,
            Aid::Frusta => &mut self.frusta,
        }
    }
}

/// Side that the object is seen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// Along the axis that points away from the viewer when x points right.
    Front,
    /// Opposite to the front.
    Back,
    /// From the side that x points away from.
    Left,
    /// From the side that x points to.
    Right,
    /// From above.
    Top,
    /// From below.
    Bottom,
}

impl Preset {
    /// All of them, in the order of the panel.
    pub const ALL: [Self; 6] = [Self::Front, Self::Right, Self::Top, Self::Back, Self::Left, Self::Bottom];

    /// Name on the panel.
    pub fn name(self) -> &'static str {
        match self {
            Self::Front => "Front",
            Self::Back => "Back",
            Self::Left => "Left",
            Self::Right => "Right",
            Self::Top => "Top",
            Self::Bottom => "Bottom",
        }
    }

    /// Key for the tool tip.
    pub fn key(self) -> &'static str {
        match self {
            Self::Front => "F2",
            Self::Right => "F3",
            Self::Top => "F4",
            Self::Back => "shift + F2",
            Self::Left => "shift + F3",
            Self::Bottom => "shift + F4",
        }
    }

    /// Direction from the object to the camera, and the direction that is upwards in the picture, in a world whose upward axis is
    /// `up`. With z upwards the front is seen along +y, with y upwards along −z; x points right either way.
    pub fn axes(self, up: DVec3) -> (DVec3, DVec3) {
        let z_up = up.z.abs() > up.y.abs();
        let front = if z_up { DVec3::NEG_Y } else { DVec3::Z };
        let side = up.cross(front).normalize_or(DVec3::X);
        match self {
            Self::Front => (front, up),
            Self::Back => (-front, up),
            Self::Right => (side, up),
            Self::Left => (-side, up),
            Self::Top => (up, -front),
            Self::Bottom => (-up, front),
        }
    }
}

/// Straight line in the world, with its colour (sRGB) and its width in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// Both ends.
    pub ends: [DVec3; 2],
    /// Colour, sRGB bytes.
    pub colour: [u8; 3],
    /// Width, points.
    pub width: f32,
}

/// Text at a place of the world.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    /// Place.
    pub at: DVec3,
    /// Text.
    pub text: String,
    /// Colour, sRGB bytes.
    pub colour: [u8; 3],
}

/// Colours of the x, y and z axes.
pub(crate) const AXIS_COLOURS: [[u8; 3]; 3] = [[225, 70, 70], [80, 175, 70], [75, 125, 235]];
/// Colour of grid and boxes.
const GREY: [u8; 3] = [128, 128, 136];
/// Colour of the box around the object.
const BOUNDS_COLOUR: [u8; 3] = [216, 140, 40];

/// The twelve edges of a box.
pub(crate) fn box_lines((lo, hi): (DVec3, DVec3), colour: [u8; 3], width: f32) -> Vec<Line> {
    let corner = |i: usize| DVec3::select(glam::BVec3::new(i & 1 == 1, i & 2 == 2, i & 4 == 4), hi, lo);
    let edges = (0..8usize).flat_map(|a| [1, 2, 4].into_iter().filter(move |b| a & b == 0).map(move |b| (a, a | b)));
    edges.map(|(a, b)| Line { ends: [corner(a), corner(b)], colour, width }).collect()
}

/// Boxes around the object (`bounds`) and the field (`cube`, thinner), and the object's size at its edges.
pub(crate) fn bounds_lines(bounds: (DVec3, DVec3), cube: (DVec3, DVec3)) -> (Vec<Line>, Vec<Label>) {
    let mut lines = box_lines(cube, GREY, 0.8);
    lines.extend(box_lines(bounds, BOUNDS_COLOUR, 1.2));
    let size = bounds.1 - bounds.0;
    let label = |axis: usize| {
        let mut at = bounds.0;
        at[axis] += 0.5 * size[axis];
        // Lighter than the axis, as text needs it.
        let colour = AXIS_COLOURS[axis].map(|v| v + (255 - v) / 2);
        let name = ["x", "y", "z"][axis];
        Label { at, text: format!("{name} {}", nstr_plot::format::compact(size[axis])), colour }
    };
    (lines, (0..3).map(label).collect())
}

/// Grid on the plane through the lowest point of `bounds`, upward axis `up`, and the length of its cells. The lines through the
/// world's origin have the colours of their axes.
pub(crate) fn grid_lines(bounds: (DVec3, DVec3), up: DVec3) -> (Vec<Line>, f64) {
    let axis = if up.z.abs() > up.y.abs() { 2 } else { 1 };
    let sideways = [(axis + 1) % 3, (axis + 2) % 3];
    let (lo, hi) = bounds;
    let ground = if up[axis] > 0.0 { lo[axis] } else { hi[axis] };
    let extent = sideways.iter().map(|a| hi[*a] - lo[*a]).fold(0.0, f64::max);
    if !(extent.is_finite() && extent > 0.0) {
        return (Vec::new(), 0.0);
    }
    let cell = round_length(extent / 8.0);
    let range = |a: usize| {
        let middle = 0.5 * (lo[a] + hi[a]);
        (((middle - 0.8 * extent) / cell).floor() as i64, ((middle + 0.8 * extent) / cell).ceil() as i64)
    };
    let mut lines = Vec::new();
    for (along, across) in [(sideways[0], sideways[1]), (sideways[1], sideways[0])] {
        let ((from, to), (first, last)) = (range(along), range(across));
        for i in first..=last {
            let end = |n: i64| {
                let mut p = DVec3::ZERO;
                (p[axis], p[along], p[across]) = (ground, n as f64 * cell, i as f64 * cell);
                p
            };
            let (colour, width) = match i {
                0 => (AXIS_COLOURS[along], 1.6),
                i if i % 5 == 0 => (GREY, 1.0),
                _ => (GREY, 0.6),
            };
            lines.push(Line { ends: [end(from), end(to)], colour, width });
        }
    }
    (lines, cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_have_twelve_edges_along_the_axes() {
        let lines = box_lines((DVec3::ZERO, DVec3::new(1.0, 2.0, 3.0)), GREY, 1.0);
        assert_eq!(lines.len(), 12);
        let total: f64 = lines.iter().map(|l| (l.ends[1] - l.ends[0]).length()).sum();
        assert!((total - 4.0 * 6.0).abs() < 1e-12);
    }

    #[test]
    fn lengths_are_rounded_down_to_1_2_5() {
        for (length, round) in [(1.0, 1.0), (1.99, 1.0), (2.3, 2.0), (0.07, 0.05), (990.0, 500.0), (4.9e-4, 2e-4)] {
            assert!((round_length(length) / round - 1.0).abs() < 1e-9, "{length}");
        }
    }

    #[test]
    fn the_grid_lies_on_the_ground_and_reaches_beyond_the_object() {
        let bounds = (DVec3::new(-1.0, 2.0, -3.0), DVec3::new(1.0, 5.0, 3.0));
        for (up, axis, ground) in [(DVec3::Y, 1, 2.0), (DVec3::Z, 2, -3.0), (DVec3::NEG_Y, 1, 5.0)] {
            let (lines, cell) = grid_lines(bounds, up);
            assert!(cell > 0.0 && !lines.is_empty());
            assert!(lines.iter().all(|l| l.ends.iter().all(|e| e[axis] == ground)));
            let reach = |a: usize| lines.iter().flat_map(|l| l.ends).map(|e| e[a]).fold(f64::MIN, f64::max);
            for a in [(axis + 1) % 3, (axis + 2) % 3] {
                assert!(reach(a) > bounds.1[a]);
            }
        }
        assert!(grid_lines((DVec3::ONE, DVec3::ONE), DVec3::Y).0.is_empty());
    }

    #[test]
    fn named_views_are_upright_and_x_points_right_in_front() {
        for up in [DVec3::Y, DVec3::Z] {
            for preset in Preset::ALL {
                let (back, top) = preset.axes(up);
                assert!(back.dot(top).abs() < 1e-12 && back.is_normalized() && top.is_normalized(), "{preset:?}");
            }
            let (back, top) = Preset::Front.axes(up);
            assert!(top.cross(back).distance(DVec3::X) < 1e-12, "x points right");
            assert!(Preset::Right.axes(up).0.distance(DVec3::X) < 1e-12);
            assert!(Preset::Top.axes(up).0.distance(up) < 1e-12);
        }
    }
}

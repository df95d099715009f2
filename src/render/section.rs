//! Sections: a plane that cuts part of the scene away, and the image on the plane.

use std::str::FromStr;

use glam::{DVec3, Vec3};
use nstr_image::colormap::{diverging_colormap, sequential_colormap};
use nstr_space::Cube;

use crate::error::RenderError;
use crate::settings::RenderSettings;

/// Appearance of the plane where a section cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SectionView {
    /// The cut face of a solid, shaded with the plane's normal; volumes begin at the plane.
    #[default]
    Cut,
    /// The field's value on the plane within the field's cube, and the box that settings may name, in false colours: rays that
    /// reach the plane end there.
    Field,
}

/// Section that cuts away the half space `normal · x > offset`. Also parses from `NX,NY,NZ,OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section {
    /// Unit normal in world axes, towards the part that is cut away.
    pub normal: DVec3,
    /// Distance of the plane from the world's origin along the normal, world units.
    pub offset: f64,
    /// Appearance of the plane.
    pub show: SectionView,
}

impl Section {
    /// Checks that the normal is of unit length and the offset finite.
    ///
    /// # Errors
    /// [`RenderError::Setting`] otherwise.
    pub fn check(&self) -> Result<(), RenderError> {
        if self.normal.is_normalized() && self.offset.is_finite() {
            return Ok(());
        }
        let reason = format!(
            "normal {} and offset {}; expected a vector of length 1 and a finite number",
            self.normal, self.offset
        );
        Err(RenderError::Setting { setting: "section", reason })
    }
}

impl FromStr for Section {
    type Err = String;

    /// Four numbers: the part where `NX·x + NY·y + NZ·z > OFFSET` is cut away. The normal may have any length but 0.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{}\" is not a section; expected NX,NY,NZ,OFFSET, for example 0,0,1,0.25",
                nstr_files::excerpt(text)
            )
        };
        let values: Result<Vec<f64>, _> = text.split(',').map(|v| v.trim().parse()).collect();
        let Ok(&[x, y, z, offset]) = values.as_deref() else { return Err(wrong()) };
        let length = DVec3::new(x, y, z).length();
        let section =
            Self { normal: DVec3::new(x, y, z) / length, offset: offset / length, show: SectionView::default() };
        section.check().map_err(|_| wrong())?;
        Ok(section)
    }
}

/// Margin of [`box_around`], as a share of the box's longest edge.
const MARGIN: f64 = 0.1;

/// The box that a section shows the field within: `bounds` of an object with a margin, so that the field is seen around it, but no
/// wall of false colours that hides the rest of the picture. Within the field's `cube`, where there are values.
pub fn box_around((lo, hi): (DVec3, DVec3), cube: Cube) -> (DVec3, DVec3) {
    let margin = DVec3::splat(MARGIN * (hi - lo).max_element());
    let (first, last) = cube.bounds();
    ((lo - margin).max(first), (hi + margin).min(last))
}

/// A [`Section`] in field coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plane {
    normal: DVec3,
    offset: f64,
    show: SectionView,
    opacity: f32,
    /// Box that it shows the field within.
    within: Option<(DVec3, DVec3)>,
}

/// Hit of a ray on a plane that shows the field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SectionHit {
    /// Distance along the ray.
    pub t: f64,
    /// Unit normal towards the viewer.
    pub normal: Vec3,
}

/// Part of a ray within the unit cube and the kept side of a section.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Distance of its start.
    pub enter: f64,
    /// Distance of its end, at least `enter`.
    pub exit: f64,
    /// Outward normal of the face that it enters through, of the cube or of the section; 0 where the ray starts within.
    pub face: Vec3,
    /// The plane that shows the field: at `exit`, or at `enter`, where an opaque one ends the interval at once.
    pub shown: Option<SectionHit>,
}

impl Plane {
    /// The section in the unit coordinates of `cube`.
    pub fn new(section: &Section, cube: Cube) -> Self {
        let Section { normal, offset, show } = *section;
        Self { normal, offset: (offset - normal.dot(cube.origin)) / cube.size, show, opacity: 1.0, within: None }
    }

    /// The plane of a frame's settings in the unit coordinates of `cube`, where there is one.
    pub fn of(settings: &RenderSettings, cube: Cube) -> Option<Self> {
        let within = settings.section_box.map(|(lo, hi)| (cube.to_unit(lo), cube.to_unit(hi)));
        settings
            .section
            .map(|section| Self { within, ..Self::new(&section, cube) }.with_opacity(settings.section_opacity))
    }

    /// The same plane with this opacity where it shows the field, 0 to 1.
    pub fn with_opacity(self, opacity: f32) -> Self {
        Self { opacity, ..self }
    }

    /// Opacity where it shows the field.
    pub fn opacity(&self) -> f32 {
        self.opacity
    }

    /// `true` where a point is cut away.
    #[inline]
    pub fn is_clipped(&self, p: Vec3) -> bool {
        self.normal.dot(p.as_dvec3()) > self.offset
    }

    /// Start and end of the part of a ray, from 0 on, that is not cut away; `None` where there is none.
    pub fn clip_interval(&self, origin: DVec3, direction: DVec3) -> Option<(f64, f64)> {
        let (height, rise) = (self.normal.dot(origin) - self.offset, self.normal.dot(direction));
        let t = -height / rise;
        match height > 0.0 {
            true => (rise < 0.0).then_some((t, f64::INFINITY)),
            false => Some((0.0, if rise > 0.0 { t } else { f64::INFINITY })),
        }
    }

    /// Returns whether it shows the field at a point of it.
    fn shows_at(&self, p: DVec3) -> bool {
        let is_within = |(lo, hi): (DVec3, DVec3)| p.cmpge(lo).all() && p.cmple(hi).all();
        self.show == SectionView::Field && self.within.is_none_or(is_within)
    }

    /// Hit of a ray on the plane, where the plane shows the field, and `true` if what is kept begins there.
    pub fn hit(&self, origin: DVec3, direction: DVec3) -> Option<(SectionHit, bool)> {
        let (from, to) = self.clip_interval(origin, direction)?;
        let normal = self.normal.as_vec3();
        let (hit, is_entered) = match from > 0.0 {
            true => (SectionHit { t: from, normal }, true),
            false => (SectionHit { t: to, normal: -normal }, false),
        };
        let is_shown = hit.t.is_finite() && self.shows_at(origin + direction * hit.t);
        is_shown.then_some((hit, is_entered))
    }
}

/// Clips a ray in field coordinates to the unit cube and the side that `plane` keeps.
pub fn clip(origin: DVec3, direction: DVec3, plane: Option<&Plane>) -> Option<Interval> {
    let (mut enter, mut exit, mut face) = nstr_space::ray_box(origin, direction)?;
    let Some(plane) = plane else { return Some(Interval { enter, exit, face, shown: None }) };
    let (from, to) = plane.clip_interval(origin, direction)?;
    let shows = |t: f64| plane.shows_at(origin + direction * t);
    let normal = plane.normal.as_vec3();
    let mut shown = None;
    if to < exit {
        exit = to;
        shown = shows(to).then_some(SectionHit { t: to, normal: -normal });
    }
    if from > enter {
        (enter, face) = (from, normal);
        shown = shows(from).then_some(SectionHit { t: from, normal });
    }
    if enter >= exit {
        return None;
    }
    if plane.opacity >= 1.0 && shown.is_some_and(|s| s.t == enter) {
        exit = enter;
    }
    Some(Interval { enter, exit, face, shown })
}

/// Distance between isolines of a signed distance, in edges of the cube.
pub const SPACING: f32 = 1.0 / 40.0;
/// Half the width of an isoline and of the line at 0, in edges of the cube.
const THIN: f32 = 0.0008;
const BOLD: f32 = 0.0015;
/// Distance with the map's last colour, in edges of the cube.
pub const FULL: f32 = 0.5;

/// sRGB values of a signed distance (edges of the cube) on a section: blue inside, red outside, by the root of the distance,
/// isolines every 1/40 and a bold one at 0. `slope` is the length of the gradient along the plane; lines are drawn as wide
/// wherever it is.
pub fn distance_colour(distance: f32, slope: f32) -> [f32; 3] {
    let base = distance_base_colour(distance);
    let nearest = (distance / SPACING).round();
    // A line would fill whole patches where the field is nearly level along the plane.
    let off = (distance - nearest * SPACING).abs() / slope.max(0.2);
    match nearest == 0.0 {
        true if off < BOLD => [0.06; 3],
        false if off < THIN => base.map(|c| 0.62 * c),
        _ => base,
    }
}

/// Colours of [`distance_colour`] between the isolines.
pub fn distance_base_colour(distance: f32) -> [f32; 3] {
    diverging_colormap(distance.signum() * (distance.abs() / FULL).sqrt())
}

/// sRGB values of a density (per edge of the cube) on a section.
pub fn density_colour(density: f32) -> [f32; 3] {
    sequential_colormap(1.0 - (-0.01 * density).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(normal: DVec3, offset: f64, show: SectionView) -> Plane {
        Plane::new(&Section { normal, offset, show }, Cube::default())
    }

    #[test]
    fn sections_parse_and_say_what_is_wrong() {
        let section: Section = "0, 0,2 ,0.5".parse().unwrap();
        assert_eq!((section.normal, section.offset, section.show), (DVec3::Z, 0.25, SectionView::Cut));
        for bad in ["", "1,0,0", "0,0,0,1", "1,0,0,x", "1,0,0,inf", "nan,0,0,1", "1,0,0,0,0"] {
            let message = bad.parse::<Section>().unwrap_err();
            assert!(message.contains("NX,NY,NZ,OFFSET"), "{message}");
        }
        assert!(Section { normal: DVec3::new(1.0, 1.0, 0.0), offset: 0.0, show: SectionView::Cut }.check().is_err());
    }

    #[test]
    fn planes_move_with_the_cube() {
        let cube = Cube { origin: DVec3::new(-2.0, 1.0, 3.0), size: 4.0 };
        let normal = DVec3::new(0.6, 0.0, 0.8);
        let plane = Plane::new(&Section { normal, offset: 3.0, show: SectionView::Cut }, cube);
        for i in 0..64 {
            let p = DVec3::new((i % 4) as f64, (i / 4 % 4) as f64, (i / 16) as f64) * 0.3 + 0.031;
            assert_eq!(plane.is_clipped(p.as_vec3()), normal.dot(cube.to_world(p)) > 3.0, "{p}");
        }
    }

    #[test]
    fn rays_are_cut_from_either_side() {
        let (above, below) = (DVec3::new(0.5, 0.5, 3.0), DVec3::new(0.5, 0.5, -1.0));
        for show in [SectionView::Cut, SectionView::Field] {
            let p = plane(DVec3::Z, 0.25, show);
            let field = show == SectionView::Field;
            let end = |t, normal| field.then_some(SectionHit { t, normal });
            let got = clip(above, DVec3::NEG_Z, Some(&p)).unwrap();
            let exit = if field { 2.75 } else { 3.0 };
            assert_eq!(got, Interval { enter: 2.75, exit, face: Vec3::Z, shown: end(2.75, Vec3::Z) });
            let got = clip(below, DVec3::Z, Some(&p)).unwrap();
            assert_eq!(got, Interval { enter: 1.0, exit: 1.25, face: Vec3::NEG_Z, shown: end(1.25, Vec3::NEG_Z) });
            // From within, either way, and along the plane.
            assert!(clip(DVec3::splat(0.5), DVec3::Z, Some(&p)).is_none());
            assert!(clip(DVec3::splat(0.5), DVec3::X, Some(&p)).is_none());
            let got = clip(DVec3::splat(0.125), DVec3::NEG_Z, Some(&p)).unwrap();
            assert_eq!(got, Interval { enter: 0.0, exit: 0.125, face: Vec3::ZERO, shown: None });
            // A plane beside the cube cuts all or nothing.
            assert!(clip(above, DVec3::NEG_Z, Some(&plane(DVec3::Z, -0.5, show))).is_none());
            let whole = clip(above, DVec3::NEG_Z, None);
            assert_eq!(clip(above, DVec3::NEG_Z, Some(&plane(DVec3::Z, 1.5, show))), whole);
        }
    }

    #[test]
    fn the_field_is_shown_within_the_box_and_only_cut_outside_of_it() {
        let section = Section { normal: DVec3::Z, offset: 0.5, show: SectionView::Field };
        let world = box_around((DVec3::new(0.3, 0.4, 0.2), DVec3::new(0.7, 0.6, 0.8)), Cube::default());
        assert!((world.0 - DVec3::new(0.24, 0.34, 0.14)).length() < 1e-12);
        let settings =
            |section_box| RenderSettings { section: Some(section), section_box, ..RenderSettings::default() };
        let plane = |section_box| Plane::of(&settings(section_box), Cube::default());
        let cut = Plane::new(&Section { show: SectionView::Cut, ..section }, Cube::default());
        for (x, y, is_within) in [(0.5, 0.5, true), (0.25, 0.35, true), (0.23, 0.5, false), (0.5, 0.67, false)] {
            for (z, down) in [(2.0, DVec3::NEG_Z), (-1.0, DVec3::Z)] {
                let origin = DVec3::new(x, y, z);
                let [bounded, whole] = [Some(world), None].map(|b| clip(origin, down, plane(b).as_ref()));
                let expected = if is_within { whole } else { clip(origin, down, Some(&cut)) };
                assert_eq!(bounded, expected, "{origin}");
                assert_eq!(plane(Some(world)).unwrap().hit(origin, down).is_some(), is_within, "{origin}");
            }
        }
    }

    #[test]
    fn colours_tell_sides_and_lines() {
        let [inside, outside] = [-0.04, 0.04].map(|d| distance_colour(d, 1.0));
        assert!(inside[2] > inside[0] && outside[0] > outside[2]);
        let dark = |d: f32, slope: f32| distance_colour(d, slope).iter().sum::<f32>();
        assert!(dark(0.001, 1.0) < 0.2 && dark(-0.001, 1.0) < 0.2 && dark(0.004, 1.0) > 1.5);
        assert!(dark(0.075, 1.0) < 0.8 * dark(0.078, 1.0) && dark(-0.05, 1.0) < 0.8 * dark(-0.047, 1.0));
        assert!(dark(0.004, 4.0) < 0.2, "as wide where the field is steep");
        assert_eq!(density_colour(0.0), sequential_colormap(0.0));
        assert_eq!(density_colour(1e9), sequential_colormap(1.0));
    }
}

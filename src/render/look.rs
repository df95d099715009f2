//! Looks: named combinations of light, material and background for pictures of surfaces.

use std::fmt;
use std::str::FromStr;

use glam::Vec3;

use crate::shading::{Shading, ShadingMode};

/// Look of a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Look {
    /// Grey under studio light with soft shadow and occlusion, on a graded ground.
    #[default]
    Studio,
    /// The same in the colour of fired clay.
    Clay,
    /// A lamp at the camera.
    Headlight,
    /// A shaded ball as material, lit by the normal's direction in the image alone.
    Matcap,
    /// World normals as colours.
    Normals,
    /// Studio light without shadow and occlusion on a plain background.
    Plain,
}

impl Look {
    /// All looks, in the order of lists.
    pub const ALL: [Self; 6] = [Self::Studio, Self::Clay, Self::Headlight, Self::Matcap, Self::Normals, Self::Plain];

    /// Name in options and lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Studio => "studio",
            Self::Clay => "clay",
            Self::Headlight => "headlight",
            Self::Matcap => "matcap",
            Self::Normals => "normals",
            Self::Plain => "plain",
        }
    }

    /// Sentence about it.
    pub fn description(self) -> &'static str {
        match self {
            Self::Studio => "Grey under studio light, with soft shadow and occlusion",
            Self::Clay => "Fired clay under studio light, with soft shadow and occlusion",
            Self::Headlight => "A lamp at the camera, with occlusion",
            Self::Matcap => "A shaded ball as material: form by the direction of the surface in the picture",
            Self::Normals => "World normals as colours, with occlusion",
            Self::Plain => "Studio light without shadow and occlusion, on a plain background",
        }
    }

    /// The next one in the order of lists, after the last the first.
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|look| *look == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// Light and material.
    pub fn shading(self) -> Shading {
        let soft = Shading {
            albedo: [0.40, 0.395, 0.385],
            shadow: true,
            ambient_occlusion: true,
            is_coarse: true,
            occlusion_radius: 0.2,
            light_size: 0.22,
            light: Vec3::new(-0.62, 0.85, 0.55),
            ..Shading::default()
        };
        match self {
            Self::Studio => soft,
            Self::Clay => Shading { albedo: [0.46, 0.235, 0.155], ..soft },
            Self::Headlight => Shading { mode: ShadingMode::Headlight, albedo: [0.50, 0.485, 0.465], ..soft },
            Self::Matcap => Shading { mode: ShadingMode::Matcap, albedo: [0.50, 0.485, 0.465], ..soft },
            Self::Normals => Shading { mode: ShadingMode::Normals, ..soft },
            Self::Plain => Shading::default(),
        }
    }

    /// Whether the background is graded and the object stands on a ground, unless a plain background is asked for.
    pub fn has_backdrop(self) -> bool {
        self != Self::Plain
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Look {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|look| look.name() == text).ok_or_else(|| {
            format!(
                "\"{}\" is not a look; expected studio, clay, headlight, matcap, normals or plain",
                nstr_files::excerpt(text)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_wrong_ones_name_the_looks() {
        for look in Look::ALL {
            assert_eq!(look.to_string().parse(), Ok(look));
        }
        let said = "glossy".parse::<Look>().unwrap_err();
        assert!(Look::ALL.iter().all(|look| said.contains(look.name())), "{said}");
    }

    #[test]
    fn the_next_look_goes_through_all() {
        let mut seen = vec![Look::default()];
        while seen.len() < Look::ALL.len() {
            seen.push(seen[seen.len() - 1].next());
        }
        assert_eq!(seen, Look::ALL);
        assert_eq!(Look::Plain.next(), Look::Studio);
    }
}

//! Sources of the compute and fragment shaders (WGSL).

/// Colour maps and the sRGB curve.
pub const COLOURS: &str = include_str!("colours.wgsl");
/// Entry point of the compute pipeline.
pub const COMPUTE: &str = include_str!("compute.wgsl");
/// Mean curvature from differences of the unit gradient.
pub const CURVATURE: &str = include_str!("curvature.wgsl");
/// A frame's buffers as sRGB values, for a window.
pub const DISPLAY: &str = include_str!("display.wgsl");
/// Everything that a field answers at given points.
pub const EVALUATE: &str = include_str!("evaluate.wgsl");
/// The field: latent grids, basis and networks, with derivatives.
pub const FIELD: &str = include_str!("field.wgsl");
/// Entry point of the graphics pipeline.
pub const FRAGMENT: &str = include_str!("fragment.wgsl");
/// Strata and occupancy of a ray.
pub const MARCH: &str = include_str!("march.wgsl");
/// Shadows and ambient occlusion.
pub const OCCLUSION: &str = include_str!("occlusion.wgsl");
/// The path of a ray through the unit cube of a scene map.
pub const PATH: &str = include_str!("path.wgsl");
/// The plane that cuts, and its colours.
pub const SECTION: &str = include_str!("section.wgsl");
/// Shading of surfaces.
pub const SHADE: &str = include_str!("shade.wgsl");
/// Occlusion and soft shadow from coarse distances.
pub const SOFT_LIGHT: &str = include_str!("soft_light.wgsl");
/// Sphere tracing.
pub const SPHERE: &str = include_str!("sphere.wgsl");
/// Camera rays, sample positions and the buffers of a frame.
pub const VIEW: &str = include_str!("view.wgsl");
/// Volume compositing.
pub const VOLUME: &str = include_str!("volume.wgsl");

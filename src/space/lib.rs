//! The space that fields live in: the unit cube and its maps from the world, rays, the traits of fields, and occupancy grids.

pub mod analytic;
pub mod analytic_radiance;
pub mod cube;
pub mod fields;
pub mod occupancy;
pub mod ray;
pub mod scene_map;
pub mod surface_bounds;
pub mod volume_path;

pub use analytic_radiance::AnalyticRadiance;
pub use cube::Cube;
pub use fields::{DistanceField, RadianceField};
pub use occupancy::{Occupancy, OccupancyError, OccupancyTraversal, RaySample, RaySampling, VolumeRay};
pub use ray::{Ray, ray_box};
pub use scene_map::{Frustum, SceneMap};
pub use surface_bounds::{BoundCell, SurfaceBounds};
pub use volume_path::{PathPiece, VolumePath};

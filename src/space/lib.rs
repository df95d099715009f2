//! The space that fields live in: the unit cube and its place in the world, rays, what answers points, and the cells that
//! may hold matter.

pub mod analytic;
pub mod analytic_radiance;
pub mod cube;
pub mod occupancy;
pub mod ray;
pub mod source;

pub use analytic_radiance::AnalyticRadiance;
pub use cube::UnitCube;
pub use occupancy::{March, Occupancy, OccupancyError, Sample, Stepping, VolumeRay};
pub use ray::{Ray, ray_box};
pub use source::{RadianceSource, SdfSource};

//! Convex solids that rays meet in closed form: ellipsoids, upright cones and cylinders, and polyhedra by their planes.
//!
//! A ray meets a solid where it enters it. One that starts inside a solid leaves it unseen, so that solids may overlap.

use glam::{DVec2, DVec3, dvec3};

/// A convex shape around or above the origin.
#[derive(Clone)]
pub enum Shape {
    /// Around the origin.
    Ellipsoid {
        /// Half-axes.
        radii: DVec3,
    },
    /// A truncated cone that stands on the origin, round about z, with both ends closed.
    Frustum {
        /// Radius at the foot.
        low: f64,
        /// Radius at the top.
        high: f64,
        /// Distance between both.
        height: f64,
    },
    /// All points p with n·p ≤ d for each plane.
    Polyhedron {
        /// Outward unit normals n and distances d.
        planes: Vec<(DVec3, f64)>,
        /// Corners of a box that holds it.
        bounds: (DVec3, DVec3),
    },
}

/// Entry of a ray into a shape.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Distance in lengths of the ray's direction.
    pub t: f64,
    /// Outward unit normal.
    pub normal: DVec3,
}

impl Shape {
    /// A sphere.
    pub fn sphere(radius: f64) -> Self {
        Self::Ellipsoid { radii: DVec3::splat(radius) }
    }

    /// A box that stands on the origin, in its middle.
    pub fn block(size: DVec3) -> Self {
        Self::prism(size, 0.0)
    }

    /// A box as [`Self::block`] with a ridged roof on top that runs along y and is `rise` high.
    pub fn prism(size: DVec3, rise: f64) -> Self {
        let half = 0.5 * size;
        let mut planes = vec![
            (DVec3::X, half.x),
            (DVec3::NEG_X, half.x),
            (DVec3::Y, half.y),
            (DVec3::NEG_Y, half.y),
            (DVec3::NEG_Z, 0.0),
        ];
        if rise > 0.0 {
            for side in [1.0, -1.0] {
                let normal = dvec3(side * rise, 0.0, half.x).normalize();
                planes.push((normal, normal.z * (size.z + rise)));
            }
        } else {
            planes.push((DVec3::Z, size.z));
        }
        let top = size.z + rise.max(0.0);
        Self::Polyhedron { planes, bounds: (dvec3(-half.x, -half.y, 0.0), dvec3(half.x, half.y, top)) }
    }

    /// A pyramid on a square of edge `edge`.
    pub fn pyramid(edge: f64, height: f64) -> Self {
        let half = 0.5 * edge;
        let side = |x: f64, y: f64| {
            let normal = dvec3(x * height, y * height, half).normalize();
            (normal, normal.z * height)
        };
        let planes = vec![side(1.0, 0.0), side(-1.0, 0.0), side(0.0, 1.0), side(0.0, -1.0), (DVec3::NEG_Z, 0.0)];
        Self::Polyhedron { planes, bounds: (dvec3(-half, -half, 0.0), dvec3(half, half, height)) }
    }

    /// A box of half-edges `half` around the origin, turned about the y axis by the angle with cosine and sine `turn`.
    pub fn blade(half: DVec3, turn: DVec2) -> Self {
        let axes = [dvec3(turn.x, 0.0, turn.y), DVec3::Y, dvec3(-turn.y, 0.0, turn.x)];
        let planes = axes.iter().zip(half.to_array()).flat_map(|(&n, d)| [(n, d), (-n, d)]).collect();
        let reach: DVec3 = axes.iter().zip(half.to_array()).map(|(n, d)| n.abs() * d).sum();
        Self::Polyhedron { planes, bounds: (-reach, reach) }
    }

    /// Corners of a box that holds the shape.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        match *self {
            Self::Ellipsoid { radii } => (-radii, radii),
            Self::Frustum { low, high, height } => {
                let r = low.max(high);
                (dvec3(-r, -r, 0.0), dvec3(r, r, height))
            }
            Self::Polyhedron { bounds, .. } => bounds,
        }
    }

    /// Places where a line through the shape may show its surface, in their order: where it enters, and of an ellipsoid where it
    /// leaves, for those with holes.
    pub fn meet(&self, origin: DVec3, direction: DVec3) -> [Option<Entry>; 2] {
        match self {
            Self::Ellipsoid { radii } => ellipsoid(*radii, origin, direction),
            Self::Frustum { low, high, height } => [frustum([*low, *high], *height, origin, direction), None],
            Self::Polyhedron { planes, .. } => [polyhedron(planes, origin, direction), None],
        }
    }
}

fn ellipsoid(radii: DVec3, origin: DVec3, direction: DVec3) -> [Option<Entry>; 2] {
    let (o, d) = (origin / radii, direction / radii);
    let (a, b, c) = (d.length_squared(), o.dot(d), o.length_squared() - 1.0);
    let discriminant = b * b - a * c;
    if discriminant <= 0.0 {
        return [None; 2];
    }
    let root = discriminant.sqrt();
    [-root, root].map(|root| {
        let t = (root - b) / a;
        let normal = ((origin + direction * t) / (radii * radii)).normalize();
        Some(Entry { t, normal })
    })
}

fn frustum([low, high]: [f64; 2], height: f64, origin: DVec3, direction: DVec3) -> Option<Entry> {
    let slope = (high - low) / height;
    let (o, d) = (origin.truncate(), direction.truncate());
    let (radius, growth) = (low + slope * origin.z, slope * direction.z);
    let a = d.length_squared() - growth * growth;
    let b = o.dot(d) - growth * radius;
    let c = o.length_squared() - radius * radius;
    let mut nearest: Option<Entry> = None;
    let mut offer = |t: f64, normal: DVec3| {
        if normal.dot(direction) < 0.0 && nearest.is_none_or(|n| t < n.t) {
            nearest = Some(Entry { t, normal });
        }
    };
    let discriminant = b * b - a * c;
    if discriminant > 0.0 && a != 0.0 {
        for root in [discriminant.sqrt(), -discriminant.sqrt()] {
            let t = (root - b) / a;
            let p = origin + direction * t;
            let radius = low + slope * p.z;
            if (0.0..=height).contains(&p.z) && radius > 0.0 {
                offer(t, (p.truncate() / radius).extend(-slope).normalize());
            }
        }
    }
    if direction.z != 0.0 {
        for (z, radius, normal) in [(0.0, low, DVec3::NEG_Z), (height, high, DVec3::Z)] {
            let t = (z - origin.z) / direction.z;
            if (o + d * t).length_squared() <= radius * radius {
                offer(t, normal);
            }
        }
    }
    nearest
}

fn polyhedron(planes: &[(DVec3, f64)], origin: DVec3, direction: DVec3) -> Option<Entry> {
    let mut entry = Entry { t: f64::NEG_INFINITY, normal: DVec3::ZERO };
    let mut exit = f64::INFINITY;
    for &(normal, distance) in planes {
        let (along, gap) = (normal.dot(direction), distance - normal.dot(origin));
        if along < 0.0 {
            let t = gap / along;
            if t > entry.t {
                entry = Entry { t, normal };
            }
        } else if along > 0.0 {
            exit = exit.min(gap / along);
        } else if gap < 0.0 {
            return None;
        }
    }
    (entry.t < exit).then_some(entry)
}

//! Opens a model and asks it for values at world points.
//!
//!     cargo run --release --example load_and_query -- chair.safetensors

use glam::{DVec3, Vec3};
use nstr::{Error, Field};

fn main() -> Result<(), Error> {
    let path = std::env::args().nth(1).unwrap_or("chair.safetensors".into());
    let points: Vec<DVec3> = (0..5).map(|i| DVec3::new(0.0, 0.25 * f64::from(i), 0.0)).collect();
    match Field::load(&path)? {
        Field::Sdf(model) => {
            let (distance, gradient) = model.distance_gradient(&points);
            for ((p, d), g) in points.iter().zip(distance).zip(gradient) {
                println!("{p}: distance {d:.4}, gradient {g:.3}");
            }
        }
        Field::Radiance(model) => {
            let colours = model.radiance(&points, &vec![Vec3::NEG_Z; points.len()]);
            for (p, [r, g, b, density]) in points.iter().zip(colours) {
                println!("{p}: density {density:.3}, colour {r:.3} {g:.3} {b:.3}");
            }
        }
        Field::Signal(model) => {
            let middle = vec![0.5; model.field.spec().dim];
            println!("{}; value in the middle {:?}", model.reconstruct().describe(), model.values(&middle));
        }
    }
    Ok(())
}

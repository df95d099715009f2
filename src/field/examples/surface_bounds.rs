//! Proves which cells of a distance model hold no surface, and says what the proof took and how close it is.
//!
//! `cargo run --release -p nstr-field --example surface_bounds -- MODEL DEPTH [SAMPLES]` halves the cube DEPTH times. With SAMPLES the
//! field is evaluated at so many points along each edge of the cells that are left, which tells how many of them hold a change
//! of sign.

use std::error::Error;
use std::time::Instant;

use glam::Vec3;
use nstr_field::sdf::NeuralSdf;
use nstr_field::{BoxEvaluator, Model, Rounding};
use nstr_space::DistanceField;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, depth, rest @ ..] = &arguments[..] else {
        return Err("usage: surface_bounds MODEL DEPTH [SAMPLES]".into());
    };
    let Model { spec, grid, net, .. } = &Model::load(std::path::Path::new(path))?;
    let field = NeuralSdf::new(spec, grid.clone(), net, None);
    let start = Instant::now();
    let bounds = BoxEvaluator::new(spec, grid, net, Rounding::Single)?;
    let found = bounds.surface_bounds(&field, depth.parse()?);
    let seconds = start.elapsed().as_secs_f64();
    let total = 2f64.powi(3 * found.depth as i32);
    let undecided = found.undecided().count();
    println!(
        "{} boxes in {seconds:.2} s ({:.1} µs each); {undecided} of {total} cells left ({:.3} %)",
        found.boxes,
        1e6 * seconds / found.boxes as f64,
        100.0 * undecided as f64 / total,
    );
    for depth in 0..=found.depth {
        let free = found.cells.iter().filter(|cell| cell.depth == depth && cell.sign != 0).count();
        println!("  depth {depth}: {free} cells proven free");
    }
    println!("slope: {:.3} measured", field.lipschitz());
    let Some(samples) = rest.first() else { return Ok(()) };
    let samples: usize = samples.parse::<usize>()?.max(2);
    let edge = 0.5f64.powi(found.depth as i32);
    let cells: Vec<_> = found.undecided().collect();
    let mut held = 0;
    for cells in cells.chunks(4096) {
        let mut points = Vec::new();
        for cell in cells {
            for i in 0..samples.pow(3) {
                let at = [i % samples, i / samples % samples, i / samples / samples];
                let place = |j: usize| (f64::from(cell.at[j]) + at[j] as f64 / (samples - 1) as f64) * edge;
                points.push(Vec3::from_array([0, 1, 2].map(|j| place(j) as f32)));
            }
        }
        let mut values = vec![0.0; points.len()];
        field.distance_parallel(&points, &mut values);
        let changes = |values: &&[f32]| values.iter().any(|v| *v < 0.0) && values.iter().any(|v| *v >= 0.0);
        held += values.chunks_exact(samples.pow(3)).filter(changes).count();
    }
    println!("{held} cells hold a change of sign: {:.2} left for each", undecided as f64 / held as f64);
    Ok(())
}

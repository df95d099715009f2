//! Counts the cells of a distance model that are proven free of its surface, and those that hold it.
//!
//! `cargo run --release -p nstr-field --example level_cells -- MODEL DEPTH [SAMPLES]` halves the cube DEPTH times. With SAMPLES the field
//! is evaluated at so many points along each edge of the cells that are left, which tells how many of them hold a change of sign.

use std::error::Error;
use std::time::Instant;

use nstr_field::{BoxEvaluator, Model, Rounding};
use nstr_kernel::{FusedField, Outputs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, depth, rest @ ..] = &arguments[..] else {
        return Err("usage: level_cells MODEL DEPTH [SAMPLES]".into());
    };
    let Model { spec, grid, net, .. } = Model::load(std::path::Path::new(path))?;
    let start = Instant::now();
    let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Single)?;
    println!("prepared in {:.3} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let found = bounds.level_cells(depth.parse()?, 0.0);
    let seconds = start.elapsed().as_secs_f64();
    let total = 2f64.powi((found.depth as usize * spec.dim) as i32);
    println!(
        "{} boxes in {seconds:.2} s ({:.1} µs each); {} of {total} cells left ({:.3} %)",
        found.boxes,
        1e6 * seconds / found.boxes as f64,
        found.cells.len(),
        100.0 * found.cells.len() as f64 / total,
    );
    for (depth, kept) in found.kept.iter().enumerate() {
        println!("  depth {depth}: {kept} left of {}", 2f64.powi((depth * spec.dim) as i32));
    }
    let Some(samples) = rest.first() else { return Ok(()) };
    let samples: usize = samples.parse::<usize>()?.max(2);
    let fused = FusedField::new(&spec);
    let packed = fused.pack(&net);
    let edge = 0.5f64.powi(found.depth as i32);
    let mut held = 0;
    for cells in found.cells.chunks(4096) {
        let mut points = Vec::new();
        for cell in cells {
            for i in 0..samples.pow(spec.dim as u32) {
                let mut i = i;
                for c in &cell[..spec.dim] {
                    let t = (i % samples) as f64 / (samples - 1) as f64;
                    points.push(((f64::from(*c) + t) * edge) as f32);
                    i /= samples;
                }
            }
        }
        let mut values = vec![0.0; points.len() / spec.dim * spec.outputs];
        fused.evaluate_parallel(&packed, &grid, &points, Outputs::Value, &mut values);
        for values in values.chunks_exact(samples.pow(spec.dim as u32) * spec.outputs) {
            let inside = values.iter().step_by(spec.outputs).filter(|v| **v < 0.0).count();
            held += usize::from(inside > 0 && inside < values.len() / spec.outputs);
        }
    }
    println!("{held} cells hold a change of sign: {:.2} left for each", found.cells.len() as f64 / held as f64);
    Ok(())
}

//! Tests of the search for cells that may hold a surface, on fields whose surface samples miss.

use glam::Vec3;
use nstr_kernel::{FusedField, Outputs};
use nstr_space::{BoundCell, DistanceField};
use nstr_spec::{Activation::*, FieldSpec, LevelSpec, MlpSpec};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::tests::{base, parameters, variants};
use super::*;
use crate::sdf::NeuralSdf;

/// A field near the distance to a sphere: its grid holds it in feature 0, which the decoder passes on as the difference of two
/// rectifiers; all else is small and random.
fn sphere(rng: &mut Pcg64) -> (FieldSpec, Vec<f32>, Vec<f32>) {
    let mut spec = base();
    spec.latent.levels = vec![LevelSpec::new(16, None), LevelSpec::new(32, Some(512))];
    (spec.decoder, spec.spectrum, spec.transport) =
        (MlpSpec::new(1, 16, Relu), MlpSpec::new(1, 16, Relu), MlpSpec::ABSENT);
    let (mut grid, mut net) = parameters(&spec, rng);
    grid.iter_mut().for_each(|v| *v *= 0.02);
    net[spec.net_layout().basis_range().end..].iter_mut().for_each(|w| *w *= 0.3);
    for (i, row) in grid.chunks_exact_mut(spec.latent.features).take(17usize.pow(3)).enumerate() {
        let at = [i % 17, i / 17 % 17, i / 289].map(|k| k as f32 / 16.0 - 0.5);
        row[0] = at.iter().map(|v| v * v).sum::<f32>().sqrt() - 0.3;
    }
    let layout = spec.net_layout();
    let (first, last) = (layout.decoder[0], layout.decoder[1]);
    for (unit, sign) in [(0, 1.0), (1, -1.0)] {
        net[first.weight + spec.modulated_width() * first.outputs + unit] = sign;
        net[last.weight + unit] = sign;
    }
    net[last.bias] = 0.0;
    (spec, grid, net)
}

/// Cells along an axis of a field whose features are constant but for one vertex.
const SPIKE_CELLS: u32 = 24;
/// That vertex.
const SPIKE: [u32; 3] = [7, 17, 11];

/// A field that is 0.2 everywhere but around one vertex of its grid, where it falls to −0.01: its surface is a polyhedron of less
/// than a twentieth of a cell.
fn spike() -> (FieldSpec, Vec<f32>, Vec<f32>) {
    let (mut spec, _, mut net) = sphere(&mut Pcg64::seed_from_u64(8));
    let old = spec.net_layout();
    spec.latent.levels = vec![LevelSpec::new(SPIKE_CELLS, None)];
    let layout = spec.net_layout();
    let (from, to) = (old.decoder[1], layout.decoder[1]);
    let last: Vec<f32> = net[from.weight..from.bias + 1].to_vec();
    net = vec![0.0; spec.net_len()];
    net[to.weight..to.bias + 1].copy_from_slice(&last);
    net[to.weight..to.weight + 2].copy_from_slice(&[1.0, -1.0]);
    net[to.weight + 2..=to.bias].fill(0.0);
    let first = layout.decoder[0];
    for (unit, sign) in [(0, 1.0), (1, -1.0)] {
        net[first.weight + spec.modulated_width() * first.outputs + unit] = sign;
    }
    let n = SPIKE_CELLS as usize + 1;
    let mut grid = vec![0.0; spec.grid_len()];
    grid.chunks_exact_mut(spec.latent.features).for_each(|row| row[0] = 0.2);
    let vertex = SPIKE.map(|k| k as usize);
    grid[((vertex[2] * n + vertex[1]) * n + vertex[0]) * spec.latent.features] = -0.01;
    (spec, grid, net)
}

/// True if the closed cell holds a point.
fn holds(cell: &BoundCell, x: [f64; 3]) -> bool {
    let [low, high] = cell.corners();
    (0..3).all(|j| low[j] <= x[j] && x[j] <= high[j])
}

#[test]
fn a_spike_between_samples_is_left_undecided() {
    let (spec, grid, net) = spike();
    let field = NeuralSdf::new(&spec, grid.clone(), &net, None);
    let place = SPIKE.map(|k| f64::from(k) / f64::from(SPIKE_CELLS));
    let point = Vec3::from_array(place.map(|v| v as f32));
    let mut value = [0.0];
    field.distance(&[point], &mut value);
    assert!(value[0] < -0.009, "{value:?}");

    // Samples do not see it: neither values at 65³ points nor the slope at 65 536 random ones, of which the steepest are cut.
    let at = |i: usize| Vec3::new((i % 65) as f32, (i / 65 % 65) as f32, (i / 65 / 65) as f32) / 64.0;
    let points: Vec<Vec3> = (0..65usize.pow(3)).map(at).collect();
    let mut values = vec![0.0; points.len()];
    field.distance_parallel(&points, &mut values);
    assert!(values.iter().all(|v| *v > 0.0));
    let lipschitz = field.lipschitz();
    let misses = points.iter().zip(&values).any(|(p, v)| v / lipschitz > 1.05 * p.distance(point));
    assert!(misses, "a ball of radius f / {lipschitz} never holds the spike");

    let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Single).unwrap();
    for depth in 3..=8 {
        let found = bounds.surface_bounds(&field, depth);
        let undecided: Vec<&BoundCell> = found.undecided().collect();
        assert!(undecided.iter().any(|cell| holds(cell, place)), "{depth}");
        assert!(undecided.len() <= 8 && found.cells.iter().all(|cell| cell.sign >= 0), "{depth}: {undecided:?}");
    }
    // The slope around the spike is known, too: a fall of 0.21 within a cell along each of three axes.
    let cell = 1.0 / f64::from(SPIKE_CELLS);
    let [low, high] = [0.25, 0.75].map(|t| [place[0] + t * cell, place[1] + t * cell, place[2] + t * cell]);
    let proven = bounds.lipschitz(&low, &high);
    assert!(proven > 0.21 / cell * 0.75 * 0.75 && proven < 0.21 / cell * 3f64.sqrt(), "{proven} {lipschitz}");
    assert!(proven > 2.0 * f64::from(lipschitz));
}

#[test]
fn cells_fill_the_cube_and_have_the_signs_of_their_points() {
    let mut rng = Pcg64::seed_from_u64(9);
    let cube = |spec: &FieldSpec| spec.dim == 3 && spec.outputs == 1;
    for (name, spec) in variants().into_iter().filter(|(_, spec)| cube(spec)) {
        let (grid, mut net) = parameters(&spec, &mut rng);
        // Around the value at the middle, so that there is a surface.
        let layout = spec.net_layout();
        let last = *layout.decoder.last().unwrap();
        let middle = NeuralSdf::new(&spec, grid.clone(), &net, Some(1.0));
        let mut value = [0.0];
        middle.distance(&[Vec3::splat(0.5)], &mut value);
        net[last.bias] -= value[0] / last.gain as f32;
        let field = NeuralSdf::new(&spec, grid.clone(), &net, Some(1.0));
        let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Single).unwrap();
        let found = bounds.surface_bounds(&field, 4);
        let volume: f64 = found.cells.iter().map(|cell| cell.edge().powi(3)).sum();
        assert_eq!(volume, 1.0, "{name}");
        for cell in found.cells.iter().filter(|cell| cell.sign != 0) {
            let [low, high] = cell.corners();
            let at = |i: usize| {
                let t = [i % 4, i / 4 % 4, i / 16].map(|k| k as f64 / 3.0);
                Vec3::from_array([0, 1, 2].map(|j| (low[j] + t[j] * (high[j] - low[j])) as f32))
            };
            let points: Vec<Vec3> = (0..64).map(at).collect();
            let mut values = vec![0.0; 64];
            field.distance(&points, &mut values);
            assert!(values.iter().all(|v| v * f32::from(cell.sign) > 0.0), "{name} {cell:?}");
        }
    }
}

#[test]
fn finer_cells_are_left_only_in_coarser_ones() {
    let (spec, grid, net) = sphere(&mut Pcg64::seed_from_u64(12));
    let field = NeuralSdf::new(&spec, grid.clone(), &net, Some(1.0));
    let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Single).unwrap();
    let [coarse, fine] = [5, 6].map(|depth| bounds.surface_bounds(&field, depth));
    let left: std::collections::BTreeSet<[u32; 3]> = coarse.undecided().map(|cell| cell.at).collect();
    assert!(fine.undecided().all(|cell| left.contains(&cell.at.map(|c| c / 2))));
    assert!(fine.undecided_volume() < 0.7 * coarse.undecided_volume());
    // What was settled at the coarser size is kept as it is.
    assert_eq!(coarse.cells.iter().filter(|c| c.sign != 0).count(), fine.cells.iter().filter(|c| c.depth <= 5).count());
}

#[test]
fn every_change_of_sign_lies_in_a_cell_that_is_left() {
    let (spec, grid, net) = sphere(&mut Pcg64::seed_from_u64(7));
    let field = NeuralSdf::new(&spec, grid.clone(), &net, Some(1.0));
    let bounds = BoxEvaluator::new(&spec, &grid, &net, Rounding::Single).unwrap();
    let (depth, finer) = (5, 3);
    let found = bounds.surface_bounds(&field, depth);
    let cells = 1usize << depth;
    let mut left = vec![false; cells.pow(3)];
    found.undecided().for_each(|c| left[c.at.iter().rev().fold(0, |n, c| n * cells + *c as usize)] = true);

    let n = cells * finer + 1;
    let at = |i: usize| [i % n, i / n % n, i / (n * n)];
    let points: Vec<f32> = (0..n.pow(3)).flat_map(|i| at(i).map(|k| (k as f64 / (n - 1) as f64) as f32)).collect();
    let fused = FusedField::new(&spec);
    let mut values = vec![0.0; n.pow(3)];
    fused.evaluate_parallel(&fused.pack(&net), &grid, &points, Outputs::Value, &mut values);
    let mut held_by = vec![false; left.len()];
    let mut changes = 0;
    for i in 0..values.len() {
        for (j, step) in [1, n, n * n].into_iter().enumerate() {
            if at(i)[j] + 1 == n || (values[i] < 0.0) == (values[i + step] < 0.0) {
                continue;
            }
            changes += 1;
            // The edge lies in one cell, or on the border of several: the upper ones then, but for the cube's own.
            let cell = at(i).map(|k| (k / finer).min(cells - 1));
            let cell = (cell[2] * cells + cell[1]) * cells + cell[0];
            assert!(left[cell], "{:?}: {} {}", at(i), values[i], values[i + step]);
            held_by[cell] = true;
        }
    }
    let held = held_by.iter().filter(|held| **held).count();
    assert!(changes > 1000 && held > 300, "{changes} {held}");
    // A bound that keeps more than twice the cells has lost the field's slope.
    let undecided = found.undecided().count();
    assert!(undecided < 2 * held, "{undecided} cells for {held}");
}

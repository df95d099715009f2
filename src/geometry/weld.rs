//! Vertices at equal positions.

use glam::DVec3;
use rayon::prelude::*;

/// For each vertex the lowest index of a vertex at the very same position; −0 equals 0.
pub(crate) fn first_at_position(positions: &[DVec3]) -> Vec<u32> {
    // Adding 0 makes −0 equal to 0.
    let bits = |v: u32| (positions[v as usize] + 0.0).to_array().map(f64::to_bits);
    let mut order: Vec<u32> = (0..positions.len() as u32).collect();
    order.par_sort_unstable_by_key(|&v| (bits(v), v));
    let mut first = vec![0u32; positions.len()];
    for group in order.chunk_by(|&a, &b| bits(a) == bits(b)) {
        group.iter().for_each(|&v| first[v as usize] = group[0]);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_positions_stands_for_all() {
        let p = [DVec3::X, DVec3::ZERO, DVec3::Y, -DVec3::ZERO, DVec3::X, DVec3::X + 1e-16];
        assert_eq!(first_at_position(&p), [0, 1, 2, 1, 0, 5]);
        assert!(first_at_position(&[]).is_empty());
    }
}

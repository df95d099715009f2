//! Distance from each word of an occupancy grid to the nearest one that is not empty.

use glam::UVec3;

/// For each of `side`³ places the chessboard distance (the largest of the three axes' distances, at most 255) to the
/// nearest occupied one; place `at` is stored at `index(at)`.
///
/// Two sweeps over all neighbours, which is exact for this distance: one from the first place to the last, one back.
pub(super) fn clearance(side: usize, occupied: impl Fn(UVec3) -> bool, index: impl Fn(UVec3) -> usize) -> Vec<u8> {
    let at = |x: usize, y: usize, z: usize| UVec3::new(x as u32, y as u32, z as u32);
    let mut rows = vec![u8::MAX; side.pow(3)];
    for (i, row) in rows.chunks_exact_mut(side).enumerate() {
        row.iter_mut().enumerate().for_each(|(x, d)| {
            if occupied(at(x, i % side, i / side)) {
                *d = 0;
            }
        });
    }
    sweep(&mut rows, side);
    // The same sweep over the mirrored order is the way back.
    rows.reverse();
    sweep(&mut rows, side);
    rows.reverse();
    let mut out = vec![0; rows.len()];
    for (i, row) in rows.chunks_exact(side).enumerate() {
        row.iter().enumerate().for_each(|(x, d)| out[index(at(x, i % side, i / side))] = *d);
    }
    out
}

/// Lowers each distance to one more than those of the neighbours before it.
fn sweep(rows: &mut [u8], side: usize) {
    let mut least = vec![u8::MAX; side];
    for i in 0..side * side {
        let (y, z) = (i % side, i / side);
        let (before, from_here) = rows.split_at_mut(i * side);
        let row = &mut from_here[..side];
        least.fill(u8::MAX);
        let mut take =
            |r: usize| least.iter_mut().zip(&before[r * side..][..side]).for_each(|(m, d)| *m = (*m).min(*d));
        if y > 0 {
            take(i - 1);
        }
        if z > 0 {
            (y.max(1) - 1..=(y + 1).min(side - 1)).for_each(|y| take((z - 1) * side + y));
        }
        let mut left = u8::MAX;
        for x in 0..side {
            let right = if x + 1 < side { least[x + 1] } else { u8::MAX };
            let before = if x > 0 { least[x - 1].min(left) } else { u8::MAX };
            row[x] = row[x].min(before.min(least[x]).min(right).saturating_add(1));
            left = row[x];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_search() {
        for (side, every) in [(4usize, 7u32), (8, 97), (12, 501)] {
            let linear = |p: UVec3| p.x + side as u32 * (p.y + side as u32 * p.z);
            let occupied = |p: UVec3| linear(p).wrapping_mul(2_654_435_761) >> 7 & 1023 < 10240 / every;
            let places: Vec<UVec3> = (0..side.pow(3))
                .map(|i| UVec3::from([i % side, i / side % side, i / (side * side)].map(|v| v as u32)))
                .collect();
            let got = clearance(side, occupied, |p| linear(p) as usize);
            for p in &places {
                let far = |q: &UVec3| (p.as_ivec3() - q.as_ivec3()).abs().max_element() as u8;
                let want = places.iter().filter(|q| occupied(**q)).map(far).min().unwrap_or(u8::MAX);
                assert_eq!(got[linear(*p) as usize], want, "{side} {p}");
            }
        }
        assert!(clearance(4, |_| false, |p| (p.x + 4 * (p.y + 4 * p.z)) as usize).iter().all(|d| *d == u8::MAX));
    }
}

//! Arrays in which many neighbours are equal, without loss: runs of equal bit patterns and stretches of others.
//!
//! The densities of a radiance field's cells are like that: all cells that can hold nothing have one value, and so have those that were never
//! evaluated. Words of 32 bits: a count, with the highest bit set where one word follows that so many values have; else so many
//! values follow.

/// Bit that tells a run from a stretch.
const RUN: u32 = 1 << 31;
/// Equal values from which a run is shorter than a stretch that goes on.
const SHORTEST_RUN: usize = 4;
/// Equal values of one run at most: two words never claim more than 64 times their memory, whoever wrote them.
const LONGEST_RUN: usize = 128;
/// Values of an array at most: those of the largest grid of cells.
pub const MAX_VALUES: usize = 1 << 27;

/// Codes an array; `None` where that would not be shorter, or has more than [`MAX_VALUES`].
pub fn code(values: &[f32]) -> Option<Vec<u32>> {
    let mut coded: Vec<u32> = Vec::new();
    // Place of the count of the stretch at hand.
    let mut stretch = None;
    let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits();
    if values.len() > MAX_VALUES {
        return None;
    }
    for run in values.chunk_by(same).flat_map(|run| run.chunks(LONGEST_RUN)) {
        let count = run.len() as u32;
        if run.len() >= SHORTEST_RUN {
            coded.extend([RUN | count, run[0].to_bits()]);
            stretch = None;
        } else {
            let at = *stretch.get_or_insert_with(|| {
                coded.push(0);
                coded.len() - 1
            });
            coded[at] += count;
            coded.extend(run.iter().map(|v| v.to_bits()));
        }
        if coded.len() >= values.len() {
            return None;
        }
    }
    // Nothing is not shorter than nothing.
    (!values.is_empty()).then_some(coded)
}

/// The array of a code, of `most` values at most, or what is wrong with it.
pub fn decode(coded: impl Iterator<Item = u32>, most: usize) -> Result<Vec<f32>, String> {
    let (mut values, mut coded) = (Vec::new(), coded);
    while let Some(head) = coded.next() {
        let count = (head & !RUN) as usize;
        let longest = if head & RUN != 0 { LONGEST_RUN } else { most };
        if count == 0 || count > longest.min(most - values.len()) {
            return Err(format!("has a run of {count} after {} values", values.len()));
        }
        if head & RUN != 0 {
            let bits = coded.next().ok_or("ends within a run")?;
            values.resize(values.len() + count, f32::from_bits(bits));
        } else {
            let end = values.len() + count;
            values.extend(coded.by_ref().take(count).map(f32::from_bits));
            if values.len() < end {
                return Err(format!("ends {} values early", end - values.len()));
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_without_matter_take_no_room() {
        let mut cells = vec![-1.0f32; 4096];
        cells[1000..1100].iter_mut().enumerate().for_each(|(i, v)| *v = i as f32 * 0.37);
        let coded = code(&cells).unwrap();
        // Runs of 128 and the rest before and behind.
        assert_eq!(coded.len(), 2 * 8 + 101 + 2 * 24);
        assert_eq!(decode(coded.iter().copied(), 4096).unwrap(), cells);
        assert!(decode(coded.into_iter(), 4095).is_err());
        // More than 64 times its own memory is not claimed by two words.
        assert!(decode([RUN | 129, 0].into_iter(), 4096).is_err() && decode([RUN | 128, 0].into_iter(), 4096).is_ok());
        assert_eq!(code(&(0..100).map(|i| i as f32).collect::<Vec<f32>>()), None, "nothing is equal");
    }

    proptest! {
        /// Few distinct values, among them both zeros and what is no number: every bit comes back.
        #[test]
        fn every_bit_comes_back(picks in prop::collection::vec((0usize..6, 1usize..9), 0..200)) {
            let known = [-1.0, f32::MAX, 0.0, -0.0, 1e-40, f32::NAN];
            let values: Vec<f32> =
                picks.iter().flat_map(|(which, count)| std::iter::repeat_n(known[*which], *count)).collect();
            if let Some(coded) = code(&values) {
                prop_assert!(coded.len() < values.len());
                let back = decode(coded.into_iter(), values.len()).unwrap();
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
                prop_assert_eq!(bits(&back), bits(&values));
            }
        }

        /// Damaged codes are errors, and claim no more than they may.
        #[test]
        fn damaged_codes_do_no_harm(coded in prop::collection::vec(prop_oneof![any::<u32>(), 0u32..9, RUN..RUN + 300], 0..40)) {
            if let Ok(values) = decode(coded.into_iter(), 1000) {
                prop_assert!(values.len() <= 1000);
            }
        }
    }
}

//! Networks in the layouts that kernels read: padded to whole vectors, times their layers' gains, and transposed beside.

use cubecl::prelude::*;

/// Copies `net` into its packed layout. `source` names each float's place in `net`, from 1; 0 is padding.
#[cube(launch_unchecked)]
pub fn pack(net: &Array<f32>, source: &Array<u32>, factor: &Array<f32>, packed: &mut Array<f32>) {
    let i = ABSOLUTE_POS;
    if i < packed.len() {
        let from = source[i] as usize;
        let mut value = 0.0f32;
        if from > 0 {
            value = net[from - 1] * factor[i];
        }
        packed[i] = value;
    }
}

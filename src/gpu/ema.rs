//! The moving average of parameters on the device.

use cubecl::prelude::*;

/// Moves `average` towards `values`, in place: the parts that are kept and gained are rounded one by one, as on the CPU.
#[cube(launch_unchecked)]
pub fn step(average: &mut Array<f32>, values: &Array<f32>, kept: f32, gained: f32) {
    let i = ABSOLUTE_POS;
    if i < average.len() {
        average[i] = average[i] * kept + values[i] * gained;
    }
}

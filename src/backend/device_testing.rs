//! Helpers of tests that run on each GPU backend that is built.

use nstr_files::testing::{Requirement, skip};

use crate::device::Device;

/// Says why not, where the device is not there.
pub fn present(device: Device) -> bool {
    device.check().inspect_err(|error| skip(Requirement::Gpu, &error.to_string())).is_ok()
}

/// ‖a − b‖ / ‖b‖.
pub fn apart<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>();
    let difference = |(a, b): (&T, &T)| (*a).into() - (*b).into();
    (square(&mut a.iter().zip(b).map(difference)) / square(&mut b.iter().map(|b| (*b).into())).max(1e-6)).sqrt()
}

/// Tests on each backend that is built, which they know as `B` and `DEVICE`.
#[macro_export]
#[doc(hidden)]
macro_rules! on_devices {
    ($($test:ident => $check:expr;)*) => {
        $crate::on_devices!(cuda, "cuda", burn_cuda::Cuda, Device::Cuda, $($test => $check;)*);
        $crate::on_devices!(vulkan, "wgpu", burn_wgpu::Wgpu, Device::Wgpu, $($test => $check;)*);
    };
    ($module:ident, $feature:literal, $backend:ty, $device:expr, $($test:ident => $check:expr;)*) => {
        #[cfg(feature = $feature)]
        mod $module {
            use super::*;

            type B = $backend;
            const DEVICE: Device = $device;

            $(#[test]
            fn $test() {
                $check;
            })*
        }
    };
}
pub use on_devices;

//! Devices to train on: the choice, and a check that this build and this machine have it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A device to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// The CPU, with this program's fused kernels.
    #[default]
    Cpu,
    /// The first NVIDIA GPU (feature `cuda`).
    Cuda,
    /// The best adapter of Vulkan, or of Metal on Apple systems (feature `wgpu`). `CUBECL_WGPU_DEFAULT_DEVICE` names
    /// another, for example `DiscreteGpu(1)`.
    Wgpu,
}

/// A device that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error("no device `{0}`; there are cpu, cuda and wgpu")]
    Name(String),
    /// Left out when the program was compiled.
    #[error("this build has no {name}: rebuild with --features {feature}, or use --device cpu")]
    NotBuilt {
        /// `CUDA` or `Vulkan`.
        name: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// Not found on this machine.
    #[error("{missing}; {remedy}, or use --device cpu")]
    NotFound {
        /// The part that is missing.
        missing: &'static str,
        /// Advice on how to get it.
        remedy: &'static str,
    },
    /// Its memory did not suffice.
    #[error(
        "the device is out of memory ({reason}); lower --set rays.samples_per_step or train.batch, take a smaller preset, or use \
         --device cpu; --resume goes on from the last checkpoint"
    )]
    OutOfMemory {
        /// What the driver says.
        reason: String,
    },
    /// It was lost, or could not do what it was asked.
    #[error(
        "the device failed ({reason}); look at its driver's messages; --resume goes on from the last checkpoint, with a lower \
         --set rays.samples_per_step or train.batch where a watchdog stopped it, or use --device cpu"
    )]
    Failed {
        /// What the driver says.
        reason: String,
    },
}

/// Characters of a driver's message that are shown.
const LONGEST_REASON: usize = 300;

impl DeviceError {
    /// The error of a device that failed, from what the libraries below say: a text of several lines, of which backtraces are
    /// left out.
    pub fn failed(text: &str) -> Self {
        let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Backtrace"));
        let whole = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let lower = whole.to_lowercase();
        let signs = ["out of memory", "out-of-memory", "outofmemory", "out_of_memory", "can't allocate"];
        let is_full = signs.iter().any(|sign| lower.contains(sign));
        let mut reason: String = whole.chars().take(LONGEST_REASON).collect();
        if reason.len() < whole.len() {
            reason.push('…');
        }
        if is_full { Self::OutOfMemory { reason } } else { Self::Failed { reason } }
    }

    /// The error of a device that was left out of this build.
    pub fn not_built(device: Device) -> Self {
        let name = match device {
            Device::Cpu => "CPU",
            Device::Cuda => "CUDA",
            Device::Wgpu => "Vulkan",
        };
        Self::NotBuilt { name, feature: device.name() }
    }
}

impl Device {
    /// Every device.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::Wgpu];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    /// Checks that the program was built with the device and that the machine has one, without starting it.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] or [`DeviceError::NotFound`], with a remedy.
    pub fn check(self) -> Result<(), DeviceError> {
        match self {
            Self::Cpu => Ok(()),
            Self::Cuda => cuda(),
            Self::Wgpu => wgpu(),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Device {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|d| d.name() == text).ok_or_else(|| DeviceError::Name(text.into()))
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<(), DeviceError> {
    Err(DeviceError::not_built(Device::Cuda))
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<(), DeviceError> {
    // SAFETY: both only try to load a library by its usual names and drop it again.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    let missing = |missing, remedy| Err(DeviceError::NotFound { missing, remedy });
    if !driver {
        return missing("the CUDA driver (libcuda) is not on this machine", "install the NVIDIA driver");
    }
    if !compiler {
        return missing(
            "the CUDA run-time compiler (libnvrtc) is not on this machine",
            "install the CUDA toolkit and put its libraries on the loader's path (LD_LIBRARY_PATH)",
        );
    }
    // The driver is there, so this returns an error rather than panic.
    if !cudarc::driver::CudaContext::device_count().is_ok_and(|count| count > 0) {
        return missing("the CUDA driver finds no GPU", "check nvidia-smi and CUDA_VISIBLE_DEVICES");
    }
    Ok(())
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<(), DeviceError> {
    Err(DeviceError::not_built(Device::Wgpu))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<(), DeviceError> {
    use burn_wgpu::graphics::{AutoGraphicsApi, GraphicsApi};
    use cubecl::Runtime;

    if burn_wgpu::WgpuRuntime::enumerate_all_devices(&AutoGraphicsApi::backend()).is_empty() {
        return Err(DeviceError::NotFound {
            missing: "no Vulkan adapter is on this machine",
            remedy: "install the GPU's Vulkan driver (vulkaninfo --summary lists adapters; mesa-vulkan-drivers has a \
                     software one)",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for device in Device::ALL {
            assert_eq!(device.to_string().parse(), Ok(device));
            assert_eq!(serde_json::to_string(&device).unwrap(), format!("\"{device}\""));
        }
        assert_eq!("gpu".parse::<Device>().unwrap_err().to_string(), "no device `gpu`; there are cpu, cuda and wgpu");
    }

    #[test]
    fn a_missing_device_is_an_error_with_a_remedy() {
        assert_eq!(Device::Cpu.check(), Ok(()));
        for (device, built) in [(Device::Cuda, cfg!(feature = "cuda")), (Device::Wgpu, cfg!(feature = "wgpu"))] {
            match device.check() {
                Ok(()) => assert!(built),
                Err(e) => {
                    let rebuild = e.to_string().contains(&format!("rebuild with --features {device}"));
                    assert_eq!(rebuild, !built, "{e}");
                    assert!(e.to_string().ends_with("or use --device cpu"), "{e}");
                }
            }
        }
    }
}

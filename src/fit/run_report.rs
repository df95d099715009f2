//! Report of a finished run: how much was done, and where.

use nstr_backend::device::Device;

/// What a run did, and which parts of it the device's kernels did not do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunReport {
    /// Device that was trained on.
    pub device: Device,
    /// Steps of this run; those before it was resumed are not counted.
    pub steps: u64,
    /// Training time of this run in seconds.
    pub seconds: f64,
    /// Samples along rays at which the field was evaluated, over all steps of the fit; absent without rays.
    pub samples: Option<u64>,
    /// Rays that took no part in their step, because the device had no room for their samples.
    pub rays_left_out: u64,
    /// Parts of the work that the device's kernels did not do: each with how it was done instead, and why.
    pub fallbacks: Vec<(String, String)>,
    /// Times that the host read the device's memory, each of which waits for the device.
    pub read_backs: u64,
}

impl RunReport {
    /// The report as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let steps = match self.steps {
            1 => "1 step".to_string(),
            steps => format!("{steps} steps"),
        };
        let mut lines = vec![format!("trained on {}: {steps} in {:.1} s", self.device, self.seconds)];
        if let Some(samples) = self.samples {
            lines.push(format!("  samples along rays: {samples}"));
        }
        if self.rays_left_out > 0 {
            lines.push(format!("  rays left out for want of room: {}", self.rays_left_out));
        }
        if self.device != Device::Cpu {
            lines.push(format!("  reads of the device's memory: {}", self.read_backs));
            if self.fallbacks.is_empty() {
                lines.push("  no part of the work fell back to the CPU or to plain tensors".into());
            }
        }
        lines.extend(self.fallbacks.iter().map(|(part, how)| format!("  {part}: {how}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_name_every_fallback_with_its_reason() {
        let fallbacks = vec![("marching of rays".to_string(), "on the CPU (regularisers)".to_string())];
        let report = RunReport {
            device: Device::Wgpu,
            steps: 1,
            seconds: 2.04,
            samples: Some(7),
            read_backs: 3,
            ..Default::default()
        };
        let lines = RunReport { fallbacks, rays_left_out: 5, ..report.clone() }.lines();
        let want = [
            "trained on wgpu: 1 step in 2.0 s",
            "  samples along rays: 7",
            "  rays left out for want of room: 5",
            "  reads of the device's memory: 3",
            "  marching of rays: on the CPU (regularisers)",
        ];
        assert_eq!(lines, want);
        assert!(report.lines().last().unwrap().contains("no part"));
        assert_eq!(RunReport { steps: 20, ..Default::default() }.lines(), ["trained on cpu: 20 steps in 0.0 s"]);
    }
}

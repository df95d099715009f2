//! The kernels against the CPU's on the adapter that wgpu finds (Mesa's software one will do), and rules of the sources.
//!
//! A third of the fields is tried, another for each way to launch; `NSTR_ALL=1` tries them all.

#[cfg(feature = "wgpu")]
#[path = "../../benches/gpu/check.rs"]
mod check;
#[cfg(feature = "wgpu")]
#[path = "../../benches/gpu/march.rs"]
mod march;

use std::path::Path;

use nstr_spec::config::preset;

use crate::shape::{LANES, Plan, TileSize};

/// Compilers were seen to break loops before a barrier that turn unequally often: a `while` can't promise that it does
/// not.
#[test]
fn loops_before_barriers_have_a_known_length() {
    let mut files = 0;
    for folder in ["", "field"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "rs") || path.ends_with("tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            files += 1;
            for (at, function) in text.split("#[cube").skip(1).enumerate() {
                // Up to the end of the function: the first line that is a closing brace alone.
                let body = function.split("\n}\n").next().unwrap_or(function);
                let barrier = body.contains("sync_cube") || body.contains("rows: &mut TileRows");
                assert!(!(barrier && body.contains("while ")), "{}: function {at} has a while", path.display());
            }
        }
    }
    assert!(files >= 14, "{files} files");
}

/// Rows do not overlap, every parameter is packed and has a gradient, and tiles fit.
#[test]
fn plans_cover_every_parameter_once() {
    for name in ["sdf", "sdf-tiny", "radiance", "radiance-fine", "image", "audio", "image-siren", "sdf-cp"] {
        let Ok(config) = preset(name) else { continue };
        let spec = config.spec();
        for shared in [32 << 10, 48 << 10, 227 << 10] {
            let Some(plan) = Plan::fitting(&spec, 64, 128, shared, 1) else { continue };
            let mut covered = vec![0u8; spec.net_len()];
            let head = plan.head.as_ref().map(|h| &h.sums);
            for slot in plan.trunk.sums.slots.iter().chain(head.into_iter().flat_map(|s| &s.slots)) {
                covered[slot.net..slot.net + slot.inputs() * slot.adjoint.count].iter_mut().for_each(|c| *c += 1);
            }
            let transport = spec.net_layout().transport_range();
            for (i, c) in covered.iter().enumerate() {
                assert_eq!(*c, u8::from(!transport.contains(&i)), "{name}: gradient of element {i}");
            }
            let mut packed = vec![0u8; spec.net_len()];
            plan.packed.iter().flatten().for_each(|(at, _)| packed[*at] += 1);
            assert!(packed.iter().enumerate().all(|(i, n)| transport.contains(&i) || *n >= 1), "{name}: packed");
            let bytes = 4 * plan.trunk.rows * plan.trunk.tile.points + 16 * plan.trunk.sums.vectors;
            assert!(bytes <= shared, "{name}: {bytes} of {shared}");
        }
    }
    let size = TileSize { points: 2 * LANES, units: 32 };
    let plan = Plan::new(&preset("radiance").unwrap().spec(), size, size);
    assert!(plan.trunk.u.at >= plan.trunk.m.at + plan.trunk.m.count && plan.trunk.out.at < plan.trunk.rows);
}

#[cfg(feature = "wgpu")]
mod on_wgpu {
    use cubecl::Runtime;
    use cubecl::wgpu::WgpuRuntime;
    use nstr_kernel::PointLoss;

    use super::{check, march};
    use crate::rays::LossKind;
    use crate::run::Tuning;

    /// Every third field from `first` on, each with a way to launch: many blocks, one, and three.
    fn fields(first: usize) -> Vec<(String, nstr_spec::FieldSpec, Tuning, u64)> {
        let base = Tuning::of(&WgpuRuntime::client(&Default::default()));
        let forms = [base, Tuning { units: 64, grid: 1, ..base }, Tuning { units: 32, points: 16, grid: 3, ..base }];
        let all = std::env::var("NSTR_ALL").is_ok_and(|v| v == "1");
        let fields = check::fields().into_iter().enumerate();
        fields
            .filter(|(i, _)| all || i % 3 == first)
            .map(|(i, (name, spec))| (name, spec, forms[(i + i / 3) % 3], 10 * i as u64))
            .collect()
    }

    #[test]
    fn values_agree() {
        let client = WgpuRuntime::client(&Default::default());
        for (name, spec, tuning, seed) in fields(0) {
            let off = check::values(&client, &spec, tuning, seed);
            println!("{name}: {off:.1e}");
            assert!(off < check::VALUES, "{name}: {off:e}");
        }
    }

    #[test]
    fn adjoints_agree() {
        let client = WgpuRuntime::client(&Default::default());
        for (name, spec, tuning, seed) in fields(1) {
            let (off, tensor) = check::adjoint(&client, &spec, tuning, seed);
            println!("{name}: {off:.1e}");
            assert!(off < check::GRADIENTS, "{name}, {tensor}: {off:e}");
        }
    }

    #[test]
    fn marching_is_the_cpus_bit_for_bit() {
        let client = WgpuRuntime::client(&Default::default());
        let spec = nstr_spec::config::preset("radiance-tiny").unwrap().spec();
        for (i, scene) in march::scenes().iter().enumerate() {
            let drawn = scene.draw(301, 40 + i as u64);
            let visited = march::judge_is_the_march(scene, &drawn);
            let found = march::device_is_the_judge(&client, &spec, scene, &drawn);
            println!("{}: {found} samples, {visited} on the CPU", scene.name);
            assert!(scene.name.contains("no cell") || found > 500, "{}: {found} samples", scene.name);
        }
    }

    #[test]
    fn steps_of_marched_rays_agree() {
        let client = WgpuRuntime::client(&Default::default());
        let spec = nstr_spec::config::preset("radiance-tiny").unwrap().spec();
        let (loss, off, tensor) = march::marched_step(&client, &spec, Tuning::of(&client), 7);
        println!("loss {loss:.1e}, gradients {off:.1e}");
        assert!(loss < 1e-5 && off < check::GRADIENTS, "{loss:e}; {tensor}: {off:e}");
    }

    #[test]
    fn steps_of_rays_agree() {
        let client = WgpuRuntime::client(&Default::default());
        let all = fields(2).into_iter().chain(fields(1)).filter(|(_, spec, ..)| spec.color_head.is_some());
        for (name, spec, tuning, seed) in all {
            let kinds = [
                (LossKind::L2, PointLoss::L2),
                (LossKind::Huber, PointLoss::Huber(0.1)),
                (LossKind::L1, PointLoss::L1),
            ];
            for kind in kinds {
                let (loss, off, tensor) = check::ray_step(&client, &spec, tuning, kind, seed);
                println!("{name}, {:?}: loss {loss:.1e}, gradients {off:.1e}", kind.0);
                assert!(loss < 1e-5 && off < check::GRADIENTS, "{name}, {kind:?}: {loss:e}; {tensor}: {off:e}");
            }
        }
    }
}

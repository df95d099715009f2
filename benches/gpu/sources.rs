//! The kernels' CUDA sources, without a device: what `ptxas` makes of them tells registers, spills and instructions.

use std::path::Path;

use cubecl::Compiler as _;
use cubecl::compute::*;
use cubecl::cuda::CudaRuntime;
use cubecl::ir::{AddressType, ElemType, FloatKind, Scope, StorageType, UIntKind};
use cubecl::prelude::*;
use nstr_gpu::field::add::{Add, Quad, Single};
use nstr_gpu::field::points;
use nstr_gpu::rays;
use nstr_gpu::run::Tuning;
use nstr_gpu::shape::Plan;
use nstr_spec::config::preset;

type Compiler = <CudaRuntime as Runtime>::Compiler;

/// Arguments of a kernel in the order of its declaration.
struct Arguments(KernelBuilder);

impl Arguments {
    fn new() -> Self {
        let mut builder = KernelBuilder::default();
        builder.runtime_properties(CudaRuntime::target_properties());
        AddressType::U32.register(&mut builder.scope);
        Self(builder)
    }
    fn input<C: CubePrimitive>(&mut self) -> NativeExpand<Array<C>> {
        <Array<C> as LaunchArg>::expand(&ArrayCompilationArg { inplace: None }, &mut self.0)
    }
    fn output<C: CubePrimitive>(&mut self) -> NativeExpand<Array<C>> {
        <Array<C> as LaunchArg>::expand_output(&ArrayCompilationArg { inplace: None }, &mut self.0)
    }
    fn number(&mut self) -> NativeExpand<u32> {
        self.0.scalar(StorageType::Scalar(ElemType::UInt(UIntKind::U32))).into()
    }
    fn float(&mut self) -> NativeExpand<f32> {
        self.0.scalar(StorageType::Scalar(ElemType::Float(FloatKind::F32))).into()
    }
    fn scope(&mut self) -> &mut Scope {
        &mut self.0.scope
    }
    fn source(self, name: &str, units: usize) -> String {
        let settings = KernelSettings::default().kernel_name(name).cube_dim(CubeDim::new_1d(units as u32));
        let address = StorageType::Scalar(ElemType::UInt(UIntKind::U32));
        let compiled = Compiler::default()
            .compile(self.0.build(settings), &Default::default(), ExecutionMode::Unchecked, address)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        compiled.to_string()
    }
}

fn adjoint<G: Add>(plan: &Plan, name: &str) -> String {
    let mut args = Arguments::new();
    let inputs = (args.input(), args.input(), args.input(), args.input(), args.input(), args.input(), args.input());
    let (grid, weights, levels, x, list, d_out, count) = inputs;
    let (d_grid, d_net) = (args.output::<G::Cell>(), args.output());
    let turns = args.number();
    points::adjoint::expand::<G, Single, Const<4>>(
        args.scope(),
        4,
        grid,
        weights,
        levels,
        x,
        list,
        d_out,
        count,
        d_grid,
        d_net,
        turns,
        true,
        plan.trunk.clone(),
    );
    args.source(name, plan.trunk.tile.units)
}

fn march() -> String {
    let mut args = Arguments::new();
    let (heads, pieces, occupancy) = (args.input(), args.input(), args.input());
    let (x, lengths, spans, counters) = (args.output(), args.output(), args.output(), args.output());
    let [rays, cells, most, capacity, zero] = std::array::from_fn(|_| args.number());
    let [step, per_step, knee_t, knee_s, per_knee, rate, per_rate, cell] = std::array::from_fn(|_| args.float());
    nstr_gpu::march::march::expand(
        args.scope(),
        heads,
        pieces,
        occupancy,
        x,
        lengths,
        spans,
        counters,
        rays,
        cells,
        most,
        capacity,
        zero,
        step,
        per_step,
        knee_t,
        knee_s,
        per_knee,
        rate,
        per_rate,
        cell,
    );
    args.source("march", 128)
}

/// Writes the sources of the presets' kernels into `folder`, and that of marching.
pub fn write(folder: &Path, forms: &[Tuning]) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    std::fs::write(folder.join("march.cu"), march()).expect("the file can be written");
    for preset_name in ["radiance", "sdf", "radiance-fine"] {
        let spec = preset(preset_name).expect("a preset").spec();
        for form in forms {
            let Some(plan) = Plan::fitting(&spec, form.points, form.units, 227 << 10, form.blocks) else { continue };
            let (p, u) = (plan.trunk.tile.points, plan.trunk.tile.units);
            let save = |kernel: &str, source: String| {
                let file = folder.join(format!("{kernel}-{preset_name}-{p}-{u}.cu"));
                std::fs::write(&file, source).expect("the file can be written");
            };
            let mut args = Arguments::new();
            let (grid, weights, levels, x) = (args.input(), args.input(), args.input(), args.input());
            let (out, count, turns) = (args.output(), args.number(), args.number());
            let shape = plan.trunk.clone();
            points::values::expand::<Const<4>>(args.scope(), 4, grid, weights, levels, x, out, count, turns, shape);
            save("values", args.source("values", u));
            save("adjoint", adjoint::<Single>(&plan, "adjoint"));
            save("adjoint_quad", adjoint::<Quad>(&plan, "adjoint_quad"));
            let Some(head) = plan.head.clone() else { continue };
            let mut args = Arguments::new();
            let inputs = (args.input(), args.input(), args.input(), args.input(), args.input(), args.input());
            let (weights, values, list, ray_of, records, count) = inputs;
            let (d_colour, d_raw, d_values, d_net, turns) =
                (args.input(), args.input(), args.output(), args.output(), args.number());
            rays::colours_adjoint::expand::<Single>(
                args.scope(),
                weights,
                values,
                list,
                ray_of,
                records,
                count,
                d_colour,
                d_raw,
                d_values,
                d_net,
                turns,
                head,
            );
            save("colours_adjoint", args.source("colours_adjoint", u));
        }
    }
}

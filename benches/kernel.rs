fn main() {
    use nstr::kernel::spec::*;
    use std::time::Instant;
    let spec = FieldSpec {
        dim: 3,
        outputs: 1,
        latent: LatentSpec {
            levels: vec![LevelSpec { cells: 18, table: None }],
            features: 32,
            interpolation: Interpolation::Linear,
        },
        basis: 16,
        modulation: Modulation::Product,
        spectrum: MlpSpec { layers: 1, width: 64, activation: Activation::Relu },
        spectrum_input: false,
        decoder: MlpSpec { layers: 2, width: 64, activation: Activation::Relu },
        skip: true,
        transport: MlpSpec { layers: 2, width: 64, activation: Activation::Relu },
    };
    let macs = 32.0 * 64.0 + 64.0 * 16.0 + 48.0 * 64.0 + 64.0 * 64.0 + 64.0 + 3.0 * 16.0;
    let n = 16384usize;
    let mut seed = 1u32;
    let mut r = || {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        seed as f32 / 4294967296.0
    };
    let grid: Vec<f32> = (0..spec.grid_len()).map(|_| r() - 0.5).collect();
    let net: Vec<f32> = (0..spec.net_len()).map(|_| (r() - 0.5) * 0.3).collect();
    let x: Vec<f32> = (0..n * 3).map(|_| r()).collect();
    let x = if std::env::var("SORT").is_ok() {
        let mut v: Vec<[f32; 3]> = x.chunks(3).map(|c| [c[0], c[1], c[2]]).collect();
        let key = |p: &[f32; 3]| {
            let q = p.map(|c| (c * 32.0) as u64);
            let mut k = 0u64;
            for b in (0..5).rev() {
                for j in 0..3 {
                    k = k << 1 | (q[j] >> b & 1);
                }
            }
            k
        };
        v.sort_by_key(key);
        v.concat()
    } else {
        x
    };
    let t: Vec<f32> = (0..n).map(|_| r()).collect();
    let f = nstr::kernel::Fused::new(&spec);
    let mut out = vec![0.0; n];
    // gemm
    let m = 1024;
    let a = vec![1.0f32; m * m];
    let b = vec![1.0f32; m * m];
    let mut c = vec![0.0f32; m * m];
    let mut best: f64 = 1e9;
    for _ in 0..20 {
        let s = Instant::now();
        unsafe {
            gemm::gemm(
                m,
                m,
                m,
                c.as_mut_ptr(),
                1,
                m as isize,
                false,
                a.as_ptr(),
                1,
                m as isize,
                b.as_ptr(),
                1,
                m as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0),
            );
        }
        best = best.min(s.elapsed().as_secs_f64());
    }
    let peak = 2.0 * (m * m * m) as f64 / best / 1e9;
    println!("gemm {peak:.1} GFLOP/s");
    let mut time = |name: &str, flops: f64, f: &mut dyn FnMut()| {
        if let Ok(only) = std::env::var("ONLY") {
            if only != name {
                return;
            }
            for _ in 0..1000 {
                f();
            }
        }
        let mut v = vec![];
        for _ in 0..40 {
            let s = Instant::now();
            f();
            v.push(s.elapsed().as_secs_f64());
        }
        v.sort_by(f64::total_cmp);
        let g = |t: f64| flops / t / 1e9;
        println!(
            "{name}: median {:.3} ms {:.1} GFLOP/s ({:.0}%), best {:.1} ({:.0}%), {:.2} Mpt/s",
            v[20] * 1e3,
            g(v[20]),
            100.0 * g(v[20]) / peak,
            g(v[0]),
            100.0 * g(v[0]) / peak,
            n as f64 / v[20] / 1e6
        );
    };
    time("forward", 2.0 * macs * n as f64, &mut || f.forward(&grid, &net, &x, &mut out));
    let (mut dg, mut dn) = (vec![0.0; grid.len()], vec![0.0; net.len()]);
    time("loss+backward", 6.0 * macs * n as f64, &mut || {
        f.loss_backward(
            &grid,
            &net,
            nstr::kernel::Targets { x: &x, target: &t, weight: None },
            nstr::kernel::PointLoss::L1,
            &mut dg,
            &mut dn,
        );
    });
    let w = f.spec().full_columns().len;
    let mut full = vec![0.0; n * w];
    time("forward_full (4 planes)", 8.0 * macs * n as f64, &mut || f.forward_full(&grid, &net, &x, &mut full));
    let d = full.clone();
    time("backward_full", 32.0 * macs * n as f64, &mut || f.backward_full(&grid, &net, &x, &d, &mut dg, &mut dn));
}

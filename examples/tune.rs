//! temporary
use nstr::capture::*;
use nstr::field::backend::FieldOp;
use nstr::field::{config, init};
use nstr::fit::*;
use nstr::kernel::*;
use nstr::render::*;
use rayon::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
struct W(Instant);
impl Observer for W {
    fn progress(&mut self, p: &Progress) -> bool {
        if self.0.elapsed() > Duration::from_secs(10) {
            self.0 = Instant::now();
            eprintln!("  {:.0}s step {} loss {:.3e}", p.elapsed.as_secs_f64(), p.step, p.loss);
        }
        true
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let preset = &a[2];
    let secs: f64 = a[3].parse().unwrap();
    let opt = |k: &str| a.iter().find_map(|x| x.strip_prefix(k).and_then(|x| x.strip_prefix('=')).map(str::to_string));
    let down: u32 = opt("down").map_or(1, |d| d.parse().unwrap());
    let every: usize = opt("every").map_or(1, |d| d.parse().unwrap());
    let t = Instant::now();
    let cap =
        read_capture(std::path::Path::new(&a[1]), &CaptureOptions { downscale: down, every, ..Default::default() })
            .unwrap();
    eprintln!(
        "loaded {} + {} in {:?}, box {:?} notes {:?}",
        cap.train.len(),
        cap.test.len(),
        t.elapsed(),
        cap.scene,
        cap.notes
    );
    let sets: Vec<String> = a[4..].iter().filter(|x| x.starts_with("--")).map(|x| x[2..].to_string()).collect();
    let field: Vec<String> =
        sets.iter().filter(|s| !s.starts_with("train.") && !s.starts_with("rays.")).cloned().collect();
    let cfg = config::preset(preset).unwrap().set(&field).unwrap();
    let mut train =
        TrainConfig { loss: PointLoss::Huber(0.1), net_lr: 1e-2, grid_lr: 2e-2, average: 0.0, ..Default::default() };
    let mut rays = RayConfig::default();
    for s in &sets {
        let (k, v) = s.split_once('=').unwrap();
        match k {
            "train.net_lr" => train.net_lr = v.parse().unwrap(),
            "train.grid_lr" => train.grid_lr = v.parse().unwrap(),
            "train.average" => train.average = v.parse().unwrap(),
            "train.l2" => train.loss = PointLoss::L2,
            "train.hold" => train.schedule.hold = v.parse().unwrap(),
            "train.huber" => train.loss = PointLoss::Huber(v.parse().unwrap()),
            "rays.samples" => rays.samples = v.parse().unwrap(),
            "rays.step" => rays.step = v.parse::<f32>().unwrap(),
            "rays.cone" => rays.cone = v.parse().unwrap(),
            "rays.cells" => rays.cells = v.parse().unwrap(),
            "rays.threshold" => rays.threshold = v.parse().unwrap(),
            "rays.distortion" => rays.distortion = v.parse().unwrap(),
            "rays.min" => rays.min_transmittance = v.parse().unwrap(),
            "train.lambda_pde" => train.lambda_pde = v.parse().unwrap(),
            "train.lambda_smooth" => train.lambda_smooth = v.parse().unwrap(),
            _ => {}
        }
    }
    let spec = cfg.spec();
    let op = FieldOp::new(spec.clone());
    let (g, n) = init::parameters(&spec, &cfg.init);
    let state = TrainState::new(g, n);
    let cube = cap.scene.cube();
    let px = Arc::new(PixelSource::new(Arc::new(cap.train), cube, cap.scene.near).unwrap());
    let hull = cap.hull.clone();
    let cells = rays.cells;
    let task = RadianceTask::new(&op, px, rays.clone(), 0, |i| {
        hull.as_ref().is_some_and(|h| {
            let f = |v: usize| v * h.resolution / cells;
            !h.get(f(i % cells), f(i / cells % cells), f(i / cells / cells))
        })
    });
    eprintln!("{} parameters, occupied {:.3}", spec.parameters(), task.occupancy().fraction());
    let work = Work::Rays(Box::new(task));
    let s = run_on(
        nstr::field::device::Device::Cpu,
        op.clone(),
        train,
        &state,
        work,
        Budget::Time(Duration::from_secs_f64(secs)),
        &mut W(Instant::now()),
    )
    .unwrap();
    let num = &s.task.numbers;
    eprintln!(
        "steps {} rays/s {:.0} evaluated/s {:.0} used/s {:.0} per ray {:.2}",
        s.step,
        num["drawn"] / secs,
        num["evaluated"] / secs,
        num["used"] / secs,
        num["evaluated"] / num["drawn"]
    );
    let density = &s.task.arrays["density"];
    let floor = num["floor"] as f32;
    let occ = Occupancy::from_bits(cells, |i| density[i] > floor);
    eprintln!("occupied {:.4} file {} B", occ.fraction(), occ.to_bytes().len());
    let fused = Fused::new(&spec);
    let (grid, net) = s.result();
    let w = fused.prepare(net);
    let (mut total, mut count) = (0.0, 0);
    let t = Instant::now();
    let mut psnrs = Vec::new();
    let stride = if down == 1 { 7 } else { 3 };
    for v in cap.test.iter() {
        let width = v.image.width as usize;
        let rows: Vec<usize> = (0..v.image.height as usize).filter(|y| y % stride == 0).collect();
        let sse: f64 = rows
            .par_iter()
            .map(|&y| {
                let mut sse = 0.0;
                let mut x = Vec::new();
                let mut d = Vec::new();
                let mut dt = Vec::new();
                let mut first = vec![0];
                for i in 0..width {
                    let ray = VolumeRay::from_world(
                        &v.ray(i as f64 + 0.5, y as f64 + 0.5),
                        cube,
                        cap.scene.near,
                        f64::INFINITY,
                    );
                    occ.march(&ray, &Stepping { step: rays.step, cone: rays.cone, jitter: 0.5 }, |smp| {
                        x.extend(ray.at(smp.t).to_array());
                        d.extend(ray.direction.to_array());
                        dt.push(smp.dt);
                        true
                    });
                    first.push(dt.len());
                }
                let mut out = vec![0.0; dt.len() * 4];
                fused.radiance(&w, grid, &x, &d, &mut out);
                for i in 0..width {
                    let mut tr = 1.0;
                    let mut c = [0.0; 3];
                    for j in first[i]..first[i + 1] {
                        let al = 1.0 - (-out[4 * j + 3] * dt[j]).exp();
                        for k in 0..3 {
                            c[k] += tr * al * out[4 * j + k];
                        }
                        tr *= 1.0 - al;
                    }
                    let [r, g, b, al] = v.image.pixels[y * width + i].map(|p| p as f32 / 255.0);
                    for (k, p) in [r, g, b].into_iter().enumerate() {
                        let e = (c[k] + tr).clamp(0.0, 1.0) - (p * al + 1.0 - al);
                        sse += (e * e) as f64;
                    }
                }
                sse
            })
            .sum();
        let mse = sse / (rows.len() * width * 3) as f64;
        psnrs.push(-10.0 * mse.log10());
        total += -10.0 * mse.log10();
        count += 1;
    }
    println!("PSNR {:.3} over {} views, {:?}  [{}]", total / count as f64, count, t.elapsed(), a[2..].join(" "));
}

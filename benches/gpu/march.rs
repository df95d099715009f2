//! Agreement of the marching of rays on a device with the CPU's, bit for bit, and of a whole step over marched rays.
//!
//! The judge tests every stratum of every piece in plain f32, with the roundings that the kernel promises. Where strata are
//! equal, that must also be what the CPU's march visits.

#![allow(clippy::unwrap_used, reason = "for tests and benches: a panic is how they fail")]
#![allow(dead_code, reason = "tests take what they need of it, and so does the bench")]

use cubecl::prelude::*;
use cubecl::server::Handle;
use glam::{DMat3, DVec2, DVec3, Vec3};
use nstr_gpu::march::{COUNTERS, LEFT_OUT, SPAN_WORDS};
use nstr_gpu::ray_step::{DevicePieces, DeviceRays, MarchBuffers, Marching, RayLoss, StepSums};
use nstr_gpu::rays::{LossKind, RECORD};
use nstr_gpu::run::{FieldKernels, Gradients, Tuning};
use nstr_kernel::{FusedField, PointLoss, RayBatch};
use nstr_space::occupancy::{MarchPiece, RaySampling, Strata};
use nstr_space::{Cube, Frustum, Occupancy, Ray, SceneMap, VolumePath};
use nstr_spec::FieldSpec;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::check::{Case, gradients_apart, place, poisoned, read, upload};

/// Maps, occupied cells and strata that are tried, under names.
pub struct Scene {
    pub name: &'static str,
    map: SceneMap,
    occupancy: Occupancy,
    step: f32,
    cone: f32,
    /// World distance before which there are no samples.
    near: f64,
    /// Most samples of a ray.
    most: usize,
}

fn frustum() -> Frustum {
    let (low, high) = (DVec2::new(-0.6, -0.5), DVec2::new(0.7, 0.4));
    Frustum { eye: DVec3::new(0.1, -0.2, 0.3), axes: DMat3::IDENTITY, low, high, near: 0.8 }
}

/// Cells in lumps of `lump`³, a share `fill` of them.
fn lumps(cells: usize, lump: usize, fill: f64, seed: u64) -> Occupancy {
    let side = cells.div_ceil(lump);
    let mut rng = Pcg64::seed_from_u64(seed);
    let full: Vec<bool> = (0..side * side * side).map(|_| rng.random_bool(fill)).collect();
    Occupancy::from_bits(cells, |i| {
        let [x, y, z] = [i % cells, i / cells % cells, i / (cells * cells)].map(|v| v / lump);
        full[x + side * (y + side * z)]
    })
}

/// The scenes: all maps, equal and growing strata, full, empty and scattered cells.
pub fn scenes() -> Vec<Scene> {
    let cube = Cube { origin: DVec3::new(-1.0, -0.5, 0.25), size: 1.7 };
    let (boxed, open, forward) = (SceneMap::Box(cube), SceneMap::Open(cube), SceneMap::Forward(frustum()));
    let scene = |name, map, occupancy, step, cone, near, most| Scene { name, map, occupancy, step, cone, near, most };
    vec![
        scene("box, lumps", boxed, lumps(32, 5, 0.1, 1), 1.0 / 300.0, 0.0, 0.3, 1024),
        scene("box, single cells", boxed, lumps(64, 1, 0.02, 2), 1.0 / 170.0, 0.0, 0.0, 1024),
        scene("box, all cells, few samples", boxed, Occupancy::full(16), 1.0 / 90.0, 0.0, 0.1, 29),
        scene("box, no cell", boxed, Occupancy::empty(16), 0.01, 0.0, 0.1, 29),
        scene("box, growing strata", boxed, lumps(32, 3, 0.2, 3), 0.001, 1.0 / 256.0, 0.0, 1024),
        scene("box, strata that soon grow", boxed, lumps(16, 2, 0.5, 4), 0.01, 0.07, 0.2, 1024),
        scene("open, lumps", open, lumps(32, 4, 0.15, 5), 0.004, 0.0, 0.1, 1024),
        scene("open, growing strata", open, lumps(32, 2, 0.3, 6), 0.002, 0.01, 0.0, 200),
        scene("forward, lumps", forward, lumps(32, 5, 0.2, 7), 0.008, 0.0, 0.0, 1024),
        scene("forward, single cells", forward, lumps(64, 1, 0.05, 8), 0.003, 0.0, 1.5, 1024),
    ]
}

/// Position, distance and length of each sample of a ray.
type Samples = Vec<[f32; 5]>;

/// Rays, their strata and pieces, and the samples that the judge finds of each.
pub struct Drawn {
    paths: Vec<(VolumePath, RaySampling)>,
    heads: Vec<[u32; 4]>,
    pieces: Vec<MarchPiece>,
    records: Vec<[f32; RECORD]>,
    want: Vec<Samples>,
}

impl Scene {
    fn sampling(&self, jitter: f32) -> RaySampling {
        RaySampling { step: self.step, cone: self.cone, jitter }
    }

    /// Random rays: from around the scene into it and past it, some along the axes, some from within.
    pub fn draw(&self, count: usize, seed: u64) -> Drawn {
        let mut rng = Pcg64::seed_from_u64(seed);
        let (centre, size) = (self.map.cube().centre(), self.map.cube().size);
        let mut drawn = Drawn { paths: vec![], heads: vec![], pieces: vec![], records: vec![], want: vec![] };
        for i in 0..count {
            let random = |rng: &mut Pcg64, reach: f64| -> DVec3 {
                DVec3::from(std::array::from_fn::<f64, 3, _>(|_| rng.random_range(-reach..reach)))
            };
            let reach = if i % 3 == 0 { 0.5 } else { 2.0 };
            let origin = match self.map {
                SceneMap::Forward(frustum) => frustum.eye + 0.1 * random(&mut rng, 1.0),
                _ => centre + size * random(&mut rng, reach),
            };
            let target = match self.map {
                SceneMap::Forward(frustum) => {
                    let across = DVec2::new(rng.random_range(-0.8..0.8), rng.random_range(-0.8..0.8));
                    frustum.eye + across.extend(1.0)
                }
                _ => centre + size * random(&mut rng, 0.6),
            };
            let direction = (target - origin).normalize();
            // One ray in seven runs along an axis, one in eleven away from everything.
            let direction = if i % 7 == 6 { [DVec3::X, DVec3::NEG_Y, DVec3::Z][i % 3] } else { direction };
            let direction = if i % 11 == 10 { -direction } else { direction };
            let ray = Ray { origin, direction, cosine: 1.0 };
            let path = self.map.path(&ray, self.near, f64::INFINITY);
            let steps = self.sampling(rng.random());
            let first = drawn.pieces.len();
            self.occupancy.march_pieces(&path, &steps, |piece, _| drawn.pieces.push(piece));
            let own = &drawn.pieces[first..];
            drawn.want.push(judge(&self.occupancy, own, &steps, self.most));
            drawn.heads.push([first as u32, own.len() as u32, steps.jitter.to_bits(), steps.growth().to_bits()]);
            let mut record = [0.0; RECORD];
            record[..3].copy_from_slice(&direction.as_vec3().to_array());
            record[3..].iter_mut().for_each(|v| *v = rng.random());
            drawn.records.push(record);
            drawn.paths.push((path, steps));
        }
        drawn
    }

    fn marching(&self) -> Marching {
        let strata = self.sampling(0.5).strata();
        Marching {
            step: [strata.step, strata.per_step],
            knee: [strata.knee_t, strata.knee_s, strata.per_knee],
            rate: [strata.rate, strata.per_rate],
            most: self.most,
        }
    }
}

/// `eˣ` as the kernel computes it, in plain f32.
fn exponential(x: f32) -> f32 {
    let x = x.min(87.0);
    let n = (x * std::f32::consts::LOG2_E + 0.5).floor();
    let r = x - n * 0.693_359_4;
    let r = r - n * -2.121_944_4e-4;
    let coefficients = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5];
    let y = coefficients.iter().fold(1.987_569_1e-4f32, |y, c| y * r + c);
    let y = y * (r * r) + r + 1.0;
    y * f32::from_bits((n as u32 + 127) << 23)
}

fn distance(strata: &Strata, s: f32) -> f32 {
    if s <= strata.knee_s { s * strata.step } else { strata.knee_t * exponential((s - strata.knee_s) * strata.rate) }
}

/// Samples of pieces in occupied cells: a test of every stratum.
fn judge(occupancy: &Occupancy, pieces: &[MarchPiece], steps: &RaySampling, most: usize) -> Samples {
    let (strata, growth) = (steps.strata(), steps.growth());
    let (mut samples, mut index) = (Vec::new(), 0u32);
    for piece in pieces {
        index = index.max(piece.first as u32);
        while samples.len() < most {
            let i = index as f32;
            let t = distance(&strata, i + steps.jitter);
            if t > piece.end {
                break;
            }
            let p = piece.origin + piece.direction * t;
            if t >= piece.near && occupancy.contains(p) {
                let dt = if i + 1.0 <= strata.knee_s {
                    strata.step
                } else if i >= strata.knee_s {
                    t * growth
                } else {
                    distance(&strata, i + 1.0) - i * strata.step
                };
                samples.push([p.x, p.y, p.z, t, dt]);
            }
            index += 1;
        }
    }
    samples
}

/// Samples that the CPU's march visits.
fn marched(scene: &Scene, path: &VolumePath, steps: &RaySampling) -> Samples {
    let mut samples = Vec::new();
    scene.occupancy.march(path, steps, |s| {
        samples.push([s.position.x, s.position.y, s.position.z, s.t, s.dt]);
        samples.len() < scene.most
    });
    samples
}

/// Checks the judge against the CPU's march: bit for bit where strata are equal, else to rounding, but for samples at the
/// border of a cell. The number of samples.
pub fn judge_is_the_march(scene: &Scene, drawn: &Drawn) -> usize {
    let (mut total, mut apart) = (0, 0);
    for ((path, steps), want) in drawn.paths.iter().zip(&drawn.want) {
        let got = marched(scene, path, steps);
        total += got.len();
        if scene.cone == 0.0 {
            assert_eq!(&got, want, "{}", scene.name);
        } else if got.len() == want.len() {
            let close = |a: f32, b: f32| (a - b).abs() <= 2e-6 * b.abs().max(0.1);
            let same = got.iter().flatten().zip(want.iter().flatten()).all(|(a, b)| close(*a, *b));
            apart += usize::from(!same);
        } else {
            apart += 1;
        }
    }
    assert!(100 * apart <= 3 * drawn.want.len(), "{}: {apart} rays of {}", scene.name, drawn.want.len());
    total
}

fn upload_pieces<R: Runtime>(client: &ComputeClient<R>, drawn: &Drawn) -> DevicePieces {
    let words = |words: &[u32]| client.create_from_slice(u32::as_bytes(if words.is_empty() { &[0; 4] } else { words }));
    let pieces: &[f32] = bytemuck::cast_slice(&drawn.pieces);
    DevicePieces {
        rays: drawn.heads.len(),
        count: drawn.pieces.len(),
        heads: words(drawn.heads.as_flattened()),
        pieces: upload(client, pieces),
        records: upload(client, drawn.records.as_flattened()),
    }
}

/// Buffers full of a number that no sample has, with canaries behind them.
fn buffers<R: Runtime>(client: &ComputeClient<R>, rays: usize, samples: usize) -> MarchBuffers {
    let canaried = |n: usize| poisoned(client, n, f32::from_bits(0x7fff_1234));
    MarchBuffers {
        samples,
        rays,
        x: canaried(3 * samples),
        lengths: canaried(2 * samples),
        spans: canaried(SPAN_WORDS * rays),
        counters: canaried(COUNTERS),
    }
}

fn words<R: Runtime>(client: &ComputeClient<R>, handle: &Handle, n: usize) -> Vec<u32> {
    read(client, handle, n).into_iter().map(f32::to_bits).collect()
}

/// Samples that the device found: of each ray, or `None` where there was no room for them; and the counters.
fn download<R: Runtime>(
    client: &ComputeClient<R>,
    rays: &DeviceRays,
    counters: &Handle,
) -> (Vec<Option<Samples>>, Vec<u32>) {
    let (x, lengths) = (read(client, &rays.x, 3 * rays.samples), read(client, &rays.lengths, 2 * rays.samples));
    let spans = words(client, &rays.spans, SPAN_WORDS * rays.rays);
    let sample = |s: usize| [x[3 * s], x[3 * s + 1], x[3 * s + 2], lengths[2 * s], lengths[2 * s + 1]];
    let samples = spans.chunks(SPAN_WORDS).map(|span| {
        let start = span[0] as usize;
        (span[0] != LEFT_OUT).then(|| (start..start + span[1] as usize).map(sample).collect())
    });
    (samples.collect(), words(client, counters, COUNTERS))
}

/// Numbers as bits: unlike floats they are equal only where they are the same.
fn bits(samples: &[[f32; 5]]) -> Vec<u32> {
    samples.iter().flatten().map(|v| v.to_bits()).collect()
}

/// Marches the rays on the device with room for all samples, then with too little room; both must be the judge's samples.
/// The number of samples.
pub fn device_is_the_judge<R: Runtime>(
    client: &ComputeClient<R>,
    spec: &FieldSpec,
    scene: &Scene,
    drawn: &Drawn,
) -> usize {
    let kernels = FieldKernels::new(client.clone(), spec, Tuning::of(client)).unwrap();
    let occupancy = kernels.occupancy(scene.occupancy.cells(), &scene.occupancy.packed());
    let (rays, total) = (drawn.want.len(), drawn.want.iter().map(Vec::len).sum::<usize>());
    for room in [total.max(1), total / 2 + 1] {
        let b = buffers(client, rays, room);
        let found = kernels.march(upload_pieces(client, drawn), &occupancy, &scene.marching(), &b);
        let (got, counters) = download(client, &found, &b.counters);
        let mut taken = vec![false; room];
        let (mut left_out, mut placed) = (0, 0);
        let spans = words(client, &found.spans, SPAN_WORDS * rays);
        for (r, (got, want)) in got.iter().zip(&drawn.want).enumerate() {
            let Some(got) = got else {
                assert!(!want.is_empty() && spans[SPAN_WORDS * r + 1] == 0, "{}: ray {r}", scene.name);
                left_out += 1;
                continue;
            };
            assert_eq!(got.len(), want.len(), "{}: samples of ray {r}", scene.name);
            let differs = (0..want.len()).find(|s| bits(&got[*s..=*s]) != bits(&want[*s..=*s]));
            let both = differs.map(|s| (s, got[s], want[s]));
            assert!(both.is_none(), "{}: ray {r}: sample, found, wanted: {both:?}", scene.name);
            let start = spans[SPAN_WORDS * r] as usize;
            for slot in &mut taken[start.min(room)..(start + got.len()).min(room)] {
                assert!(!std::mem::replace(slot, true), "{}: two rays share a place", scene.name);
            }
            placed += got.len();
        }
        // All were counted, and those that have room lie at the front without a gap.
        assert_eq!([counters[0] as usize, counters[2] as usize], [total, left_out], "{}", scene.name);
        assert_eq!(counters[0].min(counters[1]) as usize, placed, "{}", scene.name);
        assert!(taken[..placed].iter().all(|t| *t) && (room < total || left_out == 0), "{}", scene.name);
        assert!(room >= total || left_out > 0, "{}", scene.name);
    }
    total
}

/// Rays of the first scene that are uploaded and marched again and again: the number of samples, and a call of it.
pub fn work<R: Runtime>(kernels: &FieldKernels<R>, rays: usize) -> (usize, impl Fn()) {
    let scene = scenes().swap_remove(0);
    let drawn = scene.draw(rays, 9);
    let samples = drawn.want.iter().map(Vec::len).sum::<usize>();
    let occupancy = kernels.occupancy(scene.occupancy.cells(), &scene.occupancy.packed());
    let b = kernels.march_buffers(rays, samples.max(1));
    let march = move || {
        kernels.march(upload_pieces(kernels.client(), &drawn), &occupancy, &scene.marching(), &b);
    };
    (samples, march)
}

/// A step over rays that the device marches, against the CPU's over the same samples: worst differences of loss and
/// gradients, and the tensor of the latter.
pub fn marched_step<R: Runtime>(
    client: &ComputeClient<R>,
    spec: &FieldSpec,
    tuning: Tuning,
    seed: u64,
) -> (f64, f64, String) {
    let case = Case::new(spec, seed);
    let scene = scenes().swap_remove(6);
    let drawn = scene.draw(61, seed);
    let kernels = FieldKernels::new(client.clone(), spec, tuning).unwrap();
    let at = place(&kernels, &case);
    let occupancy = kernels.occupancy(scene.occupancy.cells(), &scene.occupancy.packed());
    let (rays, total) = (drawn.want.len(), drawn.want.iter().map(Vec::len).sum::<usize>());
    let lengths = [case.grid.len(), case.net.len()];
    let sums = lengths.map(|n| poisoned(client, n.next_multiple_of(4), 0.0));
    let to = Gradients { grid: sums[0].clone(), net: sums[1].clone() };
    // Room for more than there is, so that what lies behind must be left alone.
    let (march, step) = (buffers(client, rays, total + 500), kernels.ray_buffers(rays, total + 500));
    let found = kernels.march(upload_pieces(client, &drawn), &occupancy, &scene.marching(), &march);
    let how = RayLoss { kind: LossKind::Huber, delta: 0.1, min_transmittance: 0.02, distortion: 0.05, sharpness: 0.0 };
    let statistics = kernels.statistics();
    kernels.ray_step(&at, &found, how, &step, &to);
    let loss = kernels.settle(&found, &step, &statistics);
    let loss = f64::from(f32::from_bytes(&client.read_one_unchecked(loss))[0]);
    let told = StepSums::read(u32::from_bytes(&client.read_one_unchecked(statistics))).unwrap();
    let got: Vec<Vec<f32>> =
        lengths.iter().zip(&sums).map(|(n, h)| read(client, h, n.next_multiple_of(4))[..*n].to_vec()).collect();

    let mut batch = RayBatch { first: vec![0], ..RayBatch::default() };
    for (samples, record) in drawn.want.iter().zip(&drawn.records) {
        for s in samples {
            batch.x.extend(Vec3::from_slice(s).to_array());
            batch.t.push(s[3]);
            batch.dt.push(s[4]);
        }
        batch.first.push(batch.t.len() as u32);
        batch.direction.extend(&record[..3]);
        batch.target.extend(&record[3..6]);
        batch.background.extend(&record[6..]);
    }
    let (mut d_grid, mut d_net) = (vec![0.0; lengths[0]], vec![0.0; lengths[1]]);
    let want = nstr_kernel::RayLoss {
        min_transmittance: 0.02,
        distortion: 0.05,
        ..nstr_kernel::RayLoss::of(PointLoss::Huber(0.1))
    };
    let stats =
        FusedField::new(spec).ray_loss_backward(&case.grid, &case.net, batch.slices(), want, &mut d_grid, &mut d_net);
    assert_eq!(
        [told.found, told.placed, told.used, told.left_out, told.steps],
        [total as u32, total as u32, stats.used as u32, 0, 1]
    );
    assert_eq!(f64::from(told.loss), loss);
    let (off, name) = gradients_apart(spec, [&got[0], &got[1]], [&d_grid, &d_net]);
    ((loss - stats.loss).abs() / stats.loss, off, name)
}

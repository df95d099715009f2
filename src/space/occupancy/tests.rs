//! Requirements on an occupancy grid: the samples that a test of every stratum would give, and bits that come back.

use glam::Vec3;
use proptest::prelude::*;

use crate::occupancy::ray_sampling::StratumMap;
use crate::occupancy::*;
use crate::volume_path::VolumePath;

/// A hash in 0 to 1 of an index.
fn noise(seed: u64, i: usize) -> f32 {
    let v = (i as u64).wrapping_add(seed << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let v = (v ^ v >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (v >> 40) as f32 / (1u64 << 24) as f32
}

/// Every stratum, one after the other.
fn brute_force(occupancy: &Occupancy, ray: &VolumeRay, steps: &RaySampling) -> Vec<RaySample> {
    let space = StratumMap::new(steps);
    let reach = ray.origin.length() + 2.0;
    let strata = (0u32..).map(|i| (i, space.sample(i))).take_while(|(_, t)| *t < reach);
    strata
        .filter(|(_, t)| *t >= ray.near && *t <= ray.far && occupancy.contains(ray.at(*t)))
        .map(|(i, t)| RaySample { t, dt: space.length(i, t), position: ray.at(t) })
        .collect()
}

fn marched(occupancy: &Occupancy, ray: &VolumeRay, steps: &RaySampling) -> Vec<RaySample> {
    let mut samples = Vec::new();
    occupancy.march(&VolumePath::from(*ray), steps, |s| {
        samples.push(s);
        true
    });
    samples
}

/// Blobs of cells, or scattered single ones.
fn scattered(cells: usize, seed: u64, fill: f32, lump: usize) -> Occupancy {
    Occupancy::from_bits(cells, |i| {
        let at = [i % cells / lump, i / cells % cells / lump, i / (cells * cells) / lump];
        noise(seed, at[0] + 1024 * (at[1] + 1024 * at[2])) < fill
    })
}

fn same(occupancy: &Occupancy, ray: &VolumeRay, steps: &RaySampling) -> Result<usize, TestCaseError> {
    let (want, got) = (brute_force(occupancy, ray, steps), marched(occupancy, ray, steps));
    prop_assert_eq!(&got, &want, "{:?} {:?}", ray, steps);
    Ok(want.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_occupied_strata_are_visited(
        cells in prop::sample::select(vec![16usize, 32, 64]),
        seed in 0u64..1000,
        fill in prop::sample::select(vec![0.0f32, 0.001, 0.02, 0.3, 0.9, 1.0]),
        lump in prop::sample::select(vec![1usize, 3, 16]),
        origin in prop::array::uniform3(-3.0f32..4.0),
        inside in any::<bool>(),
        snap in prop::sample::select(vec![0.0f32, 1.0, 16.0, 64.0]),
        target in prop::array::uniform3(0.0f32..1.0),
        flat in prop::sample::select(vec![[1.0f32, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1e-7, 1e-5], [1e-3, 1.0, 0.0]]),
        near_far in (0.0f32..1.5, 0.0f32..8.0),
        step in 1e-3f32..0.1,
        cone in prop::sample::select(vec![0.0f32, 1.0 / 256.0, 0.02, 0.3]),
        jitter in prop::sample::select(vec![0.0f32, 0.25, 0.5, 0.999, 1.0]),
    ) {
        let occupancy = scattered(cells, seed, fill, lump);
        let mut origin = Vec3::from(origin);
        if inside {
            origin = (origin + 3.0) / 7.0;
        }
        if snap > 0.0 {
            origin = (origin * snap).round() / snap;
        }
        let direction = ((Vec3::from(target) - origin) * Vec3::from(flat)).normalize_or(Vec3::X);
        let (near, length) = near_far;
        let ray = VolumeRay { origin, direction, near, far: if length > 6.0 { f32::INFINITY } else { near + length } };
        same(&occupancy, &ray, &RaySampling { step, cone, jitter })?;
    }

    #[test]
    fn bytes_come_back_and_damage_is_an_error(
        seed in 0u64..1000, fill in 0.0f32..1.0, cut in 0usize..4096, flip in (0usize..4096, 0u32..8),
    ) {
        let occupancy = scattered(16, seed, fill, 1);
        let bytes = occupancy.to_bytes();
        prop_assert_eq!(&Occupancy::from_bytes(16, &bytes).unwrap(), &occupancy);
        prop_assert!(Occupancy::from_bytes(32, &bytes).is_err());
        if cut < bytes.len() {
            prop_assert!(Occupancy::from_bytes(16, &bytes[..cut]).is_err());
        }
        let mut bent = bytes.clone();
        bent[flip.0 % bytes.len()] ^= 1 << flip.1;
        // Must return; zlib's checksum finds nearly all of it.
        let _ = Occupancy::from_bytes(16, &bent);
    }
}

#[test]
fn rays_along_cell_faces_and_diagonals() {
    let mut seen = 0;
    for (cells, fill) in [(16, 0.3), (64, 0.05), (32, 1.0)] {
        let occupancy = scattered(cells, 5, fill, 2);
        let steps = RaySampling { step: 0.25 / cells as f32, cone: 0.0, jitter: 0.0 };
        for k in 0..=2 * cells {
            let at = k as f32 / (2 * cells) as f32;
            for (origin, direction) in [
                (Vec3::new(-0.5, at, 0.25), Vec3::X),
                (Vec3::new(at, 1.5, at), Vec3::NEG_Y),
                (Vec3::new(at, at, at), Vec3::NEG_Z),
                (Vec3::new(-1.0, -1.0 + at, -1.0), Vec3::ONE.normalize()),
                (Vec3::new(2.0, at, -1.0), Vec3::new(-1.0, 0.0, 1.0).normalize()),
                (Vec3::new(-0.0, at, -0.0), Vec3::new(-0.0, -0.0, 1.0)),
            ] {
                let ray = VolumeRay { origin, direction, near: 0.0, far: f32::INFINITY };
                seen += same(&occupancy, &ray, &steps).unwrap();
            }
        }
    }
    assert!(seen > 10_000, "{seen}");
}

#[test]
fn resumed_and_stopped_rays_see_the_same_samples() {
    let occupancy = scattered(32, 9, 0.2, 2);
    let ray = VolumeRay { origin: Vec3::splat(-1.0), direction: Vec3::ONE.normalize(), near: 0.0, far: 9.0 };
    let steps = RaySampling { step: 2e-3, cone: 1.0 / 256.0, jitter: 0.7 };
    let all = marched(&occupancy, &ray, &steps);
    assert!(all.len() > 30 && all.windows(2).all(|w| w[0].t < w[1].t));
    let path = VolumePath::from(ray);
    let mut march = occupancy.traverse(&path, &steps);
    for sample in &all {
        assert!(march.reached() <= sample.t);
        assert_eq!(march.next(&occupancy, &path), Some(*sample));
    }
    assert_eq!((march.next(&occupancy, &path), march.next(&occupancy, &path)), (None, None));
    let mut taken = 0;
    occupancy.march(&path, &steps, |_| {
        taken += 1;
        taken < 5
    });
    assert_eq!(taken, 5);
}

/// Samples that a test of every stratum of the pieces gives.
fn sampled_from_pieces(occupancy: &Occupancy, path: &VolumePath, steps: &RaySampling) -> Vec<RaySample> {
    let space = StratumMap::new(steps);
    let (mut samples, mut index) = (Vec::new(), 0);
    occupancy.march_pieces(path, steps, |piece, strata| {
        index = index.max(piece.first as u32);
        let before = samples.len();
        while space.sample(index) <= piece.end {
            let t = space.sample(index);
            let position = piece.origin + piece.direction * t;
            if t >= piece.near && occupancy.contains(position) {
                samples.push(RaySample { t, dt: space.length(index, t), position });
            }
            index += 1;
        }
        assert!(samples.len() - before <= strata as usize, "no more samples than strata");
        for k in 0..3 {
            let (d, inverse) = (piece.direction[k], piece.inverse[k]);
            assert!(if d == 0.0 { inverse == 0.0 } else { inverse == 1.0 / d });
        }
    });
    samples
}

#[test]
fn pieces_hold_the_samples_of_the_march() {
    use crate::{Cube, Frustum, Ray, SceneMap};
    use glam::{DMat3, DVec2, DVec3};

    let cube = Cube { origin: DVec3::new(-1.0, 0.5, 2.0), size: 1.5 };
    let (low, high) = (DVec2::splat(-0.7), DVec2::splat(0.6));
    let frustum = Frustum { eye: cube.centre(), axes: DMat3::IDENTITY, low, high, near: 0.5 };
    let (mut seen, mut bent) = (0, 0);
    for (m, map) in [SceneMap::Box(cube), SceneMap::Open(cube), SceneMap::Forward(frustum)].into_iter().enumerate() {
        for (k, (cells, fill, lump)) in
            [(32, 0.15, 3), (64, 0.01, 1), (16, 1.0, 16), (16, 0.0, 1)].into_iter().enumerate()
        {
            let occupancy = scattered(cells, 20 + k as u64, fill, lump);
            for i in 0..150usize {
                let random = |j: usize| f64::from(noise(77 + m as u64, 4000 * k + 8 * i + j)) * 2.0 - 1.0;
                let around = |j: usize| DVec3::new(random(j), random(j + 1), random(j + 2));
                let target = cube.centre() + 0.8 * around(3);
                let origin = cube.centre() + if m == 2 { 0.1 } else { 2.0 } * around(0);
                let ray = Ray { origin, direction: (target - origin).normalize(), cosine: 1.0 };
                let path = map.path(&ray, if i % 2 == 0 { 0.0 } else { 0.4 }, f64::INFINITY);
                bent += usize::from(path.pieces().len() > 1);
                let cone = [0.0, 0.0, 1.0 / 128.0][i % 3];
                let steps = RaySampling { step: 0.007, cone, jitter: noise(5, i) };
                let mut want = Vec::new();
                occupancy.march(&path, &steps, |s| {
                    want.push(s);
                    true
                });
                assert_eq!(sampled_from_pieces(&occupancy, &path, &steps), want, "{map:?} {ray:?}");
                seen += want.len();
            }
        }
    }
    assert!(seen > 10_000 && bent > 100, "{seen} samples, {bent} bent paths");
    let ray = VolumeRay { origin: Vec3::NAN, direction: Vec3::X, near: 0.0, far: 9.0 };
    let steps = RaySampling { step: 0.01, cone: 0.0, jitter: 0.5 };
    Occupancy::full(16).march_pieces(&VolumePath::from(ray), &steps, |piece, _| panic!("{piece:?}"));
    let bad = RaySampling { step: 0.0, ..steps };
    let ray = VolumeRay { origin: Vec3::splat(0.5), ..ray };
    Occupancy::full(16).march_pieces(&VolumePath::from(ray), &bad, |piece, _| panic!("{piece:?}"));
}

#[test]
fn strata_are_finite_numbers() {
    for (step, cone, knee) in [(0.01, 0.0, 3e38), (0.01, 0.02, 0.5), (0.1, 1.0, 0.1)] {
        let steps = RaySampling { step, cone, jitter: 0.25 };
        let strata = steps.strata();
        let numbers = [strata.per_step, strata.knee_s, strata.per_knee, strata.rate, strata.per_rate, steps.growth()];
        assert!(strata.step == step && strata.knee_t == knee && numbers.iter().all(|n| n.is_finite()), "{strata:?}");
        assert_eq!(cone == 0.0, strata.rate == 0.0 && steps.growth() == 0.0);
    }
}

#[test]
fn unusable_rays_and_steps_end_at_once() {
    let full = Occupancy::full(16);
    let ray = VolumeRay { origin: Vec3::splat(0.5), direction: Vec3::X, near: 0.0, far: f32::INFINITY };
    let steps = RaySampling { step: 0.01, cone: 0.0, jitter: 0.5 };
    assert_eq!(marched(&full, &ray, &steps).len(), 50);
    for bad in [
        VolumeRay { origin: Vec3::NAN, ..ray },
        VolumeRay { origin: Vec3::INFINITY, ..ray },
        VolumeRay { direction: Vec3::ZERO, ..ray },
        VolumeRay { direction: Vec3::NAN, ..ray },
        VolumeRay { near: 2.0, ..ray },
        VolumeRay { near: f32::NAN, ..ray },
        VolumeRay { far: -1.0, ..ray },
        VolumeRay { origin: Vec3::splat(1.0), ..ray },
    ] {
        assert_eq!(marched(&full, &bad, &steps), [], "{bad:?}");
    }
    for step in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(marched(&full, &ray, &RaySampling { step, ..steps }), []);
    }
    assert_eq!(marched(&Occupancy::empty(16), &ray, &steps), []);
}

#[test]
fn cells_counts_and_bounds() {
    let n = 32;
    let wanted = [0, 5 + n * (17 + n * 31), 31 + n * (3 + n * 2)];
    let occupancy = Occupancy::from_bits(n, |i| wanted.contains(&i));
    for i in 0..n * n * n {
        assert_eq!(occupancy.get(i), wanted.contains(&i), "{i}");
    }
    assert!(!occupancy.get(n * n * n) && !occupancy.get(usize::MAX));
    assert_eq!(occupancy.fraction(), 3.0 / (n * n * n) as f64);
    let cell = 1.0 / n as f32;
    assert_eq!(occupancy.bounds(), Some((Vec3::ZERO, Vec3::new(32.0, 18.0, 32.0) * cell)));
    assert!(occupancy.contains(Vec3::new(5.5, 17.5, 31.5) * cell) && occupancy.contains(-Vec3::ZERO));
    for p in [Vec3::new(5.5, 17.5, 30.5) * cell, Vec3::ONE, Vec3::splat(-1e-6), Vec3::NAN] {
        assert!(!occupancy.contains(p), "{p}");
    }
    assert!(occupancy.overlaps(Vec3::splat(-1.0), Vec3::splat(0.001)) && occupancy.overlaps(Vec3::ZERO, Vec3::ONE));
    assert!(occupancy.overlaps(Vec3::new(5.5, 17.5, 31.5) * cell, Vec3::new(5.6, 17.6, 31.6) * cell));
    assert!(!occupancy.overlaps(Vec3::splat(0.5), Vec3::splat(0.7)));
    assert!(!occupancy.overlaps(Vec3::splat(-1.0), Vec3::splat(-0.1)) && !occupancy.overlaps(Vec3::ONE, Vec3::NAN));
    assert_eq!((Occupancy::full(16).fraction(), Occupancy::empty(16).bounds()), (1.0, None));
    assert_eq!(Occupancy::full(16), Occupancy::from_bits(16, |_| true));
}

#[test]
fn bounds_are_those_of_the_cells() {
    for seed in 0..40 {
        let occupancy = scattered(16, seed, 0.0005, 1);
        let cells: Vec<Vec3> = (0..4096usize)
            .filter(|i| occupancy.get(*i))
            .map(|i| Vec3::new((i % 16) as f32, (i / 16 % 16) as f32, (i / 256) as f32))
            .collect();
        let around = cells.iter().map(|c| (*c, *c + 1.0)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        assert_eq!(occupancy.bounds(), around.map(|(lo, hi)| (lo / 16.0, hi / 16.0)));
    }
}

#[test]
fn a_bomb_is_refused_before_it_unfolds() {
    let mut bomb = ZlibEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0u8; 1 << 20];
    (0..64).for_each(|_| bomb.write_all(&zeros).unwrap());
    let message = Occupancy::from_bytes(16, &bomb.finish().unwrap()).unwrap_err();
    assert_eq!(message, OccupancyError::Length { got: 513, want: 512 });
    for cells in [0, 8, 17, 1024, usize::MAX] {
        assert_eq!(Occupancy::from_bytes(cells, &[]), Err(OccupancyError::Cells(cells)));
    }
    assert!(matches!(Occupancy::from_bytes(16, b"nonsense"), Err(OccupancyError::Damaged(_))));
}

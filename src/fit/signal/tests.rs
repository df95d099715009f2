//! Samplers against the signals that they draw from.

use nstr_field::signal::{NeuralSignal, SampleRegion};
use nstr_signal::synthetic::{chirp_image, sweep_audio};
use nstr_signal::{Signal, ValueTransform, ValueTransformKind};
use nstr_spec::config::preset;
use proptest::prelude::*;

use super::*;
use crate::batch_loader::BatchSource;

fn source(config: &SignalConfig, batch: usize, seed: u64) -> SignalSampler {
    let signal = Signal::Image(chirp_image(32));
    SignalSampler::new(&signal, ValueTransform::plain(1.0), config, batch, seed).unwrap()
}

#[test]
fn a_batch_of_everything_is_the_signal() {
    let picture = chirp_image(32);
    let batch = source(&SignalConfig::default(), 1 << 20, 3).batch(5);
    assert_eq!(batch.target, picture.data);
    assert_eq!(batch.x[..4], [0.5 / 32.0, 0.5 / 32.0, 1.5 / 32.0, 0.5 / 32.0]);
    let sound = sweep_audio(8000, 0.1);
    let transform = Signal::Audio(sound.clone()).info(ValueTransformKind::Auto).transform();
    let source = SignalSampler::new(&Signal::Audio(sound), transform, &SignalConfig::default(), 1 << 20, 0).unwrap();
    let peak = source.batch(0).target.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!((peak - 1.0).abs() < 1e-6, "sounds are divided by their peak");
}

#[test]
fn batches_are_spread_evenly_and_repeat() {
    let all = source(&SignalConfig::default(), 64, 1);
    assert_eq!(all.batch(9), all.batch(9));
    assert_ne!(all.batch(9), all.batch(10));
    let rows: Vec<usize> = all.batch(9).x.chunks(2).map(|x| (x[1] * 32.0) as usize).collect();
    assert!((0..32).all(|row| rows.iter().filter(|r| **r == row).count() == 2), "two of each row: {rows:?}");
}

#[test]
fn a_share_is_always_the_same_and_noise_too() {
    let config = SignalConfig { share: 0.25, noise: 0.1, ..SignalConfig::default() };
    let [a, b] = [0, 1].map(|index| source(&config, 1 << 20, 4).batch(index));
    assert_eq!((&a.x, &a.target), (&b.x, &b.target), "a batch of all that is seen");
    let seen = a.weight.len();
    assert!((200..312).contains(&seen), "{seen} of 1024");
    assert_eq!(seen, train_sample_indices([32, 32], &config, 4).unwrap().len());
    // Regularisers hold everywhere, not only where something is seen.
    assert_eq!(a.regularizer_points.len(), a.x.len());
    let quarter = |i: usize| a.regularizer_points.chunks(2).filter(|p| p[i] < 0.25).count() as f64 / seen as f64;
    assert!((0.18..0.32).contains(&quarter(0)) && (0.24..0.26).contains(&quarter(1)), "{}", quarter(0));
    assert!(source(&SignalConfig::default(), 64, 4).batch(0).regularizer_points.is_empty());
    let clean = source(&SignalConfig { noise: 0.0, ..config }, 1 << 20, 4).batch(0);
    let apart: f32 = a.target.iter().zip(&clean.target).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / seen as f32;
    assert!((apart.sqrt() - 0.1).abs() < 0.02 && a.x == clean.x, "noise of {}", apart.sqrt());
    let reduced = source(&SignalConfig { reduce: 4, ..SignalConfig::default() }, 1 << 20, 0);
    assert_eq!(reduced.count(), 64);
    assert_eq!(reduced.batch(0).x[0], 0.5 / 8.0);
    assert_eq!(reduced.batch(0).regularizer_points.len(), 128);
}

#[test]
fn holes_are_whole_blocks() {
    let config = SignalConfig { share: 0.7, block: 5, ..SignalConfig::default() };
    // 32 by 20 samples: 7 by 4 blocks, the last of a row 2 wide.
    let seen: std::collections::HashSet<u32> =
        train_sample_indices([32, 20], &config, 6).unwrap().into_iter().collect();
    let at = |x: u32, y: u32| seen.contains(&(x + 32 * y));
    let whole = (0..20).all(|y| (0..32).all(|x| at(x, y) == at(x / 5 * 5, y / 5 * 5)));
    assert!(whole && seen.len() > 300 && seen.len() < 600, "{}", seen.len());
    // One block that is not kept leaves nothing, not everything.
    let signal = Signal::Image(chirp_image(32));
    let none = |seed: &u64| {
        let whole = SignalConfig { share: 0.3, block: 64, ..SignalConfig::default() };
        SignalSampler::new(&signal, ValueTransform::plain(1.0), &whole, 64, *seed).is_none()
    };
    assert!((4..14).contains(&(0..14).filter(none).count()));
    let singles = SignalConfig { block: 1, ..config };
    assert_eq!(
        train_sample_indices([640, 1], &singles, 6),
        train_sample_indices([32, 20], &singles, 6),
        "in the order of the samples"
    );
}

#[test]
fn a_reconstruction_takes_any_size_and_a_sound_keeps_its_duration() {
    let mut config = preset("audio-tiny").unwrap();
    config.outputs = 1;
    let (grid, net) = nstr_spec::init::parameters(&config.spec(), &config.init);
    let field = NeuralSignal::new(&config.spec(), grid, &net);
    let sound = sweep_audio(8000, 0.5);
    let info = Signal::Audio(sound).info(ValueTransformKind::Auto);
    let window = SampleRegion::whole([8000, 1]);
    let values = field.sample(&window);
    let Signal::Audio(twice) = info.assemble(values, window.size, window.count) else { panic!("a sound") };
    assert_eq!((twice.rate, twice.frames()), (16000, 8000));
}

proptest! {
    #[test]
    fn codecs_go_both_ways(values in proptest::collection::vec(-1e4f32..1e4, 1..40), log in any::<bool>()) {
        let transform = if log { ValueTransform::log(&values) } else { ValueTransform::plain(values[0].abs()) };
        for v in &values {
            let back = transform.decode(transform.encode(*v));
            prop_assert!((back - v).abs() <= 1e-4 * v.abs().max(transform.divisor), "{v} became {back}");
            prop_assert!(!log || transform.encode(*v).abs() <= 1.0001);
        }
    }
}

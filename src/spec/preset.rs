//! Presets: the fields that the project recommends for each task, and the baselines that they are compared with.
//!
//! A baseline is a field like any other, from the same parts: `<task>-ngp` hashed levels without sinusoids (Instant-NGP,
//! Müller et al. 2022), `<task>-siren` a sine network (Sitzmann et al. 2020), `<task>-fourier` random Fourier features and
//! a ReLU network (Tancik et al. 2020), `sdf-relu` a ReLU network of the coordinates (one shape's decoder as in DeepSDF,
//! Park et al. 2019, without its code and its inner skip), `radiance-planes` (tri-plane, Chan et al. 2022), `radiance-vm`
//! and `image-cp` (TensoRF, Chen et al. 2022).

use crate::color_head::ColorHeadConfig;
use crate::config::{ConfigError, FieldConfig};
use crate::init::{FrequencyInit, InitConfig};
use crate::latent::{LatentConfig, LatentKind};
use crate::{Activation, DensityLaw, DirectionEncoding, MlpSpec, Modulation};

/// Names that [`preset`] knows.
pub const PRESETS: [&str; 27] = [
    "sdf-tiny",
    "sdf",
    "sdf-fine",
    "radiance-tiny",
    "radiance",
    "radiance-fine",
    "surface",
    "image-tiny",
    "image",
    "image-fine",
    "audio-tiny",
    "audio",
    "audio-fine",
    "sdf-ngp",
    "sdf-siren",
    "sdf-fourier",
    "sdf-relu",
    "radiance-ngp",
    "radiance-planes",
    "radiance-vm",
    "image-ngp",
    "image-siren",
    "image-fourier",
    "image-cp",
    "audio-ngp",
    "audio-siren",
    "audio-fourier",
];

/// A preset by name, see [`PRESETS`]. Parameters at most: `sdf-tiny` 30k, `sdf` 250k, `sdf-fine` 2M; `radiance-tiny` 80k,
/// `radiance` 600k, `radiance-fine` 6M, `surface` 2M; `image-tiny` 60k, `image` 200k, `image-fine` 1M; `audio-tiny` 20k, `audio` 100k,
/// `audio-fine` 500k; baselines about as many as the task's middle preset.
///
/// # Errors
/// [`ConfigError::Preset`] for a name that is not in [`PRESETS`].
pub fn preset(name: &str) -> Result<FieldConfig, ConfigError> {
    if !PRESETS.contains(&name) {
        return Err(ConfigError::Preset { name: name.into() });
    }
    let (task, kind) = name.split_once('-').unwrap_or((name, ""));
    Ok(match (task, kind) {
        ("sdf", "" | "tiny" | "fine") => sdf(kind),
        ("radiance", "" | "tiny" | "fine") => radiance(kind),
        ("surface", "") => surface(),
        ("image", "" | "tiny" | "fine") => image(kind),
        ("audio", "" | "tiny" | "fine") => audio(kind),
        _ => baseline(task, kind),
    })
}

fn relu(layers: usize, width: usize) -> MlpSpec {
    MlpSpec::new(layers, width, Activation::Relu)
}

fn sdf(kind: &str) -> FieldConfig {
    let sdf = FieldConfig {
        dim: 3,
        outputs: 1,
        latent: LatentConfig::hash([8, 64], 4, 16, 1 << 12),
        basis: 16,
        modulation: Modulation::Product,
        basis_omega_0: 1,
        spectrum: relu(1, 64),
        spectrum_input: false,
        decoder: relu(2, 64),
        skip_latent: true,
        input_coords: false,
        transport: relu(2, 64),
        color_head: None,
        // Sinusoids weak at first: strong ones are noise, and none at all are found late (docs/results.md).
        init: InitConfig { spectrum_bias: 0.3, ..InitConfig::default() },
    };
    match kind {
        "tiny" => FieldConfig {
            latent: LatentConfig::dense(10, 16),
            spectrum: relu(1, 32),
            decoder: relu(2, 32),
            transport: relu(2, 32),
            ..sdf
        },
        "fine" => FieldConfig {
            latent: LatentConfig::hash([8, 128], 5, 16, 1 << 15),
            // Its long fits end worse from weaker ones.
            init: InitConfig::default(),
            ..sdf
        },
        _ => sdf,
    }
}

fn radiance(kind: &str) -> FieldConfig {
    let radiance = FieldConfig {
        latent: LatentConfig::hash([16, 512], 5, 8, 1 << 14),
        spectrum: relu(0, 32),
        decoder: relu(1, 64),
        transport: relu(1, 16),
        color_head: Some(ColorHeadConfig {
            encoding: DirectionEncoding::Sh(4),
            features: 15,
            mlp: relu(1, 64),
            density: DensityLaw::Exponential,
        }),
        init: InitConfig::default(),
        ..sdf("")
    };
    match kind {
        "tiny" => FieldConfig {
            latent: LatentConfig::hash([16, 128], 8, 8, 1 << 10),
            // S from 0 is worth 0.1 to 0.3 dB here, and nothing in the larger one (docs/results.md).
            init: InitConfig { spectrum_bias: 0.0, ..InitConfig::default() },
            ..radiance
        },
        // Many levels of few features: better a step than few levels of many, at about the same cost (docs/results.md).
        "fine" => FieldConfig { latent: LatentConfig::hash([16, 512], 8, 4, 1 << 18), ..radiance },
        _ => radiance,
    }
}

/// A radiance field around a surface.
fn surface() -> FieldConfig {
    let fine = radiance("fine");
    let density = DensityLaw::SignedDistance(SURFACE_SHARPNESS);
    FieldConfig {
        latent: LatentConfig::hash([16, 256], 6, 4, 1 << 16),
        color_head: fine.color_head.map(|head| ColorHeadConfig { density, ..head }),
        // Sinusoids tilt the distance: they come in where they help.
        init: InitConfig { spectrum_bias: 0.0, ..fine.init },
        ..fine
    }
}

/// Sharpness of the preset `surface`: matter is opaque within about 1/300 of the cube.
const SURFACE_SHARPNESS: u32 = 600;

/// For an image of 768 pixels a side; see [`FieldConfig::scaled_to_resolution`].
fn image(kind: &str) -> FieldConfig {
    let image = FieldConfig {
        dim: 2,
        outputs: 3,
        latent: LatentConfig::hash([16, 768], 9, 2, 1 << 14),
        basis: 32,
        // S linear in z: a hidden layer in H costs photographs 0.3 dB (docs/results.md).
        spectrum: relu(0, 32),
        decoder: relu(4, 64),
        transport: MlpSpec::ABSENT,
        // S starts at 0: sinusoids take part where they help, instead of being noise to get rid of (docs/results.md).
        init: InitConfig { omega_scale: 384.0, spectrum_bias: 0.0, ..InitConfig::default() },
        ..sdf("")
    };
    match kind {
        "tiny" => FieldConfig { latent: LatentConfig::hash([16, 768], 9, 2, 1 << 12), decoder: relu(2, 36), ..image },
        "fine" => FieldConfig { latent: LatentConfig::hash([16, 1536], 11, 2, 1 << 16), ..image },
        _ => image,
    }
}

/// For audio of 300000 frames; see [`FieldConfig::scaled_to_resolution`].
fn audio(kind: &str) -> FieldConfig {
    let audio = FieldConfig {
        dim: 1,
        outputs: 1,
        latent: LatentConfig::hash([64, 150_000], 14, 2, 1 << 12),
        basis: 64,
        spectrum: relu(1, 32),
        init: InitConfig { omega: FrequencyInit::Linear, omega_scale: 30_000.0, ..image("").init },
        ..image("")
    };
    match kind {
        "tiny" => FieldConfig {
            latent: LatentConfig::hash([64, 150_000], 12, 2, 1 << 9),
            basis: 32,
            decoder: relu(2, 40),
            ..audio
        },
        "fine" => FieldConfig { latent: LatentConfig::hash([64, 150_000], 14, 2, 1 << 15), ..audio },
        _ => audio,
    }
}

/// A baseline of a task; `kind` is one of [`PRESETS`].
fn baseline(task: &str, kind: &str) -> FieldConfig {
    let of_task = match task {
        "radiance" => radiance(""),
        "image" => image(""),
        "audio" => audio(""),
        _ => sdf(""),
    };
    // Nothing of the spectrum: what it held goes to the network or the grid.
    let bare = FieldConfig { transport: MlpSpec::ABSENT, modulation: Modulation::None, ..of_task };
    let no_grid = FieldConfig {
        latent: LatentConfig { kind: LatentKind::None, ..LatentConfig::dense(1, 1) },
        modulation: Modulation::Plain,
        skip_latent: false,
        ..bare.clone()
    };
    let latent = |kind, resolution, features| LatentConfig { kind, ..LatentConfig::dense(resolution, features) };
    match kind {
        // The authors' network: two hidden layers of 64.
        "ngp" => FieldConfig { latent: ngp_levels(task), decoder: relu(2, 64), ..bare },
        "planes" => FieldConfig { latent: latent(LatentKind::Planes, 128, 11), ..bare },
        "vm" => {
            let init = InitConfig { grid_scale: 0.2, ..bare.init };
            FieldConfig { latent: latent(LatentKind::Vm, 128, 11), init, ..bare }
        }
        "cp" => {
            let init = InitConfig { grid_scale: 0.5, ..bare.init };
            FieldConfig { latent: latent(LatentKind::Cp, 400, 220), init, ..bare }
        }
        "siren" => {
            let (layers, width) = if task == "audio" { (2, 200) } else { (3, 252) };
            let decoder = MlpSpec { omega_0: 30, ..MlpSpec::new(layers, width, Activation::Sine) };
            let init = InitConfig { omega: FrequencyInit::Siren, ..no_grid.init };
            FieldConfig {
                basis: width,
                basis_omega_0: if task == "audio" { 3000 } else { 30 },
                decoder,
                init,
                ..no_grid
            }
        }
        "fourier" => {
            // σ of Tancik et al.: 10 for images on [0, 1]²; ω = 2πσ. Of distances 8 was best among 3 to 30 (docs/results.md).
            let omega_scale = match task {
                "audio" => 10_000.0,
                "image" => 20.0 * std::f32::consts::PI,
                _ => 8.0,
            };
            let init = InitConfig { omega: FrequencyInit::Fourier, omega_scale, ..no_grid.init };
            let (basis, decoder) = if task == "audio" { (256, relu(2, 160)) } else { (256, relu(3, 224)) };
            FieldConfig { basis, decoder, init, ..no_grid }
        }
        // Eight layers, as DeepSDF's decoder.
        _ => FieldConfig { modulation: Modulation::None, input_coords: true, decoder: relu(8, 180), ..no_grid },
    }
}

/// Levels of Instant-NGP of about the size of the task's middle preset.
fn ngp_levels(task: &str) -> LatentConfig {
    match task {
        "audio" => audio("").latent,
        "image" => image("").latent,
        "radiance" => LatentConfig::hash([16, 512], 16, 2, 1 << 14),
        _ => LatentConfig::hash([16, 256], 12, 2, 1 << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_within_their_budgets() {
        let most = [
            30_000, 250_000, 2_000_000, 80_000, 600_000, 6_000_000, 2_000_000, 60_000, 200_000, 1_000_000, 20_000,
            100_000, 500_000,
        ];
        let least = |most: usize| most / 2;
        let task = |name: &str| match name.split_once('-').map_or(name, |(task, _)| task) {
            "sdf" => 250_000,
            "radiance" => 800_000,
            "image" => 260_000,
            _ => 130_000,
        };
        for (i, name) in PRESETS.into_iter().enumerate() {
            let config = preset(name).unwrap();
            config.validate().unwrap();
            let most = most.get(i).copied().unwrap_or(task(name));
            let count = config.spec().parameters();
            assert!(count <= most && count > least(most), "{name}: {count}");
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<FieldConfig>(&json).unwrap(), config);
        }
        assert!(preset("sfd").unwrap_err().to_string().contains("sdf-tiny, sdf, sdf-fine, radiance-tiny"));
        assert!(preset("audio-planes").is_err() && preset("image-").is_err());
    }

    #[test]
    fn a_siren_is_the_published_network() {
        let spec = preset("image-siren").unwrap().set(&["basis=256", "decoder.width=256"]).unwrap().spec();
        // 2·256 + 256, three times 256² + 256, 256·3 + 3.
        assert_eq!(spec.parameters(), 768 + 3 * 65_792 + 771);
        assert_eq!((spec.grid_len(), spec.spectrum_width()), (0, 0));
    }
}

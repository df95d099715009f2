//! Options of a field: presets, `--set key=value`, and the checks that keep every shape sane.

use std::fmt;
use std::str::FromStr;

use nstr_files::{excerpt, shorten};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::color_head::ColorHeadConfig;
use crate::field_spec::MAX_GROUP;
use crate::init::InitConfig;
use crate::latent::LatentConfig;
use crate::overrides;
use crate::text_form;

pub use crate::preset::{PRESETS, preset};
use crate::{DirectionEncoding, FieldSpec, MAX_SHARPNESS, MlpSpec, Modulation};

/// The key that a fit's own seed overrules.
const SEED: &str = "init.seed";

/// A preset, a key or a value that can't be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No preset has this name.
    #[error("no preset `{}`; there are {}", excerpt(name), PRESETS.join(", "))]
    Preset {
        /// The name asked for.
        name: String,
    },
    /// An override that is not `key=value`.
    #[error("`{}` is not of the form key=value, for example basis=32", excerpt(text))]
    Form {
        /// The override.
        text: String,
    },
    /// No option has this name.
    #[error("unknown option `{}`; the options are {}", excerpt(key), options.join(", "))]
    UnknownKey {
        /// The name asked for.
        key: String,
        /// All names.
        options: Vec<String>,
    },
    /// The option is one of fits of other data.
    #[error("`{}` is an option of {owners} alone", excerpt(key))]
    OtherTask {
        /// The name asked for.
        key: String,
        /// Data whose fits have it.
        owners: &'static str,
    },
    /// Several options end in this name.
    #[error("ambiguous option `{}`; the options are {}", excerpt(key), options.join(", "))]
    AmbiguousKey {
        /// The name asked for.
        key: String,
        /// The names that end in it.
        options: Vec<String>,
    },
    /// An option's value is of the wrong kind or out of range.
    #[error("{} = {}: {}", excerpt(key), excerpt(value), shorten(expected))]
    Value {
        /// The option.
        key: String,
        /// Its value.
        value: String,
        /// The values that it may have.
        expected: String,
    },
}

/// Configuration of a field: its shape, see [`FieldConfig::spec`], and its initial parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldConfig {
    /// Coordinates, 1 to 3.
    pub dim: usize,
    /// Values: 1 for a signed distance; with a `color_head` they follow from it.
    pub outputs: usize,
    /// Latent grid.
    pub latent: LatentConfig,
    /// Basis functions K.
    pub basis: usize,
    /// `product`, `sum`, `plain`, `none` or `channels:C`.
    #[serde(with = "text_form")]
    pub modulation: Modulation,
    /// Factor of the phases of the basis: SIREN's ω₀ of the first layer.
    #[serde(default = "one", alias = "basis_gain")]
    pub basis_omega_0: u32,
    /// Spectrum network H.
    pub spectrum: MlpSpec,
    /// Feeds x into H beside z.
    pub spectrum_input: bool,
    /// Decoder g.
    pub decoder: MlpSpec,
    /// Feeds z into g beside the modulated basis.
    #[serde(alias = "skip")]
    pub skip_latent: bool,
    /// Feeds x into g too.
    #[serde(default, alias = "coordinates")]
    pub input_coords: bool,
    /// Transport network F; `transport.width=0` for none.
    pub transport: MlpSpec,
    /// Colour head, which depends on the viewing direction: a radiance field.
    #[serde(default, alias = "view", skip_serializing_if = "Option::is_none")]
    pub color_head: Option<ColorHeadConfig>,
    /// Initial parameters.
    pub init: InitConfig,
}

fn one() -> u32 {
    1
}

impl FieldConfig {
    /// The field's shape. Valid if the configuration is (see [`FieldConfig::validate`]).
    pub fn spec(&self) -> FieldSpec {
        FieldSpec {
            dim: self.dim,
            outputs: self.color_head.map_or(self.outputs, |head| head.features.saturating_add(1)),
            latent: self.latent.spec(self.dim),
            basis: self.basis,
            modulation: self.modulation,
            basis_omega_0: self.basis_omega_0,
            spectrum: self.spectrum,
            spectrum_input: self.spectrum_input,
            decoder: self.decoder,
            skip_latent: self.skip_latent,
            input_coords: self.input_coords,
            transport: self.transport,
            color_head: self.color_head.map(|head| head.spec()),
        }
    }

    /// The field for a signal of `size` samples along its longest axis, of `outputs` values each. The finest of several levels and
    /// the basis' frequencies are scaled from the signal that the preset is written for (768 pixels, 300000 frames) to this one.
    pub fn scaled_to_resolution(mut self, size: usize, outputs: usize) -> Self {
        let usual = if self.dim == 1 { 300_000.0 } else { 768.0 };
        let scale = size as f64 / usual;
        self.outputs = outputs;
        // A sound of 2^28 frames would go beyond, by an option that nobody gave.
        self.init.omega_scale = (f64::from(self.init.omega_scale) * scale).min(MAX_OMEGA_SCALE) as f32;
        if self.latent.is_multiresolution() {
            let resolution = (f64::from(self.latent.resolution) * scale).round() as u32;
            self.latent.resolution = resolution.clamp(self.latent.base_resolution, MAX_RESOLUTION);
        }
        self
    }

    /// Checks every value; the shape is then safe to build and to allocate.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for an option out of its range, or for options that do not go together.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_range("dim", self.dim, 1, 3)?;
        self.latent.validate(self.dim)?;
        range("init.grid_scale", f64::from(self.init.grid_scale), 0.0, 10.0)?;
        range("init.omega_scale", f64::from(self.init.omega_scale), 0.0, MAX_OMEGA_SCALE)?;
        range("init.spectrum_bias", f64::from(self.init.spectrum_bias), -1e3, 1e3)?;
        validate(&self.spec())
    }

    /// Applies overrides `key=value`. Keys are dotted (`latent.features`) or any unique ending (`omega_scale`).
    /// Choosing another `latent.kind` first lays out that kind's usual levels for about the same number of parameters;
    /// other keys then refine it, in any order.
    ///
    /// # Errors
    /// [`ConfigError`] for a text that is not `key=value`, an unknown or ambiguous key, or a value that can't be used.
    pub fn set<S: AsRef<str>>(mut self, overrides: &[S]) -> Result<Self, ConfigError> {
        let mut pairs = Vec::with_capacity(overrides.len());
        for text in overrides {
            let (key, value) = overrides::split(text.as_ref())?;
            if ["seed", SEED].contains(&key) {
                let expected = "one seed rules a whole fit: give --seed, in a recipe seeds".into();
                return Err(ConfigError::Value { key: key.into(), value: value.into(), expected });
            }
            pairs.push((overrides::resolve(&self.keys(), key)?, value));
        }
        let before = self.clone();
        let (kind, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| key == "latent.kind");
        for (key, value) in &kind {
            self = overrides::apply(&self, "", key, value)?;
        }
        if self.latent.kind != before.latent.kind {
            before.validate()?;
            let usual = LatentConfig::with_parameter_budget(self.latent.kind, before.dim, before.spec().grid_len());
            self.latent = LatentConfig { interpolation: before.latent.interpolation, ..usual };
        }
        for (key, value) in &rest {
            self = overrides::apply(&self, "", key, value)?;
        }
        self.validate()?;
        let parameters = self.spec().parameters();
        if parameters > MAX_TRAINED_PARAMETERS {
            return Err(too_many_parameters(parameters as u128, MAX_TRAINED_PARAMETERS));
        }
        Ok(self)
    }

    /// Every dotted key that [`FieldConfig::set`] takes: all but the seed, which belongs to the fit.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = overrides::list_keys(self, "");
        keys.retain(|key| key != SEED);
        keys
    }
}

/// Parameters that a field in a file may have at most: 2²⁸, 1 GiB in f32.
pub const MAX_PARAMETERS: usize = 1 << 28;

/// Parameters that a field in training may have at most: 2²⁶. Training holds about 25 numbers for each (moments, gradients of
/// every thread, the last good state, a checkpoint that is being written), 7 GB in all.
pub const MAX_TRAINED_PARAMETERS: usize = 1 << 26;

/// Largest scale of the initial frequencies: radians per unit of field coordinates beyond it are lost in the rounding of f32.
pub const MAX_OMEGA_SCALE: f64 = 1e6;

/// Most values of S: every point of a tile holds them, with their derivatives.
const MAX_SPECTRUM: usize = 1 << 16;

/// Cells of a level along an axis at most.
pub const MAX_RESOLUTION: u32 = 1 << 20;

/// Checks a shape, from a configuration or from a file: afterwards every length in it fits, and buffers are bounded by
/// [`MAX_PARAMETERS`].
///
/// # Errors
/// [`ConfigError::Value`] for a value out of its range, or for values that do not go together.
pub fn validate(spec: &FieldSpec) -> Result<(), ConfigError> {
    check_range("dim", spec.dim, 1, 3)?;
    check_range("outputs", spec.outputs, 1, 64)?;
    check_range("basis", spec.basis, 1, 4096)?;
    check_range("basis_omega_0", spec.basis_omega_0 as usize, 1, 100_000)?;
    check_range("latent.levels", spec.latent.levels.len(), 0, 32)?;
    let (levels, product) = (spec.latent.levels.len(), spec.latent.product);
    check_range("latent.product", product, 1, MAX_GROUP)?;
    if !levels.is_multiple_of(product) {
        let expected = format!("must be a multiple of the {product} levels of a product");
        return Err(ConfigError::Value { key: "latent.levels".into(), value: levels.to_string(), expected });
    }
    check_range("latent.features", spec.latent.features, 1, 256)?;
    for level in &spec.latent.levels {
        check_range("latent.resolution", level.resolution as usize, 1, MAX_RESOLUTION as usize)?;
        check_range("axes of a level", level.axes.count(spec.dim), 1, 3)?;
        if let Some(size) = level.hashmap_size {
            let expected = || "must be a power of two of at most 2^26".to_string();
            let bad = || ConfigError::Value {
                key: "latent.hashmap_size".into(),
                value: size.to_string(),
                expected: expected(),
            };
            (size.is_power_of_two() && size <= 1 << 26).then_some(()).ok_or_else(bad)?;
        }
    }
    let mut networks = vec![("decoder", &spec.decoder)];
    networks.extend(spec.modulates().then_some(("spectrum", &spec.spectrum)));
    networks.extend((spec.transport.width > 0).then_some(("transport", &spec.transport)));
    if let Some(head) = &spec.color_head {
        check_range("dim, with a color_head,", spec.dim, 3, 3)?;
        match head.encoding {
            DirectionEncoding::Sh(degree) => check_range("color_head.encoding sh", degree, 1, 4)?,
            DirectionEncoding::Frequency(octaves) => check_range("color_head.encoding frequency", octaves, 0, 4)?,
        }
        if let Some(sharpness) = head.density.sharpness() {
            check_range("color_head.density signed-distance", sharpness as usize, 1, MAX_SHARPNESS as usize)?;
        }
        networks.push(("color_head.mlp", &head.mlp));
    }
    for (name, mlp) in networks {
        check_range(&format!("{name}.layers"), mlp.layers, 0, 16)?;
        check_range(&format!("{name}.width"), mlp.width, 1, 2048)?;
        check_range(&format!("{name}.omega_0"), mlp.omega_0 as usize, 1, 100_000)?;
    }
    let invalid = |key: &str, value: String, expected: &str| {
        Err(ConfigError::Value { key: key.into(), value, expected: expected.into() })
    };
    if spec.decoder_inputs() == 0 {
        return invalid(
            "modulation",
            "none".into(),
            "needs skip_latent=true or input_coords=true: nothing else would enter the decoder",
        );
    }
    if spec.modulates() && spec.spectrum_inputs() == 0 {
        return invalid(
            "spectrum_input",
            "false".into(),
            "must be true where there is no latent grid, or modulation=plain",
        );
    }
    if let Modulation::Channels(channels) = spec.modulation {
        check_range("modulation channels", channels, 1, 256)?;
        check_range("basis times modulation channels", spec.basis * channels, 1, MAX_SPECTRUM)?;
    }
    // 32 levels × (2²⁰ + 1)³ entries × 256 features and 4096·256 spectrum values × 2048 fit in 128 bits.
    let parameters = spec.latent.levels.iter().map(|l| l.entries(spec.dim) as u128).sum::<u128>();
    let parameters = parameters * spec.latent.features as u128 + spec.net_len() as u128;
    if parameters > MAX_PARAMETERS as u128 {
        return Err(too_many_parameters(parameters, MAX_PARAMETERS));
    }
    Ok(())
}

fn too_many_parameters(parameters: u128, most: usize) -> ConfigError {
    let expected =
        format!("must be at most {most}: lower latent.resolution, latent.features, latent.hashmap_size or the widths");
    ConfigError::Value { key: "parameters".into(), value: parameters.to_string(), expected }
}

pub(super) fn check_range(key: &str, value: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let expected = format!("must be {low} to {high}");
    Err(ConfigError::Value { key: key.into(), value: value.to_string(), expected })
}

fn range(key: &str, value: f64, low: f64, high: f64) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let expected = format!("must be {low} to {high}");
    Err(ConfigError::Value { key: key.into(), value: value.to_string(), expected })
}

/// `product`, `sum`, `plain`, `none` or `channels:C`.
impl fmt::Display for Modulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Modulation::Product => f.write_str("product"),
            Modulation::Sum => f.write_str("sum"),
            Modulation::Plain => f.write_str("plain"),
            Modulation::None => f.write_str("none"),
            Modulation::Channels(c) => write!(f, "channels:{c}"),
        }
    }
}

impl FromStr for Modulation {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let modulation = match text.split_once(':') {
            None if text == "product" => Some(Modulation::Product),
            None if text == "sum" => Some(Modulation::Sum),
            None if text == "plain" => Some(Modulation::Plain),
            None if text == "none" => Some(Modulation::None),
            Some(("channels", count)) => count.parse().ok().map(Modulation::Channels),
            _ => None,
        };
        modulation.ok_or("must be product, sum, plain, none or channels:C, for example channels:8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::latent::LatentKind;
    use proptest::prelude::*;

    #[test]
    fn overrides_reach_every_kind_of_value() {
        let set = |overrides: &[&str]| preset("sdf").unwrap().set(overrides);
        let config = set(&[
            "basis=8",
            "omega_scale=12.5",
            "modulation=channels:4",
            "skip_latent=false",
            "spectrum.activation=silu",
            "latent.interpolation=smoothstep",
            "decoder.layers=3",
            "omega=linear",
        ])
        .unwrap();
        assert_eq!((config.basis, config.init.omega_scale, config.skip_latent), (8, 12.5, false));
        assert_eq!(config.spec().channels(), Some(4));
        assert_eq!(config.spectrum.activation, Activation::Silu);
        assert_eq!(config.decoder.layers, 3);

        for (overrides, part) in [
            (["bases=3"], "the options are basis, "),
            (["layers=3"], "ambiguous option `layers`; the options are decoder.layers, "),
            (["basis"], "key=value"),
            (["basis=many"], "basis = many: must be a whole number"),
            (["basis=0"], "basis = 0: must be 1 to 4096"),
            (["modulation=channels"], "channels:8"),
            (["latent.kind=octree"], "pyramid"),
            (["omega_scale=nan"], "must be a number"),
            (["decoder.activation=tanh"], "relu"),
        ] {
            let message = set(&overrides).unwrap_err().to_string();
            assert!(message.contains(part), "{overrides:?}: {message}");
        }
        // What is printed can be given as an option.
        use crate::{Activation::*, Interpolation::*};
        for activation in [Relu, Silu, Sine] {
            let config = set(&[&format!("decoder.activation={activation}")]).unwrap();
            assert_eq!(config.decoder.activation, activation);
        }
        for interpolation in [Linear, Smoothstep] {
            let config = set(&[&format!("latent.interpolation={interpolation}")]).unwrap();
            assert_eq!(config.latent.interpolation, interpolation);
        }
        let message = preset("sdf-tiny").unwrap().set(&["latent.resolution=2000"]).unwrap_err().to_string();
        assert!(message.contains("parameters"), "{message}");
    }

    #[test]
    fn fields_that_exhaust_memory_are_refused_with_the_remedy() {
        let set = |overrides: &[&str]| preset("sdf").unwrap().set(overrides);
        for (overrides, part) in [
            // 17 levels of 2^24 entries of 16 features.
            (vec!["latent.hashmap_size=16777216", "latent.levels=17", "latent.resolution=4096"], "lower latent."),
            (vec!["latent.kind=dense", "latent.resolution=1048576", "latent.features=256"], "parameters = 2951"),
            (vec!["latent.hashmap_size=1099511627776"], "latent.hashmap_size = 1099511627776: "),
            (vec!["latent.log2_hashmap_size=40"], "latent.hashmap_size"),
            (vec!["latent.hashmap_size=0"], "power of two"),
            (vec!["latent.levels=1000000000000"], "must be 1 to 32"),
            (vec!["latent.features=18446744073709551615"], "must be 1 to 256"),
            (vec!["basis=4096", "modulation=channels:256"], "basis times modulation channels = 1048576"),
            (vec!["decoder.width=18446744073709551615"], "must be 1 to 2048"),
            (vec!["decoder.layers=99"], "must be 0 to 16"),
        ] {
            let message = set(&overrides).unwrap_err().to_string();
            assert!(message.contains(part), "{overrides:?}: {message}");
        }
        // (n + 1)³ entries of 16 features: 55 million parameters, 73 million.
        let dense = |n: u32| preset("sdf-tiny").unwrap().set(&[format!("latent.resolution={n}")]);
        assert!(dense(150).is_ok() && dense(165).unwrap_err().to_string().contains("at most 67108864"));
    }

    #[test]
    fn long_signals_keep_within_the_range_of_the_frequencies() {
        for name in ["audio-tiny", "audio", "audio-fine", "audio-siren", "audio-fourier"] {
            let config = preset(name).unwrap();
            let same = config.clone().scaled_to_resolution(300_000, 1);
            assert_eq!(same.init.omega_scale, config.init.omega_scale, "{name}");
            config.scaled_to_resolution(1 << 28, 1).validate().unwrap();
        }
    }

    #[test]
    fn numbers_of_a_configuration_come_back_bit_for_bit() {
        let mut config = preset("radiance").unwrap();
        config.init.seed = u64::MAX - 1;
        for bits in [1u32, 0x0080_0000, 0x3dcc_cccd, 0x3eaa_aaab, 0x7f7f_ffff, 0x8000_0000] {
            config.init.grid_scale = f32::from_bits(bits);
            let text = serde_json::to_string(&config).unwrap();
            let back: FieldConfig = serde_json::from_str(&text).unwrap();
            assert_eq!((back.init.grid_scale.to_bits(), back.init.seed), (bits, config.init.seed), "{text}");
            assert_eq!(serde_json::to_string(&back).unwrap(), text);
        }
    }

    #[test]
    fn kinds_keep_the_budget_and_take_refinements_in_any_order() {
        let dense = preset("sdf").unwrap().spec().grid_len();
        for kind in ["pyramid", "hash"] {
            let config = preset("sdf").unwrap().set(&[format!("latent.kind={kind}")]).unwrap();
            let grid = config.spec().grid_len();
            assert!(grid <= dense && grid > dense / 3, "{kind}: {grid} of {dense}");
            assert!(config.spec().latent.levels.len() > 1);
        }
        let a = preset("sdf").unwrap().set(&["latent.levels=6", "latent.kind=hash", "latent.features=4"]).unwrap();
        let b = preset("sdf").unwrap().set(&["latent.kind=hash", "latent.features=4", "latent.levels=6"]).unwrap();
        assert_eq!(a, b);
        assert_eq!((a.latent.kind, a.spec().latent.levels.len(), a.latent.features), (LatentKind::Hash, 6, 4));
        assert!(a.spec().latent.levels.last().unwrap().hashmap_size.is_some());
    }

    /// Configurations as version 0.1.0 stored them, with other names of the keys.
    #[test]
    fn older_names_are_read_and_shapes_are_stored_under_theirs() {
        let config = preset("radiance-tiny").unwrap().set(&["decoder.omega_0=5", "basis_omega_0=3"]).unwrap();
        let text = serde_json::to_string(&config).unwrap();
        let old = [
            ("\"basis_omega_0\"", "\"basis_gain\""),
            ("\"omega_0\"", "\"gain\""),
            ("\"skip_latent\"", "\"skip\""),
            ("\"input_coords\"", "\"coordinates\""),
            ("\"color_head\"", "\"view\""),
            ("\"mlp\"", "\"head\""),
            ("\"resolution\"", "\"cells\""),
            ("\"base_resolution\"", "\"coarsest\""),
            ("\"hashmap_size\"", "\"table\""),
        ];
        let older = old.iter().fold(text, |text, (new, old)| {
            assert!(text.contains(new), "{new}");
            text.replace(new, old)
        });
        assert_eq!(serde_json::from_str::<FieldConfig>(&older).unwrap(), config);

        let stored = serde_json::to_string(&config.spec()).unwrap();
        for (new, old) in old {
            assert!(!stored.contains(new) && (old == "\"coarsest\"" || stored.contains(old)), "{new}: {stored}");
        }
        assert_eq!(serde_json::from_str::<FieldSpec>(&stored).unwrap(), config.spec());
    }

    proptest! {
        #[test]
        fn no_text_panics(key in "[a-z._]{0,12}", value in "\\PC{0,8}", which in 0usize..40) {
            let config = preset("sdf-tiny").unwrap();
            let keys = config.keys();
            let key = keys.get(which).cloned().unwrap_or(key);
            let _ = config.set(&[format!("{key}={value}")]);
        }

        #[test]
        fn whole_numbers_are_refused_or_safe(which in 0usize..40, value in prop_oneof![0u64..5000, any::<u64>()]) {
            let config = preset("sdf-tiny").unwrap();
            let keys = config.keys();
            let key = &keys[which % keys.len()];
            if let Ok(config) = config.set(&[format!("{key}={value}")]) {
                prop_assert!(config.spec().parameters() <= MAX_PARAMETERS);
            }
        }
    }
}

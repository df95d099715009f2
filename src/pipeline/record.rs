//! Record of a fit in its model's file, and the settings that follow from it.

use std::path::{Path, PathBuf};

use nstr_camera::CameraArc;
use nstr_field::model::Model;
use nstr_files::{excerpt, shorten};
use nstr_fit::{Budget, FitConfig, RayConfig};
use nstr_image::colour::Background;
use nstr_image::format::MAX_PIXELS;
use nstr_render::VolumeSettings;
use nstr_signal::SignalInfo;
use nstr_signal::audio::MAX_SAMPLES;
use nstr_space::SceneMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::options::{CaptureSettings, SignSettings};

/// Record of a fit, stored in the header of its model as `config`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FitRecord {
    /// The whole configuration: field, training and samples.
    pub fit: FitConfig,
    /// Budget of training.
    pub budget: Budget,
    /// Sign options, of a mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<SignSettings>,
    /// Reader options, of a capture; `near` as it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureSettings>,
    /// Arc of the cameras of a capture that does not show its object from all around.
    #[serde(default, rename = "swing", skip_serializing_if = "Option::is_none")]
    pub camera_arc: Option<CameraArc>,
    /// Size and value range of a picture or a sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalInfo>,
    /// Hash of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Model that the transport network was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport_from: Option<PathBuf>,
    /// Seed of the initial parameters and of the samples.
    pub seed: u64,
}

impl FitRecord {
    /// A record without settings of an input.
    pub fn new(fit: FitConfig, budget: Budget, seed: u64) -> Self {
        Self {
            fit,
            budget,
            sign: None,
            capture: None,
            camera_arc: None,
            signal: None,
            input: None,
            transport_from: None,
            seed,
        }
    }

    /// The first setting in which a fit with this record does something else than one with `other`, with both values; budget
    /// and input are not settings.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let [mine, theirs] = [self, other].map(|record| {
            let capture = record.capture.clone().map(|capture| CaptureSettings { near: None, ..capture });
            let Self { fit, seed, sign, signal, .. } = record;
            serde_json::json!({ "fit": fit, "seed": seed, "sign": sign, "capture": capture, "signal": signal })
        });
        if let Some(found) = first_difference("", &mine, &theirs) {
            // Its keys are those of `--set`.
            return Some(found.strip_prefix("fit.").unwrap_or(&found).to_string());
        }
        let near = |record: &Self| record.capture.as_ref().and_then(|capture| capture.near);
        let (a, b) = (near(self), near(other));
        let is_same = match (a, b) {
            // It was found from the images: the order of a sum may differ between versions and numbers of threads.
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            (a, b) => a == b,
        };
        let shown = |near: Option<f64>| near.map_or("none".into(), |near| near.to_string());
        (!is_same).then(|| format!("capture.near = {}, there {}", shown(a), shown(b)))
    }

    /// The record in the header of a model, every value in its range.
    ///
    /// # Errors
    /// Models that keep none, or one that cannot be understood or that no fit makes.
    pub fn of(model: &Model) -> Result<Self, RecordError> {
        let record: Self =
            serde_json::from_value(model.config.clone()).map_err(|e| RecordError(shorten(&e.to_string())))?;
        record.check()?;
        Ok(record)
    }

    /// Checks what memory and time depend on. Options of meshes and captures are checked by their readers.
    fn check(&self) -> Result<(), RecordError> {
        let wrong = |e: nstr_spec::config::ConfigError| RecordError(e.to_string());
        // The field first: the other checks ask for its shape.
        self.fit.field.validate().map_err(wrong)?;
        self.fit.validate().map_err(wrong)?;
        if let Some(near) = self.capture.as_ref().and_then(|capture| capture.near)
            && !(near.is_finite() && near >= 0.0)
        {
            return Err(RecordError(format!("capture.near = {near}: must be 0 or more")));
        }
        self.signal.as_ref().map_or(Ok(()), check_signal)
    }
}

/// A record of a fit that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(String);

/// Checks the description of a signal: its samples fit into memory, and its transform can be undone.
fn check_signal(info: &SignalInfo) -> Result<(), RecordError> {
    let wrong = |what: &str, found: String, expected: String| {
        Err(RecordError(format!("signal.{what} = {found}: must be {expected}")))
    };
    let product = |a: usize, b: usize| (a as u64).saturating_mul(b as u64);
    match *info {
        SignalInfo::Image { width, height, channels, .. } => {
            if !(1..=MAX_PIXELS).contains(&product(width, height)) {
                return wrong(
                    "width, height",
                    format!("{width}, {height}"),
                    format!("1 to {MAX_PIXELS} pixels in all"),
                );
            }
            if !(1..=4).contains(&channels) {
                return wrong("channels", channels.to_string(), "1 to 4".into());
            }
        }
        SignalInfo::Audio { rate, frames, channels, .. } => {
            if rate == 0 {
                return wrong("rate", rate.to_string(), "above 0".into());
            }
            if !(1..=MAX_SAMPLES).contains(&product(frames, channels)) {
                let found = format!("{frames}, {channels}");
                return wrong("frames, channels", found, format!("1 to {MAX_SAMPLES} samples in all"));
            }
        }
    }
    let transform = info.transform();
    for (what, value) in [("codec.divisor", transform.divisor), ("codec.factor", transform.factor)] {
        if !(value.is_finite() && value > 0.0) {
            return wrong(what, value.to_string(), "a number above 0".into());
        }
    }
    Ok(())
}

/// The first key, dotted, whose values differ, with both of them.
fn first_difference(at: &str, a: &Value, b: &Value) -> Option<String> {
    if a == b {
        return None;
    }
    let (Value::Object(x), Value::Object(y)) = (a, b) else {
        let shown = |value: &Value| match value {
            Value::Null => "none".to_string(),
            value => excerpt(&value.to_string()),
        };
        return Some(format!("{at} = {}, there {}", shown(a), shown(b)));
    };
    let keys = x.keys().chain(y.keys().filter(|key| !x.contains_key(*key)));
    let mut differences = keys.filter_map(|key| {
        let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        first_difference(&name, x.get(key).unwrap_or(&Value::Null), y.get(key).unwrap_or(&Value::Null))
    });
    differences.next()
}

/// The error of a model whose record of the fit to an input of `kind` cannot be used.
pub(crate) fn unreadable(path: &Path, reason: &RecordError, kind: &str) -> Error {
    Error::file(path, format!("its record of the fit cannot be read ({reason}); fit the {kind} again"))
}

/// Ray-marching settings stored with a radiance model.
#[derive(Clone, Copy, Debug)]
pub struct MarchSettings {
    /// Marching of rays.
    pub volume: VolumeSettings,
    /// Cells of the occupancy grid along an axis.
    pub resolution: usize,
    /// Arc of the capture's cameras, if they did not stand all around.
    pub camera_arc: Option<CameraArc>,
    /// Background of pictures: that of training where it is one colour, else white.
    pub background: Background,
}

impl MarchSettings {
    /// Settings of a radiance model that was read from `path`.
    ///
    /// # Errors
    /// Models whose record cannot be read or has no rays.
    pub fn of(path: &Path, model: &Model) -> Result<Self, Error> {
        let record = FitRecord::of(model).map_err(|e| unreadable(path, &e, "capture"))?;
        let bare = || unreadable(path, &RecordError("it has no rays".into()), "capture");
        let (rays, capture) = record.fit.rays.zip(record.capture).ok_or_else(bare)?;
        let resolution = record.fit.occupancy.ok_or_else(bare)?.resolution;
        let volume = volume_settings(&rays, capture.near.unwrap_or(0.0), &model.map);
        let background = rays.fixed_background().unwrap_or_default();
        Ok(Self { volume, resolution, camera_arc: record.camera_arc.filter(CameraArc::is_valid), background })
    }
}

/// Samples of a rendered ray for each sample of a training ray. Training sees all places of a stratum in turn, rendering only
/// its middle, so that more samples come nearer to what was trained (0.25 dB on Lego at 2, nothing more at 3).
const REFINEMENT: f32 = 2.0;

/// Marching of rays through a field that was fitted with `rays`; `near` in world units.
pub fn volume_settings(rays: &RayConfig, near: f64, map: &SceneMap) -> VolumeSettings {
    VolumeSettings {
        step: (rays.step / REFINEMENT).max(1e-5),
        cone: rays.cone / REFINEMENT,
        near: (near / map.length_scale()) as f32,
        min_transmittance: rays.min_transmittance,
        ..VolumeSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use glam::DVec3;
    use nstr_capture::CentredCube;
    use nstr_signal::{PixelEncoding, SampleFormat, ValueTransform};
    use nstr_spec::init;

    use super::*;
    use crate::field::{RadianceModel, SignalModel};

    /// A model that was never trained, of the preset and with the record that `change` makes of it.
    fn model(preset: &str, change: impl FnOnce(&mut FitRecord)) -> Model {
        let mut record = FitRecord::new(FitConfig::preset(preset).unwrap().0, Budget::Steps(1), 0);
        record.capture = record.fit.rays.as_ref().map(|_| CaptureSettings::default());
        change(&mut record);
        let spec = record.fit.field.spec();
        let (grid, net) = init::parameters(&spec, &record.fit.field.init);
        Model {
            spec,
            map: SceneMap::default(),
            units: String::new(),
            grid,
            net,
            config: serde_json::to_value(&record).unwrap(),
            provenance: BTreeMap::new(),
            metrics: BTreeMap::new(),
            occupancy: None,
        }
    }

    fn picture(width: usize, height: usize, channels: usize) -> SignalInfo {
        let transform = ValueTransform::plain(1.0);
        SignalInfo::Image { width, height, channels, encoding: PixelEncoding::Srgb, transform }
    }

    fn sound(rate: u32, frames: usize, channels: usize) -> SignalInfo {
        SignalInfo::Audio { rate, frames, channels, format: SampleFormat::Pcm16, transform: ValueTransform::plain(0.5) }
    }

    #[test]
    fn signals_that_no_memory_holds_are_refused_when_a_model_is_opened() {
        let open = |preset: &str, info: SignalInfo| {
            let model = model(preset, |record| record.signal = Some(info));
            SignalModel::open(Path::new("m.safetensors"), model).map(|_| ()).map_err(|e| e.to_string())
        };
        open("image-tiny", picture(1 << 14, 1 << 14, 3)).unwrap();
        open("audio-tiny", sound(48_000, 1 << 28, 1)).unwrap();
        for (preset, info, part) in [
            ("image-tiny", picture(1 << 31, 1 << 31, 3), "signal.width, height = 2147483648, 2147483648: must be 1 to"),
            ("image-tiny", picture(usize::MAX, 1, 3), "pixels in all"),
            ("image-tiny", picture(usize::MAX, usize::MAX, 3), "pixels in all"),
            ("image-tiny", picture(1 << 32, 1 << 32, 3), "pixels in all"),
            ("image-tiny", picture(0, 5, 3), "pixels in all"),
            ("image-tiny", picture(4, 4, usize::MAX), "signal.channels"),
            ("image-tiny", picture(4, 4, 0), "signal.channels"),
            ("image-tiny", picture(4, 4, 1), "does not describe the signal of its field"),
            ("image-tiny", sound(8000, 9, 3), "does not describe the signal of its field"),
            ("audio-tiny", sound(48_000, 1 << 60, 1), "signal.frames, channels = 1152921504606846976, 1"),
            ("audio-tiny", sound(48_000, 1 << 60, 1 << 4), "samples in all"),
            ("audio-tiny", sound(48_000, 0, 1), "samples in all"),
            ("audio-tiny", sound(0, 9, 1), "signal.rate = 0"),
            ("audio-tiny", picture(3, 3, 1), "does not describe"),
        ] {
            let said = open(preset, info.clone()).unwrap_err();
            assert!(said.starts_with("m.safetensors: ") && said.contains(part), "{info:?}: {said}");
        }
        for (divisor, factor) in [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, f32::INFINITY), (f32::NAN, 1.0)] {
            let transform = ValueTransform { log: false, divisor, factor };
            let info = SignalInfo::Image { width: 2, height: 2, channels: 3, encoding: PixelEncoding::Srgb, transform };
            assert!(open("image-tiny", info).is_err(), "{divisor} {factor}");
        }
    }

    #[test]
    fn rays_and_grids_out_of_range_are_refused_when_a_model_is_opened() {
        let open = |change: &dyn Fn(&mut FitRecord)| {
            let opened = RadianceModel::open(Path::new("m.safetensors"), model("radiance-tiny", change));
            opened.map(|_| ()).map_err(|e| e.to_string())
        };
        let rays = |change: fn(&mut RayConfig)| move |r: &mut FitRecord| change(r.fit.rays.as_mut().unwrap());
        open(&|_| ()).unwrap();
        for (said, part) in [
            (open(&|r| r.fit.occupancy.as_mut().unwrap().resolution = 100), "occupancy.resolution = 100"),
            (open(&|r| r.fit.occupancy.as_mut().unwrap().resolution = usize::MAX), "occupancy.resolution"),
            (open(&rays(|r| r.step = 0.0)), "rays.step = 0"),
            (open(&rays(|r| r.cone = -1.0)), "rays.cone = -1"),
            (open(&|r| r.fit.rays = None), "it has no rays"),
            (open(&|r| r.capture = None), "it has no rays"),
            (open(&|r| r.capture.as_mut().unwrap().near = Some(-2.0)), "capture.near = -2"),
        ] {
            let said = said.unwrap_err();
            assert!(said.contains(part) && said.contains("fit the capture again"), "{said}");
        }
        // What JSON holds and f32 does not.
        let mut model = model("radiance-tiny", |_| ());
        model.config["fit"]["rays"]["step"] = serde_json::json!(1e39);
        assert!(FitRecord::of(&model).unwrap_err().to_string().contains("rays.step = inf"));
        model.config["fit"]["field"]["latent"]["levels"] = serde_json::json!(u64::MAX);
        assert!(FitRecord::of(&model).unwrap_err().to_string().contains("latent.levels"));
        model.config = serde_json::json!({ "fit": "a".repeat(100_000) });
        assert!(FitRecord::of(&model).unwrap_err().to_string().len() < 500);
    }

    #[test]
    fn hundreds_of_captures_have_the_same_settings_when_read_again() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            bits
        };
        for i in 0..500 {
            let mut number =
                |most: u64| f64::from_bits(next() & 0xf_ffff_ffff_ffff | (1023 - 40 + next() % most) << 52);
            let mut record = FitRecord::new(FitConfig::preset("radiance").unwrap().0, Budget::Steps(next_seed(i)), i);
            record.seed = u64::MAX - i;
            record.fit.train.net_lr = number(40);
            record.fit.train.grid_lr = number(40);
            let rays = record.fit.rays.as_mut().unwrap();
            (rays.distortion, rays.min_transmittance) = (number(80) as f32, number(40) as f32);
            let centre = DVec3::new(number(80), -number(80), number(80));
            let scene = Some(CentredCube { centre, size: number(80) });
            record.capture = Some(CaptureSettings { scene, near: Some(number(80)), ..CaptureSettings::default() });
            record.camera_arc = Some(CameraArc {
                target: centre,
                up: DVec3::Z,
                front: DVec3::X,
                reach: number(40),
                elevation: number(40),
                rise: number(40),
                distance: number(80),
                fov: number(40),
            });
            let value = serde_json::to_value(&record).unwrap();
            let text = value.to_string();
            let read: FitRecord = serde_json::from_value(serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(record.difference(&read), None, "{text}");
            // Every digit of what is written again.
            assert_eq!(serde_json::to_value(&read).unwrap().to_string(), text);
            let near = |r: &FitRecord| r.capture.as_ref().unwrap().near.unwrap().to_bits();
            assert_eq!((near(&read), read.seed), (near(&record), record.seed));
            assert_eq!(read.camera_arc, record.camera_arc);
        }
    }

    /// Numbers of steps beyond those that f64 counts one by one.
    fn next_seed(i: u64) -> u64 {
        (1 << 60) + 2 * i + 1
    }

    #[test]
    fn a_difference_names_the_setting_and_both_values() {
        let base = FitRecord::new(FitConfig::preset("radiance").unwrap().0, Budget::Steps(5), 1);
        let base = FitRecord { capture: Some(CaptureSettings::default()), ..base };
        let with = |change: &dyn Fn(&mut FitRecord)| {
            let mut other = base.clone();
            change(&mut other);
            other.difference(&base)
        };
        let near = |record: &mut FitRecord, near: f64| record.capture.as_mut().unwrap().near = Some(near);
        assert_eq!(with(&|r| (r.budget, r.input) = (Budget::Steps(9), Some("other".into()))), None);
        assert_eq!(with(&|r| r.fit.train.batch = 7).unwrap(), "train.batch = 7, there 16384");
        assert_eq!(with(&|r| r.seed = u64::MAX).unwrap(), "seed = 18446744073709551615, there 1");
        assert_eq!(with(&|r| r.fit.rays = None).unwrap().split(" = ").next(), Some("rays"));
        assert_eq!(with(&|r| near(r, 0.5)).unwrap(), "capture.near = 0.5, there none");
        assert!(with(&|r| r.capture.as_mut().unwrap().every = 2).unwrap().starts_with("capture.every = 2"));
        // The last bit of what is found in the images is not a setting.
        let [mut a, mut b, mut c] = [base.clone(), base.clone(), base.clone()];
        near(&mut a, 0.1);
        near(&mut b, 0.1f64.next_up());
        near(&mut c, 0.1001);
        assert!(a.difference(&b).is_none() && a.difference(&c).is_some());
    }
}

//! Note about the model that a fit is going to replace, before it trains.

use std::path::Path;

use nstr_field::model::Model;
use nstr_files::excerpt;

use crate::fingerprint::other_input;

/// The fit that replaces a model.
pub(super) struct Replacement<'a> {
    pub input: &'a Path,
    /// Hash of the input.
    pub fingerprint: Option<&'a str>,
    pub preset: &'a str,
    /// Number of the field's parameters.
    pub parameters: usize,
}

impl Replacement<'_> {
    /// A line about the model at `output`, if there is one and it is of other data or was made with another preset.
    pub fn note(&self, output: &Path) -> Option<String> {
        // A pipe would be waited for.
        output.metadata().ok().filter(|found| found.is_file() && found.len() > 0)?;
        let model = Model::load(output).ok()?;
        let other = other_input(&model, self.input, self.fingerprint);
        let before = model.provenance.get("preset");
        let is_same_preset = match before {
            Some(preset) => preset == self.preset,
            // Older models do not name theirs.
            None => model.spec.parameters() == self.parameters,
        };
        if other.is_none() && is_same_preset {
            return None;
        }
        let name = self.input.file_name().unwrap_or_default().to_string_lossy();
        let of = other.unwrap_or_else(|| name.clone().into_owned());
        let made =
            before.map_or(format!("{} parameters", model.spec.parameters()), |p| format!("preset {}", excerpt(p)));
        let (output, preset) = (output.display(), self.preset);
        Some(format!("note: {output}: replaces the model of {of} ({made}) by one of {name} (preset {preset})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::input_fingerprint;
    use crate::{FitObserver, FitOptions, fit_signal};

    #[derive(Default)]
    struct Notes(Vec<String>);

    impl FitObserver for Notes {
        fn message(&mut self, text: &str) {
            self.0.extend(text.contains("replaces").then(|| text.into()));
        }
    }

    #[test]
    fn fits_say_what_they_replace() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, value) in [("a.png", 9), ("b.png", 200)] {
            let picture = nstr_image::Rgba8::from_fn(16, 16, |i| [value, i as u8, 3, 255]);
            nstr_image::png::write(&at(name), &picture).unwrap();
        }
        let output = at("m.safetensors");
        let fit = |input: &str, preset: &str| {
            let options = FitOptions::preset(preset).set("train.batch=64").steps(1).without_evaluation();
            let mut notes = Notes::default();
            fit_signal(at(input), &options.output(&output), &mut notes).unwrap();
            notes.0
        };
        assert!(fit("a.png", "image-tiny").is_empty(), "nothing was there");
        assert!(fit("a.png", "image-tiny").is_empty(), "the same again");
        let said = fit("a.png", "image").concat();
        assert!(
            said.ends_with("replaces the model of a.png (preset image-tiny) by one of a.png (preset image)"),
            "{said}"
        );
        let said = fit("b.png", "image").concat();
        assert!(said.ends_with("replaces the model of a.png (preset image) by one of b.png (preset image)"), "{said}");

        // A model that names no preset is told by its size.
        let mut old = Model::load(&output).unwrap();
        assert_eq!(old.provenance.remove("preset").as_deref(), Some("image"));
        old.save(&output, nstr_field::model::Precision::F32).unwrap();
        let fingerprint = input_fingerprint(&at("b.png")).unwrap();
        let parameters = old.spec.parameters();
        let new = |parameters| {
            Replacement { input: &at("b.png"), fingerprint: Some(&fingerprint), preset: "image-fine", parameters }
                .note(&output)
        };
        assert_eq!(new(parameters), None);
        let said = new(parameters + 1).unwrap();
        assert!(
            said.contains(&format!("b.png ({parameters} parameters) by one of b.png (preset image-fine)")),
            "{said}"
        );
    }
}

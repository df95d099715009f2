//! Facts about a model, for the head of its report.

use std::path::Path;

use nstr_field::model::Model;
use nstr_pipeline::FitRecord;
use nstr_spec::{FieldSpec, MlpSpec};

/// Name and value of each fact; `record` is the model's record of its fit, `reference` the file that it is compared with.
pub(crate) fn facts(model: &Model, record: Option<&FitRecord>, reference: Option<&Path>) -> Vec<(String, String)> {
    let spec = &model.spec;
    let known = |name: &str| model.provenance.get(name).cloned().unwrap_or("unknown".into());
    let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let steps = model.metrics.get("steps").map_or(String::new(), |s| format!(", {s} steps"));
    [
        ("fitted to", format!("{} ({}){steps}", known("input"), known("task"))),
        ("reference", reference.map_or("none given".into(), file)),
        ("parameters", spec.parameters().to_string()),
        ("latent grid", latent_grid(spec)),
        ("spectrum", spectrum(spec)),
        ("decoder", network(&spec.decoder)),
        ("regularisers", record.map_or("unknown".into(), regularizers)),
        ("program", format!("nstr {}", env!("CARGO_PKG_VERSION"))),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .to_vec()
}

fn network(mlp: &MlpSpec) -> String {
    if mlp.layers == 0 { "linear".into() } else { format!("{} × {}, {}", mlp.layers, mlp.width, mlp.activation) }
}

fn latent_grid(spec: &FieldSpec) -> String {
    if spec.latent.levels.is_empty() {
        return "none".into();
    }
    let levels: Vec<String> = spec.latent.levels.iter().map(|l| l.resolution.to_string()).collect();
    let (levels, latent) = (levels.join(", "), &spec.latent);
    format!("{levels} cells, {} features, {} interpolation", latent.features, latent.interpolation)
}

fn spectrum(spec: &FieldSpec) -> String {
    match (spec.modulates(), spec.basis_width()) {
        (true, k) => format!("{} values for {k} sinusoids, H: {}", spec.spectrum_width(), network(&spec.spectrum)),
        (false, 0) => "none: no sinusoids; z stands for S".into(),
        (false, k) => format!("none: {k} sinusoids that are not modulated; z stands for S"),
    }
}

/// Weights of all regularisers that were on, and the origin of F.
fn regularizers(record: &FitRecord) -> String {
    let train = &record.fit.train;
    let on = train.regularizers;
    let weights = [
        ("λ_pde", on.lambda_pde),
        ("λ_smooth", on.lambda_smooth),
        ("λ_segment", on.lambda_segment),
        ("λ_anchor", on.lambda_anchor),
        ("λ_eikonal", on.lambda_eikonal),
    ];
    let is_on = |weight: f64| weight > 0.0 && on.fraction > 0.0;
    let listed: Vec<String> =
        weights.iter().filter(|(_, w)| is_on(*w)).map(|(name, w)| format!("{name} = {w}")).collect();
    let listed = if listed.is_empty() { "none".into() } else { listed.join(", ") };
    let trains_transport =
        train.train_transport && [on.lambda_pde, on.lambda_segment, on.lambda_anchor].into_iter().any(is_on);
    let transport = match (record.fit.field.spec().transports(), trains_transport, &record.transport_from) {
        (false, ..) => "; there is no F",
        (true, true, _) => "",
        (true, false, Some(_)) => "; F was taken from another model and not trained",
        (true, false, None) => "; F was not trained, so its values are those that it began with",
    };
    listed + transport
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_fit::{Budget, FitConfig};

    #[test]
    fn every_regularizer_that_was_on_is_named() {
        let line = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
            let config = FitConfig::preset("sdf-tiny").unwrap().0.set(&overrides).unwrap();
            regularizers(&FitRecord::new(config, Budget::Steps(1), 0))
        };
        let off = ["train.lambda_pde=0", "train.lambda_smooth=0", "train.lambda_eikonal=0"];
        assert_eq!(line(&off), "none; F was not trained, so its values are those that it began with");
        let some = [&off[..], &["train.lambda_segment=0.5", "train.lambda_anchor=2", "train.lambda_eikonal=0.1"]];
        assert_eq!(line(&some.concat()), "λ_segment = 0.5, λ_anchor = 2, λ_eikonal = 0.1");
        let unused = [&off[..], &["train.lambda_smooth=1", "train.regularizer_fraction=0"]];
        assert!(line(&unused.concat()).starts_with("none"));
    }
}

//! Section of the panel about the picked point: its values, its spectrum, and the field along its ray.

use egui::{Color32, Grid, RichText, Ui};
use nstr_plot::format::compact;

use crate::input::Action;
use crate::panel::{PanelCommand, charts};
use crate::probe::{FieldValue, PickedPoint};
use crate::session::Session;

/// Side of the diagram of wave vectors, points.
const DIAGRAM: f32 = 98.0;

/// Shows the picked point, if there is one.
pub(super) fn show(ui: &mut Ui, session: &mut Session, commands: &mut Vec<PanelCommand>) {
    let Some(point) = session.picked.clone() else {
        ui.label(RichText::new("Click on the object: its values and its spectrum there.").weak().size(11.5));
        return;
    };
    ui.scope(|ui| values(ui, &point));
    if let Some(spectrum) = &point.spectrum {
        if spectrum.components.is_empty() {
            let text = format!(
                "This field has no sinusoids of its own amplitude; {} latent features stand for S.",
                spectrum.latent.len()
            );
            ui.label(RichText::new(text).weak().size(11.5));
        } else {
            ui.label(RichText::new("Spectrum here").strong().size(12.5));
            charts::spectrum(ui, spectrum);
            ui.horizontal_top(|ui| {
                charts::wave_vectors(ui, spectrum, point.view_axes, DIAGRAM);
                ui.vertical(|ui| summary(ui, &point));
            });
        }
    }
    ui.label(RichText::new("Along the ray").strong().size(12.5));
    charts::ray_profile(ui, &point.profile, point.depth);
    ui.horizontal(|ui| {
        if ui.button("Copy").on_hover_text("The values and the spectrum as JSON").clicked() {
            ui.ctx().copy_text(json(&point));
        }
        if ui.button("Forget").on_hover_text("Escape").clicked() {
            commands.push(PanelCommand::Act(Action::Dismiss));
        }
    });
}

fn row(ui: &mut Ui, name: &str, value: String, hint: &str) {
    let name = ui.label(RichText::new(name).weak().size(11.5));
    let value = ui.label(RichText::new(value).size(12.0));
    if !hint.is_empty() {
        name.union(value).on_hover_text(hint);
    }
    ui.end_row();
}

/// Place and values of the point.
fn values(ui: &mut Ui, point: &PickedPoint) {
    // Rows of text, not of buttons.
    ui.spacing_mut().interact_size.y = 14.0;
    Grid::new("point").num_columns(2).spacing([10.0, 2.0]).show(ui, |ui| {
        let [x, y, z] = point.position.to_array().map(compact);
        row(ui, "x y z", format!("{x}  {y}  {z}"), "World units");
        match point.value {
            FieldValue::Distance(distance) => {
                row(ui, "distance", compact(distance), "Signed distance of the field, world units, negative inside");
            }
            FieldValue::Density(density) => row(ui, "density", compact(density), "Density per world unit"),
        }
        row(ui, "depth", compact(point.depth), "Distance from the camera, world units");
        let [nx, ny, nz] = point.normal.to_array().map(|v| compact(f64::from(v)));
        row(ui, "normal", format!("{nx}  {ny}  {nz}"), "Unit normal towards the viewer");
        row(ui, "curvature", compact(point.curvature.into()), "Mean curvature per world unit, positive where convex");
        if let Some(spectrum) = &point.spectrum {
            row(
                ui,
                "gradS",
                compact(spectrum.gradient_norm),
                "Length of the spectrum's gradient, per edge of the field's cube",
            );
            let residual = spectrum.residual.map_or("F was not trained".into(), compact);
            let hint = "Residual of the transport equation: length of grad S − F(x, S), per edge. F is trained with \
                        --set train.lambda_pde=1e-4";
            row(ui, "residual", residual, hint);
        }
    });
}

/// What the sinusoids add up to.
fn summary(ui: &mut Ui, point: &PickedPoint) {
    let Some(spectrum) = &point.spectrum else { return };
    let line = |ui: &mut Ui, name: &str, value: String| {
        ui.label(RichText::new(name).weak().size(11.0));
        ui.label(RichText::new(value).size(12.0));
    };
    ui.spacing_mut().item_spacing.y = 1.0;
    if let Some((centre, spread)) = spectrum.centroid() {
        line(ui, "mean frequency, per edge", format!("{centre:.2} ± {spread:.2}"));
    }
    if let Some(strongest) = spectrum.strongest() {
        line(
            ui,
            "strongest, at frequency",
            format!("{} at {}", compact(strongest.amplitude), compact(strongest.frequency())),
        );
    }
    let channels = if spectrum.channels > 1 { format!(", {} channels", spectrum.channels) } else { String::new() };
    line(ui, "sinusoids", format!("{}{channels}", spectrum.components.len()));
    if spectrum.components.iter().any(|c| c.typical.is_some()) {
        ui.label(RichText::new("grey: mean in sight").color(Color32::from_gray(120)).size(10.5));
    }
}

/// The point as JSON, for other programs.
fn json(point: &PickedPoint) -> String {
    let value = match point.value {
        FieldValue::Distance(distance) => ("distance", distance),
        FieldValue::Density(density) => ("density", density),
    };
    let mut root = serde_json::json!({
        "position": point.position.to_array(),
        "depth": point.depth,
        "normal": point.normal.to_array(),
        "curvature": point.curvature,
        value.0: value.1,
    });
    if let (Some(spectrum), Some(root)) = (&point.spectrum, root.as_object_mut()) {
        root.insert("grad_s".into(), spectrum.gradient_norm.into());
        root.insert("residual".into(), spectrum.residual.into());
        let components = spectrum.components.iter().map(|c| {
            serde_json::json!({
                "index": c.index,
                "cycles_per_edge": c.wave.to_array(),
                "amplitude": c.amplitude,
                "mean_in_sight": c.typical,
            })
        });
        root.insert("spectrum".into(), components.collect::<Vec<_>>().into());
    }
    format!("{root:#}")
}

#[cfg(test)]
mod tests {
    use glam::{DVec3, Vec3};

    use super::*;
    use crate::probe::RayProfile;
    use crate::spectrum::{Component, LocalSpectrum};

    #[test]
    fn the_copied_point_holds_its_spectrum() {
        let component = Component { index: 3, wave: DVec3::new(1.0, 2.0, 2.0), amplitude: -0.5, typical: Some(0.25) };
        let point = PickedPoint {
            position: DVec3::new(0.5, 0.25, 1.0),
            depth: 2.0,
            normal: Vec3::Z,
            curvature: 1.5,
            value: FieldValue::Density(7.0),
            spectrum: Some(LocalSpectrum {
                components: vec![component],
                latent: Vec::new(),
                channels: 1,
                gradient_norm: 4.0,
                residual: None,
            }),
            profile: RayProfile::default(),
            view_axes: [DVec3::X, DVec3::Y, DVec3::Z],
        };
        let read: serde_json::Value = serde_json::from_str(&json(&point)).unwrap();
        assert_eq!(read["density"], 7.0);
        assert_eq!(read["spectrum"][0]["cycles_per_edge"][2], 2.0);
        assert_eq!((read["spectrum"][0]["amplitude"].as_f64(), read["grad_s"].as_f64()), (Some(-0.5), Some(4.0)));
        assert!(read["residual"].is_null() && read["spectrum"][0]["index"] == 3);
    }
}

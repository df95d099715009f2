//! Initial transport network from another model.

use std::path::Path;

use nstr_field::model::Model;
use nstr_spec::FieldSpec;

use crate::error::Error;

/// Copies the transport network of the model in `from` into `net`, the parameters of a field of shape `spec`.
pub(super) fn copy_transport(spec: &FieldSpec, net: &mut [f32], from: &Path) -> Result<(), Error> {
    let other = Model::load(from)?;
    let shape = |spec: &FieldSpec| (spec.dim, spec.spectrum_width(), spec.transport);
    if !spec.transports() || !other.spec.transports() || shape(spec) != shape(&other.spec) {
        let reason = format!(
            "its transport network does not fit: {}, here {}; give both fits the same preset, basis and transport options",
            describe(&other.spec),
            describe(spec)
        );
        return Err(Error::file(from, reason));
    }
    let (range, other_range) = (spec.net_layout().transport_range(), other.spec.net_layout().transport_range());
    net[range].copy_from_slice(&other.net[other_range]);
    Ok(())
}

fn describe(spec: &FieldSpec) -> String {
    if !spec.transports() {
        return "none".into();
    }
    let (layers, width) = (spec.transport.layers, spec.transport.width);
    format!("{} coordinates, S of {}, hidden layers {layers} × {width}", spec.dim, spec.spectrum_width())
}

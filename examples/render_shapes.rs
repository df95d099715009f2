//! Renders shapes given by formulas, without any mesh or model: `cargo run --release --example render_shapes -- FOLDER`.

use std::path::PathBuf;

use glam::{DVec3, Vec3};
use nstr::camera::orbit::Orbit;
use nstr::image::{gif, png};
use nstr::render::{Layer, LayerSet, RenderSettings, Shading, ShadingMode, SphereTracer, TracerSettings};
use nstr::render::{ValueRange, exr, layer_image};
use nstr::space::Cube;
use nstr::space::analytic::{AnalyticSdf, still_life};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "shapes".into()));
    std::fs::create_dir_all(&folder)?;
    let source = AnalyticSdf::new(1.0, |p: Vec3| still_life(p));
    let tracer = SphereTracer::new(&source, Cube::default(), TracerSettings::default())?;
    let orbit = Orbit { size: (800, 800), elevation: 28.0, ..Orbit::default() };
    let bounds = (DVec3::splat(0.12), DVec3::splat(0.88));
    let camera = orbit.cameras(bounds)?[0];

    for mode in [ShadingMode::Studio, ShadingMode::Headlight, ShadingMode::Matcap] {
        let settings =
            RenderSettings { samples: 9, shading: Shading { mode, ..Shading::studio() }, ..Default::default() };
        let frame = tracer.render(&camera, &settings)?;
        println!("{mode:?}: {:?}", frame.stats);
        png::write(&folder.join(format!("{mode:?}.png").to_lowercase()), &frame.to_srgb())?;
    }
    let frame = tracer.render(&camera, &RenderSettings { layers: LayerSet::all(), ..Default::default() })?;
    println!("all layers: {:?}", frame.stats);
    exr::write(&folder.join("layers.exr"), &frame)?;
    for layer in [Layer::Normal, Layer::DepthRay, Layer::Curvature, Layer::Steps, Layer::SpectrumGradientNorm] {
        if let Some(image) = layer_image(&frame, layer, 0, ValueRange::Auto) {
            png::write(&folder.join(format!("{layer}.png")), &image)?;
        }
    }
    let settings = RenderSettings { samples: 4, shading: Shading::studio(), ..Default::default() };
    let mut images = Vec::new();
    for camera in (Orbit { frames: 24, size: (240, 240), ..orbit }).cameras(bounds)? {
        images.push(tracer.render(&camera, &settings)?.to_srgb());
    }
    gif::write(&folder.join("orbit.gif"), &images, 6)?;
    Ok(())
}

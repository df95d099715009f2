//! Renders a model from eight sides, on a GPU where there is one, and writes colours and normals.
//!
//!     cargo run --release --example render -- chair.safetensors

use nstr::camera::Orbit;
use nstr::image::png;
use nstr::render::{Layer, LayerSet, RenderSettings, ValueRange, layer_image};
use nstr::{Error, Field, Renderer, RendererChoice};

fn main() -> Result<(), Error> {
    let path = std::env::args().nth(1).unwrap_or("chair.safetensors".into());
    let field = Field::load(&path)?;
    let renderer = Renderer::new(&field, RendererChoice::Auto)?;
    let orbit = Orbit { frames: 8, size: (400, 400), up: renderer.up(), ..Orbit::default() };
    let settings = RenderSettings {
        layers: LayerSet::of(&[Layer::Colour, Layer::Normal]),
        samples: 4,
        ..RenderSettings::default()
    };
    for (i, camera) in orbit.cameras(renderer.bounds())?.iter().enumerate() {
        let frame = renderer.render(camera, &settings)?;
        png::write(format!("view{i}.png").as_ref(), &frame.to_srgb())?;
        if let Some(normals) = layer_image(&frame, Layer::Normal, 0, ValueRange::Auto) {
            png::write(format!("normal{i}.png").as_ref(), &normals)?;
        }
    }
    println!("wrote view0.png … view7.png and their normals");
    Ok(())
}

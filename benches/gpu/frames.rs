//! Times of a model's frames.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use nstr_camera::Orbit;
use nstr_pipeline::{Field, Renderer, RendererChoice};
use nstr_render::{Layer, LayerSet, RenderSettings};
use serde_json::{Value, json};

use crate::save;

/// A model and its frames.
#[derive(Args)]
pub struct FrameArgs {
    /// Model file of a distance or radiance field.
    model: PathBuf,
    /// Widths and heights in pixels, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "800x800,1920x1080", value_parser = size)]
    size: Vec<(u32, u32)>,
    /// Frames of each size, from around the model.
    #[arg(long, default_value_t = 24)]
    count: usize,
    /// `gpu`, `cpu`, or `auto`.
    #[arg(long, default_value = "gpu")]
    renderer: RendererChoice,
    /// File for the figures.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("{text} is no size; expected WIDTHxHEIGHT, for example 800x800");
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    Ok((width.parse().map_err(|_| wrong())?, height.parse().map_err(|_| wrong())?))
}

fn seconds(renderer: &Renderer<'_>, size: (u32, u32), count: usize) -> Result<Vec<f64>, String> {
    let settings = RenderSettings { layers: LayerSet::of(&[Layer::Colour]), ..RenderSettings::default() };
    let orbit = Orbit { frames: count.max(1), size, up: renderer.up(), ..Orbit::default() };
    let cameras = orbit.cameras(renderer.bounds()).map_err(|e| e.to_string())?;
    // The first compiles.
    renderer.render(&cameras[0], &settings).map_err(|e| e.to_string())?;
    let timed = |camera| {
        let started = Instant::now();
        renderer.render(camera, &settings).map_err(|e| e.to_string())?;
        Ok(started.elapsed().as_secs_f64())
    };
    cameras.iter().map(timed).collect()
}

/// Prints the median and the longest time of each size.
pub(crate) fn run(args: &FrameArgs) -> Result<(), String> {
    let field = Field::load(&args.model).map_err(|e| e.to_string())?;
    let renderer = Renderer::new(&field, args.renderer).map_err(|e| e.to_string())?;
    if let Some(warning) = renderer.warning() {
        println!("warning: {warning}");
    }
    let on = renderer.adapter().unwrap_or_else(|| "CPU".into());
    let mut figures: Vec<Value> = Vec::new();
    for &(width, height) in &args.size {
        let mut times = seconds(&renderer, (width, height), args.count)?;
        times.sort_by(f64::total_cmp);
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{width}x{height} on {on}: {:.2} ms a frame, the longest {:.2} ms", median * 1e3, longest * 1e3);
        figures
            .push(json!({ "on": on, "size": [width, height], "median_seconds": median, "longest_seconds": longest }));
    }
    save(args.json.as_deref(), &figures)
}

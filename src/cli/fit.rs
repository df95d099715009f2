//! `nstr fit`: a field from a mesh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use nstr::field::backend::FieldOp;
use nstr::field::device::Device;
use nstr::field::init;
use nstr::field::model::{Checkpoint, Domain, Model, Precision};
use nstr::fit::evaluate::{SdfScores, SdfScoring, score};
use nstr::fit::sdf::{SdfSource, domain_around};
use nstr::fit::{Budget, FitConfig, TrainError, TrainState, run_on};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::load::{self, LoadedMesh, SignArgs};
use super::render;
use super::watch::{Watch, interrupted};
use super::{batch, eval};

/// Arguments of `nstr fit`.
#[derive(Args, Clone, Debug)]
pub struct FitArgs {
    /// Meshes (OBJ, PLY, STL, OFF, GLB, glTF), folders of meshes, or quoted glob patterns
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,
    /// Model to write (.safetensors); with several inputs the folder for them
    #[arg(short, long, value_name = "MODEL|DIR")]
    pub output: Option<PathBuf>,
    /// sdf-tiny (up to 30k parameters), sdf (250k) or sdf-fine (2M)
    #[arg(long, default_value = "sdf")]
    pub preset: String,
    /// Change an option of the preset, for example latent.features=16, train.net_lr=1e-3 or sample.surface=0.4
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Train for this many steps
    #[arg(long, value_name = "N", conflicts_with = "time")]
    pub steps: Option<u64>,
    /// Train for this long, for example 40s or 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// Where to train: cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    pub device: Device,
    /// Seed of the initial parameters and of the samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Go on from the checkpoint of an interrupted fit
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub sign: SignArgs,
    /// Numbers in the model file: f16 or f32
    #[arg(long, default_value = "f16", value_parser = parse_precision)]
    pub precision: Precision,
    /// Time between checkpoints
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub checkpoint_every: Duration,
    /// Render the result to this picture
    #[arg(long, value_name = "PNG")]
    pub render: Option<PathBuf>,
    /// Do not measure the result against the mesh
    #[arg(long)]
    pub no_eval: bool,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Table of results of many inputs [default: results.csv in the output folder]
    #[arg(long, value_name = "CSV")]
    pub table: Option<PathBuf>,
    /// Take every n-th input, beginning with the i-th (from 0) [default: from SLURM_ARRAY_TASK_ID and _COUNT, or
    /// JOB_COMPLETION_INDEX and JOB_COMPLETIONS]
    #[arg(long, value_name = "I/N")]
    pub shard: Option<batch::Shard>,
    /// Fit again what is finished already
    #[arg(long)]
    pub overwrite: bool,
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    match text {
        "f16" => Ok(Precision::F16),
        "f32" => Ok(Precision::F32),
        _ => Err("must be f16 or f32".into()),
    }
}

/// What the model file keeps of how it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recipe {
    pub fit: FitConfig,
    pub budget: Budget,
    pub sign: SignArgs,
    pub seed: u64,
}

/// A finished fit.
pub struct Fitted {
    pub model: Model,
    pub scores: Option<SdfScores>,
    pub file_bytes: u64,
    pub faces: usize,
    pub watertight: bool,
    pub sign: String,
}

/// Runs `nstr fit`.
pub fn run(args: &FitArgs) -> anyhow::Result<()> {
    let inputs = batch::expand(&args.inputs)?;
    if let [(path, _)] = inputs.as_slice()
        && !args.output.as_ref().is_some_and(|o| o.is_dir())
        && args.shard.is_none()
        && args.table.is_none()
        && !batch::in_job_array()
    {
        let output = args.output.clone().unwrap_or_else(|| default_output(path));
        let fitted = one(args, path, &output, false)?;
        if let Some(file) = &args.json {
            eval::write_json(file, &eval::figures(&fitted.model, fitted.scores.as_ref(), fitted.file_bytes))?;
        }
        if let Some(picture) = &args.render {
            render::portrait(&fitted.model, picture)?;
        }
        return Ok(());
    }
    if args.json.is_some() || args.render.is_some() {
        bail!("--json and --render take one input; with several, see --table");
    }
    batch::run(args, &inputs)
}

/// `NAME.safetensors` in the current folder.
fn default_output(input: &Path) -> PathBuf {
    let stem = input.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("{stem}.safetensors"))
}

/// Where a fit in progress is kept.
pub fn checkpoint_path(output: &Path) -> PathBuf {
    output.with_extension("checkpoint.safetensors")
}

fn check_output(output: &Path) -> anyhow::Result<()> {
    if output.extension().is_none_or(|e| e != "safetensors") {
        bail!("{}: a model's name ends in .safetensors", output.display());
    }
    match output.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => bail!("{}: there is no such folder", folder.display()),
        _ => Ok(()),
    }
}

/// Fits one mesh and writes its model.
pub fn one(args: &FitArgs, input: &Path, output: &Path, quiet: bool) -> anyhow::Result<Fitted> {
    let start = Instant::now();
    check_output(output)?;
    let (config, usual) = FitConfig::preset(&args.preset)?;
    let config = config.set(&args.set)?;
    let budget = match (args.steps, args.time) {
        (Some(n), _) => Budget::Steps(n),
        (_, Some(t)) => Budget::Time(t),
        _ => usual,
    };
    let say = |text: String| {
        if !quiet {
            eprintln!("{text}");
        }
    };
    let stop = interrupted()?;
    let loaded = load::mesh(input, &args.sign)?;
    say(format!("{}: {}", input.display(), loaded.report.summary()));
    loaded.file.notes.iter().for_each(|note| say(format!("  note: {note}")));
    say(format!("  sign: {}", loaded.query.sign().explanation()));
    let mut recipe = Recipe { fit: config, budget, sign: args.sign.clone(), seed: args.seed };
    let (state, domain, resumed) = begin(args, output, &loaded, &mut recipe)?;
    let budget = recipe.budget;
    let op = FieldOp::new(recipe.fit.field.spec());
    let prepared = start.elapsed();
    say(format!(
        "  {}: {} parameters, {} on {}{}; prepared in {:.2} s",
        args.preset,
        op.spec().parameters(),
        match budget {
            Budget::Steps(n) => format!("{n} steps"),
            Budget::Time(t) => humantime::format_duration(t).to_string(),
        },
        args.device,
        if resumed { format!(", resumed at step {}", state.step) } else { String::new() },
        prepared.as_secs_f64(),
    ));
    let source = SdfSource::new(
        loaded.mesh.clone(),
        loaded.query.clone(),
        domain.clone(),
        recipe.fit.sample.clone(),
        recipe.fit.train.batch,
        recipe.seed,
    )
    .with_context(|| format!("{}: every face has zero area, so there is no surface to fit", input.display()))?;
    let checkpoint = checkpoint_path(output);
    let spec = op.spec().clone();
    let save = |state: &TrainState| -> anyhow::Result<PathBuf> {
        let model = model_of(&spec, &domain, state, &recipe, input, BTreeMap::new());
        let moments = (state.grid_moments.clone(), state.net_moments.clone());
        let state = json!({ "step": state.step, "elapsed": state.elapsed.as_secs_f64() });
        Checkpoint { model, grid_moments: moments.0, net_moments: moments.1, state }.save(&checkpoint)?;
        Ok(checkpoint.clone())
    };
    let mut watch = Watch::new(quiet, Some(args.checkpoint_every), stop.clone(), save)?;
    let trained = run_on(args.device, op, recipe.fit.train.clone(), &state, Arc::new(source), budget, &mut watch);
    watch.finish();
    drop(watch);
    let (state, failure) = match trained {
        Ok(state) => (state, None),
        Err(TrainError::Diverged { state, .. }) if state.step == 0 => {
            bail!("{}: training diverged at once; lower train.net_lr and train.grid_lr", input.display())
        }
        Err(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }) => {
            let kept = (*state).clone();
            (kept, Some(TrainError::Diverged { step, loss, net_lr, grid_lr, good, state }))
        }
        Err(error) => return Err(error).with_context(|| input.display().to_string()),
    };
    let unfinished = budget.progress(state.step, state.elapsed) < 1.0;
    if unfinished && failure.is_none() {
        save(&state)?;
    }
    let finished = !unfinished && failure.is_none();
    let metrics = BTreeMap::from([
        ("finished".to_string(), f64::from(u8::from(finished))),
        ("fit_seconds".to_string(), state.elapsed.as_secs_f64() + prepared.as_secs_f64()),
        ("train_seconds".to_string(), state.elapsed.as_secs_f64()),
        ("steps".to_string(), state.step as f64),
    ]);
    let mut model = model_of(&spec, &domain, &state, &recipe, input, metrics);
    let field = load::field(&model);
    model.metrics.insert("lipschitz".into(), f64::from(nstr::render::SdfSource::lipschitz(&field)));
    // Parameters of a run that diverged may be too large for f16.
    model.save(output, if failure.is_some() { Precision::F32 } else { args.precision })?;
    if let Some(failure) = failure {
        return Err(failure)
            .with_context(|| format!("{} (the last good model is in {})", input.display(), output.display()));
    }
    if unfinished {
        bail!(
            "interrupted at step {}: the model so far is in {}, and --resume goes on from {}",
            state.step,
            output.display(),
            checkpoint.display()
        );
    }
    // The checkpoint has served its purpose; one that never was is fine too.
    let _ = std::fs::remove_file(&checkpoint);
    // What is measured is what was written: reload the rounded numbers.
    let mut model = Model::load(output)?;
    let scores = if args.no_eval { None } else { Some(measure(&mut model, &loaded, output, args.precision)?) };
    let file_bytes = std::fs::metadata(output).with_context(|| output.display().to_string())?.len();
    let fitted = Fitted {
        scores,
        file_bytes,
        faces: loaded.report.faces,
        watertight: loaded.report.watertight,
        sign: loaded.query.sign().method().to_string(),
        model,
    };
    if !quiet {
        println!("{}", eval::describe(&eval::figures(&fitted.model, fitted.scores.as_ref(), file_bytes)));
        println!("wrote {}", output.display());
    }
    Ok(fitted)
}

/// The quick measurement at the end of a fit, stored with the model.
fn measure(model: &mut Model, loaded: &LoadedMesh, output: &Path, precision: Precision) -> anyhow::Result<SdfScores> {
    let how = SdfScoring { lattice: 128, resolution: 256, samples: 100_000, seed: 0 };
    let scores = score(&load::field(model), &model.domain, &loaded.mesh, &loaded.query, &how)
        .with_context(|| format!("{} was written, but cannot be measured", output.display()))?;
    for (name, value) in [
        ("iou", scores.iou),
        ("chamfer_l1", scores.chamfer_l1),
        ("f_score", scores.f_score),
        ("normal_consistency", scores.normal_consistency),
    ] {
        model.metrics.insert(name.into(), value);
    }
    model.save(output, precision)?;
    Ok(scores)
}

/// The state to train from: fresh, or the checkpoint's, whose recipe then holds (but for a budget that is asked for).
fn begin(
    args: &FitArgs,
    output: &Path,
    loaded: &LoadedMesh,
    recipe: &mut Recipe,
) -> anyhow::Result<(TrainState, Domain, bool)> {
    let path = checkpoint_path(output);
    if args.resume && path.exists() {
        let found = Checkpoint::load(&path)?;
        let kept: Recipe = serde_json::from_value(found.model.config.clone())
            .with_context(|| format!("{}: its recipe cannot be read; fit afresh without --resume", path.display()))?;
        recipe.fit.field.init.seed = recipe.seed;
        if (&recipe.fit, recipe.seed, &recipe.sign) != (&kept.fit, kept.seed, &kept.sign) {
            bail!(
                "{}: made with other settings (preset, --set, --seed or sign); give the same, or fit afresh without --resume",
                path.display()
            );
        }
        let budget = if args.steps.is_some() || args.time.is_some() { recipe.budget } else { kept.budget };
        *recipe = Recipe { budget, ..kept };
        let number = |key: &str| found.state.get(key).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        let state = TrainState {
            step: number("step") as u64,
            elapsed: Duration::from_secs_f64(number("elapsed").max(0.0)),
            grid: found.model.grid,
            net: found.model.net,
            grid_moments: found.grid_moments,
            net_moments: found.net_moments,
        };
        return Ok((state, found.model.domain, true));
    }
    if args.resume {
        eprintln!("  no checkpoint at {}: starting afresh", path.display());
    }
    let bounds = loaded.mesh.bounds().context("the mesh has no faces")?;
    recipe.fit.field.init.seed = recipe.seed;
    let (grid, net) = init::parameters(&recipe.fit.field.spec(), &recipe.fit.field.init);
    Ok((TrainState::new(grid, net), domain_around(bounds, recipe.fit.sample.margin), false))
}

fn model_of(
    spec: &nstr::kernel::spec::FieldSpec,
    domain: &Domain,
    state: &TrainState,
    recipe: &Recipe,
    input: &Path,
    metrics: BTreeMap<String, f64>,
) -> Model {
    Model {
        spec: spec.clone(),
        domain: domain.clone(),
        grid: state.grid.clone(),
        net: state.net.clone(),
        config: serde_json::to_value(recipe).unwrap_or_default(),
        provenance: BTreeMap::from([
            ("input".into(), input.file_name().unwrap_or_default().to_string_lossy().into_owned()),
            ("program".into(), format!("nstr {}", env!("CARGO_PKG_VERSION"))),
            ("task".into(), "sdf".into()),
        ]),
        metrics,
    }
}

//! The run from a video or a folder to a capture, stage by stage: images, features, matches, cameras, capture.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use nstr_capture::read_sparse_model;
use nstr_image::format::ImageFormat;
use serde_json::{Value, json};

use crate::capture_writer::write_capture;
use crate::error::SfmError;
use crate::models::{found_models, says_no_model, stand_upright};
use crate::observer::SfmObserver;
use crate::options::SfmOptions;
use crate::outputs::{EarlierRun, Layout, remove};
use crate::photographs;
use crate::process::{self, Task};
use crate::program::{CameraSharing, Reconstructor, SfmJob, counted, registered};
use crate::record::{ChosenImage, ChosenImages, InputIdentity, Record, Stage};
use crate::report::{SfmReport, no_model};
use crate::selection::select;
use crate::video::{ChosenFrames, Ffmpeg, VideoInfo, candidate_rate};

/// Frames that are taken from a video unless asked otherwise.
const FRAMES: usize = 100;

/// What is made a capture of.
enum Source {
    Video { ffmpeg: Ffmpeg, info: VideoInfo },
    Folder { names: Vec<String> },
}

/// A run whose input, output, options and programs are checked.
pub struct SfmPlan {
    input: PathBuf,
    identity: InputIdentity,
    source: Source,
    layout: Layout,
    options: SfmOptions,
    earlier: EarlierRun,
    program: Reconstructor,
}

impl SfmPlan {
    /// Checks everything that can be known before the work: the input can be read, the output written, programs run. Writes nothing.
    ///
    /// `input` is a video or a folder of images, `output` the capture's folder.
    ///
    /// # Errors
    /// [`SfmError`] with the remedy.
    pub fn new(input: &Path, output: &Path, options: &SfmOptions) -> Result<Self, SfmError> {
        options.check()?;
        let found = fs::metadata(input).map_err(SfmError::io(input))?;
        let source = if found.is_dir() {
            Source::Folder { names: photographs::list(input)? }
        } else if is_image(input) {
            return Err(SfmError::input(input, "is one image; give the folder of all of them, or a video"));
        } else {
            if options.masks.is_some() {
                let reason = "masks are for folders of images, whose names they have".into();
                return Err(SfmError::Option { option: "masks", reason });
            }
            let ffmpeg = Ffmpeg::find(&options.ffmpeg)?;
            let info = ffmpeg.info(input)?;
            Source::Video { ffmpeg, info }
        };
        let names = if let Source::Folder { names } = &source { Some(&names[..]) } else { None };
        let identity = InputIdentity::of(input, names)?;
        let layout = Layout::new(output);
        let earlier = layout.check(&identity, options.resume, options.overwrite)?;
        let program = Reconstructor::find(options)?;
        let (input, options) = (input.into(), options.clone());
        Ok(Self { input, identity, source, layout, options, earlier, program })
    }

    /// Name and version of the program that finds the cameras.
    pub fn program(&self) -> String {
        self.program.name()
    }
}

fn is_image(path: &Path) -> bool {
    let mut start = vec![0; 64];
    let read = fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut start));
    read.is_ok_and(|n| ImageFormat::known(&start[..n]).is_some())
}

/// Makes the capture: `transforms.json`, `images`, `points.ply`, `cameras.png`, `capture.json` and COLMAP's files in `colmap`.
///
/// The caller keeps other runs from the output's folder meanwhile. The world has z up, the cameras' mean position as its origin and
/// their mean distance from it as its unit.
///
/// # Errors
/// [`SfmError`] with the remedy. What is finished is kept for [`SfmOptions::resume`].
pub fn reconstruct(plan: &SfmPlan, observer: &mut dyn SfmObserver) -> Result<SfmReport, SfmError> {
    let result = Run::begin(plan, observer).and_then(Run::finish);
    result.map_err(|error| match error {
        SfmError::Interrupted { .. } => SfmError::Interrupted { path: plan.layout.folder().into() },
        other => other,
    })
}

/// A run under way.
struct Run<'a> {
    plan: &'a SfmPlan,
    layout: &'a Layout,
    record: Record,
    observer: RefCell<&'a mut dyn SfmObserver>,
}

impl<'a> Run<'a> {
    fn begin(plan: &'a SfmPlan, observer: &'a mut dyn SfmObserver) -> Result<Self, SfmError> {
        let layout = &plan.layout;
        let record = match plan.earlier {
            EarlierRun::Finished => Record::read(&layout.record())?,
            EarlierRun::Interrupted => Record::read(&layout.work_record())?,
            EarlierRun::None => None,
        };
        let record = match record {
            Some(record) => record,
            None => {
                layout.begin()?;
                let record = Record::new(plan.identity.clone());
                record.write(&layout.work_record())?;
                record
            }
        };
        Ok(Self { plan, layout, record, observer: RefCell::new(observer) })
    }

    fn say(&self, text: &str) {
        self.observer.borrow_mut().message(text);
    }

    fn progress(&self, stage: &str, fraction: Option<f64>, text: &str) -> bool {
        self.observer.borrow_mut().progress(stage, fraction, text)
    }

    /// Keeps the record after a stage.
    fn keep(&self) -> Result<(), SfmError> {
        self.record.write(&self.layout.work_record())
    }

    fn finish(mut self) -> Result<SfmReport, SfmError> {
        if self.plan.earlier == EarlierRun::Finished
            && let Some(report) = self.record.report.take()
        {
            self.say("the capture is finished already; --overwrite makes it anew");
            return Ok(report);
        }
        let chosen = self.images()?;
        let job = self.job(&chosen);
        self.features(&job, &chosen)?;
        self.matches(&job, &chosen)?;
        let models = self.models(&job, &chosen)?;
        self.capture(&chosen, &models)
    }

    /// Whether a stage is finished with these settings. Says so where it is, or where only its settings have changed.
    fn is_done<T>(&self, name: &str, stage: Option<&Stage<T>>, settings: &Value) -> bool {
        match stage {
            Some(stage) if stage.settings == *settings => {
                self.say(&format!("{name}: finished before"));
                true
            }
            Some(_) => {
                self.say(&format!("{name}: made again, because options have changed"));
                false
            }
            None => false,
        }
    }

    fn images(&mut self) -> Result<ChosenImages, SfmError> {
        let o = &self.plan.options;
        let settings = json!({
            "frames": o.frames, "blur_limit": o.blur_limit, "downscale": o.downscale, "masks": o.masks,
        });
        if self.is_done("images", self.record.frames.as_ref(), &settings)
            && let Some(stage) = &self.record.frames
        {
            return Ok(stage.result.clone());
        }
        (self.record.frames, self.record.features) = (None, None);
        (self.record.matches, self.record.models) = (None, None);
        self.keep()?;
        for path in [self.layout.work_images(), self.layout.work_masks(), self.layout.database(), self.layout.sparse()]
        {
            remove(&path)?;
        }
        let images = self.layout.work_images();
        fs::create_dir_all(&images).map_err(SfmError::io(&images))?;
        let mut chosen = match &self.plan.source {
            Source::Video { ffmpeg, info } => self.frames(ffmpeg, info)?,
            Source::Folder { names } => self.photographs(names)?,
        };
        chosen.has_one_size = has_one_size(&images, &chosen)?;
        let of = if matches!(self.plan.source, Source::Video { .. }) { "frames looked at" } else { "images" };
        self.say(&format!("images: {} chosen of {} {of}", chosen.images.len(), chosen.candidates));
        for note in &chosen.notes {
            self.say(&format!("note: {note}"));
        }
        self.record.frames = Some(Stage { settings, result: chosen.clone() });
        self.keep()?;
        Ok(chosen)
    }

    fn frames(&self, ffmpeg: &Ffmpeg, info: &VideoInfo) -> Result<ChosenImages, SfmError> {
        let o = &self.plan.options;
        let video = &self.plan.input;
        let count = o.frames.unwrap_or(FRAMES);
        let rate = candidate_rate(info, count);
        let expected = info.duration.map(|d| (d * rate).max(1.0));
        let log = self.layout.log("video");
        let candidates = ffmpeg.candidates(video, rate, &log, |n| {
            self.progress("images", expected.map(|e| (0.8 * n as f64 / e).min(0.8)), &format!("{n} frames looked at"))
        })?;
        let selection = select(&candidates, count, o.blur_limit).map_err(|reason| SfmError::input(video, reason))?;
        let chosen = &selection.chosen;
        let folder = self.layout.work_images();
        let log = self.layout.log("frames");
        let frames = ChosenFrames { rate, indices: chosen, downscale: o.downscale };
        let names = ffmpeg.extract(video, &frames, &folder, &log, |n| {
            let fraction = 0.8 + 0.2 * n as f64 / chosen.len() as f64;
            self.progress("images", Some(fraction), &format!("{n} of {} frames written", chosen.len()))
        })?;
        let image = |(name, i): (String, &usize)| {
            let source = format!("{:.2} s", *i as f64 / rate);
            ChosenImage { name, source, blur: candidates[*i].blur }
        };
        let images = names.into_iter().zip(chosen).map(image).collect();
        let (candidates, notes) = (candidates.len(), selection.notes);
        Ok(ChosenImages { images, candidates, has_one_size: true, masks: 0, notes })
    }

    fn photographs(&self, names: &[String]) -> Result<ChosenImages, SfmError> {
        let o = &self.plan.options;
        let folder = &self.plan.input;
        let total = names.len();
        let all = photographs::look(folder, names, |n| {
            self.progress("images", Some(0.7 * n as f64 / total as f64), &format!("{n} of {total} images looked at"))
        })?;
        let (chosen, mut notes) =
            photographs::choose(&all, o.frames, o.blur_limit).map_err(|reason| SfmError::input(folder, reason))?;
        let to = self.layout.work_images();
        let (mut images, mut masks) = (Vec::new(), 0);
        for (n, i) in chosen.iter().enumerate() {
            let fraction = 0.7 + 0.3 * n as f64 / chosen.len() as f64;
            if !self.progress("images", Some(fraction), &format!("{n} of {} images written", chosen.len())) {
                return Err(SfmError::Interrupted { path: PathBuf::new() });
            }
            let source = &all[*i].name;
            let name = photographs::place(folder, source, o.downscale, &to)?;
            if let Some(from) = &o.masks {
                let to = self.layout.work_masks();
                fs::create_dir_all(&to).map_err(SfmError::io(&to))?;
                masks += usize::from(photographs::place_mask(from, folder, source, &name, o.downscale, &to)?);
            }
            let blur = all[*i].blur.as_ref().copied().unwrap_or(1.0);
            images.push(ChosenImage { name, source: source.clone(), blur });
        }
        if let Some(from) = &o.masks {
            if masks == 0 {
                let reason = "has no mask of any image; expected NAME.png for each image NAME";
                return Err(SfmError::input(from, reason));
            }
            if masks < images.len() {
                notes.push(format!(
                    "{} of {} images have no mask and are used whole",
                    images.len() - masks,
                    images.len()
                ));
            }
        }
        Ok(ChosenImages { images, candidates: total, has_one_size: true, masks, notes })
    }

    fn job(&self, chosen: &ChosenImages) -> SfmJob {
        let o = &self.plan.options;
        let sharing = match chosen.has_one_size {
            _ if o.camera_per_image => CameraSharing::PerImage,
            true => CameraSharing::Single,
            false => CameraSharing::Auto,
        };
        SfmJob {
            images: self.layout.work_images(),
            masks: (chosen.masks > 0).then(|| self.layout.work_masks()),
            database: self.layout.database(),
            sparse: self.layout.sparse(),
            camera_model: o.camera_model,
            sharing,
            matcher: o.matcher.resolve(chosen.images.len()),
            overlap: o.overlap,
            feature_size: o.feature_size,
            max_features: o.max_features,
            cpu: o.cpu,
        }
    }

    /// Runs a stage's program to its end; `fraction` reads the progress from a line.
    fn run_program(
        &self,
        stage: &str,
        action: &'static str,
        command: std::process::Command,
        mut look: impl FnMut(&str) -> Option<(f64, String)>,
    ) -> Result<(), SfmError> {
        let log = self.layout.log(stage);
        let task = Task { command, program: self.plan.program.name(), action, log: &log };
        let mut state: (Option<f64>, String) = (None, String::new());
        process::run(task, |line| {
            if let Some((fraction, text)) = line.and_then(&mut look) {
                state = (Some(state.0.unwrap_or(0.0).max(fraction)), text);
            }
            self.progress(stage, state.0, &state.1)
        })
    }

    fn features(&mut self, job: &SfmJob, chosen: &ChosenImages) -> Result<(), SfmError> {
        let settings = json!({
            "camera_model": job.camera_model, "camera_per_image": job.sharing == CameraSharing::PerImage,
            "feature_size": job.feature_size, "max_features": job.max_features,
        });
        if self.is_done("features", self.record.features.as_ref(), &settings) {
            return Ok(());
        }
        if self.record.features.is_some() {
            remove(&self.layout.database())?;
        }
        (self.record.features, self.record.matches, self.record.models) = (None, None, None);
        self.keep()?;
        let count = chosen.images.len();
        let command = self.plan.program.features(job)?;
        self.run_program("features", "looking for features", command, |line| {
            counted(line).map(|f| (f, format!("{} of {count} images", (f * count as f64).round())))
        })?;
        self.say(&format!("features: looked for in {count} images"));
        self.record.features = Some(Stage { settings, result: () });
        self.keep()
    }

    fn matches(&mut self, job: &SfmJob, chosen: &ChosenImages) -> Result<(), SfmError> {
        let settings = json!({ "matcher": job.matcher, "overlap": job.overlap });
        if self.is_done("matches", self.record.matches.as_ref(), &settings) {
            return Ok(());
        }
        (self.record.matches, self.record.models) = (None, None);
        self.keep()?;
        let what = match job.matcher {
            crate::Matcher::Sequential => format!("{} images with their neighbours", chosen.images.len()),
            _ => format!("all pairs of {} images", chosen.images.len()),
        };
        let command = self.plan.program.matches(job)?;
        self.run_program("matches", "matching features", command, |line| counted(line).map(|f| (f, what.clone())))?;
        self.say(&format!("matches: {what} ({})", job.matcher));
        self.record.matches = Some(Stage { settings, result: () });
        self.keep()
    }

    /// Finds cameras. Returns the number of images of each model with its folder, the largest first.
    fn models(&mut self, job: &SfmJob, chosen: &ChosenImages) -> Result<Vec<(usize, String)>, SfmError> {
        let settings = json!({});
        if self.is_done("cameras", self.record.models.as_ref(), &settings)
            && let Some(stage) = &self.record.models
        {
            return Ok(stage.result.clone());
        }
        let sparse = self.layout.sparse();
        remove(&sparse)?;
        fs::create_dir_all(&sparse).map_err(SfmError::io(&sparse))?;
        let count = chosen.images.len();
        let command = self.plan.program.models(job)?;
        let ended = self.run_program("cameras", "finding cameras", command, |line| {
            registered(line).map(|n| (n as f64 / count as f64, format!("{n} of {count} images")))
        });
        let models = found_models(&sparse)?;
        match ended {
            // The mapper counts it as a failure that there is no model.
            Err(SfmError::Failed { .. }) if models.is_empty() && says_no_model(&self.layout.log("cameras")) => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        if models.is_empty() {
            return Err(no_model(&self.plan.input, "no cameras"));
        }
        self.record.models = Some(Stage { settings, result: models.clone() });
        self.keep()?;
        Ok(models)
    }

    /// Writes the capture of the largest model.
    fn capture(&mut self, chosen: &ChosenImages, models: &[(usize, String)]) -> Result<SfmReport, SfmError> {
        let Some((_, folder)) = models.first() else { return Err(no_model(&self.plan.input, "no cameras")) };
        let place = [self.layout.sparse().join(folder), self.layout.folder().join("colmap/sparse/0")];
        // Where an interrupted run was at its end already, the model is in its place.
        let at = if place[0].is_dir() { &place[0] } else { &place[1] };
        let model = read_sparse_model(at)?;
        let sizes = models.iter().map(|m| m.0).collect();
        let mut report = SfmReport::of(&model, self.plan.program.name(), &chosen.names(), sizes);
        report.check(&self.plan.input)?;
        self.layout.finish(folder)?;
        let (model, similarity) = stand_upright(model);
        write_capture(self.layout.folder(), &model, &similarity)?;
        for note in &report.notes {
            self.say(&format!("note: {note}"));
        }
        report.notes = chosen.notes.iter().cloned().chain(report.notes).collect();
        self.record.report = Some(report.clone());
        self.record.write(&self.layout.record())?;
        self.layout.clean()?;
        Ok(report)
    }
}

fn has_one_size(folder: &Path, chosen: &ChosenImages) -> Result<bool, SfmError> {
    let mut first = None;
    for image in &chosen.images {
        let path = folder.join(&image.name);
        let bytes = nstr_files::read(&path).map_err(SfmError::io(&path))?;
        let size = ImageFormat::of(&bytes).and_then(|f| f.size(&bytes));
        let size = size.map_err(|reason| SfmError::input(&path, reason))?;
        if *first.get_or_insert(size) != size {
            return Ok(false);
        }
    }
    Ok(true)
}

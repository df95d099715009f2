//! Stand-ins for ffmpeg, colmap and Python: shell scripts that write what tests prepared, and note how they were called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use glam::{DMat3, DMat4, DQuat, DVec3};
use nstr_camera::camera::Camera;
use nstr_image::testing::grey_jpeg;
use tempfile::TempDir;

use crate::gray::Gray;
use crate::options::SfmOptions;
use crate::testing::textured;

/// Images that have a camera in the scripts' models.
const CAMERAS: usize = 12;

/// A video that "ffmpeg" reads: 8 seconds at 30 a second.
const FFMPEG: &str = r#"#!/bin/sh
echo "ffmpeg $*" >> DIR/calls
last=
for word; do
  case "$last" in -frames:v) count=$word;; esac
  last=$word
done
case "$*" in
  *-version*) echo "ffmpeg version 5.1";;
  *image2pipe*) cat DIR/stream;;
  *image2*) i=1; while [ $i -le $count ]; do
      cp DIR/frame.jpg $(printf 'frame_%05d.jpg' $i); echo "frame=$i"; i=$((i + 1)); done;;
  *) echo "  Duration: 00:00:08.00, start: 0.0" >&2
     echo "  Stream #0:0: Video: h264, yuv420p, 160x120, 30 fps, 30 tbr" >&2; exit 1;;
esac
"#;

/// Programs of one name in a folder for a test.
const COLMAP: &str = r#"#!/bin/sh
if [ "$1" = -c ]; then
  # As a Python: the script, a stage and its settings.
  if [ -z "$3" ]; then echo "pycolmap 9.9"; exit 0; fi
  value() { echo "$settings" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
  settings=$4
  echo "python $3 $4" >> DIR/calls
  images=$(value images); out=$(value sparse); database=$(value database)
  case "$3" in features) set -- feature_extractor;; matches) set -- exhaustive_matcher;; *) set -- mapper;; esac
else
  case "$1" in help) echo "COLMAP 3.8 -- Structure-from-Motion (Commit 1 without CUDA)"; exit 0;; esac
  if [ "$2" = -h ]; then cat DIR/options; exit 0; fi
  echo "colmap $*" >> DIR/calls
  last=
  for word; do
    case "$last" in
      --image_path) images=$word;; --output_path) out=$word;; --database_path) database=$word;;
    esac
    last=$word
  done
fi
if [ -f DIR/hang-$1 ]; then echo "Matching block [1/2, 1/1]"; exec sleep 1000; fi
if [ -f DIR/fail-$1 ]; then cat DIR/fail-$1 >&2; exit 1; fi
case "$1" in
  feature_extractor) echo features >> $database; echo "Processed file [1/2]"; echo "Processed file [2/2]";;
  *_matcher) echo matches >> $database; echo "Matching block [2/2, 1/1] in 0.1s";;
  mapper)
    model=0
    for most in $(cat DIR/models); do
      mkdir -p $out/$model
      cp DIR/camera $out/$model/cameras.txt
      cp DIR/points $out/$model/points3D.txt
      i=0
      for image in $(ls $images); do
        i=$((i + 1))
        if [ $i -gt $most ]; then break; fi
        echo "$i $(sed -n ${i}p DIR/poses) 1 $image"; echo
        echo "Registering image #$i ($i)"  >&2
      done > $out/$model/images.txt
      model=$((model + 1))
    done;;
esac
"#;

/// Options by the names of version 3.
pub(crate) const OLD_OPTIONS: &str = "  --SiftExtraction.use_gpu arg (=1)\n  --SiftExtraction.max_image_size arg\n  \
     --SiftExtraction.max_num_features arg\n  --SiftMatching.use_gpu arg (=1)\n  --ExhaustiveMatching.block_size arg\n  \
     --SequentialMatching.overlap arg\n  --Mapper.min_model_size arg\n";

/// The programs and the data that they hand out.
pub(crate) struct FakePrograms {
    dir: TempDir,
    /// Cameras of the model, as COLMAP has them.
    pub cameras: Vec<Camera>,
}

impl FakePrograms {
    /// Programs that find a walk of 12 cameras in whatever they get.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display().to_string();
        for (name, script) in [("ffmpeg", FFMPEG), ("colmap", COLMAP)] {
            let path = dir.path().join(name);
            fs::write(&path, script.replace("DIR", &root)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let programs = Self { cameras: walk(), dir };
        let poses: String = programs.cameras.iter().map(|camera| pose_line(camera) + "\n").collect();
        let points: String = (1..=40)
            .map(|i| {
                let (s, c) = (f64::from(i) * 0.7).sin_cos();
                format!("{i} {} {} {} 200 100 50 0.8 1 2 2 3 3 4\n", c, 0.1 * f64::from(i), s)
            })
            .collect();
        for (name, text) in [("poses", &poses), ("points", &points), ("models", &"12".to_string())] {
            programs.put(name, text);
        }
        programs.put("options", OLD_OPTIONS);
        programs.put("calls", "");
        programs.put("camera", "1 SIMPLE_RADIAL 8 8 7.5 4 4 0.01\n");
        fs::write(programs.at("frame.jpg"), grey_jpeg()).unwrap();
        fs::write(programs.at("walk.mp4"), "a video").unwrap();
        // 48 frames, of which each third one is sharp, over 0.88 widths of the picture.
        programs
            .stream((0..48).map(|i| shaken(&textured(160, 120, 3.0 * f64::from(i), 0.0), [5, 1, 5][i as usize % 3])));
        programs
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// The frames that ffmpeg reads from any video.
    pub fn stream(&self, frames: impl Iterator<Item = Gray>) {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(format!("P5\n{} {}\n255\n", frame.width, frame.height).into_bytes());
            bytes.extend(frame.data.iter().map(|v| v.round() as u8));
        }
        fs::write(self.at("stream"), bytes).unwrap();
    }

    /// Calls of the programs with a word, one a line.
    pub fn calls(&self, word: &str) -> Vec<String> {
        let text = fs::read_to_string(self.at("calls")).unwrap();
        text.lines().filter(|l| l.contains(word)).map(String::from).collect()
    }

    /// Options with these programs.
    pub fn options(&self) -> SfmOptions {
        SfmOptions {
            ffmpeg: self.at("ffmpeg"),
            colmap: Some(self.at("colmap")),
            frames: Some(CAMERAS),
            ..SfmOptions::default()
        }
    }
}

/// A frame blurred along its rows.
pub(crate) fn shaken(image: &Gray, pixels: usize) -> Gray {
    let mean = |x: usize, y: usize| {
        (0..pixels).map(|i| image.at((x + i).min(image.width - 1), y)).sum::<f32>() / pixels as f32
    };
    Gray::from_fn(image.width, image.height, mean)
}

/// Cameras around the origin in a world that lies on its side, as COLMAP's do.
fn walk() -> Vec<Camera> {
    let side = DMat4::from_rotation_translation(DQuat::from_rotation_x(-1.4), DVec3::new(3.0, -2.0, 5.0));
    let at = |i: usize| {
        let (s, c) = (i as f64 * 0.4).sin_cos();
        let pose = Camera::look_at(DVec3::new(2.0 * c, 2.0 * s, 0.7), DVec3::ZERO, DVec3::Z).unwrap();
        Camera::with_fov_y(8, 8, 56.0, side * pose).unwrap()
    };
    (0..CAMERAS).map(at).collect()
}

/// `QW QX QY QZ TX TY TZ` of COLMAP: world to camera, y down, z forward.
fn pose_line(camera: &Camera) -> String {
    let [right, up, back] = camera.axes();
    let world_to_camera = DMat3::from_cols(right, -up, -back).transpose();
    let q = DQuat::from_mat3(&world_to_camera);
    let t = -(world_to_camera * camera.position());
    format!("{} {} {} {} {} {} {}", q.w, q.x, q.y, q.z, t.x, t.y, t.z)
}

impl FakePrograms {
    /// A folder of `count` small textured images with the names `IMG_1.png` and so on; those of `blurred` are.
    pub fn photographs(&self, count: usize, blurred: &[usize]) -> PathBuf {
        self.put("camera", "1 SIMPLE_RADIAL 96 72 90 48 36 0.01\n");
        let folder = self.at("photos");
        write_photographs(&folder, count, blurred);
        folder
    }
}

fn write_photographs(folder: &Path, count: usize, blurred: &[usize]) {
    fs::create_dir_all(folder).unwrap();
    for i in 1..=count {
        let image = shaken(&textured(96, 72, 3.0 * i as f64, 0.0), if blurred.contains(&i) { 15 } else { 1 });
        let pixel = |p: usize| [image.data[p] as u8, image.data[p] as u8, image.data[p] as u8, 255];
        nstr_image::png::write(&folder.join(format!("IMG_{i}.png")), &nstr_image::Rgba8::from_fn(96, 72, pixel))
            .unwrap();
    }
}

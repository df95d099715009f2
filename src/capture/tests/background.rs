//! Plain backgrounds of whole captures.

use glam::DMat4;

use super::*;
use crate::testing::{ball_views, ring};

const BALL: DVec3 = DVec3::new(0.3, -0.2, 0.1);
const RADIUS: f64 = 0.5;

/// A capture of a ball, over a colour or with alpha, whose pixels `change` alters (view, pixel, colour).
fn balls(folder: &Path, colour: Option<[u8; 3]>, change: impl Fn(usize, usize, [u8; 4]) -> [u8; 4]) {
    let views = ball_views(&ring(12, 4.0, BALL), 80, BALL, RADIUS);
    let rows = |m: &DMat4| -> [[f64; 4]; 4] { std::array::from_fn(|r| m.row(r).to_array()) };
    let mut frames = Vec::new();
    for (v, view) in views.iter().enumerate() {
        let name = format!("images/{v:02}.png");
        let over = |p: [u8; 4]| match colour {
            Some([r, g, b]) if p[3] == 0 => [r, g, b, 255],
            _ => p,
        };
        picture(&folder.join(&name), (80, 80), |i| change(v, i, over(view.image.pixels[i])));
        frames.push(json!({ "file_path": name, "transform_matrix": rows(&view.camera.camera_to_world) }));
    }
    let text = json!({ "fl_x": views[0].camera.focal.x, "frames": frames });
    std::fs::write(folder.join("transforms.json"), text.to_string()).unwrap();
}

fn same(_: usize, _: usize, p: [u8; 4]) -> [u8; 4] {
    p
}

fn of(
    colour: Option<[u8; 3]>,
    change: impl Fn(usize, usize, [u8; 4]) -> [u8; 4],
    wanted: CaptureBackground,
) -> Capture {
    let dir = tempfile::tempdir().unwrap();
    balls(dir.path(), colour, change);
    read_capture(dir.path(), &CaptureOptions { background: wanted, ..all() }).unwrap()
}

#[test]
fn a_plain_background_gives_the_box_that_alpha_gives() {
    let alpha = of(None, same, CaptureBackground::Auto);
    assert!(alpha.has_alpha && alpha.background.is_none() && alpha.scene_rule == SceneRule::Silhouettes);
    for colour in [[0; 3], [255; 3], [128; 3]] {
        let opaque = of(Some(colour), same, CaptureBackground::Auto);
        assert_eq!(opaque.background, Some(PlainBackground { colour, tolerance: 1 }));
        assert!(!opaque.has_alpha && opaque.views().all(|v| v.image.pixels.iter().all(|p| p[3] == 255)));
        assert!(opaque.notes.iter().any(|n| n.contains("--background")), "{:?}", opaque.notes);
        assert_eq!(opaque.scene_rule, SceneRule::Silhouettes);
        let [a, b] = [&alpha, &opaque].map(|c| c.scene.cube());
        // The silhouettes are a pixel wider: 4/(1.4·80) in the world at the ball, on each side.
        assert!(b.size >= a.size - 1e-9 && b.size < a.size + 0.2 && (a.centre() - b.centre()).length() < 0.05, "{b:?}");
        let hull = opaque.hull.unwrap();
        let n = hull.resolution;
        for i in 0..n * n * n {
            let at = [i % n, i / n % n, i / n / n];
            let unit = DVec3::from(at.map(|k| (k as f64 + 0.5) / n as f64));
            let is_inside = b.to_world(unit).distance(BALL) < RADIUS;
            assert!(!is_inside || hull.get(at[0], at[1], at[2]), "a cell inside the ball is gone");
        }
    }
}

#[test]
fn the_option_turns_it_off_or_names_another() {
    let off = of(Some([0; 3]), same, CaptureBackground::Random);
    assert!(off.background.is_none() && off.hull.is_none() && off.notes.is_empty(), "{:?}", off.notes);
    let named = of(Some([2; 3]), same, CaptureBackground::Colour([0; 3]));
    assert_eq!(named.background.unwrap().colour, [0; 3]);
    assert!(named.hull.is_some() && named.notes.is_empty());
    let other = of(Some([0; 3]), same, CaptureBackground::Colour([255; 3]));
    assert!(other.background.is_none() && other.hull.is_none() && other.notes[0].contains("#ffffff"));
    // What has alpha needs no search.
    let alpha = of(None, same, CaptureBackground::Colour([0; 3]));
    assert!(alpha.background.is_none() && alpha.hull.is_some() && alpha.notes.is_empty());
}

#[test]
fn silhouettes_that_cut_the_object_are_not_used() {
    // In every second view the ball's lower half has the colour of the background.
    let halved = |v: usize, i: usize, p: [u8; 4]| if v.is_multiple_of(2) && i / 80 >= 40 { [0, 0, 0, 255] } else { p };
    let capture = of(Some([0; 3]), halved, CaptureBackground::Auto);
    assert!(capture.background.is_some() && capture.hull.is_none());
    assert_ne!(capture.scene_rule, SceneRule::Silhouettes);
    assert!(capture.notes.iter().any(|n| n.contains("contradict")), "{:?}", capture.notes);
    assert!(capture.views().all(|v| v.image.pixels.iter().all(|p| p[3] == 255)));
}

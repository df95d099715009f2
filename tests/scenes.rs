//! The meshes in `scenes/`: what the generator writes, and sound.

#[path = "../examples/make_scenes.rs"]
mod make_scenes;

use nstr::geometry::{MeshReport, read_mesh};
use std::path::Path;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenes"))
}

#[test]
fn generator_writes_the_files_on_disk() {
    for (name, content) in make_scenes::scenes() {
        let disk = std::fs::read(folder().join(name)).expect(name);
        assert!(disk == content, "{name} differs: run `cargo run --release --example make_scenes`");
        assert!(content.len() < 400_000, "{name}: {} bytes", content.len());
    }
}

#[test]
fn scenes_are_as_described() {
    let report = |name: &str| MeshReport::new(&read_mesh(&folder().join(name)).expect(name).mesh);
    for (name, parts) in [("chair.obj", 19), ("bracket.stl", 1), ("knot.ply", 1)] {
        let r = report(name);
        println!("{name}: {}", r.summary());
        assert!(r.watertight && r.winding_consistent && r.oriented_outward, "{name}: {}", r.summary());
        assert_eq!((r.components, r.degenerate_faces, r.duplicate_faces), (parts, 0, 0), "{name}");
    }
    let soup = report("soup.obj");
    assert_eq!(2 * soup.opposite_duplicates, soup.faces);
    assert!(!soup.orientation_trusted());
}

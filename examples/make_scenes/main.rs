//! Writes everything in `scenes/`: `cargo run --release --example make_scenes [FOLDER]`.
//!
//! The meshes, pictures and sounds are the project's own and free of other people's rights: a chair (thin, tapered and slatted
//! parts), a pillow block (flat faces, sharp edges, fillets, bores), a rippled torus knot (curved everywhere), a desk as
//! online collections hold such things (each face twice, front and back, with open sheets and line elements), a tea set
//! with pictures of it from all sides (glazes, stripes, thin parts, hollows), a farmyard in open country as a phone would take
//! it, and a chirp and a sweep, whose frequency is known everywhere. Coordinates are rounded, so that every machine writes the
//! same bytes.

mod bracket;
pub mod capture;
mod chair;
pub mod farmyard;
pub mod jpeg;
mod knot;
pub mod landscape;
mod look;
mod material;
mod model;
mod noise;
mod raycast;
mod sampling;
pub mod signals;
mod solid;
mod soup;
pub mod sparse_points;
pub mod studio;
pub mod teaset;
mod transforms;
pub mod walk;

/// Every mesh of `scenes/`: its name and content.
pub fn meshes() -> Vec<(&'static str, Vec<u8>)> {
    let chair = chair::chair().obj("chair: closed parts that overlap, quadrilaterals and polygons");
    vec![
        ("chair.obj", chair.into_bytes()),
        ("bracket.stl", bracket::bracket().stl("pillow block")),
        ("knot.ply", knot::knot().ply("rippled torus knot").into_bytes()),
        ("soup.obj", soup::soup().into_bytes()),
        ("teaset.obj", teaset::obj().into_bytes()),
    ]
}

#[allow(dead_code, reason = "a test includes this file for what it writes")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(|| "scenes".into(), std::path::PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for (name, content) in meshes() {
        std::fs::write(folder.join(name), &content)?;
        println!("{}: {} bytes", folder.join(name).display(), content.len());
    }
    signals::write(&folder)?;
    for name in ["chirp.png", "sweep.wav"] {
        let path = folder.join(name);
        println!("{}: {} bytes", path.display(), std::fs::metadata(&path)?.len());
    }
    let captures =
        [("teaset", capture::write(&folder.join("teaset"))?), ("farmyard", walk::write(&folder.join("farmyard"))?)];
    for (name, bytes) in captures {
        println!("{}: {bytes} bytes", folder.join(name).display());
    }
    Ok(())
}

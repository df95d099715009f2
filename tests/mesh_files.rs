//! Every mesh in `NSTR_DATA` against what trimesh says of it, and every broken file against its error.

use nstr::files::testing::data_dir;
use nstr::geometry::{MeshError, MeshReport, read_mesh};

/// What trimesh (process=True) says of a file.
struct Row {
    file: &'static str,
    /// Vertices after merging, faces.
    sizes: [usize; 2],
    /// Watertight, winding consistent.
    flags: [bool; 2],
    /// Boundary edges, non-manifold edges, duplicate faces, degenerate faces, components across two-face edges.
    counts: [usize; 5],
    extents: [f64; 3],
}

const fn row(file: &'static str, sizes: [usize; 2], flags: [bool; 2], counts: [usize; 5], extents: [f64; 3]) -> Row {
    Row { file, sizes, flags, counts, extents }
}

#[rustfmt::skip]
#[allow(clippy::approx_constant, reason = "a height of 3.14")]
const TABLE: &[Row] = &[
    row("mesh/angle_block.STL", [352, 704], [true, true], [0, 0, 0, 0, 1], [1.339, 1.0, 1.352]),
    row("mesh/armadillo.obj", [49990, 99976], [true, true], [0, 0, 0, 0, 1], [1.366, 1.627, 1.241]),
    row("mesh/bunny.off", [3485, 6966], [true, true], [0, 0, 0, 0, 1], [0.156, 0.154, 0.121]),
    row("mesh/camel_b.obj", [1789, 3576], [true, true], [0, 0, 0, 0, 1], [24.494, 77.529, 79.524]),
    row("mesh/decimated-knight.off", [502, 1000], [true, true], [0, 0, 0, 0, 1], [0.543, 0.899, 0.275]),
    row("mesh/fandisk.obj", [6475, 12946], [true, true], [0, 0, 0, 0, 1], [4.828, 5.245, 2.68]),
    row("mesh/featuretype.ply", [1722, 3476], [true, true], [0, 0, 0, 0, 1], [5.0, 2.5, 1.375]),
    row("mesh/fertility.off", [4494, 9000], [true, true], [0, 0, 0, 0, 1], [199.191, 144.312, 73.266]),
    row("mesh/horse_quad.obj", [2400, 4796], [true, true], [0, 0, 0, 0, 1], [0.183, 0.152, 0.084]),
    row("mesh/idler_riser.STL", [782, 1572], [true, true], [0, 0, 0, 0, 1], [2.656, 2.953, 0.625]),
    row("mesh/quadknot.obj", [1440, 2880], [true, true], [0, 0, 0, 0, 1], [170.735, 133.719, 181.324]),
    row("mesh/rabbit.obj", [644, 1252], [true, true], [0, 0, 0, 0, 9], [2.003, 4.414, 3.14]),
    row("mesh/shapenet_cabinet_manifold.obj", [2931, 5870], [true, true], [0, 0, 0, 0, 1], [0.899, 0.381, 0.282]),
    row("mesh/sphere.ply", [642, 1280], [true, true], [0, 0, 0, 0, 1], [2.0, 2.0, 2.0]),
    row("mesh/spot.obj", [2930, 5856], [true, true], [0, 0, 0, 0, 1], [0.943, 1.69, 1.718]),
    row("mesh/torus.STL", [4350, 8700], [true, true], [0, 0, 0, 0, 1], [2.999, 3.0, 0.998]),
    row("mesh_bad/bunny_holes.obj", [2503, 4968], [false, true], [42, 0, 0, 0, 1], [0.155, 0.154, 0.12]),
    row("mesh_bad/cow_nonmanifold.off", [2761, 5520], [false, true], [0, 1, 0, 0, 1], [1.044, 0.64, 0.34]),
    row("mesh_bad/cube_40k_internal_quads.obj", [9261, 96000], [false, false], [1340, 55580, 8000, 0, 93280], [1.0, 1.0, 1.0]),
    row("mesh_bad/cylinder_20gon_caps.obj", [220, 436], [true, true], [0, 0, 0, 0, 1], [2.0, 2.851, 2.0]),
    row("mesh_bad/modelnet_chair_0001.off", [844, 2234], [false, true], [148, 1170, 724, 0, 1352], [0.555, 0.634, 1.0]),
    row("mesh_bad/shapenet_airplane/model_normalized.obj", [1623, 9402], [false, true], [0, 5778, 4873, 24, 9363], [0.856, 0.127, 0.501]),
    row("mesh_bad/shapenet_chair.obj", [3158, 12756], [false, true], [0, 9518, 6382, 0, 12747], [0.531, 0.664, 0.527]),
    row("mesh_bad/shapenet_helmet.obj", [262, 758], [false, true], [0, 484, 387, 0, 625], [0.425, 0.626, 0.653]),
    row("mesh_bad/shapenet_house.obj", [138, 624], [false, true], [0, 447, 312, 0, 624], [0.45, 0.707, 0.546]),
    row("mesh_bad/suzanne.obj", [505, 968], [false, true], [42, 1, 1, 0, 4], [2.734, 1.969, 1.703]),
    row("mesh_bad/teapot.obj", [3241, 6320], [false, true], [160, 0, 0, 0, 4], [6.434, 3.15, 4.0]),
    row("mesh_bad/trimesh/capsule.obj", [5002, 10200], [false, true], [0, 202, 0, 200, 201], [2.0, 2.0, 3.0]),
    row("mesh_bad/trimesh/comments.off", [8, 12], [true, true], [0, 0, 0, 0, 1], [3.266, 3.266, 2.309]),
    row("mesh_bad/trimesh/cube_compressed.obj", [8, 12], [true, true], [0, 0, 0, 0, 1], [2.0, 2.0, 2.0]),
    row("mesh_bad/trimesh/face_in_group_name_mid_file.obj", [5, 2], [false, true], [6, 0, 0, 0, 2], [14.0, 15.0, 20.0]),
    row("mesh_bad/trimesh/groups.obj", [1156, 2308], [true, true], [0, 0, 0, 0, 1], [9.425, 4.936, 4.0]),
    row("mesh_bad/trimesh/jacked.obj", [8, 12], [true, true], [0, 0, 0, 0, 1], [1.0, 1.0, 1.0]),
    row("mesh_bad/trimesh/joined_tetrahedra.obj", [5, 8], [false, true], [0, 3, 1, 0, 4], [1.5, 1.732, 2.0]),
    row("mesh_bad/trimesh/multibody.stl", [20, 32], [true, false], [0, 0, 0, 0, 2], [0.636, 1.088, 0.34]),
    row("mesh_bad/trimesh/nancolor.obj", [8, 12], [true, true], [0, 0, 0, 0, 1], [1.0, 1.0, 1.0]),
    row("mesh_bad/trimesh/negative_indices.obj", [8, 12], [true, true], [0, 0, 0, 0, 1], [2.0, 2.0, 2.0]),
    row("mesh_bad/trimesh/not_convex.obj", [44, 96], [false, true], [0, 12, 0, 0, 10], [0.366, 0.762, 0.762]),
    row("mesh_bad/trimesh/notenoughindices.obj", [3, 1], [false, true], [3, 0, 0, 0, 1], [1000.0, 500.0, 0.0]),
    row("mesh_bad/trimesh/obj_with_no_face_in_chunk.obj", [3, 1], [false, true], [3, 0, 0, 0, 1], [3.0, 3.0, 3.0]),
    row("mesh_bad/trimesh/plane.ply", [4, 2], [false, true], [4, 0, 0, 0, 1], [2.0, 2.0, 0.0]),
    row("mesh_bad/trimesh/polygonfaces.obj", [5, 3], [false, true], [5, 0, 0, 0, 1], [1000.0, 500.0, 1000.0]),
    row("mesh_bad/trimesh/reference.obj", [845, 1610], [false, true], [80, 0, 0, 0, 1], [148.57, 187.78, 106.579]),
    row("mesh_bad/trimesh/singlevn.obj", [4, 2], [false, true], [4, 0, 0, 0, 1], [1000.0, 0.0, 1000.0]),
    row("mesh_bad/trimesh/soup.stl", [300, 100], [false, true], [300, 0, 0, 0, 100], [0.997, 0.997, 0.993]),
    row("mesh_bad/trimesh/target.obj", [1715, 3318], [false, true], [120, 0, 0, 0, 1], [3.016, 4.1, 2.798]),
    row("mesh_bad/trimesh/teapot.stl", [480, 894], [false, true], [64, 0, 0, 0, 4], [63.17, 39.308, 29.481]),
    row("mesh_bad/trimesh/tet.ply", [4, 4], [true, true], [0, 0, 0, 0, 1], [2.0, 2.0, 2.0]),
    row("mesh_bad/trimesh/two_objects.obj", [8, 16], [false, true], [0, 3, 0, 0, 2], [1.0, 1.0, 1.0]),
    row("mesh_bad/trimesh/two_objects_mixed_case_names.stl", [16, 24], [true, true], [0, 0, 0, 0, 2], [6.0, 1.0, 1.0]),
    row("mesh_bad/trimesh/wallhole.obj", [35, 66], [false, true], [0, 1, 1, 11, 2], [10.0, 15.0, 10.0]),
    row("mesh_bad/trimesh/whitespace.off", [8, 12], [true, true], [0, 0, 0, 0, 1], [3.266, 3.266, 2.309]),
];

/// Where our definitions differ from trimesh's on purpose, and what we say there.
fn ours_differs(file: &str, what: &str, ours: usize) -> bool {
    let expected: &[(&str, usize)] = match file {
        // 200 faces with a repeated vertex at the poles: trimesh counts their sides as edges and each as a component;
        // we say that such faces bound nothing, and find the closed capsule that the rest is.
        "mesh_bad/trimesh/capsule.obj" => &[("watertight", 1), ("non-manifold", 0), ("patches", 1)],
        // Concave hexagons and octagons: trimesh makes fans, with folded and degenerate triangles; our triangles keep
        // the area and the surface is closed.
        "mesh_bad/trimesh/wallhole.obj" => {
            &[("watertight", 1), ("non-manifold", 0), ("duplicate", 0), ("degenerate", 0), ("patches", 1)]
        }
        // Folded quadrilaterals (no plane, both halves facing apart if cut at the first corner): trimesh cuts there
        // all the same, we along the other diagonal.
        "mesh_bad/cube_40k_internal_quads.obj" => {
            &[("boundary", 940), ("non-manifold", 55960), ("duplicate", 16000), ("patches", 93260)]
        }
        _ => &[],
    };
    expected.contains(&(what, ours))
}

#[test]
fn reports_agree_with_trimesh() {
    let Some(data) = data_dir("") else { return };
    let mut wrong = Vec::new();
    for row in TABLE {
        let file = match read_mesh(&data.join(row.file)) {
            Ok(file) => file,
            Err(e) => {
                wrong.push(format!("{e}"));
                continue;
            }
        };
        let r = MeshReport::new(&file.mesh);
        let mut check = |what: &str, ours: usize, theirs: usize| {
            if ours != theirs && !ours_differs(row.file, what, ours) {
                wrong.push(format!("{}: {what} {ours}, trimesh {theirs}", row.file));
            }
        };
        check("vertices", r.vertices, row.sizes[0]);
        check("faces", r.faces, row.sizes[1]);
        check("watertight", r.watertight.into(), row.flags[0].into());
        check("winding", r.winding_consistent.into(), row.flags[1].into());
        check("boundary", r.boundary_edges, row.counts[0]);
        check("non-manifold", r.non_manifold_edges, row.counts[1]);
        check("duplicate", r.duplicate_faces, row.counts[2]);
        check("degenerate", r.degenerate_faces, row.counts[3]);
        check("patches", r.patches, row.counts[4]);
        for k in 0..3 {
            let extent = r.bounds[1][k] - r.bounds[0][k];
            // The table is rounded to three decimals.
            if (extent - row.extents[k]).abs() > 6e-4 {
                wrong.push(format!("{}: extent {k} {extent}, trimesh {}", row.file, row.extents[k]));
            }
        }
        println!("{}: {} | {} | {:?}", row.file, r.summary(), r.orientation_reason(), file.notes);
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn files_without_a_surface_give_errors_that_name_them() {
    let Some(data) = data_dir("") else { return };
    for name in ["empty.obj", "empty.stl", "face_in_group_name.obj", "points_emptyface.ply"] {
        let error = read_mesh(&data.join("mesh_bad/trimesh").join(name)).expect_err(name);
        assert!(matches!(error, MeshError::NoFaces { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("no faces"), "{error}");
    }
    // One of its two faces has two corners; the other stands.
    let file = read_mesh(&data.join("mesh_bad/trimesh/notenoughindices.obj")).expect("one good face");
    assert!(file.notes.iter().any(|n| n.contains("fewer than three corners")), "{:?}", file.notes);
}

#[test]
fn orientation_is_trusted_where_the_winding_number_works() {
    let Some(data) = data_dir("") else { return };
    let trusted = |name: &str| MeshReport::new(&read_mesh(&data.join(name)).expect(name).mesh).orientation_trusted();
    for name in ["mesh/armadillo.obj", "mesh/rabbit.obj", "mesh_bad/bunny_holes.obj", "mesh_bad/suzanne.obj"] {
        assert!(trusted(name), "{name}");
    }
    for name in
        ["shapenet_chair.obj", "shapenet_house.obj", "modelnet_chair_0001.off", "trimesh/plane.ply", "trimesh/soup.stl"]
    {
        assert!(!trusted(&format!("mesh_bad/{name}")), "{name}");
    }
}

#[test]
fn materials_of_shapenet_files_count_their_faces() {
    let Some(data) = data_dir("mesh_bad") else { return };
    // Its material file lies beside it.
    let plane = read_mesh(&data.join("shapenet_airplane/model_normalized.obj")).expect("the airplane");
    assert_eq!(plane.materials.faces.len(), plane.mesh.faces.len());
    let (counts, without) = plane.materials.face_counts();
    assert_eq!((counts.iter().sum::<usize>(), without), (plane.mesh.faces.len(), 0));
    assert!(plane.materials.materials.iter().all(|m| m.diffuse.is_some()), "{:?}", plane.materials.materials);
    assert!(plane.notes.iter().all(|note| !note.contains("material")), "{:?}", plane.notes);
    // Its material file is absent: names and counts alone.
    let chair = read_mesh(&data.join("shapenet_chair.obj")).expect("the chair");
    let names: Vec<&str> = chair.materials.materials.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["material_0_1_8", "material_1_24", "material_2_24"]);
    assert_eq!(chair.materials.face_counts().0.iter().sum::<usize>(), chair.mesh.faces.len());
    assert!(chair.materials.materials.iter().all(|m| m.diffuse.is_none()));
    assert!(chair.notes.iter().any(|note| note.contains("model.mtl is absent")), "{:?}", chair.notes);
}

/// `tobj` and `stl_io` as second opinions, on the files that they accept in full.
#[test]
fn other_readers_see_the_same_corners() {
    let Some(data) = data_dir("") else { return };
    for row in TABLE.iter().filter(|r| r.file.ends_with(".obj")) {
        let options = tobj::LoadOptions { ignore_lines: true, ignore_points: true, ..Default::default() };
        let Ok((models, _)) = tobj::load_obj(data.join(row.file), &options) else { continue };
        let arities = models.iter().flat_map(|m| match m.mesh.face_arities.is_empty() {
            true => vec![3; m.mesh.indices.len() / 3],
            false => m.mesh.face_arities.clone(),
        });
        let (faces, polygons) = arities.fold((0, 0), |(f, p), n| (f + n as usize - 2, p + usize::from(n > 3)));
        let file = read_mesh(&data.join(row.file)).expect(row.file);
        assert_eq!((file.mesh.faces.len(), file.polygons), (faces, polygons), "{}", row.file);
        let theirs: f64 = models
            .iter()
            .flat_map(|m| m.mesh.positions.chunks_exact(3))
            .map(|p| p.iter().map(|v| v.abs()).fold(0.0, f64::max))
            .fold(0.0, f64::max);
        let largest = file.mesh.positions.iter().map(|p| p.abs().max_element()).fold(0.0, f64::max);
        assert_eq!(theirs, largest, "{}", row.file);
    }
    for row in TABLE.iter().filter(|r| r.file.starts_with("mesh/") && r.file.ends_with(".STL")) {
        let mut reader = std::fs::File::open(data.join(row.file)).expect(row.file);
        let theirs = stl_io::read_stl(&mut reader).expect(row.file);
        assert_eq!(read_mesh(&data.join(row.file)).expect(row.file).mesh.faces.len(), theirs.faces.len());
    }
}

#[test]
#[ignore = "a measurement: cargo test --release --test mesh_files -- --ignored --nocapture"]
fn time_of_reading_and_judging() {
    let Some(data) = data_dir("") else { return };
    for name in ["mesh/armadillo.obj", "mesh_bad/cube_40k_internal_quads.obj", "mesh/torus.STL", "mesh/featuretype.ply"]
    {
        let start = std::time::Instant::now();
        let file = read_mesh(&data.join(name)).expect(name);
        let read = start.elapsed();
        let start = std::time::Instant::now();
        let report = MeshReport::new(&file.mesh);
        println!("{name}: read {read:?}, report {:?} ({} faces)", start.elapsed(), report.faces);
    }
}

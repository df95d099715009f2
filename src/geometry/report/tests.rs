use proptest::prelude::*;

use crate::report::*;

fn cube() -> TriMesh {
    let positions = (0..8).map(|i| DVec3::new((i & 1) as f64, (i >> 1 & 1) as f64, (i >> 2) as f64)).collect();
    let quads = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]];
    TriMesh { positions, faces: quads.iter().flat_map(|q| [[q[0], q[1], q[2]], [q[0], q[2], q[3]]]).collect() }
}

#[test]
fn a_clean_cube() {
    let r = MeshReport::new(&cube());
    assert!(r.watertight && r.winding_consistent && r.oriented_outward && r.orientation_trusted());
    assert_eq!((r.components, r.patches, r.degenerate_faces), (1, 1, 0));
    assert!((r.area - 6.0).abs() < 1e-12 && (r.signed_volume - 1.0).abs() < 1e-12 && r.openness == 0.0);
    assert_eq!(r.summary(), "8 vertices, 12 faces, 1 part: watertight");
    assert!(r.to_string().contains("watertight            yes"));
}

#[test]
fn tiny_and_huge_cubes_are_measured_and_printed() {
    for size in [1e-20, 1e-39, 1e39, 1e100] {
        let mut mesh = cube();
        mesh.positions.iter_mut().for_each(|p| *p *= size);
        let r = MeshReport::new(&mesh);
        assert!(r.orientation_trusted() && r.oriented_outward && r.degenerate_faces == 0, "{size}");
        assert!(
            (r.area / size / size - 6.0).abs() < 1e-12 && (r.signed_volume / size / size / size - 1.0).abs() < 1e-12
        );
    }
    let mut mesh = cube();
    mesh.positions.iter_mut().for_each(|p| *p *= 1e-20);
    let text = MeshReport::new(&mesh).to_string();
    for part in ["x [0.000000e0, 1.000000e-20]", "1.732051e-20", "6.000000e-40", "1.000000e-60"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let text = MeshReport::new(&cube()).to_string();
    assert!(text.contains("x [0.000000, 1.000000]") && text.contains("1.732051\n"), "{text}");
    for scale in [1.0, 1e-20] {
        let mut mesh = cube();
        mesh.positions.iter_mut().for_each(|p| *p *= -scale);
        let text = MeshReport::new(&mesh).to_string();
        assert!(!text.contains("-0.000000") && text.contains("0.000000"), "a zero has no sign: {text}");
    }
    // A lid off: the share of holes does not depend on the size either.
    let mut open = cube();
    open.positions.iter_mut().for_each(|p| *p *= 1e100);
    open.faces.truncate(10);
    assert!((MeshReport::new(&open).openness - 0.2).abs() < 1e-12);
}

#[test]
fn an_inside_out_cube_is_trusted_but_said_to_face_inward() {
    let mut mesh = cube();
    mesh.faces.iter_mut().for_each(|f| f.swap(0, 1));
    let r = MeshReport::new(&mesh);
    assert!(!r.oriented_outward && r.orientation_trusted() && r.signed_volume < 0.0);
    assert!(r.orientation_reason().contains("inward") && r.summary().contains("inside out"));
}

#[test]
fn one_missing_triangle_is_a_hole_of_its_area() {
    let mut mesh = cube();
    mesh.faces.pop();
    let r = MeshReport::new(&mesh);
    assert_eq!(r.boundary_edges, 3);
    assert!((r.openness - 0.5 / 5.5).abs() < 1e-12 && r.orientation_trusted() && !r.watertight);
    // A tube's two ends cancel as vectors but not as holes.
    let tube = TriMesh { faces: cube().faces[4..].to_vec(), ..cube() };
    let r = MeshReport::new(&tube);
    assert!((r.openness - 0.5).abs() < 1e-12 && !r.orientation_trusted());
}

#[test]
fn doubled_faces_are_not_trusted() {
    let mut mesh = cube();
    let back: Vec<_> = mesh.faces.iter().map(|f| [f[2], f[1], f[0]]).collect();
    mesh.faces.extend(back);
    let r = MeshReport::new(&mesh);
    assert_eq!((r.opposite_duplicates, r.duplicate_faces, r.non_manifold_edges), (12, 12, 18));
    assert_eq!((r.components, r.patches), (1, 24));
    assert!(!r.orientation_trusted() && r.orientation_reason().contains("24 of 24"));
}

#[test]
fn one_flipped_face_shows() {
    let mut mesh = cube();
    mesh.faces[0].swap(0, 1);
    let r = MeshReport::new(&mesh);
    assert_eq!(r.inconsistent_edges, 3);
    assert!(r.watertight && !r.winding_consistent && !r.orientation_trusted());
}

#[test]
fn collapsed_and_flat_faces_are_degenerate() {
    let mut mesh = cube();
    mesh.positions.push(DVec3::new(0.5, 0.0, 0.0));
    mesh.faces.push([0, 0, 1]);
    mesh.faces.push([0, 8, 1]);
    let r = MeshReport::new(&mesh);
    assert_eq!((r.degenerate_faces, r.components), (2, 1));
    let nothing = MeshReport::new(&TriMesh::default());
    assert!(!nothing.watertight && !nothing.orientation_trusted());
}

#[test]
#[ignore = "a measurement: cargo test --release --lib report -- --ignored --nocapture"]
fn a_million_faces() {
    let (n, m) = (1000u32, 500u32);
    let at = |i: u32, j: u32| (i % n) * m + j % m;
    let point = |i: u32, j: u32| {
        let (u, v) = (i as f64 / n as f64 * std::f64::consts::TAU, j as f64 / m as f64 * std::f64::consts::TAU);
        DVec3::new((2.0 + v.cos()) * u.cos(), (2.0 + v.cos()) * u.sin(), v.sin())
    };
    let mesh = TriMesh {
        positions: (0..n).flat_map(|i| (0..m).map(move |j| point(i, j))).collect(),
        faces: (0..n)
            .flat_map(|i| {
                (0..m).flat_map(move |j| {
                    let q = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
                    [[q[0], q[1], q[2]], [q[0], q[2], q[3]]]
                })
            })
            .collect(),
    };
    let start = std::time::Instant::now();
    let r = MeshReport::new(&mesh);
    println!("{} faces: {:?}", r.faces, start.elapsed());
    assert!(r.watertight && r.components == 1);
}

proptest! {
    /// Any list of faces over few vertices: counts stay within bounds, and the orientation of all faces does not
    /// change what is counted.
    #[test]
    fn counts_do_not_depend_on_the_side(faces in prop::collection::vec(prop::array::uniform3(0u32..8), 0..40)) {
        let mesh = TriMesh { faces, ..cube() };
        let mut flipped = mesh.clone();
        flipped.faces.iter_mut().for_each(|f| f.swap(1, 2));
        let (a, b) = (MeshReport::new(&mesh), MeshReport::new(&flipped));
        prop_assert_eq!((a.boundary_edges, a.non_manifold_edges, a.components), (b.boundary_edges, b.non_manifold_edges, b.components));
        prop_assert_eq!((a.duplicate_faces, a.opposite_duplicates), (b.duplicate_faces, b.opposite_duplicates));
        prop_assert!(a.components <= a.patches && a.patches <= a.faces && a.degenerate_faces <= a.faces);
        prop_assert!((a.signed_volume + b.signed_volume).abs() < 1e-9);
    }
}

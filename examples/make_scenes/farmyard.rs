//! A farmyard in open country: things to look at from one metre to three hundred. z points up, a unit is a metre.
//!
//! In the middle of a paved yard an apple tree, a table, crates and hens; around it house, barn, garden and trees; then fields
//! with haystacks and a windmill, a village with a church, poplars, hills. Nothing in it is symmetric, so that a picture
//! that is mirrored or turned shows.

use std::f64::consts::TAU;

use glam::{DVec2, DVec3, IVec3, dvec2, dvec3};

use super::landscape::Solid;
use super::look::Material::{self, *};
use super::noise::hash;
use super::solid::Shape;

const WOOD: DVec3 = dvec3(0.34, 0.19, 0.085);
const PALE_WOOD: DVec3 = dvec3(0.44, 0.31, 0.17);
const GREEN: DVec3 = dvec3(0.070, 0.150, 0.028);
const RED: DVec3 = dvec3(0.46, 0.035, 0.025);
const IRON: DVec3 = dvec3(0.030, 0.036, 0.034);
const CREAM: DVec3 = dvec3(0.52, 0.47, 0.37);
const BARK: DVec3 = dvec3(0.145, 0.095, 0.058);

/// Cosine and sine of an angle in degrees.
fn turned(degrees: f64) -> DVec2 {
    DVec2::from_angle(degrees.to_radians())
}

fn solid(shape: Shape, foot: DVec3, degrees: f64, material: Material) -> Solid {
    Solid { shape, foot, turn: turned(degrees), material }
}

fn ball(middle: DVec3, radius: f64, material: Material) -> Solid {
    solid(Shape::sphere(radius), middle, 0.0, material)
}

fn ellipsoid(middle: DVec3, radii: DVec3, material: Material) -> Solid {
    solid(Shape::Ellipsoid { radii }, middle, 0.0, material)
}

fn block(foot: DVec3, size: DVec3, material: Material) -> Solid {
    solid(Shape::block(size), foot, 0.0, material)
}

fn round(foot: DVec3, [low, high]: [f64; 2], height: f64, material: Material) -> Solid {
    solid(Shape::Frustum { low, high, height }, foot, 0.0, material)
}

/// Moves a group that was built around the origin to `foot`, turned by an angle about z.
fn placed(group: Vec<Solid>, foot: DVec3, degrees: f64) -> Vec<Solid> {
    let turn = turned(degrees);
    let place = |s: Solid| Solid {
        foot: foot + turn.rotate(s.foot.truncate()).extend(s.foot.z),
        turn: turn.rotate(s.turn),
        ..s
    };
    group.into_iter().map(place).collect()
}

/// Everything but the ground.
pub fn farmyard() -> Vec<Solid> {
    [yard(), around(), country(), far()].concat().concat()
}

/// Within the cameras' walk.
fn yard() -> Vec<Vec<Solid>> {
    let mut groups = vec![apple_tree(), table(dvec3(1.42, -1.0, 0.0)), crates()];
    groups.push(placed(stool(RED), dvec3(0.72, -1.78, 0.0), 10.0));
    groups.push(placed(stool(dvec3(0.06, 0.12, 0.36)), dvec3(2.0, -0.2, 0.0), 40.0));
    groups.push(churn(dvec3(0.75, 1.65, 0.0)));
    groups.push(placed(vec![block(DVec3::ZERO, dvec3(1.0, 0.52, 0.44), Straw)], dvec3(-1.62, -0.62, 0.0), 64.0));
    // The last one sits on the bale.
    let hens = [
        (dvec3(-1.15, -1.55, 0.0), 20.0, Blotches(dvec3(0.52, 0.49, 0.44), dvec3(0.16, 0.10, 0.06), 0.07)),
        (dvec3(-0.45, -1.95, 0.0), 140.0, Plain(dvec3(0.24, 0.095, 0.035))),
        (dvec3(1.75, 1.05, 0.0), -100.0, Plain(CREAM)),
        (dvec3(-1.66, -0.55, 0.43), 200.0, Plain(dvec3(0.30, 0.14, 0.045))),
    ];
    groups.extend(hens.map(|(foot, degrees, feathers)| placed(hen(feathers), foot, degrees)));
    groups
}

fn apple_tree() -> Vec<Solid> {
    let leaf = Leaves(dvec3(0.085, 0.165, 0.030), 0.065);
    let mut tree = vec![
        round(DVec3::ZERO, [0.86, 0.82], 0.42, Stone(0.62)),
        round(DVec3::Z * 0.40, [0.125, 0.085], 1.5, Planks(BARK, 0.05, 0)),
    ];
    let crown = [
        (dvec3(0.05, 0.0, 2.42), dvec3(0.92, 0.88, 0.62)),
        (dvec3(0.58, 0.34, 2.08), dvec3(0.55, 0.52, 0.42)),
        (dvec3(-0.56, -0.28, 2.16), dvec3(0.58, 0.54, 0.44)),
        (dvec3(0.18, -0.62, 2.02), dvec3(0.50, 0.46, 0.38)),
        (dvec3(-0.25, 0.62, 2.05), dvec3(0.50, 0.48, 0.40)),
    ];
    for (k, (middle, radii)) in crown.into_iter().enumerate() {
        tree.push(ellipsoid(middle, radii, leaf));
        // Apples in its skin, most of them low.
        tree.extend((0..7).map(|i| {
            let cell = IVec3::new(i, k as i32, 0);
            let (turn, z) = (TAU * hash(cell, 80), 0.55 - 1.25 * hash(cell, 81));
            let out = (DVec2::from_angle(turn) * (1.0 - z * z).max(0.0).sqrt()).extend(z);
            ball(middle + radii * out, 0.052 + 0.014 * hash(cell, 82), Glazed(RED))
        }));
    }
    tree
}

fn table(foot: DVec3) -> Vec<Solid> {
    let cloth = Checks(dvec3(0.10, 0.16, 0.42), 0.105);
    let top = 0.74;
    let mut table = vec![
        round(DVec3::ZERO, [0.26, 0.05], 0.09, Plain(IRON)),
        round(DVec3::ZERO, [0.045, 0.045], top, Plain(IRON)),
        round(DVec3::Z * (top - 0.20), [0.585, 0.56], 0.20, cloth),
    ];
    let vase = dvec3(0.08, 0.12, top);
    let blue = Glazed(dvec3(0.045, 0.115, 0.30));
    table.push(ellipsoid(vase + DVec3::Z * 0.12, dvec3(0.105, 0.105, 0.125), blue));
    table.push(round(vase + DVec3::Z * 0.20, [0.045, 0.075], 0.10, blue));
    table.push(ellipsoid(vase + DVec3::Z * 0.47, dvec3(0.20, 0.19, 0.17), Bloom(dvec3(0.62, 0.10, 0.20))));
    table.push(round(dvec3(-0.26, -0.16, top), [0.13, 0.19], 0.055, Glazed(CREAM)));
    for (x, y, z) in [(-0.31, -0.12, 0.09), (-0.20, -0.13, 0.085), (-0.26, -0.24, 0.09), (-0.255, -0.16, 0.165)] {
        table.push(ball(dvec3(x, y, top + z), 0.062, Glazed(if z > 0.1 { dvec3(0.50, 0.36, 0.03) } else { RED })));
    }
    table.push(round(dvec3(0.28, -0.22, top), [0.05, 0.06], 0.13, Stripes(RED, CREAM, 0.035, 2)));
    placed(table, foot, 20.0)
}

fn stool(cushion: DVec3) -> Vec<Solid> {
    let leg = |x: f64, y: f64| round(dvec3(x, y, 0.0), [0.028, 0.028], 0.43, Plain(WOOD));
    let mut stool: Vec<Solid> =
        [(0.13, 0.13), (-0.13, 0.13), (0.13, -0.13), (-0.13, -0.13)].map(|(x, y)| leg(x, y)).into();
    stool.push(block(DVec3::Z * 0.42, dvec3(0.38, 0.38, 0.05), Planks(WOOD, 0.127, 0)));
    stool.push(ellipsoid(DVec3::Z * 0.49, dvec3(0.185, 0.185, 0.05), Stripes(cushion, cushion * 0.45, 0.06, 0)));
    stool
}

fn crates() -> Vec<Solid> {
    let pumpkin = |middle: DVec3, radius: f64| {
        let foot = middle - DVec3::Z * radius * 0.72;
        [
            ellipsoid(middle, dvec3(radius, radius, 0.74 * radius), Pumpkin),
            round(foot + DVec3::Z * 1.40 * radius, [0.034, 0.020], 0.10, Plain(dvec3(0.11, 0.13, 0.04))),
        ]
    };
    let mut group = placed(
        vec![block(DVec3::ZERO, dvec3(0.78, 0.56, 0.46), Planks(PALE_WOOD, 0.115, 2))],
        dvec3(-1.28, 1.02, 0.0),
        24.0,
    );
    group.extend(placed(
        vec![block(DVec3::ZERO, dvec3(0.46, 0.40, 0.34), Planks(WOOD, 0.085, 2))],
        dvec3(-1.36, 1.06, 0.46),
        -12.0,
    ));
    group.extend(pumpkin(dvec3(-1.36, 1.06, 0.96), 0.21));
    group.extend(pumpkin(dvec3(-0.72, 1.62, 0.17), 0.24));
    group.extend(pumpkin(dvec3(-1.78, 0.42, 0.20), 0.28));
    group.extend(pumpkin(dvec3(-0.98, 0.93, 0.585), 0.15));
    group
}

fn churn(foot: DVec3) -> Vec<Solid> {
    let steel = Glazed(dvec3(0.30, 0.31, 0.32));
    vec![
        round(foot, [0.19, 0.19], 0.46, steel),
        round(foot + DVec3::Z * 0.46, [0.19, 0.10], 0.13, steel),
        round(foot + DVec3::Z * 0.59, [0.10, 0.125], 0.09, steel),
        round(foot + DVec3::Z * 0.68, [0.13, 0.12], 0.03, Plain(RED)),
        round(foot + DVec3::Z * 0.20, [0.194, 0.194], 0.09, Plain(dvec3(0.05, 0.13, 0.34))),
    ]
}

fn hen(feathers: Material) -> Vec<Solid> {
    let leg = |y: f64| round(dvec3(0.0, y, 0.0), [0.016, 0.016], 0.14, Plain(dvec3(0.50, 0.30, 0.04)));
    vec![
        ellipsoid(dvec3(0.0, 0.0, 0.23), dvec3(0.18, 0.125, 0.13), feathers),
        ellipsoid(dvec3(-0.19, 0.0, 0.32), dvec3(0.075, 0.035, 0.12), feathers),
        ellipsoid(dvec3(0.15, 0.0, 0.34), dvec3(0.065, 0.055, 0.13), feathers),
        ball(dvec3(0.175, 0.0, 0.45), 0.062, feathers),
        ellipsoid(dvec3(0.175, 0.0, 0.52), dvec3(0.055, 0.014, 0.04), Plain(RED)),
        ellipsoid(dvec3(0.245, 0.0, 0.445), dvec3(0.035, 0.018, 0.016), Plain(dvec3(0.55, 0.30, 0.02))),
        leg(0.05),
        leg(-0.05),
    ]
}

/// Around the yard, up to about ten metres from its middle.
fn around() -> Vec<Vec<Solid>> {
    let mut groups = vec![
        placed(bench(), dvec3(-5.9, -2.4, 0.0), 8.0),
        placed(lamp(), dvec3(5.6, -4.6, 0.0), 15.0),
        placed(signpost(), dvec3(-7.0, 1.5, 0.0), -25.0),
        barrels(),
        placed(house(), dvec3(10.7, 5.0, 0.0), 0.0),
        placed(barn(), dvec3(-11.2, 9.2, 0.0), 20.0),
        laundry(),
        bales(),
    ];
    groups.extend(wall());
    groups.extend(fence(dvec2(3.6, -6.4), dvec2(12.6, -7.6), 7));
    let hives = [
        (3.6, -8.4, 5.0, dvec3(0.06, 0.16, 0.36)),
        (4.9, -9.1, -12.0, dvec3(0.55, 0.40, 0.05)),
        (6.3, -8.5, 20.0, RED),
    ];
    groups.extend(hives.map(|(x, y, degrees, colour)| placed(hive(colour), dvec3(x, y, 0.0), degrees)));
    for (x, y, degrees) in [(6.1, 1.0, 0.0), (5.9, 5.1, 30.0), (-6.1, 5.0, 10.0), (-5.9, -5.1, 50.0)] {
        groups.push(placed(pot(), dvec3(x, y, 0.0), degrees));
    }
    // Beds on both sides of the door.
    for (i, y) in [2.15, 2.85, 3.5, 6.5, 7.15, 7.8].into_iter().enumerate() {
        let colours = [dvec3(0.60, 0.09, 0.16), dvec3(0.62, 0.50, 0.05), dvec3(0.30, 0.16, 0.55)];
        let radius = 0.34 + 0.06 * hash(IVec3::new(i as i32, 0, 0), 83);
        let middle = dvec3(7.72, y, 0.75 * radius);
        groups.push(vec![ellipsoid(middle, dvec3(radius, radius, radius * 0.95), Bloom(colours[i % 3]))]);
    }
    groups
}

fn bench() -> Vec<Solid> {
    let wood = Planks(dvec3(0.075, 0.16, 0.14), 0.14, 0);
    let side = |y: f64| block(dvec3(-0.05, y, 0.0), dvec3(0.42, 0.07, 0.43), Plain(IRON));
    vec![
        block(dvec3(0.0, 0.0, 0.43), dvec3(0.46, 1.75, 0.045), wood),
        block(dvec3(-0.23, 0.0, 0.52), dvec3(0.04, 1.75, 0.14), wood),
        block(dvec3(-0.25, 0.0, 0.72), dvec3(0.04, 1.75, 0.14), wood),
        block(dvec3(-0.27, 0.75, 0.0), dvec3(0.05, 0.07, 0.86), Plain(IRON)),
        block(dvec3(-0.27, -0.75, 0.0), dvec3(0.05, 0.07, 0.86), Plain(IRON)),
        side(0.75),
        side(-0.75),
        ellipsoid(dvec3(-0.10, 0.5, 0.62), dvec3(0.09, 0.22, 0.17), Stripes(RED, CREAM, 0.07, 1)),
    ]
}

fn lamp() -> Vec<Solid> {
    let iron = Glazed(IRON * 1.5);
    vec![
        round(DVec3::ZERO, [0.17, 0.13], 0.35, iron),
        round(DVec3::Z * 0.35, [0.075, 0.05], 2.5, iron),
        round(DVec3::Z * 2.85, [0.05, 0.15], 0.10, iron),
        round(DVec3::Z * 2.95, [0.13, 0.17], 0.36, Glazed(dvec3(0.66, 0.60, 0.44))),
        round(DVec3::Z * 3.31, [0.22, 0.03], 0.20, iron),
    ]
}

fn signpost() -> Vec<Solid> {
    let board = |z: f64, length: f64, degrees: f64, colour: DVec3| {
        let board = block(DVec3::X * (0.5 * length - 0.1), dvec3(length, 0.045, 0.21), Stripes(colour, CREAM, 0.3, 0));
        placed(vec![board], DVec3::Z * z, degrees)
    };
    let mut post = vec![round(DVec3::ZERO, [0.055, 0.05], 2.35, Plain(WOOD))];
    post.extend(board(2.0, 1.0, -60.0, dvec3(0.05, 0.13, 0.36)));
    post.extend(board(1.72, 0.85, 80.0, RED));
    post.extend(board(1.44, 0.95, 200.0, dvec3(0.05, 0.20, 0.08)));
    post
}

fn barrels() -> Vec<Solid> {
    let barrel = |x: f64, y: f64| {
        let foot = dvec3(x, y, 0.0);
        [round(foot, [0.27, 0.335], 0.40, Barrel), round(foot + DVec3::Z * 0.40, [0.335, 0.28], 0.40, Barrel)]
    };
    [barrel(6.05, -1.2), barrel(5.95, -2.0), barrel(6.65, -1.65)].concat()
}

fn hive(colour: DVec3) -> Vec<Solid> {
    vec![
        block(DVec3::ZERO, dvec3(0.5, 0.5, 0.18), Plain(WOOD)),
        block(DVec3::Z * 0.18, dvec3(0.58, 0.58, 0.62), Planks(colour, 0.155, 2)),
        block(DVec3::Z * 0.80, dvec3(0.70, 0.70, 0.07), Plain(dvec3(0.30, 0.30, 0.30))),
    ]
}

fn pot() -> Vec<Solid> {
    let clay = dvec3(0.42, 0.155, 0.075);
    vec![
        round(DVec3::ZERO, [0.20, 0.29], 0.42, Plain(clay)),
        round(DVec3::Z * 0.40, [0.325, 0.325], 0.075, Plain(clay * 1.1)),
        round(DVec3::Z * 0.47, [0.05, 0.045], 0.35, Plain(BARK)),
        ball(DVec3::Z * 1.05, 0.37, Leaves(dvec3(0.045, 0.12, 0.035), 0.06)),
    ]
}

fn house() -> Vec<Solid> {
    let tiles = Tiles(dvec3(0.36, 0.095, 0.050));
    vec![
        solid(Shape::prism(dvec3(5.0, 6.5, 2.75), 1.85), DVec3::ZERO, 0.0, House),
        solid(Shape::prism(dvec3(5.7, 7.1, 0.10), 2.15), DVec3::Z * 2.62, 0.0, tiles),
        block(dvec3(0.95, 1.7, 3.2), dvec3(0.62, 0.62, 1.9), Bricks),
        block(dvec3(0.95, 1.7, 5.1), dvec3(0.74, 0.74, 0.12), Plain(dvec3(0.30, 0.29, 0.27))),
        block(dvec3(-2.85, 0.0, 0.0), dvec3(0.8, 1.4, 0.16), Stone(0.0)),
    ]
}

fn barn() -> Vec<Solid> {
    vec![
        solid(Shape::prism(dvec3(6.4, 8.6, 3.3), 2.5), DVec3::ZERO, 0.0, Barn),
        solid(Shape::prism(dvec3(7.1, 9.2, 0.10), 2.8), DVec3::Z * 3.15, 0.0, Tiles(dvec3(0.115, 0.105, 0.10))),
    ]
}

/// Two posts, a line and three cloths.
fn laundry() -> Vec<Solid> {
    let post = |x: f64| round(dvec3(x, 0.0, 0.0), [0.05, 0.04], 2.0, Plain(PALE_WOOD));
    let cloth = |x: f64, width: f64, drop: f64, material: Material| {
        block(dvec3(x, 0.0, 1.86 - drop), dvec3(width, 0.03, drop), material)
    };
    let group = vec![
        post(-2.3),
        post(2.3),
        block(DVec3::Z * 1.86, dvec3(4.6, 0.02, 0.02), Plain(CREAM)),
        cloth(-1.35, 1.25, 1.15, Stripes(RED, CREAM, 0.16, 0)),
        cloth(0.1, 0.95, 0.9, Checks(dvec3(0.40, 0.25, 0.03), 0.16)),
        cloth(1.35, 1.1, 1.3, Stripes(dvec3(0.05, 0.13, 0.40), dvec3(0.30, 0.40, 0.60), 0.22, 2)),
    ];
    placed(group, dvec3(-2.6, 7.3, 0.0), -6.0)
}

fn bales() -> Vec<Solid> {
    let bale = |x: f64, z: f64, degrees: f64| {
        placed(vec![block(DVec3::ZERO, dvec3(1.1, 0.6, 0.5), Straw)], dvec3(x, 0.0, z), degrees)
    };
    placed([bale(-0.6, 0.0, 3.0), bale(0.62, 0.0, -5.0), bale(0.05, 0.5, 8.0)].concat(), dvec3(2.3, 6.9, 0.0), -8.0)
}

fn wall() -> Vec<Vec<Solid>> {
    let part = |x: f64, length: f64| {
        vec![
            block(dvec3(x, -6.35, 0.0), dvec3(length, 0.30, 0.92), Bricks),
            block(dvec3(x, -6.35, 0.92), dvec3(length + 0.06, 0.40, 0.08), Plain(dvec3(0.34, 0.32, 0.28))),
        ]
    };
    vec![part(-4.3, 4.4), part(0.75, 3.0)]
}

/// Posts and two rails from one point to another.
fn fence(from: DVec2, to: DVec2, fields: usize) -> Vec<Vec<Solid>> {
    let length = from.distance(to);
    let along = (to - from) / length;
    let step = length / fields as f64;
    let degrees = along.y.atan2(along.x).to_degrees();
    let wood = Plain(dvec3(0.36, 0.31, 0.24));
    let field = |i: usize| {
        let mut parts = vec![block(DVec3::ZERO, dvec3(0.10, 0.10, 1.05), wood)];
        parts.extend([0.42, 0.82].map(|z| block(dvec3(0.5 * step, 0.0, z), dvec3(step, 0.04, 0.11), wood)));
        placed(parts, (from + along * step * i as f64).extend(0.0), degrees)
    };
    (0..fields).map(field).collect()
}

/// A broad tree, `height` high; the seed moves its parts.
fn tree(x: f64, y: f64, height: f64, tone: DVec3, seed: u32) -> Vec<Solid> {
    let leaf = Leaves(tone, 0.026 * height);
    let mut parts = vec![round(DVec3::ZERO, [0.040 * height, 0.022 * height], 0.55 * height, Planks(BARK, 0.12, 0))];
    for i in 0..6 {
        let number = |k: i32| hash(IVec3::new(i, k, 0), seed);
        let out =
            DVec2::from_angle(TAU * (i as f64 + 0.6 * number(0)) / 5.0) * if i == 5 { 0.0 } else { 0.19 * height };
        let z = height * if i == 5 { 0.80 } else { 0.50 + 0.16 * number(1) };
        let radius = height * (0.19 + 0.05 * number(2));
        parts.push(ellipsoid(out.extend(z), dvec3(radius, radius, 0.85 * radius), leaf));
    }
    placed(parts, dvec3(x, y, 0.0), 0.0)
}

/// From ten metres to fifty.
fn country() -> Vec<Vec<Solid>> {
    let (dark, light, olive) = (dvec3(0.050, 0.115, 0.028), dvec3(0.115, 0.190, 0.035), dvec3(0.120, 0.150, 0.050));
    let mut groups = vec![
        tree(-7.6, -9.4, 5.2, light, 100),
        tree(-2.2, -12.5, 4.4, olive, 101),
        tree(13.5, -3.6, 6.2, dark, 102),
        tree(4.6, 13.2, 6.8, light, 103),
        tree(-16.5, -1.5, 7.5, dark, 104),
        tree(-13.0, -14.0, 6.0, olive, 105),
        tree(17.5, 12.0, 7.0, GREEN, 106),
        tree(-4.5, 17.0, 6.0, dark, 107),
        tree(21.0, -9.0, 8.0, GREEN, 108),
        tree(-22.0, 14.0, 8.0, light, 109),
    ];
    groups.push(placed(cow(dvec3(0.055, 0.045, 0.04)), dvec3(6.8, -14.5, 0.0), 165.0));
    groups.push(placed(cow(dvec3(0.26, 0.10, 0.045)), dvec3(10.6, -13.0, 0.0), 60.0));
    groups.push(placed(cow(dvec3(0.055, 0.045, 0.04)), dvec3(-24.0, -6.0, 0.0), 200.0));
    for (x, y, radius) in
        [(2.5, -22.0, 1.7), (-4.5, -20.0, 1.4), (-9.0, -25.0, 1.9), (-27.0, 2.5, 1.8), (9.0, 22.0, 1.7)]
    {
        groups.push(vec![ellipsoid(dvec3(x, y, 0.25 * radius), dvec3(radius, radius, 1.15 * radius), Straw)]);
    }
    groups.push(placed(windmill(), dvec3(19.0, -24.0, 0.0), 258.0));
    groups.push(placed(shed(), dvec3(-20.0, -20.0, 0.0), 35.0));
    for i in 0..7 {
        let (x, y) = (26.0 + 3.6 * f64::from(i), 20.0 - 3.2 * f64::from(i));
        let height = 8.0 + 2.5 * hash(IVec3::new(i, 0, 0), 84);
        let leaf = Leaves(dvec3(0.060, 0.120, 0.034), 0.55);
        groups.push(vec![ellipsoid(dvec3(x, y, 0.55 * height), dvec3(1.15, 1.15, 0.5 * height), leaf)]);
    }
    groups
}

fn cow(coat: DVec3) -> Vec<Solid> {
    let hide = Blotches(coat, dvec3(0.60, 0.57, 0.52), 0.7);
    let mut cow = vec![
        ellipsoid(dvec3(0.0, 0.0, 1.0), dvec3(0.95, 0.38, 0.42), hide),
        ellipsoid(dvec3(0.85, 0.0, 1.22), dvec3(0.40, 0.22, 0.26), hide),
        ellipsoid(dvec3(1.22, 0.0, 1.30), dvec3(0.30, 0.16, 0.18), hide),
        ellipsoid(dvec3(1.45, 0.0, 1.20), dvec3(0.11, 0.12, 0.11), Plain(dvec3(0.50, 0.28, 0.24))),
    ];
    for (x, y) in [(0.6, 0.2), (0.6, -0.2), (-0.65, 0.2), (-0.65, -0.2)] {
        cow.push(round(dvec3(x, y, 0.0), [0.08, 0.11], 0.8, hide));
    }
    cow
}

fn shed() -> Vec<Solid> {
    vec![
        block(DVec3::ZERO, dvec3(4.0, 5.0, 2.4), Planks(dvec3(0.24, 0.17, 0.11), 0.3, 0)),
        solid(Shape::prism(dvec3(4.6, 5.6, 0.1), 1.5), DVec3::Z * 2.35, 0.0, Tiles(dvec3(0.30, 0.10, 0.06))),
    ]
}

fn windmill() -> Vec<Solid> {
    let mut mill = vec![
        round(DVec3::ZERO, [2.3, 1.45], 8.2, Tower),
        round(DVec3::Z * 8.2, [1.65, 0.35], 1.7, Tiles(dvec3(0.13, 0.075, 0.05))),
    ];
    let hub = dvec3(0.0, -1.95, 8.8);
    mill.push(ball(hub + DVec3::Y * 0.2, 0.45, Plain(WOOD)));
    for i in 0..4 {
        let turn = turned(22.0 + 90.0 * f64::from(i));
        let out = dvec3(turn.x, 0.0, turn.y);
        let (beam, sail) = (dvec3(2.6, 0.07, 0.10), dvec3(2.0, 0.04, 0.48));
        // The sail stands to one side of its beam.
        let aside = dvec3(-turn.y, 0.0, turn.x) * 0.42;
        mill.push(solid(Shape::blade(beam, turn), hub + out * 2.6, 0.0, Plain(WOOD)));
        mill.push(solid(Shape::blade(sail, turn), hub + out * 3.1 + aside, 0.0, Plain(dvec3(0.60, 0.56, 0.46))));
    }
    mill
}

/// Beyond fifty metres.
fn far() -> Vec<Vec<Solid>> {
    let mut groups = vec![placed(church(), dvec3(-46.0, 26.0, 0.0), 25.0)];
    let cottages = [
        (-38.0, 36.0, 10.0, 0),
        (-47.0, 40.0, 70.0, 1),
        (-55.0, 33.0, -20.0, 2),
        (-52.0, 16.0, 35.0, 1),
        (-60.0, 22.0, 80.0, 0),
        (-36.0, 47.0, 50.0, 2),
        (42.0, 40.0, 15.0, 1),
        (48.0, 34.0, 60.0, 0),
    ];
    for (x, y, degrees, kind) in cottages {
        let walls = [CREAM, dvec3(0.50, 0.38, 0.24), dvec3(0.46, 0.42, 0.38)][kind];
        let tiles = [dvec3(0.36, 0.10, 0.055), dvec3(0.20, 0.10, 0.07), dvec3(0.15, 0.14, 0.14)][kind];
        let cottage = vec![
            solid(Shape::prism(dvec3(6.0, 8.0, 3.2), 2.2), DVec3::ZERO, 0.0, House),
            solid(Shape::prism(dvec3(6.6, 8.6, 0.1), 2.5), DVec3::Z * 3.1, 0.0, Tiles(tiles)),
            block(dvec3(1.2, 2.0, 3.2), dvec3(0.8, 0.8, 3.0), Plain(walls * 0.6)),
        ];
        groups.push(placed(cottage, dvec3(x, y, 0.0), degrees));
    }
    let grove = [
        (-43.0, 50.0),
        (-62.0, 40.0),
        (-66.0, 8.0),
        (55.0, 22.0),
        (36.0, -52.0),
        (-30.0, -48.0),
        (8.0, 60.0),
        (60.0, -18.0),
    ];
    for (i, (x, y)) in grove.into_iter().enumerate() {
        groups.push(tree(x, y, 11.0, dvec3(0.055, 0.105, 0.032), 110 + i as u32));
    }
    // Middle, half-axes and tone of hills all around, and of mountains behind them.
    let hills = [
        (dvec3(150.0, 60.0, -14.0), dvec3(90.0, 110.0, 32.0), dvec3(0.125, 0.175, 0.050)),
        (dvec3(90.0, 160.0, -18.0), dvec3(120.0, 70.0, 40.0), dvec3(0.105, 0.160, 0.050)),
        (dvec3(-60.0, 170.0, -14.0), dvec3(130.0, 70.0, 34.0), dvec3(0.140, 0.180, 0.055)),
        (dvec3(-180.0, 60.0, -16.0), dvec3(80.0, 120.0, 44.0), dvec3(0.100, 0.150, 0.048)),
        (dvec3(-150.0, -110.0, -16.0), dvec3(90.0, 90.0, 30.0), dvec3(0.150, 0.185, 0.060)),
        (dvec3(20.0, -190.0, -16.0), dvec3(150.0, 70.0, 33.0), dvec3(0.115, 0.165, 0.052)),
        (dvec3(170.0, -110.0, -20.0), dvec3(90.0, 110.0, 46.0), dvec3(0.105, 0.150, 0.050)),
        (dvec3(320.0, 260.0, -30.0), dvec3(220.0, 200.0, 120.0), dvec3(0.135, 0.150, 0.120)),
        (dvec3(-120.0, 420.0, -30.0), dvec3(260.0, 160.0, 105.0), dvec3(0.135, 0.150, 0.120)),
        (dvec3(-400.0, -160.0, -30.0), dvec3(200.0, 240.0, 125.0), dvec3(0.135, 0.150, 0.120)),
    ];
    groups.extend(hills.map(|(middle, radii, tone)| vec![ellipsoid(middle, radii, Hill(tone))]));
    groups
}

fn church() -> Vec<Solid> {
    let slate = Tiles(dvec3(0.135, 0.14, 0.155));
    vec![
        solid(Shape::prism(dvec3(7.5, 13.0, 5.0), 3.6), DVec3::ZERO, 0.0, Tower),
        solid(Shape::prism(dvec3(8.3, 13.6, 0.1), 4.0), DVec3::Z * 4.9, 0.0, slate),
        block(dvec3(0.0, -8.0, 0.0), dvec3(4.6, 4.6, 13.0), Tower),
        solid(Shape::pyramid(5.2, 8.5), dvec3(0.0, -8.0, 13.0), 0.0, slate),
    ]
}

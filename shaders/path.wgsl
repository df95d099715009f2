// The path of a ray through the unit cube: src/space/scene_map/ and src/space/volume_path.rs. MAP, made with the shader, says which map
// it is.
//
// Positions before the map are in units of its length scale, so that distances along a ray are too. Arc lengths are those in the
// unit cube. A path is made piece by piece: an open space's regions are where one of seven linear functions is the largest, 1 or
// ± a coordinate, so that along a ray they follow each other by growing slope.

const BOX_MAP = 0u;
const OPEN_MAP = 1u;
const FORWARD_MAP = 2u;

// Stands for infinity.
const NEVER = 3.0e38;
// Distance that counts as infinite.
const FURTHEST = 1.0e30;

// The ray before the map, in units of the length scale.
var<private> path_eye: vec3<f32>;
var<private> path_ahead: vec3<f32>;
// The piece: its position at arc length 0 and direction in the unit cube, the distance and the arc length at its start, the arc length at its
// end, arc length a unit of distance at its start, and relative growth of the denominator.
var<private> piece_origin: vec3<f32>;
var<private> piece_direction: vec3<f32>;
var<private> piece_distance: f32;
var<private> piece_start: f32;
var<private> piece_end: f32;
var<private> piece_rate: f32;
var<private> piece_growth: f32;
// Distance at its end, and the function that is the largest along the next one: its axis (3: the constant) and the sign of the coordinate.
var<private> piece_until: f32;
var<private> next_axis: u32;
var<private> next_sign: f32;

// Arc length `along` units of distance from a piece's start, which may be below 0.
fn arc_after(along: f32) -> f32 {
    if piece_growth == 0.0 {
        return clamp(piece_rate * along, -NEVER, NEVER);
    }
    if along == 0.0 {
        return 0.0;
    }
    let denominator = select(1.0 / along, 0.0, along >= FURTHEST) + piece_growth;
    if (denominator > 0.0) == (along > 0.0) && denominator != 0.0 {
        return piece_rate / denominator;
    }
    return select(-NEVER, NEVER, along > 0.0);
}

// Makes the piece between two distances of the line (n0 + n1·t) / (d0 + d1·t); its arc length begins at the last one's end.
fn make_piece(n0: vec3<f32>, n1: vec3<f32>, d0: f32, d1: f32, start: f32, until: f32) {
    // The derivative of the position is this over the square of the denominator, wherever on the line.
    let turn = n1 * d0 - n0 * d1;
    let speed = max(length(turn), 1e-30);
    let denominator = max(d0 + d1 * start, 1e-30);
    piece_distance = start;
    piece_until = until;
    piece_direction = turn / speed;
    piece_rate = speed / (denominator * denominator);
    piece_growth = d1 / denominator;
    piece_start = piece_end;
    piece_origin = (n0 + n1 * start) / denominator - piece_direction * piece_start;
    piece_end = piece_start + arc_after(select(until - start, NEVER, until >= FURTHEST));
}

// Before the first piece.
fn path_reset() {
    piece_end = 0.0;
    piece_until = 0.0;
    next_axis = 3u;
    next_sign = 1.0;
    if MAP == OPEN_MAP {
        // The largest function at the ray's start; of equal ones the steepest.
        let v = 4.0 * path_eye - 1.0;
        var largest = 1.0;
        var slope = 0.0;
        for (var axis = 0u; axis < 3u; axis++) {
            let side = select(-1.0, 1.0, v[axis] > 0.0 || (v[axis] == 0.0 && path_ahead[axis] > 0.0));
            let rise = side * path_ahead[axis];
            if abs(v[axis]) > largest || (abs(v[axis]) == largest && rise > slope) {
                largest = abs(v[axis]);
                slope = rise;
                next_axis = axis;
                next_sign = side;
            }
        }
    }
}

// Goes on to the next piece; false behind the last one.
fn next_piece() -> bool {
    if MAP == FORWARD_MAP {
        if next_axis == 4u {
            return false;
        }
        next_axis = 4u;
        return frustum_piece();
    }
    if piece_until >= FURTHEST {
        return false;
    }
    // A unit of distance is four of these coordinates, in which the inner cube reaches from −1 to 1.
    let v = 4.0 * path_eye - 1.0;
    let d = 4.0 * path_ahead;
    let axis = next_axis;
    let side = next_sign;
    var largest = 1.0;
    var slope = 0.0;
    if axis < 3u {
        largest = side * v[axis];
        slope = side * d[axis];
    }
    var until = NEVER;
    for (var i = 0u; i < 7u; i++) {
        let other = i >> 1u;
        let sign_of = select(-1.0, 1.0, (i & 1u) == 0u);
        var at = 1.0;
        var rise = 0.0;
        if other < 3u {
            at = sign_of * v[other];
            rise = sign_of * d[other];
        }
        let t = (largest - at) / (rise - slope);
        if rise > slope && t < until {
            until = t;
            next_axis = other;
            next_sign = sign_of;
        }
    }
    let start = piece_until;
    until = max(until, start);
    if axis == 3u {
        make_piece((v + 2.0) * 0.25, d * 0.25, 1.0, 0.0, start, until);
        return true;
    }
    // ±(2 − 1/n) over the common denominator n.
    var n0 = v;
    var n1 = d;
    n0[axis] = 2.0 * v[axis] - side;
    n1[axis] = 2.0 * d[axis];
    make_piece((n0 + 2.0 * largest) * 0.25, (n1 + 2.0 * slope) * 0.25, largest, slope, start, until);
    return true;
}

// The part of a ray within a frustum; false where there is none.
fn frustum_piece() -> bool {
    let q = vec3(params.map_right.w, params.map_down.w, params.map_ahead.w);
    let d = vec3(
        dot(params.map_right.xyz, path_ahead),
        dot(params.map_down.xyz, path_ahead),
        dot(params.map_ahead.xyz, path_ahead),
    );
    let low = params.map_window.xy;
    let extent = params.map_window.zw;
    let n0 = vec3((q.xy - low * q.z) / extent, q.z - params.march.w);
    let n1 = vec3((d.xy - low * d.z) / extent, d.z);
    // Each coordinate of the numerator from 0 to the denominator; the upper bound of z holds everywhere.
    var start = 0.0;
    var until = NEVER;
    for (var i = 0u; i < 5u; i++) {
        let axis = i % 3u;
        let at = select(q.z - n0[axis], n0[axis], i < 3u);
        let rise = select(d.z - n1[axis], n1[axis], i < 3u);
        let t = -at / rise;
        if rise > 0.0 {
            start = max(start, t);
        } else if rise < 0.0 {
            until = min(until, t);
        } else if at < 0.0 {
            return false;
        }
    }
    if start >= until || q.z + d.z * start <= 0.0 {
        return false;
    }
    make_piece(n0, n1, q.z, d.z, start, until);
    return true;
}

// Takes up the last piece that begins at or before a distance, or, with `by_arc`, an arc length; else the first. False where there is none.
fn find_piece(place: f32, by_arc: bool) -> bool {
    path_reset();
    var found = next_piece();
    while found {
        let begins = select(piece_until, piece_end, by_arc);
        if begins > place || piece_until >= FURTHEST || MAP == FORWARD_MAP {
            break;
        }
        found = next_piece();
    }
    return found;
}

// Distance, in units of the length scale, at an arc length of the piece.
fn distance_at(arc: f32) -> f32 {
    let along = arc - piece_start;
    let slowed = piece_rate - piece_growth * along;
    return select(NEVER, min(piece_distance + along / slowed, NEVER), slowed > 0.0);
}

// Direction in the world of what has the direction `g` at a point p of the unit cube, as gradients go.
fn world_direction(p: vec3<f32>, g: vec3<f32>) -> vec3<f32> {
    var out = g;
    if MAP == OPEN_MAP {
        let c = 4.0 * p - 2.0;
        let size = abs(c);
        var axis = 2u;
        if size.x >= size.y && size.x >= size.z {
            axis = 0u;
        } else if size.y >= size.z {
            axis = 1u;
        }
        if size[axis] > 1.0 {
            let across = dot(g, c) - g[axis] * c[axis];
            out[axis] = g[axis] * max(2.0 - size[axis], 0.0) - sign(c[axis]) * across;
        }
    } else if MAP == FORWARD_MAP {
        let across = g.xy / params.map_window.zw;
        let slope = params.map_window.xy + p.xy * params.map_window.zw;
        let ahead = g.z * max(1.0 - p.z, 0.0) - dot(across, slope);
        out = params.map_right.xyz * across.x + params.map_down.xyz * across.y + params.map_ahead.xyz * ahead;
    }
    return out / max(length(out), 1e-20);
}

// The samples of a ray that lie in occupied cells: src/space/occupancy/, whose words, clearances and strata these are.

// Two words for each of the 64-bit words, then the clearances, four a word.
@group(1) @binding(0) var<storage, read> occupied: array<u32>;

const ROUNDING = 4e-6;
const LAST = 16000000.0;

// The map between distances and stratum numbers.
var<private> knee_t: f32;
var<private> knee_s: f32;
var<private> rate: f32;
var<private> grow: f32;
var<private> jitter: f32;
// The arc lengths that are marched of a path.
var<private> path_near: f32;
var<private> path_far: f32;
// The straight piece.
var<private> march_origin: vec3<f32>;
var<private> march_direction: vec3<f32>;
var<private> march_inverse: vec3<f32>;
var<private> parallel: vec3<bool>;
var<private> inset: vec3<f32>;
var<private> march_near: f32;
var<private> march_end: f32;
var<private> stratum: u32;
// The sample found.
var<private> sample_t: f32;
var<private> sample_dt: f32;

fn strata_start(place: f32) {
    jitter = place;
    let cone = params.march.y;
    knee_t = NEVER;
    knee_s = NEVER;
    rate = 0.0;
    grow = 0.0;
    if cone > 0.0 {
        knee_t = params.march.x / cone;
        knee_s = 1.0 / cone;
        rate = log(1.0 + cone);
        grow = cone * exp(-rate * jitter);
    }
}

fn strata_distance(s: f32) -> f32 {
    if s <= knee_s {
        return s * params.march.x;
    }
    return knee_t * exp((s - knee_s) * rate);
}

fn strata_number(t: f32) -> f32 {
    if t <= knee_t {
        return t / params.march.x;
    }
    return knee_s + log(t / knee_t) / rate;
}

fn strata_length(i: f32, t: f32) -> f32 {
    if i + 1.0 <= knee_s {
        return params.march.x;
    }
    if i >= knee_s {
        return t * grow;
    }
    return strata_distance(i + 1.0) - i * params.march.x;
}

// The last stratum whose sample lies at or before t, give or take rounding.
fn last_before(t: f32) -> u32 {
    return u32(clamp(strata_number(t) - jitter, 0.0, LAST));
}

// Takes up a straight piece between two arc lengths, from the present stratum on; false where none of its strata is left.
fn march_piece(origin: vec3<f32>, direction: vec3<f32>, near: f32, far: f32) -> bool {
    march_origin = origin;
    march_direction = select(direction, vec3(0.0), abs(direction) < vec3(1e-20));
    parallel = march_direction == vec3(0.0);
    march_inverse = select(1.0 / march_direction, vec3(0.0), parallel);
    let slack = 5e-7 * (2.0 + max(abs(origin.x), max(abs(origin.y), abs(origin.z))));
    inset = -sign(march_direction) * slack;
    march_near = near;
    march_end = -1.0;
    let lo = params.low.xyz - slack;
    let hi = params.high.xyz + slack;
    if all(parallel) || any(parallel & ((origin < lo) | (origin > hi))) {
        return false;
    }
    let a = (lo - origin) * march_inverse;
    let b = (hi - origin) * march_inverse;
    let first = select(min(a, b), vec3(-NEVER), parallel);
    let last = select(max(a, b), vec3(NEVER), parallel);
    let enter = max(max(first.x, max(first.y, first.z)), max(near, 0.0)) * (1.0 - ROUNDING);
    let leave = min(last.x, min(last.y, last.z)) * (1.0 + ROUNDING);
    let end = min(min(leave, far), strata_distance(LAST));
    if enter > end {
        return false;
    }
    // Never back: a stratum has one sample on the whole path.
    stratum = max(stratum, last_before(enter * (1.0 - ROUNDING)));
    march_end = end;
    return true;
}

// Goes on with the next piece of a path that meets the occupied cells; false at its end.
fn march_advance() -> bool {
    if MAP != BOX_MAP {
        while next_piece() {
            if march_piece(piece_origin, piece_direction, max(piece_start, path_near), min(piece_end, path_far)) {
                return true;
            }
        }
    }
    return false;
}

fn cell_bit(at: vec3<u32>) -> u32 {
    return (at.x & 3u) | ((at.y & 3u) << 2u) | ((at.z & 3u) << 4u);
}

// Number of the 64-bit word that holds a cell.
fn cell_word(at: vec3<u32>) -> u32 {
    let side = params.options.y >> 4u;
    let block = at >> vec3(4u);
    return (block.x + side * (block.y + side * block.z)) * 64u + cell_bit(at >> vec3(2u));
}

// True where a point lies in an occupied cell.
fn is_occupied(p: vec3<f32>) -> bool {
    if !(all(p >= vec3(0.0)) && all(p < vec3(1.0))) {
        return false;
    }
    let cells = params.options.y;
    let at = vec3<u32>(p * f32(cells));
    let bit = cell_bit(at);
    return ((occupied[2u * cell_word(at) + (bit >> 5u)] >> (bit & 31u)) & 1u) == 1u;
}

// A distance up to which samples are sure to lie within `radius` of the cube `at` of edge `edge`.
fn exit_of(at: vec3<u32>, radius: f32, edge: f32) -> f32 {
    let ahead = select(vec3(0.0), vec3(1.0), march_direction > vec3(0.0));
    let face = vec3<f32>(at) - radius + ahead * (1.0 + 2.0 * radius);
    let t = select((face * edge + inset - march_origin) * march_inverse, vec3(NEVER), parallel);
    return min(t.x, min(t.y, t.z)) * (1.0 - ROUNDING);
}

// Finds the next sample in an occupied cell; false at the end.
fn march_next() -> bool {
    let cells = params.options.y;
    let words = cells * cells * cells / 64u;
    while true {
        let t = strata_distance(f32(stratum) + jitter);
        if t > march_end {
            if march_advance() {
                continue;
            }
            return false;
        }
        let p = march_origin + march_direction * t;
        let inside = all(p >= vec3(0.0)) && all(p < vec3(1.0));
        let at = vec3<u32>(clamp(p, vec3(0.0), vec3(0.9999999)) * f32(cells));
        let word = cell_word(at);
        let bits = vec2(occupied[2u * word], occupied[2u * word + 1u]);
        let bit = cell_bit(at);
        let half_word = select(bits.x, bits.y, bit >= 32u);
        let full = ((half_word >> (bit & 31u)) & 1u) == 1u;
        if inside && full && t >= march_near {
            sample_t = t;
            sample_dt = strata_length(f32(stratum), t);
            stratum += 1u;
            return true;
        }
        if inside && !full {
            // Behind the cell, or the empty words around the empty word.
            let whole = (bits.x | bits.y) == 0u;
            let clear = (occupied[2u * words + word / 4u] >> (8u * (word & 3u))) & 255u;
            let shift = select(0u, 2u, whole);
            let radius = select(0.0, f32(max(clear, 1u) - 1u), whole);
            let leave = exit_of(at >> vec3(shift), radius, f32(1u << shift) / f32(cells));
            if leave > march_end {
                march_end = -1.0;
                continue;
            }
            stratum = max(stratum, last_before(leave));
        }
        stratum += 1u;
    }
    return false;
}

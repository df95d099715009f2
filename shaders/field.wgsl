// The field at one point: latent grid, spectrum, modulated basis, decoder, transport, colour head.
//
// Included by every renderer after the part that src/render/gpu/program.rs generates from the field's shape. That part
// defines the buffers' word formats (net_word, grid_word), where each piece of a point's row lies (Z_AT, S_AT, ...) and
// the features of a grid entry (FEATURES, WORDS, LANES). The sequence of layers is data, `ops`: one loop runs any network,
// so that shaders stay small and compile fast on every driver, and no inner loop is unrolled into registers that no GPU has.
//
// A point's values live in `row`, in blocks of four. Plane 0 holds values; planes 1 to 3, STRIDE blocks further each, hold
// their derivatives along x, y and z: forward-mode tangents, as in the kernels on the CPU (src/kernel/tile.rs).
// Functions that end in 1 make plane 0 alone, those in 4 all planes.

// Kinds of operations: two words each.
// LAYER: first block of the inputs, blocks of inputs, first block of the outputs; blocks of outputs, first word, activation.
// LEVEL: number, first word, cells; whether hashed, mask, axes.
// MODULATE, PRODUCT (of levels), COPY (z to S): nothing.
const LAYER = 0u;
const LEVEL = 1u;
const MODULATE = 2u;
const PRODUCT = 3u;
const COPY = 4u;

const LINEAR = 0u;
const RELU = 1u;
const SILU = 2u;
const SINE = 3u;

var<private> row: array<vec4<f32>, ROW_BLOCKS>;

// A cell's eight entries, and the weight of each with its derivatives.
var<private> entry: array<u32, 8>;
var<private> blend: array<vec4<f32>, 8>;

// Sine and cosine by reduction to ±π/4 in three parts (Cody and Waite) and Taylor polynomials: within 4e-7 for |x| up to a
// few thousand. The built-in sine may be off by 5e-4 and is not defined far from 0.
fn sine_cosine(x: vec4<f32>) -> array<vec4<f32>, 2> {
    let k = round(x * 0.63661977);
    var r = fma(k, vec4(-1.5703125), x);
    r = fma(k, vec4(-4.837512969970703e-4), r);
    r = fma(k, vec4(-7.549789948768648e-8), r);
    let s = r * r;
    let sine = r + r * s * fma(s, fma(s, fma(s, vec4(2.7182817e-6), vec4(-1.9839334e-4)), vec4(8.3333294e-3)), vec4(-0.16666666));
    let cosine = fma(s, fma(s, fma(s, fma(s, vec4(2.4390449e-5), vec4(-1.3887310e-3)), vec4(4.1666638e-2)), vec4(-0.5)), vec4(1.0));
    let q = vec4<i32>(k) & vec4(3);
    let swap = (q & vec4(1)) == vec4(1);
    let a = select(sine, cosine, swap);
    let b = select(cosine, sine, swap);
    return array(select(a, -a, q >= vec4(2)), select(b, -b, (q == vec4(1)) | (q == vec4(2))));
}

fn sigmoid4(a: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(-a));
}

// y = activation(x·W + b) on plane 0. `inputs` and `outputs` count blocks; the layer's words are its biases, then for each
// block of outputs the four columns of every block of inputs.
fn layer1(source: u32, inputs: u32, to: u32, outputs: u32, at: u32, activation: u32) {
    for (var o = 0u; o < outputs; o++) {
        var a = net_word(at + o);
        var w = at + outputs + o * inputs * 4u;
        for (var i = 0u; i < inputs; i++) {
            let v = row[source + i];
            a += v.x * net_word(w) + v.y * net_word(w + 1u) + v.z * net_word(w + 2u) + v.w * net_word(w + 3u);
            w += 4u;
        }
        if activation == RELU {
            a = max(a, vec4(0.0));
        } else if activation == SILU {
            a = a * sigmoid4(a);
        } else if activation == SINE {
            a = sine_cosine(a)[0];
        }
        row[to + o] = a;
    }
}

// The same on all planes: each tangent passes the product without the bias and is scaled by the activation's slope.
fn layer4(source: u32, inputs: u32, to: u32, outputs: u32, at: u32, activation: u32) {
    for (var o = 0u; o < outputs; o++) {
        var a = net_word(at + o);
        var x = vec4(0.0);
        var y = vec4(0.0);
        var z = vec4(0.0);
        var w = at + outputs + o * inputs * 4u;
        for (var i = 0u; i < inputs; i++) {
            let m = mat4x4(net_word(w), net_word(w + 1u), net_word(w + 2u), net_word(w + 3u));
            a += m * row[source + i];
            x += m * row[STRIDE + source + i];
            y += m * row[2u * STRIDE + source + i];
            z += m * row[3u * STRIDE + source + i];
            w += 4u;
        }
        var slope = vec4(1.0);
        if activation == RELU {
            slope = select(vec4(0.0), vec4(1.0), a > vec4(0.0));
            a = max(a, vec4(0.0));
        } else if activation == SILU {
            let s = sigmoid4(a);
            a = a * s;
            slope = s + a * (1.0 - s);
        } else if activation == SINE {
            let both = sine_cosine(a);
            a = both[0];
            slope = both[1];
        }
        row[to + o] = a;
        row[STRIDE + to + o] = x * slope;
        row[2u * STRIDE + to + o] = y * slope;
        row[3u * STRIDE + to + o] = z * slope;
    }
}

// Entries and weights of the cell around x on a level that depends on the coordinates in `axes` (bit j: coordinate j); of
// the others it sees vertex 0 alone. Outside the cube the lookup is clamped and its derivative 0.
fn locate(x: vec3<f32>, cells: u32, hashed: bool, mask: u32, axes: u32) {
    let g = clamp(x, vec3(0.0), vec3(1.0)) * f32(cells);
    let cell = min(vec3<u32>(g), vec3(cells - 1u));
    let t = g - vec3<f32>(cell);
    var w = t;
    var slope = vec3(f32(cells));
    if SMOOTHSTEP {
        w = t * t * (3.0 - 2.0 * t);
        slope *= 6.0 * t * (1.0 - t);
    }
    slope = select(vec3(0.0), slope, (x >= vec3(0.0)) & (x <= vec3(1.0)));
    let on = (vec3(axes) & vec3(1u, 2u, 4u)) != vec3(0u);
    w = select(vec3(0.0), w, on);
    slope = select(vec3(0.0), slope, on);
    let side = select(vec3(1u), vec3(cells + 1u), on);
    for (var c = 0u; c < 8u; c++) {
        let corner = vec3(c & 1u, (c >> 1u) & 1u, c >> 2u);
        let v = select(vec3(0u), cell + corner, on);
        if hashed {
            entry[c] = (v.x ^ (v.y * 2654435761u) ^ (v.z * 805459861u)) & mask;
        } else {
            entry[c] = v.x + side.x * (v.y + side.y * v.z);
        }
        let upper = corner == vec3(1u);
        let f = select(1.0 - w, w, upper);
        let d = select(-slope, slope, upper);
        blend[c] = vec4(f.x * f.y * f.z, d.x * f.y * f.z, f.x * d.y * f.z, f.x * f.y * d.z);
    }
}

// Features first..first + LANES of the levels, as many as the level has.
fn store_feature(plane: u32, first: u32, left: u32, v: vec4<f32>) {
    if FEATURES % 4u == 0u {
        row[plane * STRIDE + LEVELS_AT + first / 4u] = v;
        return;
    }
    for (var k = 0u; k < min(LANES, left); k++) {
        row[plane * STRIDE + LEVELS_AT + (first + k) / 4u][(first + k) % 4u] = v[k];
    }
}

// A level's features; `start` is its first word, `level` its number.
fn level1(x: vec3<f32>, level: u32, start: u32, cells: u32, hashed: bool, mask: u32, axes: u32) {
    locate(x, cells, hashed, mask, axes);
    for (var f = 0u; f < WORDS; f++) {
        var v = vec4(0.0);
        for (var c = 0u; c < 8u; c++) {
            v += blend[c].x * grid_word(start + entry[c] * WORDS + f);
        }
        store_feature(0u, level * FEATURES + f * LANES, FEATURES - f * LANES, v);
    }
}

fn level4(x: vec3<f32>, level: u32, start: u32, cells: u32, hashed: bool, mask: u32, axes: u32) {
    locate(x, cells, hashed, mask, axes);
    for (var f = 0u; f < WORDS; f++) {
        var v = array<vec4<f32>, 4>();
        for (var c = 0u; c < 8u; c++) {
            let word = grid_word(start + entry[c] * WORDS + f);
            let b = blend[c];
            v[0] += b.x * word;
            v[1] += b.y * word;
            v[2] += b.z * word;
            v[3] += b.w * word;
        }
        for (var p = 0u; p < 4u; p++) {
            store_feature(p, level * FEATURES + f * LANES, FEATURES - f * LANES, v[p]);
        }
    }
}

// Operations first..last at x, on plane 0 alone.
fn run1(first: u32, last: u32, x: vec3<f32>) {
    for (var i = first; i < last; i++) {
        let a = ops[2u * i];
        let b = ops[2u * i + 1u];
        if a.x == LAYER {
            layer1(a.y, a.z, a.w, b.x, b.y, b.z);
        } else if a.x == LEVEL {
            level1(x, a.y, a.z, a.w, b.x != 0u, b.y, b.z);
        } else if a.x == MODULATE {
            modulate1();
        } else if a.x == PRODUCT {
            multiply(1u);
        } else {
            copy_latent(1u);
        }
    }
}

// The same on all planes.
fn run4(first: u32, last: u32, x: vec3<f32>) {
    for (var i = first; i < last; i++) {
        let a = ops[2u * i];
        let b = ops[2u * i + 1u];
        if a.x == LAYER {
            layer4(a.y, a.z, a.w, b.x, b.y, b.z);
        } else if a.x == LEVEL {
            level4(x, a.y, a.z, a.w, b.x != 0u, b.y, b.z);
        } else if a.x == MODULATE {
            modulate4();
        } else if a.x == PRODUCT {
            multiply(4u);
        } else {
            copy_latent(4u);
        }
    }
}

// Everything up to the decoder's values.
fn field1(x: vec3<f32>) {
    row[X_AT] = vec4(x, 0.0);
    run1(0u, FIELD_OPS, x);
}

// The same with derivatives.
fn field4(x: vec3<f32>) {
    row[X_AT] = vec4(x, 0.0);
    row[TANGENT + X_AT] = vec4(1.0, 0.0, 0.0, 0.0);
    row[2u * TANGENT + X_AT] = vec4(0.0, 1.0, 0.0, 0.0);
    row[3u * TANGENT + X_AT] = vec4(0.0, 0.0, 1.0, 0.0);
    run4(0u, FIELD_OPS, x);
}

// S after field4, where values need none.
fn spectrum4(x: vec3<f32>) {
    run4(SPECTRUM_FROM, SPECTRUM_TO, x);
}

fn value(plane: u32, at: u32, i: u32) -> f32 {
    return row[plane * STRIDE + at + i / 4u][i % 4u];
}

fn set_value(plane: u32, at: u32, i: u32, v: f32) {
    row[plane * STRIDE + at + i / 4u][i % 4u] = v;
}

// z from the features of levels that are multiplied in groups, on the first `planes` planes.
fn multiply(planes: u32) {
    for (var i = 0u; i < LATENT; i++) {
        let first = i / FEATURES * GROUP * FEATURES + i % FEATURES;
        var v = vec3(1.0);
        for (var k = 0u; k < GROUP; k++) {
            v[k] = value(0u, U_AT, first + k * FEATURES);
        }
        set_value(0u, Z_AT, i, v.x * v.y * v.z);
        for (var p = 1u; p < planes; p++) {
            var d = vec3(0.0);
            for (var k = 0u; k < GROUP; k++) {
                d[k] = value(p, U_AT, first + k * FEATURES);
            }
            set_value(p, Z_AT, i, d.x * v.y * v.z + v.x * d.y * v.z + v.x * v.y * d.z);
        }
    }
}

// S where it takes no part in the values: z.
fn copy_latent(planes: u32) {
    for (var i = 0u; i < LATENT; i++) {
        for (var p = 0u; p < planes; p++) {
            set_value(p, S_AT, i, value(p, Z_AT, i));
        }
    }
}

// m = S sin θ, or sums of it where the modulation has CHANNELS; the sines lie at WAVE_AT.
fn modulate1() {
    if CHANNELS == 0u {
        for (var k = 0u; k < BASIS_BLOCKS; k++) {
            row[M_AT + k] = row[S_AT + k] * row[WAVE_AT + k];
        }
        return;
    }
    for (var c = 0u; c < CHANNELS; c++) {
        var sum = 0.0;
        for (var k = 0u; k < BASIS; k++) {
            sum += value(0u, S_AT, k * CHANNELS + c) * value(0u, WAVE_AT, k);
        }
        row[M_AT + c / 4u][c % 4u] = sum;
    }
}

fn modulate4() {
    modulate1();
    for (var p = 1u; p < 4u; p++) {
        if CHANNELS == 0u {
            for (var k = 0u; k < BASIS_BLOCKS; k++) {
                row[p * STRIDE + M_AT + k] =
                    row[p * STRIDE + S_AT + k] * row[WAVE_AT + k] + row[S_AT + k] * row[p * STRIDE + WAVE_AT + k];
            }
        } else {
            for (var c = 0u; c < CHANNELS; c++) {
                var sum = 0.0;
                for (var k = 0u; k < BASIS; k++) {
                    let s = k * CHANNELS + c;
                    sum += value(p, S_AT, s) * value(0u, WAVE_AT, k) + value(0u, S_AT, s) * value(p, WAVE_AT, k);
                }
                row[p * STRIDE + M_AT + c / 4u][c % 4u] = sum;
            }
        }
    }
}

// The decoder's first value and its gradient, after field1 or field4.
fn output() -> f32 {
    return row[F_AT].x;
}

fn output_gradient() -> vec3<f32> {
    return vec3(row[TANGENT + F_AT].x, row[2u * TANGENT + F_AT].x, row[3u * TANGENT + F_AT].x);
}

// ‖∇S‖, after field4.
fn spectrum_slope() -> f32 {
    var sum = 0.0;
    for (var s = 0u; s < SPECTRUM; s++) {
        let slope = vec3(value(1u, S_AT, s), value(2u, S_AT, s), value(3u, S_AT, s));
        sum += dot(slope, slope);
    }
    return sqrt(sum);
}

// ‖∇S − F(x, S)‖, after field4; 0 without F.
fn transport_residual() -> f32 {
    if !TRANSPORTS {
        return 0.0;
    }
    run1(TRANSPORT_FROM, TRANSPORT_TO, vec3(0.0));
    var sum = 0.0;
    for (var s = 0u; s < SPECTRUM; s++) {
        for (var j = 0u; j < 3u; j++) {
            let d = value(j + 1u, S_AT, s) - value(0u, T_AT, s * 3u + j);
            sum += d * d;
        }
    }
    return sqrt(sum);
}

// The viewing direction as the head takes it (src/kernel/direction_encoding.rs).
fn encode_direction(d: vec3<f32>) {
    if SH_DEGREE == 0u {
        row[E_AT] = vec4(d, 0.0);
        for (var i = 0u; i < OCTAVES; i++) {
            let angle = 3.14159265 * f32(1u << i) * d;
            let both = sine_cosine(vec4(angle, 0.0));
            for (var j = 0u; j < 3u; j++) {
                let at = 3u + 6u * i + 2u * j;
                row[E_AT + at / 4u][at % 4u] = both[0][j];
                row[E_AT + (at + 1u) / 4u][(at + 1u) % 4u] = both[1][j];
            }
        }
        return;
    }
    let q = d * d;
    if SH_DEGREE == 1u {
        row[E_AT] = vec4(0.2820948, 0.0, 0.0, 0.0);
        return;
    }
    row[E_AT] = vec4(0.2820948, -0.4886025 * d.y, 0.4886025 * d.z, -0.4886025 * d.x);
    if SH_DEGREE > 2u {
        row[E_AT + 1u] = vec4(
            1.0925484 * d.x * d.y, -1.0925484 * d.y * d.z, 0.31539157 * (3.0 * q.z - 1.0), -1.0925484 * d.x * d.z);
        row[E_AT + 2u] = vec4(0.5462742 * (q.x - q.y), 0.0, 0.0, 0.0);
    }
    if SH_DEGREE > 3u {
        row[E_AT + 2u] = vec4(
            row[E_AT + 2u].x, -0.5900436 * d.y * (3.0 * q.x - q.y), 2.8906114 * d.x * d.y * d.z,
            -0.4570458 * d.y * (5.0 * q.z - 1.0));
        row[E_AT + 3u] = vec4(
            0.37317633 * d.z * (5.0 * q.z - 3.0), -0.4570458 * d.x * (5.0 * q.z - 1.0), 1.4453057 * d.z * (q.x - q.y),
            -0.5900436 * d.x * (q.x - 3.0 * q.y));
    }
}

// Density per unit of field coordinates, after field1 or field4.
fn density() -> f32 {
    if SHARPNESS > 0.0 {
        // Of a signed distance: the Laplace distribution's cumulative function.
        let tail = 0.5 * exp(-SHARPNESS * abs(output()));
        return SHARPNESS * select(1.0 - tail, tail, output() > 0.0);
    }
    return exp(min(output(), MAX_RAW_DENSITY));
}

// Red, green and blue (sRGB values) along the direction encoded last, after field1 or field4.
fn colour() -> vec3<f32> {
    run1(HEAD_FROM, HEAD_TO, vec3(0.0));
    return sigmoid4(row[C_AT]).xyz;
}

// The same along d.
fn colour_along(d: vec3<f32>) -> vec3<f32> {
    encode_direction(d);
    return colour();
}

// From the buffers of a frame to what is seen: background, exposure, false colours; as src/viewer/tonemap.rs. Over a
// transparent background straight alpha stays.

struct Look {
    // Width, height, kind of image, values of S a pixel.
    size: vec4<u32>,
    // Factor that makes the sums of colours means, factor of exposure, 1 where colours mix as sRGB values, 1 where nothing
    // lies behind.
    gain: vec4<f32>,
    // sRGB values behind the object, at the upper and the lower edge; w of the first: 1 where they are graded.
    background: vec4<f32>,
    ground: vec4<f32>,
    // Ranges of false colours: of the value, or of the first three values of S.
    low: vec4<f32>,
    high: vec4<f32>,
    // Shadow on the ground: the camera's place along it and its height above it; w: 1 where there is one.
    eye: vec4<f32>,
    // Direction through the image's corner and its changes a pixel to the right and down, along the ground and down to it; w: the
    // shadow's strength, the sine of the angle to the ground that it fades below, places along an edge of its grid.
    base: vec4<f32>,
    across: vec4<f32>,
    down: vec4<f32>,
    // Lowest corner and edges of the grid.
    grid: vec4<f32>,
}

const SHADED = 0u;
const NORMALS = 1u;
const SPECTRA = 2u;
const CURVATURE = 3u;
const DEPTH = 4u;
const SLOPE = 5u;
const RESIDUAL = 6u;
const STEPS = 7u;

@group(0) @binding(0) var<storage, read> colours: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> layers: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> spectra: array<f32>;
@group(0) @binding(3) var<uniform> look: Look;
// Hidden share of the sky at the places of the ground.
@group(0) @binding(4) var<storage, read> hidden: array<f32>;

// Exposed linear light: highlights of surfaces bend towards white, as src/render/tone_curve.rs has it.
fn exposed(v: vec3<f32>) -> vec3<f32> {
    if look.gain.y == 1.0 || look.gain.z > 0.0 {
        return v * look.gain.y;
    }
    let light = select(0.8 - 0.2 * log(max((1.0 - v) / 0.2, vec3(1e-5))), v, v <= vec3(0.8)) * look.gain.y;
    return select(1.0 - 0.2 * exp(-(light - 0.8) / 0.2), light, light <= vec3(0.8));
}

// sRGB values behind the object: src/render/backdrop.rs.
fn behind_object(row: f32) -> vec3<f32> {
    let t = row / f32(look.size.y);
    return select(look.background.rgb, mix(look.background.rgb, look.ground.rgb, t * t * (3.0 - 2.0 * t)), look.background.w > 0.0);
}

// Hidden share of the sky at a place of the ground, fading out at the edges of the grid: src/render/ground_shadow.rs.
fn hidden_at(place: vec2<f32>) -> f32 {
    let at = (place - look.grid.xy) / look.grid.zw;
    if any(at < vec2(0.0)) || any(at > vec2(1.0)) {
        return 0.0;
    }
    let places = u32(look.down.w);
    let scaled = at * f32(places - 1u);
    let corner = min(vec2<u32>(scaled), vec2(places - 2u));
    let part = scaled - vec2<f32>(corner);
    let first = corner.y * places + corner.x;
    let near = mix(hidden[first], hidden[first + 1u], part.x);
    let far = mix(hidden[first + places], hidden[first + places + 1u], part.x);
    let border = min(at, 1.0 - at);
    let edge = clamp(min(border.x, border.y) / 0.25, 0.0, 1.0);
    return mix(near, far, part.y) * edge * edge * (3.0 - 2.0 * edge);
}

// Share of the light that the ground's shadow leaves at a place of the image.
fn ground_light(place: vec2<f32>) -> f32 {
    let direction = look.base.xyz + look.across.xyz * place.x + look.down.xyz * place.y;
    let fall = direction.z;
    if look.eye.w == 0.0 || fall <= 1e-6 {
        return 1.0;
    }
    let covered = hidden_at(look.eye.xy + direction.xy * (look.eye.z / fall));
    return 1.0 - look.base.w * min(fall / (length(direction) * look.across.w), 1.0) * covered;
}

// sRGB values and alpha of a pixel.
fn seen(at: u32) -> vec4<f32> {
    let kind = look.size.z;
    if kind == SHADED {
        let c = colours[at] * look.gain.x;
        return vec4(srgb_from_linear(exposed(c.rgb / max(c.a, 1e-12))), clamp(c.a, 0.0, 1.0));
    }
    let a = layers[3u * at];
    let b = layers[3u * at + 1u];
    let hit = select(0.0, 1.0, a.x >= 0.0);
    if kind == NORMALS {
        return vec4(0.5 + 0.5 * b.xyz, hit);
    }
    if kind == SPECTRA {
        var unit = vec3(0.0);
        for (var c = 0u; c < min(look.size.w, 3u); c++) {
            let s = spectra[at * look.size.w + c];
            unit[c] = clamp((s - look.low[c]) / max(look.high[c] - look.low[c], 1e-20), 0.0, 1.0);
        }
        return vec4(unit, hit);
    }
    if kind == CURVATURE {
        return vec4(diverging_colormap(b.w / max(look.high.x, 1e-20)), hit);
    }
    var v = a.x;
    if kind == SLOPE {
        v = a.w;
    } else if kind == RESIDUAL {
        v = layers[3u * at + 2u].w;
    } else if kind == STEPS {
        v = a.z;
    }
    let colour = sequential_colormap((v - look.low.x) / max(look.high.x - look.low.x, 1e-20));
    return vec4(colour, select(hit, 1.0, kind == STEPS));
}

@vertex
fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(i & 1u) * 4.0 - 1.0, f32(i >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn display(@builtin(position) place: vec4<f32>) -> @location(0) vec4<f32> {
    let pixel = min(vec2<u32>(place.xy), look.size.xy - 1u);
    let c = seen(pixel.y * look.size.x + pixel.x);
    let behind = behind_object(f32(pixel.y) + 0.5);
    if look.gain.w > 0.0 {
        return select(c, vec4(0.0), c.a == 0.0);
    }
    if look.gain.z > 0.0 {
        return vec4(mix(behind, c.rgb, c.a), 1.0);
    }
    let ground = linear_from_srgb(behind) * ground_light(place.xy);
    return vec4(srgb_from_linear(mix(ground, linear_from_srgb(c.rgb), c.a)), 1.0);
}

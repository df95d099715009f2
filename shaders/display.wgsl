// From the buffers of a frame to what is seen: background, exposure, false colours; as src/viewer/tonemap.rs. Over a
// transparent background straight alpha stays.

struct Look {
    // Width, height, kind of image, values of S a pixel.
    size: vec4<u32>,
    // Factor that makes the sums of colours means, factor of exposure, 1 where colours mix as sRGB values, 1 where nothing
    // lies behind.
    gain: vec4<f32>,
    // sRGB values behind the object.
    background: vec4<f32>,
    // Ranges of false colours: of the value, or of the first three values of S.
    low: vec4<f32>,
    high: vec4<f32>,
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

// sRGB values and alpha of a pixel.
fn seen(at: u32) -> vec4<f32> {
    let kind = look.size.z;
    if kind == SHADED {
        let c = colours[at] * look.gain.x;
        return vec4(srgb_from_linear(c.rgb * look.gain.y / max(c.a, 1e-12)), clamp(c.a, 0.0, 1.0));
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
    let behind = look.background.rgb;
    if look.gain.w > 0.0 {
        return select(c, vec4(0.0), c.a == 0.0);
    }
    if look.gain.z > 0.0 {
        return vec4(mix(behind, c.rgb, c.a), 1.0);
    }
    return vec4(srgb_from_linear(mix(linear_from_srgb(behind), linear_from_srgb(c.rgb), c.a)), 1.0);
}

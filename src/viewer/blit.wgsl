// Draws a picture over the whole viewport. In: a texture whose upper left part holds the picture, in sRGB values, and what
// part that is; where it has alpha, squares lie behind it. Out: those values, or (`linear`) linear light, where the target encodes by itself. One triangle.

struct Part {
    // Size of the picture in the texture's pixels, and how much of it fills the viewport.
    size: vec2f,
    shown: vec2f,
    // In x: 0 where the picture is opaque, 1 where squares show through and mix as sRGB values, 2 where in linear light.
    behind: vec4u,
}

@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var between: sampler;
@group(0) @binding(2) var<uniform> part: Part;

struct Corner {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
}

@vertex
fn corner(@builtin(vertex_index) i: u32) -> Corner {
    let uv = vec2f(f32((i << 1u) & 2u), f32(i & 2u));
    return Corner(vec4f(uv.x * 2.0 - 1.0, 1.0 - uv.y * 2.0, 0.0, 1.0), uv);
}

fn encode(linear: vec3f) -> vec3f {
    return select(1.055 * pow(linear, vec3f(1.0 / 2.4)) - 0.055, linear * 12.92, linear <= vec3f(0.0031308));
}

fn decode(srgb: vec3f) -> vec3f {
    return select(pow((srgb + 0.055) / 1.055, vec3f(2.4)), srgb / 12.92, srgb <= vec3f(0.04045));
}

// A pixel over its square, as src/viewer/tone.rs lays it.
fn over_square(pixel: vec2u) -> vec3f {
    let p = min(pixel, vec2u(part.size) - 1u);
    let c = textureLoad(picture, p, 0);
    let square = vec3f(select(0.42, 0.50, ((p.x / 8u + p.y / 8u) & 1u) == 1u));
    if part.behind.x == 1u || c.a == 0.0 {
        return mix(square, c.rgb, c.a);
    }
    return encode(mix(decode(square), decode(c.rgb), c.a));
}

// Between four pixels, each over its square first: colours under no alpha are none.
fn over_squares(at: vec2f) -> vec3f {
    let low = vec2u(at - 0.5);
    let t = at - 0.5 - vec2f(low);
    let upper = mix(over_square(low), over_square(low + vec2u(1u, 0u)), t.x);
    let lower = mix(over_square(low + vec2u(0u, 1u)), over_square(low + 1u), t.x);
    return mix(upper, lower, t.y);
}

// Half a pixel from the part's border at least: what lies beyond is not the picture's.
fn sample(uv: vec2f) -> vec3f {
    let at = clamp(uv * part.shown, vec2f(0.5), part.size - 0.5);
    if part.behind.x > 0u {
        return over_squares(at);
    }
    return textureSampleLevel(picture, between, at / vec2f(textureDimensions(picture)), 0.0).rgb;
}

@fragment
fn encoded(in: Corner) -> @location(0) vec4f {
    return vec4f(sample(in.uv), 1.0);
}

@fragment
fn linear(in: Corner) -> @location(0) vec4f {
    return vec4f(decode(sample(in.uv)), 1.0);
}

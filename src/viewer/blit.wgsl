// Draws a picture over the whole viewport. In: a texture whose upper left part holds the picture, in sRGB values, and what
// part that is. Out: those values, or (`linear`) linear light, where the target encodes by itself. One triangle.

struct Part {
    // Size of the picture in the texture's pixels, and how much of it fills the viewport.
    size: vec2f,
    shown: vec2f,
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

// Half a pixel from the part's border at least: what lies beyond is not the picture's.
fn sample(uv: vec2f) -> vec3f {
    let at = clamp(uv * part.shown, vec2f(0.5), part.size - 0.5);
    return textureSampleLevel(picture, between, at / vec2f(textureDimensions(picture)), 0.0).rgb;
}

@fragment
fn encoded(in: Corner) -> @location(0) vec4f {
    return vec4f(sample(in.uv), 1.0);
}

@fragment
fn linear(in: Corner) -> @location(0) vec4f {
    let srgb = sample(in.uv);
    let light = select(pow((srgb + 0.055) / 1.055, vec3f(2.4)), srgb / 12.92, srgb <= vec3f(0.04045));
    return vec4f(light, 1.0);
}

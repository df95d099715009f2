// Draws a picture over the whole viewport. In: a texture whose upper left part holds the picture, in sRGB values, and what
// part that is. Out: those values, or linear light where the target encodes by itself. One triangle.

struct Part {
    // Size of the picture in the texture's pixels, and how much of it fills the viewport.
    size: vec2f,
    shown: vec2f,
    // 1 where the target is an sRGB format.
    linear: f32,
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

@fragment
fn colour(in: Corner) -> @location(0) vec4f {
    // Half a pixel from the part's border at least: what lies beyond is not the picture's.
    let at = clamp(in.uv * part.shown, vec2f(0.5), part.size - 0.5);
    let srgb = textureSampleLevel(picture, between, at / vec2f(textureDimensions(picture)), 0.0).rgb;
    let light = select(pow((srgb + 0.055) / 1.055, vec3f(2.4)), srgb / 12.92, srgb <= vec3f(0.04045));
    return vec4f(select(srgb, light, part.linear > 0.5), 1.0);
}

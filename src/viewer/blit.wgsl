// Draws an image over the whole viewport, with one triangle. In: a texture of sRGB values whose upper left part holds the
// image, and the size of that part. Out: those values over a chequerboard where the image is transparent; `linear` returns
// linear light, for targets that encode sRGB themselves.

struct Uniforms {
    // Size of the image in texels, and the part of it that fills the viewport.
    size: vec2f,
    visible: vec2f,
    // x: 1 for a chequerboard that mixes as sRGB values, 2 for one that mixes in linear light.
    backdrop: vec4u,
}

@group(0) @binding(0) var image: texture_2d<f32>;
@group(0) @binding(1) var bilinear: sampler;
@group(0) @binding(2) var<uniform> uniforms: Uniforms;

struct Vertex {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
}

@vertex
fn corner(@builtin(vertex_index) i: u32) -> Vertex {
    let uv = vec2f(f32((i << 1u) & 2u), f32(i & 2u));
    return Vertex(vec4f(uv.x * 2.0 - 1.0, 1.0 - uv.y * 2.0, 0.0, 1.0), uv);
}

fn encode(linear: vec3f) -> vec3f {
    return select(1.055 * pow(linear, vec3f(1.0 / 2.4)) - 0.055, linear * 12.92, linear <= vec3f(0.0031308));
}

fn decode(srgb: vec3f) -> vec3f {
    return select(pow((srgb + 0.055) / 1.055, vec3f(2.4)), srgb / 12.92, srgb <= vec3f(0.04045));
}

// Composites a pixel over a grey.
fn over(pixel: vec2u, grey: vec3f) -> vec3f {
    let c = textureLoad(image, min(pixel, vec2u(uniforms.size) - 1u), 0);
    if uniforms.backdrop.x == 1u || c.a == 0.0 {
        return mix(grey, c.rgb, c.a);
    }
    return encode(mix(decode(grey), decode(c.rgb), c.a));
}

// Bilinear interpolation of four pixels, each composited first: transparent pixels have no colour of their own. The squares are of
// 8 × 8 pixels of the window, whatever the resolution of the image.
fn over_chequerboard(at: vec2f, position: vec2f) -> vec3f {
    let square = vec2u(position) / 8u;
    let grey = vec3f(select(0.42, 0.50, ((square.x + square.y) & 1u) == 1u));
    let low = vec2u(at - 0.5);
    let t = at - 0.5 - vec2f(low);
    let upper = mix(over(low, grey), over(low + vec2u(1u, 0u), grey), t.x);
    let lower = mix(over(low + vec2u(0u, 1u), grey), over(low + 1u, grey), t.x);
    return mix(upper, lower, t.y);
}

// Position in texels; stays half a pixel within the image: beyond its border the texture holds other data.
fn texel(in: Vertex) -> vec2f {
    return clamp(in.uv * uniforms.visible, vec2f(0.5), uniforms.size - 0.5);
}

fn opaque_colour(in: Vertex) -> vec3f {
    return textureSampleLevel(image, bilinear, texel(in) / vec2f(textureDimensions(image)), 0.0).rgb;
}

fn chequered_colour(in: Vertex) -> vec3f {
    return over_chequerboard(texel(in), in.position.xy);
}

// An entry point for each kind of image: software drivers evaluate both sides of a branch.

@fragment
fn encoded(in: Vertex) -> @location(0) vec4f {
    return vec4f(opaque_colour(in), 1.0);
}

@fragment
fn linear(in: Vertex) -> @location(0) vec4f {
    return vec4f(decode(opaque_colour(in)), 1.0);
}

@fragment
fn encoded_chequered(in: Vertex) -> @location(0) vec4f {
    return vec4f(chequered_colour(in), 1.0);
}

@fragment
fn linear_chequered(in: Vertex) -> @location(0) vec4f {
    return vec4f(decode(chequered_colour(in)), 1.0);
}

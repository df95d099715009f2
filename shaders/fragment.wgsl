// Entry points of the same work in the graphics pipeline: one triangle over all pixels, cut to the tile by the scissor.
//
// For software drivers, which compile compute shaders of this size for minutes (they turn them into coroutines) and
// fragment shaders within seconds.

@vertex
fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(i & 1u) * 4.0 - 1.0, f32(i >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn fragment(@builtin(position) place: vec4<f32>) -> @location(0) vec4<f32> {
    render_pixel(vec2<u32>(place.xy) + vec2(0u, first_row()));
    return vec4(0.0);
}

// Colour maps and the sRGB curve, as in src/image; `colormap_source` in src/render/gpu writes the knots before this part.

fn srgb_from_linear(v: vec3<f32>) -> vec3<f32> {
    let c = clamp(v, vec3(0.0), vec3(1.0));
    return select(1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, 12.92 * c, c <= vec3(0.0031308));
}

fn linear_from_srgb(v: vec3<f32>) -> vec3<f32> {
    return select(pow((v + 0.055) / 1.055, vec3(2.4)), v / 12.92, v <= vec3(0.04045));
}

fn sequential_colormap(t: f32) -> vec3<f32> {
    var knots = SEQUENTIAL_KNOTS;
    let place = clamp(t, 0.0, 1.0) * f32(KNOT_INTERVALS);
    let i = min(u32(place), KNOT_INTERVALS - 1u);
    return mix(knots[i], knots[i + 1u], place - f32(i));
}

fn diverging_colormap(t: f32) -> vec3<f32> {
    var knots = DIVERGING_KNOTS;
    let place = (0.5 + 0.5 * clamp(t, -1.0, 1.0)) * f32(KNOT_INTERVALS);
    let i = min(u32(place), KNOT_INTERVALS - 1u);
    return mix(knots[i], knots[i + 1u], place - f32(i));
}

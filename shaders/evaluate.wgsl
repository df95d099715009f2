// All values of a field at given points, which tests compare with the kernels on the CPU.
//
// In: points (x, y, z, 0) and directions. Out: per point OUT floats: f, ∇f (3), ‖∇S‖, residual, red, green, blue, the value
// again by the pass without tangents, then S.

@group(1) @binding(0) var<storage, read> points: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> directions: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> results: array<f32>;

fn first_row() -> u32 {
    return 0u;
}

// One point; points lie in rows of 128.
fn render_pixel(pixel: vec2<u32>) {
    let i = pixel.y * 128u + pixel.x;
    if i >= arrayLength(&points) {
        return;
    }
    let at = i * (10u + SPECTRUM);
    field1(points[i].xyz);
    results[at + 9u] = output();
    field4(points[i].xyz);
    let gradient = output_gradient();
    results[at] = output();
    for (var j = 0u; j < 3u; j++) {
        results[at + 1u + j] = gradient[j];
    }
    spectrum4(points[i].xyz);
    results[at + 4u] = spectrum_slope();
    for (var s = 0u; s < SPECTRUM; s++) {
        results[at + 10u + s] = value(0u, S_AT, s);
    }
    results[at + 5u] = transport_residual();
    if HAS_VIEW {
        let colour = colour_along(directions[i].xyz);
        for (var j = 0u; j < 3u; j++) {
            results[at + 6u + j] = colour[j];
        }
    }
}

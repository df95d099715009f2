// Mean curvature of the level surface through p, per unit of field coordinates: central differences of the unit gradient
// along two directions of the tangent plane (src/render/curvature.rs).
fn curvature(p: vec3<f32>) -> f32 {
    var t: array<vec3<f32>, 2>;
    var sum = 0.0;
    // One loop, so that the field is compiled once: the centre first, then each direction there and back.
    for (var i = 0u; i < 5u; i++) {
        var step = vec3(0.0);
        if i > 0u {
            step = select(-CURVATURE_STEP, CURVATURE_STEP, (i & 1u) == 1u) * t[(i - 1u) / 2u];
        }
        let n = unit_gradient(p + step);
        if i == 0u {
            let axis = select(vec3(0.0, 1.0, 0.0), vec3(1.0, 0.0, 0.0), abs(n.x) < 0.5);
            t[0] = normalize(cross(n, axis));
            t[1] = cross(n, t[0]);
        } else {
            sum += dot(step, n);
        }
    }
    return sum / (4.0 * CURVATURE_STEP * CURVATURE_STEP);
}

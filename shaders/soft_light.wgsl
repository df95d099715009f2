// Occlusion and soft shadow from coarse distances: src/render/cpu/soft_light.rs. They follow the clearances in their buffer.
// The ring of directions is that of occlusion.wgsl.

const SOFT_SHADOW_STEPS = 40u;

fn coarse_vertex(at: vec3<u32>) -> f32 {
    let n = params.flags.w;
    let cells = params.options.y;
    return clearances[cells * cells * cells + (at.z * n + at.y) * n + at.x];
}

// Distance at a point; outside of the cube an estimate from its nearest face, in what a section cuts away far.
fn coarse_distance(p: vec3<f32>) -> f32 {
    if removed(p) {
        return 1e9;
    }
    let n = params.flags.w;
    let inside = clamp(p, vec3(0.0), vec3(1.0));
    let q = inside * f32(n - 1u);
    let low = min(vec3<u32>(q), vec3(n - 2u));
    let t = q - vec3<f32>(low);
    var rows = array<f32, 4>();
    for (var k = 0u; k < 4u; k++) {
        let at = low + vec3(0u, k & 1u, k >> 1u);
        rows[k] = mix(coarse_vertex(at), coarse_vertex(at + vec3(1u, 0u, 0u)), t.x);
    }
    return mix(mix(rows[0], rows[1], t.y), mix(rows[2], rows[3], t.y), t.z) + distance(p, inside);
}

// Share of the sky that a site sees.
fn soft_ambient(hit: Surface) -> f32 {
    let normal = hit.normal;
    let radius = params.albedo.w;
    let ring = ring_axes(normal);
    let start = coarse_distance(hit.p);
    var straight = array(0.15, 0.45, 1.0);
    var tilted = array(0.25, 0.8);
    var sum = vec2(0.0);
    // Three samples along the normal, then two along each direction of a tilted ring.
    for (var i = 0u; i < 3u + 2u * RING; i++) {
        var h = straight[min(i, 2u)];
        var direction = normal;
        var height = h * radius;
        var w = 1.0 - 0.6 * h;
        if i >= 3u {
            let angle = 6.2831853 * f32((i - 3u) / 2u) / f32(RING);
            h = tilted[(i - 3u) % 2u];
            direction = normal * 0.5 + (ring[0] * cos(angle) + ring[1] * sin(angle)) * 0.8660254;
            height = h * radius * 0.5;
            w = 0.7 * (1.0 - 0.6 * h);
        }
        let free = hit.from_side * (coarse_distance(hit.p + direction * (h * radius)) - start) / height;
        sum += vec2(w * clamp(free, 0.0, 1.0), w);
    }
    let share = sum.x / sum.y;
    return max(share * share, 0.06);
}

// Share of the key light that arrives.
fn soft_lit(hit: Surface) -> f32 {
    let light = params.light.xyz;
    let size = params.light.w;
    if dot(hit.normal, light) <= 0.0 {
        return 0.0;
    }
    let cell = 1.0 / f32(params.flags.w - 1u);
    let at_surface = coarse_distance(hit.p);
    let start = hit.p + hit.normal * cell;
    var t = cell;
    var share = 1.0;
    for (var i = 0u; i < SOFT_SHADOW_STEPS; i++) {
        let p = start + light * t;
        if any(p < vec3(0.0)) || any(p > vec3(1.0)) {
            break;
        }
        let d = hit.from_side * (coarse_distance(p) - at_surface);
        share = min(share, 0.5 + 0.5 * d / (size * t));
        if share <= 0.0 {
            return 0.0;
        }
        t += clamp(d, 0.7 * cell, 0.3);
    }
    return share * share * (3.0 - 2.0 * share);
}

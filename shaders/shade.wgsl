// From a hit to a colour in linear light: src/render/cpu/shade.rs.

// Leaves values up to 0.8 and bends the rest towards 1.
fn compress(v: vec3<f32>) -> vec3<f32> {
    let bent = 1.0 - 0.2 * exp(-(v - 0.8) / 0.2);
    return select(bent, max(v, vec3(0.0)), v <= vec3(0.8));
}

fn studio(normal: vec3<f32>, direction: vec3<f32>, lit: f32, open: f32) -> vec3<f32> {
    let albedo = params.albedo.xyz;
    let light = params.light.xyz;
    let key = max(dot(normal, light), 0.0) * lit;
    let sky = 0.5 + 0.5 * dot(normal, params.sky.xyz);
    let view = -direction;
    let sky_colour = vec3(0.43, 0.47, 0.54) * sky + vec3(0.24, 0.21, 0.19) * (1.0 - sky);
    // Light between near walls comes from the walls.
    let ambient_light = open / (1.0 - albedo * 0.5 * (1.0 - open));
    let fill = max(dot(normal, view), 0.0) * 0.10;
    let diffuse = albedo * (vec3(1.0, 0.955, 0.88) * key * 1.15 + (sky_colour + fill) * ambient_light);
    let between = light + view;
    let half_way = between / max(length(between), 1e-20);
    let glint = select(0.0, pow(max(dot(normal, half_way), 0.0), 48.0) * 0.06 * lit, key > 0.0);
    let edge = 1.0 - max(dot(normal, view), 0.0);
    let rim = edge * edge * edge * edge * 0.10 * sky * open;
    return diffuse + glint + vec3(0.8, 0.9, 1.0) * rim;
}

fn wrap(n: vec3<f32>, light: vec3<f32>, w: f32) -> f32 {
    return max((dot(n, normalize(light)) + w) / (1.0 + w), 0.0);
}

fn matcap(normal: vec3<f32>) -> vec3<f32> {
    let n = vec3(dot(normal, params.right.xyz), dot(normal, params.up.xyz), dot(normal, params.back.xyz));
    let key = wrap(n, vec3(-0.5, 0.7, 0.6), 0.3);
    let fill = wrap(n, vec3(0.8, -0.1, 0.4), 0.5);
    let edge = 1.0 - max(n.z, 0.0);
    let rim = edge * edge * edge * wrap(n, vec3(0.7, 0.5, -0.4), 0.2);
    let gloss = pow(max(dot(n, normalize(vec3(-0.5, 0.7, 1.6))), 0.0), 24.0) * 0.16;
    let clay = params.albedo.xyz * vec3(1.18, 0.95, 0.83);
    return clay * (key * key * 0.95 + 0.05) + clay * vec3(0.55, 0.7, 0.95) * fill * 0.30 + gloss
        + vec3(0.75, 0.85, 1.0) * rim * 0.22;
}

fn shade(normal: vec3<f32>, direction: vec3<f32>, lit: f32, open: f32) -> vec3<f32> {
    if params.options.w == 0u {
        return compress(studio(normal, direction, lit, open));
    }
    if params.options.w == 1u {
        return compress(params.albedo.xyz * (0.06 + 1.1 * max(dot(normal, -direction), 0.0)) * open);
    }
    if params.options.w == 3u {
        return compress(linear_from_srgb(0.5 + 0.5 * normal) * (0.25 + 0.75 * open));
    }
    return compress(matcap(normal));
}

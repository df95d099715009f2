// Ambient occlusion and soft shadow from the field itself: src/render/cpu/occlusion.rs.

const RING = 6u;
const SHADOW_STEPS = 96u;

// Contribution of a sample at height h above the surface, and its weight.
fn height_sample(p: vec3<f32>, height: f32, w: f32, from_side: f32, steepness: f32) -> vec2<f32> {
    var free = 1.0;
    if all(p >= vec3(0.0)) && all(p <= vec3(1.0)) && !removed(p) {
        free = clamp(from_side * distance_at(p) / (steepness * height), 0.0, 1.0);
    }
    return vec2(w * free, w);
}

// Two axes across a normal, in which the tilted directions of occlusion lie.
fn ring_axes(normal: vec3<f32>) -> mat2x3<f32> {
    let right = params.right.xyz;
    var across = right - normal * dot(right, normal);
    if dot(across, across) < 1e-12 {
        across = cross(normal, select(vec3(0.0, 1.0, 0.0), vec3(1.0, 0.0, 0.0), abs(normal.x) < 0.5));
    }
    across = normalize(across);
    return mat2x3<f32>(across, cross(normal, across));
}

// Share of the sky that a site sees.
fn ambient(hit: Surface) -> f32 {
    let normal = hit.normal;
    let radius = params.albedo.w;
    let ring = ring_axes(normal);
    var straight = array(0.12, 0.3, 0.6, 1.0);
    var tilted = array(0.15, 0.4, 0.8);
    var sum = vec2(0.0);
    // Four samples along the normal, then three along each direction of a tilted ring.
    for (var i = 0u; i < 4u + 3u * RING; i++) {
        var h = straight[min(i, 3u)];
        var direction = normal;
        var height = h * radius;
        var w = 1.0 - 0.6 * h;
        if i >= 4u {
            let angle = 6.2831853 * f32((i - 4u) / 3u) / f32(RING);
            h = tilted[(i - 4u) % 3u];
            direction = normal * 0.5 + (ring[0] * cos(angle) + ring[1] * sin(angle)) * 0.8660254;
            height = h * radius * 0.5;
            w = 0.5 * (1.0 - 0.6 * h);
        }
        sum += height_sample(hit.p + direction * (h * radius), height, w, hit.from_side, hit.steepness);
    }
    let share = sum.x / sum.y;
    // Concave folds lose light faster than the mean says.
    return share * share * (3.0 - 2.0 * share) * 0.5 + share * 0.5;
}

// Follows the shadow ray for at most `budget` evaluations; true once `lit`, the share of the key light that arrives, is
// settled.
fn shadow(hit: Surface, budget: u32) -> bool {
    let light = params.light.xyz;
    let size = params.light.w;
    let gap = params.lens.y;
    let lipschitz = params.lens.z / hit.steepness;
    if dot(hit.normal, light) <= 0.0 {
        lit = 0.0;
        return true;
    }
    let start = hit.p + hit.normal * (3.0 * gap);
    var left = budget;
    loop {
        // Through space too wide to cast a penumbra.
        var q = start + light * shadow_t;
        var outside = any(q < vec3(0.0)) || any(q > vec3(1.0)) || removed(q);
        while !outside && params.options.y > 0u {
            let r = clearance(q).x;
            if r < 0.5 / f32(params.options.y) || r < lit * size * shadow_t * 1.5 {
                break;
            }
            shadow_t += 0.5 * r;
            shadow_last = 3.0e38;
            q = start + light * shadow_t;
            outside = any(q < vec3(0.0)) || any(q > vec3(1.0)) || removed(q);
        }
        if outside {
            break;
        }
        if left == 0u {
            return false;
        }
        left -= 1u;
        let f = hit.from_side * distance_at(q) / hit.steepness;
        shadow_count += 1u;
        if f < 0.25 * gap {
            lit = 0.0;
            break;
        }
        var behind = 0.0;
        if f < 1.5 * shadow_last {
            behind = f * f / (2.0 * shadow_last);
        }
        let near = sqrt(max(f * f - behind * behind, 0.0));
        lit = min(lit, near / (size * max(shadow_t - behind, gap)));
        shadow_last = f;
        shadow_t += max(f / lipschitz, gap);
        if lit <= 0.01 || shadow_count >= SHADOW_STEPS {
            break;
        }
    }
    lit = lit * lit * (3.0 - 2.0 * lit);
    return true;
}

// Entry point of compute shaders: a workgroup is a block of 8×8 pixels of the tile.

struct Tile {
    // First pixel in the band, and one past the last.
    corners: vec4<u32>,
}

@group(2) @binding(0) var<uniform> tile: Tile;

@compute @workgroup_size(8, 8)
fn compute(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = tile.corners.xy + id.xy;
    if all(pixel < tile.corners.zw) {
        render_pixel(pixel + vec2(0u, first_row()));
    }
}

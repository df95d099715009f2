//! Copies textures to memory.

use nstr_image::Rgba8;

/// Copies the upper left `width` × `height` pixels of an 8-bit RGBA or BGRA texture with usage `COPY_SRC`, as they are
/// stored. Waits for the GPU.
///
/// # Errors
/// The message of the driver if it cannot map the copy.
pub(crate) fn read_texture(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    texture: &wgpu::Texture,
    (width, height): (u32, u32),
) -> Result<Rgba8, String> {
    let row = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("readback"),
        size: u64::from(row) * u64::from(height),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") });
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo {
            buffer: &buffer,
            layout: wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None },
        },
        wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
    );
    queue.submit([encoder.finish()]);
    let (sender, receiver) = std::sync::mpsc::channel();
    buffer.map_async(wgpu::MapMode::Read, .., move |mapped| {
        // Fails only if the wait for the device failed.
        let _ = sender.send(mapped);
    });
    device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| e.to_string())?;
    receiver.recv().map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    let bytes = buffer.get_mapped_range(..);
    let swap = matches!(texture.format(), wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Bgra8UnormSrgb);
    let mut data = Vec::with_capacity(width as usize * height as usize * 4);
    for line in bytes.chunks_exact(row as usize) {
        data.extend_from_slice(&line[..width as usize * 4]);
    }
    if swap {
        data.chunks_exact_mut(4).for_each(|p| p.swap(0, 2));
    }
    Ok(Rgba8 { width, height, data })
}

//! The adapter, the device and its queue; buffers on it.

use std::time::Duration;

use wgpu::util::DeviceExt;

use crate::gpu::error::GpuError;

/// Storage buffers that the renderers bind.
const BUFFERS: u32 = 10;
/// Longest time of a single piece of work before the device counts as hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// Pipeline that shaders run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineKind {
    /// Compute shaders.
    Compute,
    /// Fragment shaders that write buffers: software drivers compile them in seconds instead of minutes.
    Fragment,
}

/// A device to render on: any adapter of Vulkan, Metal or DX12, Mesa's software driver included.
#[derive(Clone, Debug)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    pipeline: PipelineKind,
}

/// Graphics backends in use, with a window and without: Vulkan, Metal, DirectX 12, or those that `WGPU_BACKEND` names.
pub fn backends() -> wgpu::Backends {
    wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY)
}

/// Whether the system has a GPU's device node, without which there is none but a software driver. Loading drivers to find that out
/// takes time, and they print complaints. Always `true` where devices are not files.
pub fn has_device_node() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let begins = |folder: &str, names: &[&str]| {
        let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.any(|e| names.iter().any(|n| e.file_name().to_string_lossy().starts_with(n)))
    };
    begins("/dev/dri", &["renderD", "card"]) || begins("/dev", &["nvidia", "dxg", "kgsl", "mali"])
}

/// An instance of these backends.
pub fn instance() -> wgpu::Instance {
    let usual = wgpu::InstanceDescriptor::new_without_display_handle().with_env();
    wgpu::Instance::new(wgpu::InstanceDescriptor { backends: backends(), ..usual })
}

impl Gpu {
    /// The fastest adapter, without a window.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] where there is none with compute shaders, [`GpuError::Device`] where the driver refuses.
    pub fn new() -> Result<Self, GpuError> {
        let instance = instance();
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        let adapter = pollster::block_on(instance.request_adapter(&options))
            .map_err(|e| GpuError::NoAdapter { reason: e.to_string() })?;
        let (device, queue) = pollster::block_on(adapter.request_device(&Self::wanted(&adapter)))
            .map_err(|e| GpuError::Device { adapter: adapter.get_info().name, reason: e.to_string() })?;
        Self::from_parts(device, queue, adapter.get_info())
    }

    /// Device descriptor that asks `adapter` for all its limits, so that large fields and frames fit.
    pub fn wanted(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        wgpu::DeviceDescriptor { label: Some("nstr"), required_limits: adapter.limits(), ..Default::default() }
    }

    /// A device that exists already, such as a window's.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] where it has no compute shaders.
    pub fn from_parts(device: wgpu::Device, queue: wgpu::Queue, info: wgpu::AdapterInfo) -> Result<Self, GpuError> {
        if device.limits().max_compute_invocations_per_workgroup < 64 {
            return Err(GpuError::NoAdapter { reason: format!("{} has no compute shaders", info.name) });
        }
        if device.limits().max_storage_buffers_per_shader_stage < BUFFERS {
            return Err(GpuError::NoAdapter { reason: format!("{} binds too few buffers to a shader", info.name) });
        }
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let pipeline = if software { PipelineKind::Fragment } else { PipelineKind::Compute };
        Ok(Self { device, queue, info, pipeline })
    }

    /// Name of the adapter and of its driver, for people.
    pub fn name(&self) -> String {
        let wgpu::AdapterInfo { name, driver, backend, .. } = &self.info;
        if driver.is_empty() { format!("{name} ({backend})") } else { format!("{name} ({backend}, {driver})") }
    }

    /// `true` where the adapter is a software driver.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The same device with shaders in the given pipeline.
    pub fn with_pipeline(self, pipeline: PipelineKind) -> Self {
        Self { pipeline, ..self }
    }

    /// Pipeline that its shaders run in.
    pub fn pipeline(&self) -> PipelineKind {
        self.pipeline
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// A buffer that holds `bytes`, at least one word.
    pub(super) fn upload(&self, label: &'static str, bytes: &[u8]) -> Result<wgpu::Buffer, GpuError> {
        self.check_size(label, bytes.len() as u64)?;
        let contents = if bytes.is_empty() { &[0; 16] } else { bytes };
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::util::BufferInitDescriptor { label: Some(label), contents, usage };
        self.guarded(label, || self.device.create_buffer_init(&descriptor))
    }

    /// A uniform buffer that holds `bytes`.
    pub(super) fn uniform(&self, label: &'static str, bytes: &[u8]) -> Result<wgpu::Buffer, GpuError> {
        let limit = self.device.limits().max_uniform_buffer_binding_size;
        if bytes.len() as u64 > limit {
            let (bytes, adapter) = (bytes.len() as u64, self.info.name.clone());
            return Err(GpuError::TooLarge { what: label, bytes, limit, adapter });
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let label = Some(label);
        Ok(self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label, contents: bytes, usage }))
    }

    /// A zeroed buffer that shaders write and that can be read back.
    pub(super) fn output(&self, label: &'static str, size: u64) -> Result<wgpu::Buffer, GpuError> {
        self.check_size(label, size)?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: size.max(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        self.guarded(label, || self.device.create_buffer(&descriptor))
    }

    /// Runs `make`, which creates a buffer, and reports exhausted memory.
    fn guarded(&self, what: &'static str, make: impl FnOnce() -> wgpu::Buffer) -> Result<wgpu::Buffer, GpuError> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make();
        match pollster::block_on(scope.pop()) {
            Some(_) => Err(GpuError::Memory { what, adapter: self.info.name.clone() }),
            None => Ok(made),
        }
    }

    /// Most bytes that a buffer bound to a shader may have.
    pub(super) fn largest(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    fn check_size(&self, what: &'static str, bytes: u64) -> Result<(), GpuError> {
        let limit = self.largest();
        if bytes > limit {
            return Err(GpuError::TooLarge { what, bytes, limit, adapter: self.info.name.clone() });
        }
        Ok(())
    }

    /// A layout of storage buffers (`true`: written by the shader) at bindings 0, 1, … and, with `uniform`, a uniform
    /// buffer at the last.
    pub(super) fn layout(&self, writes: &[bool], uniform: bool) -> wgpu::BindGroupLayout {
        let kinds = writes.iter().map(|write| wgpu::BufferBindingType::Storage { read_only: !write });
        let entries: Vec<_> = kinds
            .chain(uniform.then_some(wgpu::BufferBindingType::Uniform))
            .enumerate()
            .map(|(i, ty)| wgpu::BindGroupLayoutEntry {
                binding: i as u32,
                visibility: wgpu::ShaderStages::COMPUTE | wgpu::ShaderStages::FRAGMENT,
                ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
                count: None,
            })
            .collect();
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
    }

    /// Buffers bound at 0, 1, ….
    pub(super) fn bind(&self, layout: &wgpu::BindGroupLayout, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    /// Waits for everything submitted so far.
    pub(super) fn wait(&self) -> Result<(), GpuError> {
        let wait = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        self.device.poll(wait).map(|_| ()).map_err(|e| GpuError::Lost { reason: e.to_string() })
    }

    /// The first `len` bytes of `buffer`, once all work on it is done.
    pub(super) fn read(&self, buffer: &wgpu::Buffer, len: u64) -> Result<Vec<u8>, GpuError> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size: len,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, len);
        self.queue.submit([encoder.finish()]);
        let (tell, told) = std::sync::mpsc::channel();
        // A closed channel only means that nobody waits any more.
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| drop(tell.send(result)));
        self.wait()?;
        let lost = |reason: String| GpuError::Lost { reason };
        told.recv().map_err(|e| lost(e.to_string()))?.map_err(|e| lost(e.to_string()))?;
        let bytes = staging.slice(..).get_mapped_range().to_vec();
        staging.unmap();
        Ok(bytes)
    }
}

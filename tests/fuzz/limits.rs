//! Memory and time that reading an input may take, and how much it took.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Bytes of memory that any input may take.
const BASE: usize = 64 << 20;
/// Bytes of memory for each byte of the input on top.
const FACTOR: usize = 64;
/// Bytes that may be read in a second; the first second is free.
const BYTES_A_SECOND: f64 = 1e6;

/// Bytes of memory for each pixel that was granted.
const PIXEL_FACTOR: usize = 64;
/// Pixels that may be decoded in a second.
const PIXELS_A_SECOND: f64 = 1e6;

/// Allocator that counts what is held.
pub struct Counter;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static PIXELS: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

fn remove(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator with the arguments as they came; the counters change nothing of it.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old block and the new one may both be there for a while.
        add(size);
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Allows for the pixels of a picture, which compress without a bound: 64 bytes each, and a second a million.
pub fn grant(pixels: usize) {
    PIXELS.fetch_add(pixels, Ordering::Relaxed);
}

/// Runs `work` on an input of `size` bytes.
///
/// # Errors
/// A message where it held more memory than 64 bytes for each of the input's and 64 MiB, or took longer than a second and a
/// second a megabyte; both besides what it [granted](grant).
pub fn within(size: usize, work: impl FnOnce()) -> Result<(), String> {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    PIXELS.store(0, Ordering::Relaxed);
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    work();
    let mut seconds = started.elapsed().as_secs_f64();
    let pixels = PIXELS.load(Ordering::Relaxed);
    let allowed = (size as f64 / BYTES_A_SECOND).max(1.0) + pixels as f64 / PIXELS_A_SECOND;
    if seconds > allowed {
        // Other processes may have had the processor.
        if let (Some(before), Some(after)) = (cpu_before, cpu_seconds()) {
            seconds = seconds.min(after - before);
        }
    }
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    let most = BASE + FACTOR * size + PIXEL_FACTOR * pixels;
    if peak > most {
        return Err(format!("{size} bytes of input took {peak} bytes of memory; at most {most} are allowed"));
    }
    if seconds > allowed {
        return Err(format!("{size} bytes of input took {seconds:.2} s; at most {allowed:.2} s are allowed"));
    }
    Ok(())
}

/// Time that the process has had a processor for, on systems that tell.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th field after it, in hundredths.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

//! Signals that ask a fit to stop: Ctrl-C, a scheduler's SIGTERM, a closed terminal's SIGHUP.
//!
//! A signal that is ignored when the program starts stays ignored: `nohup` ignores SIGHUP, and a shell ignores SIGINT for
//! what it starts in the background.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use anyhow::Context;

/// Flag that is set by the first signal; a second one ends the process at once.
pub fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    let flag = FLAG.get_or_init(Arc::default).clone();
    listen(&flag).context("cannot listen for Ctrl-C")?;
    Ok(flag)
}

#[cfg(unix)]
fn listen(flag: &Arc<AtomicBool>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_shutdown};

    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if (ignored >> (signal - 1)) & 1 == 0 {
            // In this order: the second signal does not wait for the step to end.
            register_conditional_shutdown(signal, 1, flag.clone())?;
            register(signal, flag.clone())?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn listen(flag: &Arc<AtomicBool>) -> Result<(), ctrlc::Error> {
    let flag = flag.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, std::sync::atomic::Ordering::SeqCst) {
            std::process::exit(1);
        }
    })
}

/// Signals that this process ignores, bit n - 1 for signal n.
///
/// Linux tells. Elsewhere asking takes unsafe code: there SIGHUP is taken as ignored, so that it does what it did before.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let hangup = 1 << (signal_hook::consts::SIGHUP - 1);
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => ignored_in(&status),
        Err(_) => hangup,
    }
}

/// The mask of ignored signals in the text of a process's status.
#[cfg(unix)]
fn ignored_in(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_a_status_is_read() {
        let status = "Name:\tnstr\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000180000440\n";
        assert_eq!(ignored_in(status), 0x1001);
        assert_eq!(ignored_in("Name:\tnstr\n"), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_shells_ignored_signals_are_seen() {
        // SIGHUP is 1, SIGINT is 2, SIGTERM is 15.
        for (ignored, mask) in [("HUP", 0x1), ("INT TERM", 0x4002)] {
            let script = format!("trap '' {ignored}; exec cat /proc/self/status");
            let out = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let found = ignored_in(&String::from_utf8_lossy(&out.stdout));
            // The test itself may run with more of them ignored.
            assert_eq!(found & mask, mask, "{ignored}");
            assert!(ignored != "HUP" || found & 0x4000 == 0, "{found:x}");
        }
    }
}

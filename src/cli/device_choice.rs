//! Mesa's choice among devices, which complains on standard error where no session runs.

use std::path::Path;

/// Starts the program anew without Mesa's choice among devices where that would complain on standard error: without a session's
/// folder it looks for a Wayland display in vain. Variables of a running process cannot be set safely.
pub fn silence() {
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        use std::os::unix::process::CommandExt;
        let has_session = std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).is_dir());
        if has_session || std::env::var_os("NODEVICE_SELECT").is_some() {
            return;
        }
        if let Ok(program) = std::env::current_exe() {
            let mut arguments = std::env::args_os();
            let mut command = std::process::Command::new(program);
            if let Some(name) = arguments.next() {
                command.arg0(name);
            }
            // Returns only if it fails; then the complaint is all there is to it.
            let _ = command.args(arguments).env("NODEVICE_SELECT", "1").exec();
        }
    }
}

//! Lines on standard output and standard error that never end the work.
//!
//! A result is worth more than the messages about it: what cannot be printed on standard error is dropped, and the first
//! failure of standard output is kept and reported at the end. `println!` and `eprintln!` would panic instead.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether an output of the command goes to standard output.
static RESERVED: AtomicBool = AtomicBool::new(false);
/// First failure of standard output.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line on standard output; see [`print_stdout`].
macro_rules! stdout {
    ($($text:tt)*) => { $crate::terminal::print_stdout(format_args!($($text)*)) };
}

/// Prints a line on standard error; see [`print_stderr`].
macro_rules! stderr {
    ($($text:tt)*) => { $crate::terminal::print_stderr(format_args!($($text)*)) };
}

pub(crate) use {stderr, stdout};

/// Keeps standard output for an output of the command; lines that would go there go to standard error from now on.
///
/// Returns whether it was free.
pub fn reserve_stdout() -> bool {
    !RESERVED.swap(true, Ordering::SeqCst)
}

/// Returns whether an output of the command goes to standard output.
pub fn is_stdout_reserved() -> bool {
    RESERVED.load(Ordering::SeqCst)
}

/// Prints a line on standard output, or on standard error where an output has that.
pub fn print_stdout(text: Arguments<'_>) {
    if is_stdout_reserved() {
        return print_stderr(text);
    }
    let mut failure = FAILURE.lock().unwrap_or_else(PoisonError::into_inner);
    if failure.is_none() {
        *failure = writeln!(io::stdout(), "{text}").err();
    }
}

/// Prints a line on standard error; nothing can be done, and nobody told, where that fails.
pub fn print_stderr(text: Arguments<'_>) {
    // In one piece, so that lines of several processes in one log stay whole.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// First failure of standard output, flushed before.
pub fn stdout_failure() -> Option<io::Error> {
    let mut failure = FAILURE.lock().unwrap_or_else(PoisonError::into_inner);
    failure.take().or_else(|| io::stdout().flush().err())
}

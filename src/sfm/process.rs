//! Programs that are run: their lines as they come, a log of all they print, and their end when the run is stopped.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::error::SfmError;

/// Time between two questions whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// Lines that wait to be looked at.
const WAITING: usize = 256;
/// Longest line that is kept, in bytes.
const MAX_LINE: usize = 4096;
/// Lines at the end of a log that go into an error.
const LAST_LINES: usize = 4;

/// A program to run, and what it does, for messages.
pub(crate) struct Task<'a> {
    pub command: Command,
    /// Name of the program.
    pub program: String,
    /// `looking for features`.
    pub action: &'static str,
    /// File that takes everything that it prints.
    pub log: &'a Path,
}

/// A running program, which is killed where it is dropped before its end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A piece of what a program prints.
enum Piece<T> {
    Line(String),
    Item(T),
}

/// Why a run ends before the program does.
enum End {
    Stopped,
    Failed(SfmError),
}

/// Runs a program to its end; `watch` is given each line of its output and, without one, several times a second.
///
/// # Errors
/// A program that does not start or fails, with its last words, and [`SfmError::Interrupted`] where `watch` returns `false`; the
/// program is ended then.
pub(crate) fn run(task: Task, watch: impl FnMut(Option<&str>) -> bool) -> Result<(), SfmError> {
    run_with(task, |_| Ok(None::<()>), |()| Ok(()), watch)
}

/// As [`run`], of a program that prints binary items on its standard output: `read` takes one from it, and `take` is given each.
///
/// # Errors
/// Those of [`run`] and of `take`. An error of `read` ends the stream, as its end does; the program's own error says more.
pub(crate) fn run_reading<T: Send + 'static>(
    task: Task,
    read: impl FnMut(&mut dyn Read) -> std::io::Result<Option<T>> + Send + 'static,
    take: impl FnMut(T) -> Result<(), SfmError>,
    watch: impl FnMut(Option<&str>) -> bool,
) -> Result<(), SfmError> {
    let mut read = read;
    run_with(task, move |pipe| read(pipe), take, watch)
}

fn run_with<T: Send + 'static>(
    task: Task,
    mut read: impl FnMut(&mut dyn Read) -> std::io::Result<Option<T>> + Send + 'static,
    mut take: impl FnMut(T) -> Result<(), SfmError>,
    mut watch: impl FnMut(Option<&str>) -> bool,
) -> Result<(), SfmError> {
    let Task { mut command, program, action, log } = task;
    let mut words = File::create(log).map_err(SfmError::io(log))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let missing = |e: std::io::Error| SfmError::Missing { reason: format!("{program} does not run: {e}") };
    let mut child = Running(command.spawn().map_err(missing)?);
    let (sender, pieces) = sync_channel(WAITING);
    if let Some(pipe) = child.0.stderr.take() {
        let sender = sender.clone();
        std::thread::spawn(move || send_lines(pipe, &sender));
    }
    if let Some(pipe) = child.0.stdout.take() {
        std::thread::spawn(move || {
            let mut pipe = BufReader::with_capacity(1 << 16, pipe);
            while let Ok(Some(item)) = read(&mut pipe) {
                if sender.send(Piece::Item(item)).is_err() {
                    return;
                }
            }
            send_lines(pipe, &sender);
        });
    }
    let mut on_piece = |piece: Option<Piece<T>>| match piece {
        Some(Piece::Line(line)) => {
            // A full disk stops the program itself sooner.
            let _ = writeln!(words, "{line}");
            if watch(Some(&line)) { Ok(()) } else { Err(End::Stopped) }
        }
        Some(Piece::Item(item)) => match take(item) {
            Ok(()) if watch(None) => Ok(()),
            Ok(()) => Err(End::Stopped),
            Err(error) => Err(End::Failed(error)),
        },
        None => {
            if watch(None) {
                Ok(())
            } else {
                Err(End::Stopped)
            }
        }
    };
    let ended = until_the_end(&mut child, &pieces, &mut on_piece);
    let stopped = || SfmError::Interrupted { path: PathBuf::new() };
    match ended {
        Err(End::Stopped) => return Err(stopped()),
        Err(End::Failed(error)) => return Err(error),
        Ok(()) => {}
    }
    let status = child.0.wait().map_err(SfmError::io(log))?;
    if status.success() {
        return Ok(());
    }
    // Ctrl-C goes to the program too, and it may be the first to end.
    if on_piece(None).is_err() || is_interrupt(status) {
        return Err(stopped());
    }
    drop(words);
    Err(SfmError::Failed { program, action, reason: reason(status, log), log: log.into() })
}

/// Passes pieces on until the program has ended and its pipes are read.
fn until_the_end<T>(
    child: &mut Running,
    pieces: &Receiver<Piece<T>>,
    on_piece: &mut dyn FnMut(Option<Piece<T>>) -> Result<(), End>,
) -> Result<(), End> {
    let mut has_ended = false;
    loop {
        match pieces.recv_timeout(TICK) {
            Ok(piece) => on_piece(Some(piece))?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            // A process of its own may keep the pipes open after its end.
            Err(RecvTimeoutError::Timeout) if has_ended => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                on_piece(None)?;
                has_ended = child.0.try_wait().is_ok_and(|status| status.is_some());
            }
        }
    }
}

/// Sends what a pipe brings, line by line; a carriage return ends a line too, as progress is often printed.
fn send_lines<T>(pipe: impl Read, sender: &SyncSender<Piece<T>>) {
    let mut line: Vec<u8> = Vec::new();
    let send = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line).trim_end().to_string();
        line.clear();
        text.is_empty() || sender.send(Piece::Line(text)).is_ok()
    };
    for byte in BufReader::new(pipe).bytes() {
        match byte {
            Ok(b'\n' | b'\r') => {
                if !send(&mut line) {
                    return;
                }
            }
            Ok(byte) if line.len() < MAX_LINE => line.push(byte),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    send(&mut line);
}

#[cfg(unix)]
fn is_interrupt(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(2)
}

#[cfg(not(unix))]
fn is_interrupt(_: ExitStatus) -> bool {
    false
}

#[cfg(unix)]
fn is_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

#[cfg(not(unix))]
fn is_killed(_: ExitStatus) -> bool {
    false
}

/// The last words of a program, or how it ended.
fn reason(status: ExitStatus, log: &Path) -> String {
    if is_killed(status) {
        return "it was killed, as the system does where memory runs out; try --downscale 2, a smaller --feature-size or fewer \
                --features"
            .into();
    }
    match last_words(log) {
        words if words.is_empty() => format!("it ended with {status} and said nothing"),
        words => nstr_files::shorten(&words),
    }
}

/// The last lines of a log, in one line.
pub(crate) fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("; ")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell<'a>(script: &str, log: &'a Path) -> Task<'a> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Task { command, program: "sh".into(), action: "talking", log }
    }

    #[test]
    fn lines_of_both_pipes_are_seen_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut lines = Vec::new();
        run(shell("echo one; printf '10 %%\\r20 %%\\r'; echo two >&2; printf end", &log), |line| {
            lines.extend(line.map(String::from));
            true
        })
        .unwrap();
        lines.sort();
        assert_eq!(lines, ["10 %", "20 %", "end", "one", "two"]);
        assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 5);
    }

    #[test]
    fn a_failure_has_the_last_words_and_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let said =
            run(shell("seq 9; sleep 0.5; echo no such file >&2; exit 3", &log), |_| true).unwrap_err().to_string();
        assert!(said.starts_with("sh failed while talking") && said.contains("no such file"), "{said}");
        assert!(said.contains(&log.display().to_string()), "{said}");
        let said = run(shell("exit 3", &log), |_| true).unwrap_err().to_string();
        assert!(said.contains("exit status: 3"), "{said}");
        let said = run(shell("kill -9 $$", &log), |_| true).unwrap_err().to_string();
        assert!(said.contains("memory"), "{said}");
    }

    #[test]
    fn a_stopped_program_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (log, pid) = (dir.path().join("log"), dir.path().join("pid"));
        let script = format!("echo $$ > {}; echo ready; exec sleep 1000", pid.display());
        let mut is_ready = false;
        let ended = run(shell(&script, &log), |line| {
            is_ready |= line == Some("ready");
            !is_ready
        });
        assert!(matches!(ended, Err(SfmError::Interrupted { .. })));
        let pid = std::fs::read_to_string(pid).unwrap();
        let status = Command::new("kill").args(["-0", pid.trim()]).stderr(Stdio::null()).status().unwrap();
        assert!(!status.success(), "process {pid} lives");
    }

    #[test]
    fn pipes_that_others_keep_open_do_not_hold_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        run(shell("sleep 30 & echo done", &log), |_| true).unwrap();
    }

    #[test]
    fn items_come_from_the_standard_output() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let read = |pipe: &mut dyn Read| {
            let mut two = [0; 2];
            pipe.read_exact(&mut two).map(|()| Some(two))
        };
        let (mut items, mut lines) = (Vec::new(), Vec::new());
        run_reading(
            shell("echo words >&2; printf abcdef", &log),
            read,
            |item| {
                items.push(item);
                Ok(())
            },
            |line| {
                lines.extend(line.map(String::from));
                true
            },
        )
        .unwrap();
        assert_eq!((items, lines), (vec![*b"ab", *b"cd", *b"ef"], vec!["words".to_string()]));
    }
}

//! Files as people have them: whole writes that spare links and devices, bounded reads, text of every encoding, locks,
//! and the quotations and numbers of messages.
//!
//! Every room reads and writes through here, so that a rule about files has one place.

mod input;
mod lock;
mod message;
mod npy;
mod number;
mod output;
mod same;
#[doc(hidden)]
pub mod testing;
mod text;

pub use input::{Budget, read, read_named};
pub use lock::{Lock, LockError, lock};
pub use message::shorten;
pub use npy::{check_npy_header, npy_header_length};
pub use number::{decimals, plain, plain_beside};
pub use output::{Target, Temporary, probe, probe_folder, resolve, temporary, write, write_with};
pub use same::is_same;
pub use text::{decode_text, excerpt, read_text};

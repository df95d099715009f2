//! Headers of NumPy's arrays, before a reader believes them.

/// Refuses an `.npy` file whose header claims more bytes than there are: readers reserve memory for what it claims.
///
/// ```
/// # use nstr_files::check_npy_header;
/// let short = b"\x93NUMPY\x01\x00\x04\x00{}  ";
/// assert!(check_npy_header(short).is_ok());
/// assert!(check_npy_header(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{}").is_err());
/// ```
///
/// # Errors
/// The claim, in words. Whatever else is wrong is left to the reader.
pub fn check_npy_header(bytes: &[u8]) -> Result<(), String> {
    // Magic, version (major, minor), the header's length: 16 bits in version 1, else 32 bits.
    let length = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => u32::from(u16::from_le_bytes([*a, *b])),
        [0x93, b'N', b'U', b'M', b'P', b'Y', _, _, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => return Ok(()),
    };
    if length as usize <= bytes.len() {
        return Ok(());
    }
    Err(format!("its header claims {length} bytes of a file of {}; copy or save it again", bytes.len()))
}

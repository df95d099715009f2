//! Headers of NumPy's arrays, before a reader believes them.

/// Length of an array's header by the first twelve bytes of an `.npy` file: 16 bits after the version in version 1, else 32 bits.
/// `None` of what does not begin like one.
pub fn npy_header_length(start: &[u8]) -> Option<u32> {
    match *start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => Some(u32::from(u16::from_le_bytes([a, b]))),
        [0x93, b'N', b'U', b'M', b'P', b'Y', _, _, a, b, c, d, ..] => Some(u32::from_le_bytes([a, b, c, d])),
        _ => None,
    }
}

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
    match npy_header_length(bytes) {
        Some(length) if length as usize > bytes.len() => {
            Err(format!("its header claims {length} bytes of a file of {}; copy or save it again", bytes.len()))
        }
        _ => Ok(()),
    }
}

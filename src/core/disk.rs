//! Room on a disk.

use std::io;
use std::path::Path;

/// Bytes that a process without privileges may still write to the file system of `path`.
///
/// # Errors
/// Of `statvfs`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

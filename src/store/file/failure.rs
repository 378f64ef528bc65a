//! What an error of the file system means for the caller.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::super::port::{Class, StoreError};

/// The store's error for `e`, met while doing `act` ("write", "read") to `path`.
pub(super) fn failure(act: &str, path: &Path, e: io::Error) -> StoreError {
    let (class, hint) = match Errno::from_io_error(&e) {
        // A component that is a file: there can be nothing below it.
        Some(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => (Class::NotFound, None),
        Some(Errno::NOSPC) => (Class::Permanent, Some(FULL)),
        Some(Errno::DQUOT) => (Class::Permanent, Some("the disk quota is used up: raise it")),
        Some(Errno::ROFS) => (Class::Permanent, Some("the file system is mounted read-only")),
        Some(Errno::ACCESS | Errno::PERM) => (Class::Denied, Some(DENIED)),
        Some(Errno::INTR | Errno::AGAIN | Errno::TIMEDOUT | Errno::STALE | Errno::MFILE) => {
            (Class::Transient, None)
        }
        _ => (Class::Permanent, None),
    };
    let error = StoreError::new(class, format!("{act} {}", path.display())).caused_by(e);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// As `failure` for writes: a path that cannot be made is no missing object.
pub(super) fn write_failure(path: &Path, e: io::Error) -> StoreError {
    let mut error = failure("write", path, e);
    if error.class == Class::NotFound {
        error.class = Class::Permanent;
    }
    error
}

const FULL: &str = "the disk is full: free some space or enlarge it, then run the command again; \
                    nothing half-written was left behind";

const DENIED: &str = "this user may not do that: check the owner and mode of the store's folder";

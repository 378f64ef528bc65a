//! What an error of the file system means for the caller.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::super::port::{Class, StoreError};

/// The store's error for `e`, met while doing `act` ("write", "read") to `path`.
pub(super) fn failure(act: &str, path: &Path, e: io::Error) -> StoreError {
    // By kind, not by number: tempfile wraps errors and keeps only the kind.
    let (class, hint) = match e.kind() {
        // A component that is a file: there can be nothing below it.
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            (Class::NotFound, None)
        }
        ErrorKind::StorageFull => (Class::Permanent, Some(FULL)),
        ErrorKind::QuotaExceeded => {
            (Class::Permanent, Some("the disk quota is used up: raise it or free some space"))
        }
        ErrorKind::ReadOnlyFilesystem => {
            (Class::Permanent, Some("the file system is mounted read-only"))
        }
        ErrorKind::PermissionDenied => (Class::Denied, Some(DENIED)),
        ErrorKind::Interrupted
        | ErrorKind::WouldBlock
        | ErrorKind::TimedOut
        | ErrorKind::ResourceBusy
        | ErrorKind::StaleNetworkFileHandle => (Class::Transient, None),
        _ => (Class::Permanent, None),
    };
    let error = StoreError::new(class, format!("{act} {}", path.display())).caused_by(e);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// As `failure` for reads: below a root that is no folder nothing is missing, all is out of reach.
pub(super) fn read_failure(root: &Path, path: &Path, e: io::Error) -> StoreError {
    let error = failure("read", path, e);
    match error.class {
        Class::NotFound => no_folder("read", root).unwrap_or(error),
        _ => error,
    }
}

/// Why nothing can be looked for below `root`: something is there that is no folder. A root that is
/// not there yet is an empty store.
pub(super) fn no_folder(act: &str, root: &Path) -> Option<StoreError> {
    let other = std::fs::metadata(root).is_ok_and(|metadata| !metadata.is_dir());
    other.then(|| {
        let error = failure(act, root, ErrorKind::NotADirectory.into());
        StoreError { class: Class::Permanent, ..error }.hint(NOWHERE)
    })
}

/// As `failure` for writes: a path that cannot be made is no missing object.
pub(super) fn write_failure(path: &Path, e: io::Error) -> StoreError {
    let mut error = failure("write", path, e);
    if error.class == Class::NotFound {
        error.class = Class::Permanent;
        return error.hint(NOWHERE);
    }
    error
}

const FULL: &str = "the disk is full: free some space or enlarge it, then run the command again; \
                    nothing half-written was left behind";

const NOWHERE: &str = "no folder can be made there: is the path of the store right, and its file \
                       system mounted?";

const DENIED: &str = "this user may not do that: check the owner and mode of the store's folder";

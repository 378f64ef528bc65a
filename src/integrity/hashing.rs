//! Hashing what does not fit into memory.

use std::io::Read as _;
use std::path::Path;

use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use crate::error::{Attempt, Error, Kind, Result};
use crate::model::Digest;
use crate::store::{ByteStream, StoreError};

/// The SHA-256 and the size of a file.
pub async fn file(path: &Path) -> Result<(Digest, u64)> {
    let path = path.to_owned();
    let hash = move || -> std::io::Result<(Digest, u64)> {
        let mut file = std::fs::File::open(path)?;
        let mut buffer = vec![0u8; 256 << 10];
        let (mut hash, mut size) = (Sha256::new(), 0u64);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((Digest::from_bytes(hash.finalize().into()), size)),
                n => {
                    hash.update(&buffer[..n]);
                    size += n as u64;
                }
            }
        }
    };
    tokio::task::spawn_blocking(hash)
        .await
        .attempt(Kind::Bug, || "hash a file on another thread".to_owned())?
        .attempt(Kind::Failed, || "hash a temporary file".to_owned())
}

/// The SHA-256 and the size of an object as it arrives.
pub async fn stream(mut bytes: ByteStream) -> Result<(Digest, u64), StoreError> {
    let (mut hash, mut size) = (Sha256::new(), 0u64);
    while let Some(piece) = bytes.try_next().await? {
        hash.update(&piece);
        size += piece.len() as u64;
    }
    Ok((Digest::from_bytes(hash.finalize().into()), size))
}

/// Writes an object to a file as it arrives and checks its SHA-256.
pub async fn fetch(mut bytes: ByteStream, to: &Path, promised: Digest) -> Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let write = |e: std::io::Error| {
        Error::new(Kind::Failed, format!("write {}", to.display()))
            .caused_by(e)
            .hint("the temporary folder (TMPDIR) needs room for the schema archive")
    };
    let mut file = tokio::fs::File::create(to).await.map_err(write)?;
    let mut hash = Sha256::new();
    while let Some(piece) = bytes.try_next().await? {
        hash.update(&piece);
        file.write_all(&piece).await.map_err(write)?;
    }
    file.flush().await.map_err(write)?;
    let seen = Digest::from_bytes(hash.finalize().into());
    match seen == promised {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Damaged,
            format!("its bytes have the SHA-256 {seen}, {promised} is promised"),
        )),
    }
}

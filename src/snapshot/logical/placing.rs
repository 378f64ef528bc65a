//! Where a part that is not known goes: compressed, encrypted where that is asked for, and into
//! every store; or what an earlier run, or this one, has stored of the same bytes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use super::sealing::{self, Sealed, Slot};
use super::worker::{Floor, blocking, put_everywhere};
use crate::error::Result;
use crate::integrity::codec;
use crate::model::{BasePart, Digest, Part, PartName};
use crate::store::keys;

/// What came of a part: its line in the list, and the base that it rests on.
#[derive(Debug, Clone)]
pub struct Placed {
    pub part: Part,
    pub base: Option<BasePart>,
}

/// By the digest of what is inside: the part, once it is stored.
pub type Placements = HashMap<Digest, Arc<OnceCell<Placed>>>;

/// The bytes of a part that the previous snapshot had not.
pub struct Piece {
    pub slot: Slot,
    pub digest: Digest,
    pub raw: Bytes,
    /// The plain part that it may rest on.
    pub base: Option<BasePart>,
    /// Held as long as the uncompressed bytes are.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// A base and its uncompressed bytes.
type Base = Option<(BasePart, Bytes)>;

impl Floor {
    /// Sees to it that a part is in every store; `false`: this run had put the same bytes before.
    ///
    /// Compressing gives the same bytes each time, encrypting does not. So under a key each digest
    /// is stored once, and what has arrived from a run that was cut short is taken as it is.
    pub async fn place(self: &Arc<Self>, piece: Piece) -> Result<(Placed, bool)> {
        if self.cipher.key().is_none() {
            let base = self.base(&piece).await;
            return Ok((self.make(piece, base).await?, true));
        }
        let cell = {
            let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(placed.entry(piece.digest).or_default())
        };
        let mut new = false;
        let placed = cell
            .get_or_try_init(|| async {
                new = true;
                let base = self.base(&piece).await;
                match self.adopt(&piece, &base).await? {
                    Some(placed) => Ok(placed),
                    None => self.make(piece, base).await,
                }
            })
            .await?;
        Ok((placed.clone(), new))
    }

    async fn base(&self, piece: &Piece) -> Base {
        let base = piece.base.as_ref()?;
        self.fetch_base(base).await.map(|raw| (base.clone(), raw))
    }

    /// Compresses, encrypts and stores a part.
    async fn make(&self, piece: Piece, base: Base) -> Result<Placed> {
        let Piece { slot, digest, raw, permit, .. } = piece;
        let (format, level, cipher) = (self.row_format, self.level, self.cipher.clone());
        let (sealed, base) = blocking(move || {
            let tally = sealing::measure(format, &raw, &cipher)?;
            let with = base.as_ref().map(|(base, raw)| (base, &**raw));
            let sealed = sealing::compress(&raw, digest, tally, slot, with, level, &cipher)?;
            Ok((sealed, base.map(|(base, _)| base)))
        })
        .await?;
        let base = base.filter(|b| sealed.part.base == Some(b.digest));
        // The uncompressed bytes are gone; what waits now is counted by its compressed size.
        let kib =
            u32::try_from(sealed.part.stored >> 10).unwrap_or(u32::MAX).clamp(1, self.upload_kib);
        let upload = Arc::clone(&self.uploads).acquire_many_owned(kib).await.ok();
        drop(permit);
        self.store(&sealed).await?;
        drop(upload);
        Ok(Placed { part: sealed.part, base })
    }

    /// Takes what an earlier run has stored of these bytes, from the first store where it opens to
    /// them, and sees to it that every store has the same.
    async fn adopt(&self, piece: &Piece, base: &Base) -> Result<Option<Placed>> {
        let kept = self.cipher.kept();
        let plain = PartName { digest: piece.digest, base: None, kept };
        let delta = base.as_ref().map(|(b, _)| PartName { base: Some(b.digest), ..plain });
        for name in delta.into_iter().chain([plain]) {
            let key = keys::part_key(&self.database, &self.generation, name);
            for lane in self.lanes.iter().filter(|l| !l.is_lost()) {
                // A store that cannot be asked is given up when something is put there.
                if !lane.arrived().await.is_ok_and(|here| here.contains_key(&key)) {
                    continue;
                }
                let Ok(object) = lane.store.get(&key).await else { continue };
                let on = base.as_ref().filter(|_| name.base.is_some()).cloned();
                let Some(sealed) = self.same(piece, on.clone(), object.bytes).await? else {
                    continue;
                };
                self.store(&sealed).await?;
                return Ok(Some(Placed { part: sealed.part, base: on.map(|(b, _)| b) }));
            }
        }
        Ok(None)
    }

    /// The stored bytes as a part, if they open to the piece's.
    async fn same(&self, piece: &Piece, base: Base, stored: Bytes) -> Result<Option<Sealed>> {
        let (slot, digest, raw) = (piece.slot, piece.digest, piece.raw.clone());
        let (format, cipher) = (self.row_format, self.cipher.clone());
        blocking(move || {
            let on = base.as_ref().map(|(_, raw)| &**raw);
            let opens = cipher
                .open(&stored)
                .and_then(|opened| codec::decompress(&opened, on, raw.len() as u64))
                .is_ok_and(|opened| opened == raw);
            if !opens {
                return Ok(None);
            }
            let tally = sealing::measure(format, &raw, &cipher)?;
            let base = base.map(|(base, _)| base.digest);
            let part = sealing::part_of(&raw, digest, tally, slot, base, &stored);
            Ok(Some(Sealed { part, stored }))
        })
        .await
    }

    /// Puts a sealed part into every store that is still there.
    async fn store(&self, sealed: &Sealed) -> Result<()> {
        let name = sealed.part.name(self.cipher.kept());
        let key = keys::part_key(&self.database, &self.generation, name);
        if let Some(cache) = &self.cache
            && sealed.part.base.is_none()
        {
            cache.put(&key, &sealed.stored).await;
        }
        put_everywhere(&self.lanes, &key, &sealed.stored, sealed.part.stored_digest).await
    }

    /// The uncompressed bytes of a base, or `None`: then the part is stored plain.
    async fn fetch_base(&self, base: &BasePart) -> Option<Bytes> {
        let name = base.name(self.cipher.kept());
        let key = keys::part_key(&self.database, &self.generation, name);
        let open = |stored: Bytes, base: BasePart| {
            let cipher = self.cipher.clone();
            blocking(move || {
                codec::open_stored(&stored, base.stored_digest, None, base.raw, &cipher)
                    .map(Bytes::from)
            })
        };
        if let Some(cache) = &self.cache
            && let Some(stored) = cache.get(&key).await
            && let Ok(raw) = open(stored, base.clone()).await
        {
            return Some(raw);
        }
        for lane in self.lanes.iter().filter(|l| !l.is_lost()) {
            if let Ok(object) = lane.store.get(&key).await
                && let Ok(raw) = open(object.bytes.clone(), base.clone()).await
            {
                if let Some(cache) = &self.cache {
                    cache.put(&key, &object.bytes).await;
                }
                return Some(raw);
            }
        }
        None
    }
}

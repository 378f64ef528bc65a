//! Parts as zstd frames: plain, or with a base part as the reference prefix (`--patch-from`).

use std::cell::RefCell;

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name,
};

use super::encryption::Cipher;
use crate::error::{Error, Kind, Result};
use crate::model::Digest;

/// `zstd -d` refuses larger windows unless told otherwise (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`), so
/// content and base together stay within it.
const MAX_WINDOW_LOG: u32 = 27;

/// Matches of a delta are found by hashes of every 2^n-th position. Lower finds the text sooner
/// after a changed row and costs time.
const DELTA_HASH_RATE_LOG: u32 = 6;

thread_local! {
    // Contexts hold tables of some MB; making them anew for each part would dominate small ones.
    static ENCODER: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

fn failed(what: &str, code: usize) -> Error {
    Error::new(Kind::Bug, format!("{what}: {}", get_error_name(code)))
}

fn with_encoder<T>(f: impl FnOnce(&mut CCtx<'static>) -> Result<T>) -> Result<T> {
    ENCODER.with_borrow_mut(|slot| f(slot.get_or_insert_with(CCtx::create)))
}

fn with_decoder<T>(f: impl FnOnce(&mut DCtx<'static>) -> T) -> T {
    DECODER.with_borrow_mut(|slot| f(slot.get_or_insert_with(DCtx::create)))
}

/// Compresses `raw` into one frame with content size and checksum.
pub fn compress(raw: &[u8], level: i32) -> Result<Vec<u8>> {
    with_encoder(|c| {
        let set = |c: &mut CCtx<'static>| -> std::result::Result<(), usize> {
            c.reset(ResetDirective::SessionAndParameters)?;
            c.set_parameter(CParameter::CompressionLevel(level))?;
            c.set_parameter(CParameter::ChecksumFlag(true))?;
            Ok(())
        };
        set(c).map_err(|code| failed("set up zstd", code))?;
        let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
        c.compress2(&mut out, raw).map_err(|code| failed("compress a part", code))?;
        out.shrink_to_fit();
        Ok(out)
    })
}

/// Compresses `raw` with `base` as its reference prefix, so that what both share is not stored.
///
/// `None`: the two together do not fit the window that stock zstd accepts.
pub fn compress_delta(raw: &[u8], base: &[u8], level: i32) -> Result<Option<Vec<u8>>> {
    let span = (raw.len() + base.len()).max(1024) as u64;
    let window_log = span.next_power_of_two().trailing_zeros();
    if window_log > MAX_WINDOW_LOG {
        return Ok(None);
    }
    // A context of its own: the prefix is borrowed for as long as the context lives.
    let mut c = CCtx::create();
    let mut run = || -> std::result::Result<Vec<u8>, usize> {
        c.set_parameter(CParameter::CompressionLevel(level))?;
        c.set_parameter(CParameter::ChecksumFlag(true))?;
        c.set_parameter(CParameter::WindowLog(window_log))?;
        c.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        c.set_parameter(CParameter::LdmHashLog(
            window_log.saturating_sub(DELTA_HASH_RATE_LOG).max(10),
        ))?;
        c.set_parameter(CParameter::LdmHashRateLog(DELTA_HASH_RATE_LOG))?;
        c.ref_prefix(base)?;
        let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
        c.compress2(&mut out, raw)?;
        out.shrink_to_fit();
        Ok(out)
    };
    run().map(Some).map_err(|code| failed("compress a delta part", code))
}

/// Undoes `compress` or `compress_delta`. `raw_len` is what the list promises.
///
/// Fails with `Kind::Damaged` on any other length, a bad frame or a wrong content checksum.
pub fn decompress(stored: &[u8], base: Option<&[u8]>, raw_len: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decompress_into(&mut out, stored, base, raw_len)?;
    Ok(out)
}

/// As `decompress`, into a buffer that is used again and again.
pub fn decompress_into(
    out: &mut Vec<u8>,
    stored: &[u8],
    base: Option<&[u8]>,
    raw_len: u64,
) -> Result<()> {
    let damaged = |why: String| Error::new(Kind::Damaged, why);
    match zstd::zstd_safe::get_frame_content_size(stored) {
        Ok(Some(size)) if size == raw_len => {}
        Ok(size) => {
            let size = size.map_or("an unknown number of".to_owned(), |s| s.to_string());
            return Err(damaged(format!("its frame holds {size} bytes, {raw_len} are promised")));
        }
        Err(_) => return Err(damaged("it is not a zstd frame".to_owned())),
    }
    let Ok(capacity) = usize::try_from(raw_len) else {
        return Err(damaged(format!("{raw_len} bytes do not fit this machine's memory")));
    };
    out.clear();
    out.reserve_exact(capacity);
    let done = match base {
        None => with_decoder(|d| {
            d.reset(ResetDirective::SessionAndParameters)?;
            d.decompress(out, stored)
        }),
        Some(base) => {
            let mut d = DCtx::create();
            d.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
                .and_then(|_| d.ref_prefix(base))
                .and_then(|_| d.decompress(out, stored))
        }
    };
    match done {
        Ok(n) if n as u64 == raw_len => Ok(()),
        Ok(n) => Err(damaged(format!("it gives {n} bytes, {raw_len} are promised"))),
        Err(code) => Err(damaged(format!("zstd cannot read it: {}", get_error_name(code)))),
    }
}

/// Whether `stored` gives back exactly `raw`.
pub fn undoes_to(stored: &[u8], base: Option<&[u8]>, raw: &[u8]) -> bool {
    /// Compared as it comes, in pieces that stay in the cache.
    fn compare(d: &mut DCtx<'_>, stored: &[u8], raw: &[u8]) -> std::result::Result<bool, usize> {
        let mut piece = vec![0u8; 128 << 10];
        let mut input = InBuffer::around(stored);
        let mut at = 0;
        loop {
            let mut output = OutBuffer::around(piece.as_mut_slice());
            let hint = d.decompress_stream(&mut output, &mut input)?;
            let got = output.as_slice();
            if raw.get(at..at + got.len()) != Some(got) {
                return Ok(false);
            }
            at += got.len();
            if hint == 0 {
                return Ok(at == raw.len() && input.pos() == stored.len());
            }
            if got.is_empty() && input.pos() == stored.len() {
                return Ok(false);
            }
        }
    }
    match base {
        None => with_decoder(|d| {
            d.reset(ResetDirective::SessionAndParameters).and_then(|_| compare(d, stored, raw))
        }),
        Some(base) => {
            let mut d = DCtx::create();
            d.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
                .and_then(|_| d.ref_prefix(base))
                .and_then(|_| compare(&mut d, stored, raw))
        }
    }
    .unwrap_or(false)
}

/// Undoes a part and checks both of its digests and its length.
pub fn open_part(
    stored: &[u8],
    stored_digest: Digest,
    base: Option<&[u8]>,
    raw_len: u64,
    digest: Digest,
    cipher: &Cipher,
) -> Result<Vec<u8>> {
    let raw = open_stored(stored, stored_digest, base, raw_len, cipher)?;
    check_raw(&raw, digest, cipher)?;
    Ok(raw)
}

/// Compares the digest of uncompressed bytes.
pub fn check_raw(raw: &[u8], digest: Digest, cipher: &Cipher) -> Result<()> {
    let seen = cipher.digest(raw);
    match seen == digest {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Damaged,
            format!("its uncompressed bytes have the SHA-256 {seen}, {digest} is promised"),
        )),
    }
}

/// Undoes a part whose stored bytes have the promised digest, and checks its length and the frame's
/// own checksum. For what was compared with its uncompressed bytes when it was stored, and is only
/// the reference of a delta, which is undone and compared before it leaves.
pub fn open_stored(
    stored: &[u8],
    stored_digest: Digest,
    base: Option<&[u8]>,
    raw_len: u64,
    cipher: &Cipher,
) -> Result<Vec<u8>> {
    let seen = Digest::of(stored);
    if seen != stored_digest {
        return Err(Error::new(
            Kind::Damaged,
            format!("its stored bytes have the SHA-256 {seen}, {stored_digest} is promised"),
        ));
    }
    decompress(&cipher.open(stored)?, base, raw_len)
}

/// Compresses bytes of no great size (lists) at a level that suits text written once.
pub fn compress_document(raw: &[u8]) -> Result<Vec<u8>> {
    compress(raw, 3)
}

/// Undoes `compress_document`, up to `limit` bytes.
pub fn decompress_document(stored: &[u8], limit: u64) -> Result<Vec<u8>> {
    match zstd::zstd_safe::get_frame_content_size(stored) {
        Ok(Some(size)) if size <= limit => decompress(stored, None, size),
        Ok(_) => Err(Error::new(Kind::Damaged, format!("it is larger than {limit} bytes"))),
        Err(_) => Err(Error::new(Kind::Damaged, "it is not a zstd frame")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(seed: u64, rows: usize) -> Vec<u8> {
        let mut x = seed | 1;
        let mut out = Vec::new();
        for i in 0..rows {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            out.extend_from_slice(format!("{i}\t{:x}\trow of text {}\n", x, x % 97).as_bytes());
        }
        out
    }

    #[test]
    fn a_delta_of_scattered_changes_is_small_and_undone() {
        let base = text(1, 100_000);
        let mut lines: Vec<&[u8]> = base.split_inclusive(|b| *b == b'\n').collect();
        for i in (0..lines.len()).step_by(100).rev() {
            lines.remove(i);
        }
        let raw = lines.concat();
        let plain = compress(&raw, 1).unwrap();
        let delta = compress_delta(&raw, &base, 1).unwrap().unwrap();
        assert!(delta.len() * 30 < plain.len(), "{} against {}", delta.len(), plain.len());
        assert_eq!(decompress(&delta, Some(&base), raw.len() as u64).unwrap(), raw);
        let other = text(2, 100_000);
        assert!(decompress(&delta, Some(&other), raw.len() as u64).is_err());
        assert!(decompress(&delta, None, raw.len() as u64).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_come_back(
            raw in proptest::collection::vec(any::<u8>(), 0..5000),
            base in proptest::collection::vec(any::<u8>(), 1..5000),
            flip in any::<prop::sample::Index>(),
        ) {
            let plain = compress(&raw, 1).unwrap();
            prop_assert_eq!(&decompress(&plain, None, raw.len() as u64).unwrap(), &raw);
            prop_assert!(undoes_to(&plain, None, &raw));
            let delta = compress_delta(&raw, &base, 1).unwrap().unwrap();
            prop_assert_eq!(&decompress(&delta, Some(&base), raw.len() as u64).unwrap(), &raw);
            let mut bad = plain.clone();
            let at = flip.index(bad.len());
            bad[at] ^= 0x40;
            // Either the frame says so, or the two digests do.
            let (len, open) = (raw.len() as u64, Cipher::default());
            let opened = open_part(&bad, Digest::of(&plain), None, len, Digest::of(&raw), &open);
            prop_assert!(opened.is_err());
            prop_assert!(undoes_to(&delta, Some(&base), &raw));
            prop_assert!(!undoes_to(&plain, None, &[&raw[..], b"x"].concat()));
            prop_assert!(!undoes_to(&plain[..plain.len() - 1], None, &raw));
        }
    }
}

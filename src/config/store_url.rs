//! `s3://bucket/prefix` and `file:///dir`.

use std::path::{Component, Path};

use super::StoreUrl;

impl StoreUrl {
    /// Reads a store's url. The error says what to write instead and does not repeat the url.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("s3://") {
            parse_s3(rest)
        } else if let Some(dir) = text.strip_prefix("file://") {
            parse_file(dir)
        } else {
            Err("must be `s3://bucket/prefix` or `file:///absolute/folder`".to_owned())
        }
    }

    /// Whether this is `other` or lies inside it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::S3 { bucket: a, prefix: x }, Self::S3 { bucket: b, prefix: y }) => {
                a == b
                    && x.strip_prefix(y.as_str()).is_some_and(|tail| {
                        tail.is_empty() || y.is_empty() || tail.starts_with('/')
                    })
            }
            (Self::File { dir: x }, Self::File { dir: y }) => x.starts_with(y),
            _ => false,
        }
    }
}

/// The rules for names of general purpose buckets (Amazon S3 User Guide, "Bucket naming rules").
fn parse_s3(rest: &str) -> Result<StoreUrl, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = bucket.as_bytes();
    if bytes.is_empty() {
        return Err("names no bucket; write `s3://bucket/prefix`".to_owned());
    }
    if bytes.len() < 3
        || bytes.len() > 63
        || !edge(bytes.first())
        || !edge(bytes.last())
        || !bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
    {
        return Err(
            "the bucket must have 3 to 63 lower-case letters, digits, `-` and `.`, with a \
                    letter or digit at both ends"
                .to_owned(),
        );
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let clean = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!-_.*'()=+@,:".contains(&b))
    };
    if rest.ends_with("//") || !prefix.is_empty() && !prefix.split('/').all(clean) {
        return Err(
            "the prefix must be names with single `/` between them, of letters, digits and \
                    `-_.=+@,:!*'()`"
                .to_owned(),
        );
    }
    Ok(StoreUrl::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn parse_file(dir: &str) -> Result<StoreUrl, String> {
    if !dir.starts_with('/') {
        return Err("the folder must be absolute: three slashes, `file:///var/lib/drctl`, since \
                    cron does not run where you do"
            .to_owned());
    }
    let path = Path::new(dir);
    if path.components().any(|c| c == Component::ParentDir) {
        return Err("the folder must not hold `..`".to_owned());
    }
    // Collected anew, so that `//` and a slash at the end do not make two folders of one.
    let dir: std::path::PathBuf = path.components().collect();
    if dir.parent().is_none() {
        return Err("the folder must not be `/` itself".to_owned());
    }
    Ok(StoreUrl::File { dir })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_alike() {
        for (text, shown) in [
            ("s3://petforce-dr/dr", "s3://petforce-dr/dr"),
            ("s3://petforce-dr/a/b/", "s3://petforce-dr/a/b"),
            ("s3://petforce-dr", "s3://petforce-dr"),
            ("file:///var//lib/drctl/", "file:///var/lib/drctl"),
        ] {
            assert_eq!(StoreUrl::parse(text).map(|u| u.to_string()), Ok(shown.to_owned()));
        }
        for bad in [
            "",
            "s3:/x",
            "s3://",
            "s3:///x",
            "s3://ab",
            "s3://Bucket/x",
            "s3://-bucket",
            "s3://bucket/a//b",
            "s3://bucket/../x",
            "s3://bucket//",
            "s3://user:pw@bucket/x",
            "s3://bucket/x?y",
            "https://bucket.s3.amazonaws.com",
            "file://relative",
            "file:///",
            "file:///a/../b",
            "/var/lib",
        ] {
            assert!(StoreUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_store_inside_another_is_noticed() {
        let within = |a, b| StoreUrl::parse(a).unwrap().is_within(&StoreUrl::parse(b).unwrap());
        assert!(within("s3://bucket/dr", "s3://bucket/dr/"));
        assert!(within("s3://bucket/dr/x", "s3://bucket/dr"));
        assert!(within("s3://bucket/dr", "s3://bucket"));
        assert!(within("file:///a/b", "file:///a"));
        assert!(!within("s3://bucket/dr2", "s3://bucket/dr"));
        assert!(!within("s3://bucket/dr", "s3://bucket/dr/x"));
        assert!(!within("s3://bucket2/dr", "s3://bucket/dr"));
        assert!(!within("file:///ab", "file:///a"));
    }
}

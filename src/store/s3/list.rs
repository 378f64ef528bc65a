//! Listing a bucket, page by page.

use futures_util::stream::{self, Stream, TryStreamExt};

use super::asking::ATTEMPT;
use super::failure::Act;
use super::{S3Store, etag, time};
use crate::store::port::{Class, Listed, Result, StoreError};

impl S3Store {
    /// The objects below `prefix` whose keys come after `after`, in key order.
    pub(super) fn listed(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> impl Stream<Item = Result<Listed>> + '_ {
        let pages = self.pages(prefix, after);
        pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
    }

    fn pages(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> impl Stream<Item = Result<Vec<Listed>>> + '_ {
        let act = Act { what: format!("list {}/{prefix}", self.url), writes: false };
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.full(prefix));
        let request = request.set_start_after(after.map(|key| self.full(&key)));
        stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
            let (act, request) = (act.clone(), request.clone());
            async move {
                let Some(token) = next else { return Ok(None) };
                let request = request.set_continuation_token(token).send();
                let page = self.done(&act, ATTEMPT, request).await?;
                let listed = page.contents().iter().filter_map(|object| {
                    // A listing holds only keys with the prefix; our own are UTF-8.
                    let key = object.key()?.strip_prefix(&self.prefix)?.to_owned();
                    let size = u64::try_from(object.size().unwrap_or(0)).unwrap_or(0);
                    let etag = object.e_tag().map(|tag| etag(Some(tag)));
                    Some(Listed { key, size, last_modified: time(object.last_modified()), etag })
                });
                let listed = listed.collect();
                let next = following(&act, page.is_truncated(), page.next_continuation_token())?;
                Ok(Some((listed, next.map(Some))))
            }
        })
    }

    /// The names of the folders directly below `prefix`.
    pub(super) async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let act = Act { what: format!("list {}/{prefix}", self.url), writes: false };
        let full = self.full(prefix);
        let mut dirs = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full);
            let request = request.delimiter("/").set_continuation_token(token);
            let page = self.done(&act, ATTEMPT, request.send()).await?;
            let found = page.common_prefixes().iter().filter_map(|found| found.prefix());
            let names = found.filter_map(|dir| dir.strip_prefix(&full)?.strip_suffix('/'));
            dirs.extend(names.map(str::to_owned));
            token = following(&act, page.is_truncated(), page.next_continuation_token())?;
            if token.is_none() {
                // S3 orders them by key, where `a-b/` stands before `a/`.
                dirs.sort();
                dirs.dedup();
                return Ok(dirs);
            }
        }
    }
}

/// The next page's token. A page that says it is not the last and names no next one would cut the
/// listing short unseen.
fn following(act: &Act, truncated: Option<bool>, token: Option<&str>) -> Result<Option<String>> {
    match (truncated.unwrap_or(false), token) {
        (false, _) => Ok(None),
        (true, Some(token)) => Ok(Some(token.to_owned())),
        (true, None) => {
            let what = format!("{}: a page without an end or a next one", act.what);
            Err(StoreError::new(Class::Permanent, what))
        }
    }
}

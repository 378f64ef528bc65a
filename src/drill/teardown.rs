//! The end of a restore drill's place.

use super::account::Teardown;
use super::leftovers::clear_scratch;
use super::record::{Began, Records};
use super::rehearsal::Request;
use super::scratch::Ground;
use super::staging;
use super::work::Progress;

/// Removes everything that was made, or tells how to reach it where it is to stay.
pub async fn tear_down(
    request: &Request,
    began: Began,
    records: &Records,
    progress: &mut Progress,
) -> Teardown {
    let id = &request.id;
    if request.keep && progress.database.is_some() {
        let reach = reach(request, &began, progress);
        return Teardown::Kept { reach, remove: format!("drctl drill clear {id}") };
    }
    let stopped = match progress.server.take() {
        Some(server) => server.stop().await,
        None => Ok(Vec::new()),
    };
    let cleared = match stopped {
        Ok(mut removed) => clear_scratch(&began, records, &request.grounds).await.map(|more| {
            removed.extend(more);
            removed
        }),
        Err(e) => Err(e),
    };
    match cleared {
        Ok(removed) => Teardown::Clean { removed },
        Err(e) => Teardown::Left { what: began.scratch.place(), why: e.one_line() },
    }
}

fn reach(request: &Request, began: &Began, progress: &Progress) -> String {
    if let Some(server) = &progress.server {
        return server.reach(&staging::name(&request.id));
    }
    match (&request.ground, &progress.database) {
        (Ground::Lent { lender }, Some(info)) => request
            .grounds
            .lender(lender)
            .map_or_else(|_| began.scratch.place(), |lender| lender.reach(&request.id, info)),
        _ => began.scratch.place(),
    }
}

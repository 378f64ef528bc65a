//! Drills, put together: the stores, the place, the lease, and the report where auditors find it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;

use super::{App, LEASE, holder, random, state_folder};
use crate::config::Redaction;
use crate::drill::account::{Account, Rehearsal};
use crate::drill::{self, Choice, Grounds, REPORT, Records, Request, Sweep, history, lease_name};
use crate::error::{Error, Kind, Result};
use crate::integrity::shelf;
use crate::model::{DrillId, Level, Sink};
use crate::providers::command::Started;
use crate::report;
use crate::store::{Lease, ObjectStore};

/// What a restore drill is asked to do.
#[derive(Debug, Clone)]
pub struct RestoreDrill {
    pub database: String,
    pub choice: Choice,
    /// Only this store.
    pub store: Option<String>,
    /// A target of the configuration, an RDS instance of `[drill.rds]`, or `embedded`; none: as
    /// `[drill]` says.
    pub into: Option<String>,
    pub keep: bool,
}

/// A drill that was carried out.
pub struct Drilled {
    pub account: Account,
    /// Stores that have no report of it, and why.
    pub unreported: Vec<(String, String)>,
}

impl App {
    /// Carries a restore drill out, and puts its report into the stores. `stop` ends it early: the
    /// scratch target is removed all the same.
    pub async fn restore_drill(
        &self,
        asked: &RestoreDrill,
        sink: Arc<dyn Sink>,
        stop: impl Future<Output = Error>,
    ) -> Result<Drilled> {
        let config = self.config.database(&asked.database)?.clone();
        let ground = self.ground(asked.into.as_deref())?;
        let keys = self.keys()?;
        let stores = self.stores_named(&config, asked.store.as_deref()).await?;
        let (stores, shelf) = self.at_hand(stores, &keys, &config.name, &*sink).await?;
        let purpose = format!("rehearse the restore of {}", config.name);
        let holder = holder(purpose);
        let record_stores = self.stores_in_haste(&config, None).await?;
        let lease =
            self.drill_lease(&record_stores, Rehearsal::Restore, &config.name, &holder).await?;
        let now = Utc::now();
        let request = Request {
            id: self.next_drill(&record_stores).await?,
            project: self.config.project.clone(),
            drill: self.config.drill.clone(),
            objectives: self.config.objectives,
            shelf,
            stores,
            record_stores,
            choice: asked.choice.clone(),
            ground,
            grounds: self.grounds(),
            keep: asked.keep,
            holder,
            folder: self.drills_folder()?,
            production: drill::production(&self.config),
            applications: Some(Arc::new(Started { redaction: Redaction::of(&self.config) })),
            config,
            keys,
            now,
            random: random()?,
            sink,
        };
        let drilled = self.carried_out(&request, &lease, stop).await;
        if let Err(e) = lease.release().await {
            request.sink.notice(Level::Warning, e.one_line());
        }
        drilled
    }

    async fn carried_out(
        &self,
        request: &Request,
        lease: &Lease,
        stop: impl Future<Output = Error>,
    ) -> Result<Drilled> {
        let records = request.records();
        self.sweep(&records, &request.grounds, lease.name(), &request.holder.to_string()).await;
        let sweep = Sweep {
            project: &request.project,
            held: lease.name(),
            timeout: request.drill.timeout,
            now: request.now,
        };
        for told in drill::reclaim(&records, &request.grounds, &sweep).await {
            records.sink.notice(Level::Warning, told);
        }
        let stop = async {
            tokio::select! {
                stopped = stop => stopped,
                lost = lease.lost() => lost,
            }
        };
        let account = drill::restore(request, stop).await?;
        self.reported(account, &request.id, &records).await
    }

    /// Clears away what killed drills left. What cannot be cleared away is told, and left to the next.
    pub(super) async fn sweep(&self, records: &Records, grounds: &Grounds, held: &str, by: &str) {
        for leftover in drill::find(records, held).await {
            let id = leftover.began.id.clone();
            let what = match drill::clear(&leftover, records, grounds, by).await {
                Ok(removed) if removed.is_empty() => {
                    format!("drill {id} ended without a word and left nothing")
                }
                Ok(removed) => format!(
                    "drill {id} ended without a word; what it left was removed: {}",
                    removed.join(", ")
                ),
                Err(e) => e.with_advice(),
            };
            records.sink.notice(Level::Warning, what);
        }
    }

    /// Puts the report into every store that takes it. Until then the record of this machine stays.
    pub(super) async fn reported(
        &self,
        account: Account,
        id: &DrillId,
        records: &Records,
    ) -> Result<Drilled> {
        let files: [(&str, Bytes); 2] = [
            ("report.html", report::drill_html(&account).into()),
            ("report.md", report::drill_markdown(&account).into()),
        ];
        let sealed = history::seal_report(&account, &files, &self.keys()?)?;
        let mut unreported = BTreeMap::new();
        let put = async {
            for (name, bytes) in files {
                unreported.extend(records.put(id, name, bytes).await?);
            }
            // The one that says that it is whole goes last.
            unreported.extend(records.put(id, REPORT, sealed).await?);
            Ok::<_, Error>(())
        };
        if let Err(e) = put.await {
            // The drill was made all the same, and what came of it must be told.
            unreported.extend(records.stores.iter().map(|s| (s.name().to_owned(), e.one_line())));
        } else if !matches!(
            account.teardown,
            drill::account::Teardown::Left { .. } | drill::account::Teardown::Kept { .. }
        ) {
            records.forget(id)?;
        }
        Ok(Drilled { account, unreported: unreported.into_iter().collect() })
    }

    /// Clears away what one drill left or was to keep.
    pub async fn clear_drill(&self, text: &str, sink: Arc<dyn Sink>) -> Result<Vec<String>> {
        let stores = self.every_store().await;
        let (ids, _) = history::ids(&stores).await;
        let id = history::resolve(&ids, text)?;
        let records = Records { stores, folder: self.drills_folder()?, sink };
        let leftover = drill::record_of(&records, &id).await.ok_or_else(|| {
            Error::new(Kind::Failed, format!("the record of drill {id} is not to be had"))
        })?;
        let by = holder("clear a drill away").to_string();
        drill::clear(&leftover, &records, &self.grounds(), &by).await
    }

    /// Every store of the configuration that can be opened.
    pub async fn every_store(&self) -> Vec<Arc<dyn ObjectStore>> {
        let mut stores = Vec::new();
        for name in self.config.store_names() {
            stores.extend(self.store_in_haste(name).await.ok());
        }
        stores
    }

    pub(super) async fn drill_lease(
        &self,
        stores: &[Arc<dyn ObjectStore>],
        rehearsal: Rehearsal,
        subject: &str,
        holder: &crate::store::Holder,
    ) -> Result<Lease> {
        let name = lease_name(rehearsal.as_str(), subject);
        let mut what = format!("take the lease `{name}`: no store can be used");
        for store in stores {
            let hasty = self.store_in_haste(store.name()).await?;
            match Lease::acquire(hasty, &name, holder.clone(), LEASE).await {
                Err(e) if e.kind() == Kind::Storage => {
                    what.push_str(&format!("\n  {}: {}", store.name(), e.one_line()));
                }
                outcome => return outcome,
            }
        }
        Err(Error::new(Kind::Storage, what).hint("`drctl doctor` tests every store"))
    }

    /// An id that sorts behind every other.
    pub(super) async fn next_drill(&self, stores: &[Arc<dyn ObjectStore>]) -> Result<DrillId> {
        let (ids, _) = history::ids(stores).await;
        Ok(DrillId::after(ids.last(), Utc::now(), random()?))
    }

    pub(super) fn drills_folder(&self) -> Result<std::path::PathBuf> {
        let state = state_folder(&|name| std::env::var_os(name).map(Into::into))?;
        Ok(state.join(&self.config.project).join("drills"))
    }

    /// What there is to restore, and the stores, those that do not answer at once at the end: a
    /// restore runs against the clock, and must not wait for a region that is gone.
    pub async fn at_hand(
        &self,
        mut stores: Vec<Arc<dyn ObjectStore>>,
        keys: &crate::integrity::seal::Keys,
        database: &str,
        sink: &dyn Sink,
    ) -> Result<(Vec<Arc<dyn ObjectStore>>, shelf::Shelf)> {
        let mut hasty = Vec::with_capacity(stores.len());
        for store in &stores {
            hasty.push(self.store_in_haste(store.name()).await?);
        }
        let shelf = match shelf::shelf(&hasty, keys, database).await {
            // There is nowhere else to go, so waiting is all that is left.
            Err(e) if e.kind() == Kind::Storage => shelf::shelf(&stores, keys, database).await?,
            looked => looked?,
        };
        // A region that is gone must not hold up the restore from the other: it is asked last, and
        // soon given up.
        let away = |name: &str| shelf.unreachable.iter().any(|(store, _)| store == name);
        stores.retain(|store| !away(store.name()));
        stores.extend(hasty.into_iter().filter(|store| away(store.name())));
        for (store, why) in &shelf.unreachable {
            let what = format!(
                "store `{store}` does not answer, so it is asked last, and whether it has newer \
                 snapshots is unknown: {why}"
            );
            sink.notice(Level::Warning, what);
        }
        Ok((stores, shelf))
    }
}

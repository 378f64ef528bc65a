//! What `drctl doctor` tells of the servers that drills have made: whether one could be made, and
//! which of them are there now and paid for. It makes nothing and deletes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::lent::{Lender, Wish};
use super::scratch::Grounds;
use crate::config::Secret;
use crate::model::DrillId;
use crate::snapshot::readiness::{Finding, Notes};

/// Who asks, and when.
pub struct Inquiry<'i> {
    pub project: &'i str,
    /// How long any one step may take.
    pub limit: Duration,
    /// How long a drill may take.
    pub timeout: Duration,
    pub now: DateTime<Utc>,
    pub random: u32,
}

/// Looks at every `[drill.rds.NAME]`. A snapshot needs none of them, so nothing here is critical.
pub async fn check(grounds: &Grounds, inquiry: &Inquiry<'_>) -> Vec<Finding> {
    let looks = grounds.lenders.iter().map(async |(name, lender)| {
        let mut notes = Notes::aside(format!("drill.rds.{name}"), inquiry.limit);
        could_be_made(&**lender, inquiry, &mut notes).await;
        there_now(&**lender, inquiry, &mut notes).await;
        notes.into_findings()
    });
    join_all(looks).await.into_iter().flatten().collect()
}

async fn could_be_made(lender: &dyn Lender, inquiry: &Inquiry<'_>, notes: &mut Notes) {
    let region = lender.region();
    let wish = Wish {
        drill: DrillId::new(inquiry.now, inquiry.random),
        project: inquiry.project.to_owned(),
        subject: String::new(),
        began: inquiry.now,
        keep: false,
        // Which snapshot a drill will choose is not known yet, and any version restores an older one.
        major: 0,
        raw_bytes: 0,
        password: Secret::new(""),
    };
    if let Some(major) = notes.within(&format!("ask RDS in {region}"), lender.judge(&wish)).await {
        notes.ok(format!("an instance of PostgreSQL {major} is described for {region}"));
    }
}

async fn there_now(lender: &dyn Lender, inquiry: &Inquiry<'_>, notes: &mut Notes) {
    let what = format!("look for instances of drills in {}", lender.region());
    let Some(loans) = notes.within(&what, lender.loans(inquiry.project)).await else { return };
    if loans.is_empty() {
        notes.ok(format!("no drill has an instance in {}", lender.region()));
    }
    for loan in loans.iter().filter(|loan| !loan.going) {
        let age = loan.began.and_then(|began| (inquiry.now - began).to_std().ok());
        let old = age.map(|age| Duration::from_secs(age.as_secs() / 60 * 60));
        let since = match old {
            Some(age) => format!("for {}", humantime::format_duration(age)),
            None => "since an unknown time".to_owned(),
        };
        let said = format!("{} is there and paid for, {since}", loan.what);
        match age {
            _ if loan.keep => notes.warning(
                format!("{said}: its drill was told to keep it"),
                format!("`drctl drill clear {}` removes it", loan.drill),
            ),
            Some(age) if age <= inquiry.timeout => {
                notes.ok(format!("{said}: its drill may be under way"));
            }
            _ => notes.warning(
                format!("{said}: no drill takes so long"),
                "the next restore drill removes what killed ones left; or delete it by hand",
            ),
        }
    }
}

//! Rows out and in: `COPY` statements and their streams.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};

use super::{Session, error, quote};
use crate::error::Result;
use crate::model::{RowFormat, TableName};

/// Which rows of one table, and how. Never descends to children: each leaf is read by itself.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    pub table: &'a TableName,
    pub columns: &'a [String],
    /// Heap blocks `[from, to)`; none: all rows.
    pub blocks: Option<(u64, u64)>,
    /// A whole `WHERE …` clause (an extension's configuration table); excludes `blocks`.
    pub condition: Option<&'a str>,
    pub format: RowFormat,
}

/// The largest block number (`MaxBlockNumber`); a TID names no later one.
const LAST_BLOCK: u64 = 0xFFFF_FFFE;

/// `WHERE ctid …` for a range of heap blocks. A range that ends past the last block that can be is
/// open.
pub fn block_range(from: u64, to: u64) -> String {
    match to > LAST_BLOCK {
        true => format!("WHERE ctid >= '({from},0)'"),
        false => format!("WHERE ctid >= '({from},0)' AND ctid < '({to},0)'"),
    }
}

fn options(format: RowFormat) -> &'static str {
    match format {
        RowFormat::Text => "",
        RowFormat::Binary => " (FORMAT binary)",
    }
}

impl Selection<'_> {
    /// The statement that reads it. TID conditions are answered by a TID range scan (PostgreSQL 14
    /// release notes), in heap order.
    pub fn copy_out(&self) -> String {
        let clause = match (self.condition, self.blocks) {
            (Some(condition), _) => condition.to_owned(),
            (None, Some((from, to))) => block_range(from, to),
            (None, None) => String::new(),
        };
        format!(
            "COPY (SELECT {} FROM ONLY {} {clause}) TO STDOUT{}",
            quote::columns(self.columns),
            quote::table(self.table),
            options(self.format)
        )
    }

    /// The statement that loads such rows into `into`. `freeze`: as rows that every transaction sees,
    /// which need no second visit; PostgreSQL takes that only where this very transaction made or
    /// truncated the table.
    pub fn copy_in(&self, into: &TableName, freeze: bool) -> String {
        let list = match self.columns {
            // Without a list, COPY takes the columns that are not generated: here, none.
            [] => String::new(),
            columns => format!(" ({})", quote::columns(columns)),
        };
        let options = match (self.format, freeze) {
            (RowFormat::Text, false) => "",
            (RowFormat::Text, true) => " (FREEZE)",
            (RowFormat::Binary, false) => " (FORMAT binary)",
            (RowFormat::Binary, true) => " (FORMAT binary, FREEZE)",
        };
        format!("COPY {}{list} FROM STDIN{options}", quote::table(into))
    }
}

/// The bytes of a `COPY … TO STDOUT` as they arrive, cut at no particular place.
pub struct CopyOut {
    stream: Pin<Box<tokio_postgres::CopyOutStream>>,
    /// What is read, for errors.
    what: String,
}

impl CopyOut {
    /// The next bytes, or `None` when the server said that all was sent.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.stream
            .next()
            .await
            .transpose()
            .map_err(|e| error::failed(format!("read {}", self.what), &e))
    }
}

/// A `COPY … FROM STDIN` under way.
pub struct CopyIn {
    sink: Pin<Box<tokio_postgres::CopyInSink<Bytes>>>,
    what: String,
}

/// Bytes per message: the server buffers a message whole before it parses it.
const MESSAGE: usize = 128 << 10;

impl CopyIn {
    /// Sends bytes; they need not end with a row.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let some = bytes.split_to(MESSAGE.min(bytes.len()));
            self.sink
                .feed(some)
                .await
                .map_err(|e| error::failed(format!("load {}", self.what), &e))?;
        }
        Ok(())
    }

    /// Ends the copy; gives the number of rows that the server took.
    pub async fn finish(mut self) -> Result<u64> {
        self.sink
            .as_mut()
            .finish()
            .await
            .map_err(|e| error::failed(format!("load {}", self.what), &e))
    }
}

impl Session {
    /// Starts a `COPY … TO STDOUT`. `what` names it in errors.
    pub async fn copy_out(&self, sql: &str, what: &str) -> Result<CopyOut> {
        let stream = self
            .client()
            .copy_out(sql)
            .await
            .map_err(|e| error::failed(format!("read {what}"), &e))?;
        Ok(CopyOut { stream: Box::pin(stream), what: what.to_owned() })
    }

    /// Starts a `COPY … FROM STDIN`. `what` names it in errors. Dropped unfinished, it is undone.
    pub async fn copy_in(&self, sql: &str, what: &str) -> Result<CopyIn> {
        let sink = self
            .client()
            .copy_in(sql)
            .await
            .map_err(|e| error::failed(format!("load {what}"), &e))?;
        Ok(CopyIn { sink: Box::pin(sink), what: what.to_owned() })
    }
}

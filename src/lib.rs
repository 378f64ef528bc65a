//! drctl: disaster recovery for services that keep their data in PostgreSQL and run in two regions.
//!
//! A module imports only modules above it in this list; `tests/it/architecture.rs` holds that.

pub mod model;

pub mod error;

pub mod config;

pub mod store;

pub mod postgres;

pub mod integrity;

pub mod snapshot;

pub mod restore;

pub mod drill;

pub mod providers;

pub mod runbook;

pub mod schedule;

pub mod report;

pub mod web;

pub mod app;

pub mod cli;

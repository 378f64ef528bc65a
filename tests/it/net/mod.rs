//! The actions that meet clients and people, against real servers.

mod alerts;
mod command;
mod dns;
mod email;
mod http;
mod human;
mod lab_servers;
mod notify;
mod scene;

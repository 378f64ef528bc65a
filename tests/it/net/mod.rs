//! The actions that meet clients and people, against real servers.

mod command;
mod dns;
mod email;
mod http;
mod human;
mod lab_servers;
mod notify;
mod scene;

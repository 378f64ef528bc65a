//! End-to-end tests against real servers, in one binary.

mod postgres_connect;

//! The phases of a restore, named and measured, and what one that ends early leaves behind.

use std::sync::Arc;
use std::time::Instant;

use super::request::RestoreRequest;
use crate::model::{Event, Level, Sink};

/// Names each phase and measures it.
pub struct Phases<'a> {
    request: &'a RestoreRequest,
    began: Option<(String, Instant)>,
    /// Each with its seconds.
    pub done: Vec<(String, f64)>,
}

impl<'a> Phases<'a> {
    pub fn new(request: &'a RestoreRequest) -> Self {
        Self { request, began: None, done: Vec::new() }
    }

    pub fn begin(&mut self, name: &str) {
        self.end();
        self.request.sink.emit(Event::Phase { name: name.to_owned() });
        self.began = Some((name.to_owned(), Instant::now()));
    }

    pub fn end(&mut self) {
        if let Some((name, at)) = self.began.take() {
            self.done.push((name, at.elapsed().as_secs_f64()));
        }
    }
}

/// Tells what is left behind by a restore that fails or is stopped.
pub struct Unfinished<'a> {
    pub sink: &'a Arc<dyn Sink>,
    pub remains: Option<String>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(remains) = self.remains.take() {
            self.sink.notice(Level::Warning, remains);
        }
    }
}

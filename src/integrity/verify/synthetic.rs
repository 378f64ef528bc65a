//! (made below)

//! The transaction coordinator.

pub mod request;

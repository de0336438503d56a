//! The transaction coordinator.

pub mod records;
pub mod request;

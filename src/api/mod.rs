//! THE TABLE of Kafka APIs, one file per API.

pub mod errors;
pub mod fetch_reply;
pub mod rope;

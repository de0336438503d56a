//! THE TABLE of Kafka APIs, one file per API.

pub mod errors;

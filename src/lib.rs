//! Ottla: a message broker that speaks Apache Kafka's binary protocol.

pub mod api;
pub mod broker;
pub mod catalog;
pub mod config;
pub mod connection;
pub mod log;
pub mod partition;
pub mod server;
pub mod time;
pub mod wire;

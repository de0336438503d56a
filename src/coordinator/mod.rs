//! The coordinators: replicated state machines over internal topics, whose records are Kafka's, byte for byte.

pub mod group;

//! Settings, each declared once; what a declaration is says `registry.rs`.

pub mod broker;
pub mod describe;
mod inert;
pub mod listeners;
pub mod properties;
pub mod registry;
pub mod topic;

pub use broker::BrokerConfig;
pub use describe::{Described, Source, describe_broker, describe_topic};
pub use listeners::Listener;
pub use registry::Invalid;
pub use topic::TopicConfig;

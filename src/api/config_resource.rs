//! What has settings, as DescribeConfigs and the two AlterConfigs call it (`ConfigResource`), and what is the same in all
//! three: who may, which broker is meant, how a refusal and the source of a value look.

use super::context::{Ctx, Operation, Resource, authorize};
use super::errors::ErrorCode;
use crate::catalog::TopicError;
use crate::config::Source;
use kafka_protocol::protocol::StrBytes;

/// The kinds of things that have settings (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

/// Why a resource is not described or altered, with the text that the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into() }
    }

    /// INVALID_REQUEST, which is what Kafka answers to most of what cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Refusal::new(ErrorCode::InvalidRequest, message)
    }

    pub fn text(&self) -> Option<StrBytes> {
        Some(StrBytes::from_string(self.message.clone()))
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Refusal::new(ErrorCode::from(&error), error.to_string())
    }
}

impl Kind {
    /// The kind with this number.
    pub fn of(resource_type: i8) -> Option<Kind> {
        match resource_type {
            2 => Some(Kind::Topic),
            4 => Some(Kind::Broker),
            8 => Some(Kind::BrokerLogger),
            16 => Some(Kind::ClientMetrics),
            32 => Some(Kind::Group),
            _ => None,
        }
    }

    /// Its number.
    pub fn number(self) -> i8 {
        match self {
            Kind::Topic => 2,
            Kind::Broker => 4,
            Kind::BrokerLogger => 8,
            Kind::ClientMetrics => 16,
            Kind::Group => 32,
        }
    }

    /// Whether the client may do it to this resource.
    pub fn authorize(self, ctx: &Ctx, operation: Operation, name: &str) -> Result<(), Refusal> {
        let (resource, code) = match self {
            Kind::Topic => (Resource::Topic(name), ErrorCode::TopicAuthorizationFailed),
            Kind::Group => (Resource::Group(name), ErrorCode::GroupAuthorizationFailed),
            Kind::Broker | Kind::BrokerLogger | Kind::ClientMetrics => {
                (Resource::Cluster, ErrorCode::ClusterAuthorizationFailed)
            }
        };
        match authorize(ctx, operation, resource) {
            true => Ok(()),
            false => Err(Refusal::new(code, "Not authorized to access this resource's settings.")),
        }
    }
}

/// `DescribeConfigsResponse.ConfigSource`.
pub(super) fn source_number(source: Source) -> i8 {
    match source {
        Source::DynamicTopic => 1,
        Source::DynamicBroker => 2,
        Source::StaticBroker => 4,
        Source::Default => 5,
        Source::DynamicGroup => 8,
    }
}

/// A resource that names a broker has to name this one. `or` says what else could have been named.
pub(super) fn check_node_id(name: &str, node_id: i32, or: &str) -> Result<(), Refusal> {
    match name.parse::<i32>() {
        Ok(id) if id == node_id => Ok(()),
        Ok(_) => Err(Refusal::invalid(format!("Unexpected broker id: expected {node_id}{or}, not {name}"))),
        Err(_) => Err(Refusal::invalid(format!("A broker id is an integer, which '{name}' is not"))),
    }
}

//! IncrementalAlterConfigs 0-1 (key 44): changes single settings of topics (KIP-339) and
//! groups (KIP-848).
//!
//! A setting is set, deleted (back to what it inherits), or, if it is a list, gets elements appended or subtracted; a
//! list that the topic does not have yet starts from what it inherits. Everything else is as in `alter_configs.rs`,
//! the gaps too. An operation that does not exist is UNKNOWN_SERVER_ERROR, as with Kafka.
//!
//! Versions: 1 flexible. (`ConfigAdminManager`, `ConfigurationControlManager`.)

use super::alter_configs::{Alteration, Change, alter, check_entries};
use super::config_resource::Refusal;
use super::context::{Ctx, throttle};
use super::errors::ErrorCode;
use crate::catalog::ConfigChange;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use std::sync::Arc;

/// `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) async fn handle(ctx: Arc<Ctx>, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let alterations = request.resources.into_iter().map(alteration).collect();
    let altered = alter(&ctx, alterations, request.validate_only).await;
    let responses = altered.into_iter().map(|one| {
        AlterConfigsResourceResponse::default()
            .with_error_code(one.error_code())
            .with_error_message(one.error_message())
            .with_resource_type(one.resource_type)
            .with_resource_name(one.name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect()).with_throttle_time_ms(throttle(&ctx))
}

fn alteration(resource: AlterConfigsResource) -> Alteration {
    // A deletion needs no value.
    let value = |config: &AlterableConfig| config.value.is_some() || config.config_operation == DELETE;
    let entries = resource.configs.iter().map(|config| (&*config.name, value(config).then_some("")));
    let change = check_entries(entries).and_then(|()| resource.configs.iter().map(change).collect());
    Alteration { resource_type: resource.resource_type, name: resource.resource_name, change: change.map(Change::Some) }
}

fn change(config: &AlterableConfig) -> Result<(String, ConfigChange), Refusal> {
    let value = config.value.as_deref().unwrap_or_default().to_owned();
    let change = match config.config_operation {
        SET => ConfigChange::Set(value),
        DELETE => ConfigChange::Delete,
        APPEND => ConfigChange::Append(value),
        SUBTRACT => ConfigChange::Subtract(value),
        other => return Err(Refusal::new(ErrorCode::UnknownServerError, format!("Unknown operation {other}"))),
    };
    Ok((config.name.to_string(), change))
}

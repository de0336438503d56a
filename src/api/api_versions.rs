//! ApiVersions 0-4 (key 18): which APIs and versions there are.
//!
//! From version 3 the client names its software (KIP-511); a name or version outside Kafka's pattern is
//! INVALID_REQUEST. A version that we do not speak is answered in version 0 with UNSUPPORTED_VERSION and the range of
//! ApiVersions alone, so that the client can ask again; the table calls [`unsupported`] for that. Up to version 3
//! supported features with minimum 0 are left out (KAFKA-17011: older Java clients cannot parse them), and a
//! finalized level of 0 is never listed. Needs no authorization.
//!
//! `group.version` is 1: the consumer protocol (KIP-848). `transaction.version` is 2: a write adds its partition to a
//! transaction, and each transaction has an epoch of its own (KIP-890). Gaps: no other feature is supported yet. The client's
//! software is checked, not kept.

use super::context::{Ctx, throttle};
use super::errors::ErrorCode;
use super::{ApiRow, TABLE};
use crate::broker::FinalizedFeatures;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// Name, lowest and highest level of each feature that this broker could run at (KIP-584).
const SUPPORTED: &[(&str, i16, i16)] = &[("group.version", 0, 1), ("transaction.version", 0, 2)];

/// The first version whose readers can parse a feature with minimum 0.
const FIRST_WITH_LEVEL_ZERO: i16 = 4;

pub(super) async fn handle(ctx: Arc<Ctx>, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let named = ctx.version >= 3;
    if named && !(is_valid(&request.client_software_name) && is_valid(&request.client_software_version)) {
        return ApiVersionsResponse::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_throttle_time_ms(throttle(&ctx));
    }
    response(ctx.version, SUPPORTED, &ctx.broker.finalized_features()).with_throttle_time_ms(throttle(&ctx))
}

/// The answer to a version that we do not speak; to be written in version 0.
pub(super) fn unsupported() -> ApiVersionsResponse {
    let own = TABLE.iter().filter(|row| row.key == kafka_protocol::messages::ApiKey::ApiVersions as i16);
    ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(own.map(range).collect())
}

fn response(
    version: i16,
    supported: &[(&'static str, i16, i16)],
    finalized: &FinalizedFeatures,
) -> ApiVersionsResponse {
    let supported = supported.iter().filter(|(_, min, _)| *min > 0 || version >= FIRST_WITH_LEVEL_ZERO);
    let supported = supported.map(|&(name, min, max)| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(name))
            .with_min_version(min)
            .with_max_version(max)
    });
    let levels = finalized.levels.iter().filter(|(_, level)| *level != 0).map(|&(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_static_str(name))
            .with_min_version_level(level)
            .with_max_version_level(level)
    });
    ApiVersionsResponse::default()
        .with_api_keys(TABLE.iter().map(range).collect())
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(finalized.epoch)
        .with_finalized_features(levels.collect())
}

fn range(row: &ApiRow) -> ApiVersion {
    ApiVersion::default().with_api_key(row.key).with_min_version(row.advertised_min()).with_max_version(row.max)
}

/// Letters, digits, `-` and `.`, with a letter or digit at either end (`ApiVersionsRequest`).
fn is_valid(text: &str) -> bool {
    let text = text.as_bytes();
    let ends = [text.first(), text.last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && text.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_follow_kafkas_pattern() {
        for good in ["a", "apache-kafka-java", "3.9.0", "librdkafka", "2.15.0-RC1", "a--b"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "-", "-a", "a-", ".a", "a.", "a b", "a_b", "é", "a\n"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_is_finalized_is_supported() {
        for (name, level) in crate::broker::Broker::in_memory(&[]).finalized_features().levels {
            let found = SUPPORTED.iter().find(|(supported, ..)| *supported == name);
            assert!(found.is_some_and(|(_, min, max)| (*min..=*max).contains(&level)), "{name} {level}");
        }
    }

    #[test]
    fn features_that_old_clients_cannot_parse_are_left_out() {
        let supported = [("group.version", 0, 1), ("metadata.version", 7, 25)];
        let finalized = FinalizedFeatures { epoch: 9, levels: vec![("metadata.version", 25), ("share.version", 0)] };
        let names = |version| {
            let response = response(version, &supported, &finalized);
            assert_eq!(response.finalized_features_epoch, 9);
            let levels = response.finalized_features.iter().map(|f| (f.name.to_string(), f.max_version_level));
            let levels: Vec<_> = levels.collect();
            assert_eq!(levels, [("metadata.version".to_owned(), 25)]);
            response.supported_features.iter().map(|feature| feature.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(3), ["metadata.version"]);
        assert_eq!(names(4), ["group.version", "metadata.version"]);
    }
}

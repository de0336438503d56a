use crate::api::Api;
use crate::api::errors::ErrorCode;
use crate::api::testing::ask;
use crate::broker::Broker;
use crate::catalog::CONSUMER_OFFSETS;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from(text.to_owned())
}

/// What a member is told that speaks a protocol of this name, in a group that is new.
async fn joined(version: i16, member_id: &str, protocol: &str) -> JoinGroupResponse {
    let broker = Broker::in_memory(&[("group.initial.rebalance.delay.ms", "0")]);
    broker.create_on_first_use(&[CONSUMER_OFFSETS.to_owned()]).unwrap().remove(0).unwrap();
    let api = Api::new(broker);
    let request = JoinGroupRequest::default()
        .with_group_id(text("g").into())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(if version == 0 { -1 } else { 10_000 })
        .with_member_id(text(member_id))
        // A static member is let in at once.
        .with_group_instance_id((version >= 5 && member_id.is_empty()).then(|| text("i")))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![JoinGroupRequestProtocol::default().with_name(text(protocol))]);
    ask(&api, version, &request).await
}

#[tokio::test]
async fn no_protocol_is_empty_before_version_7_and_null_since() {
    for version in 0..=9 {
        let none = (version < 7).then(|| text(""));
        let refused = joined(version, "nobody", "range").await;
        assert_eq!((refused.error_code, refused.generation_id), (ErrorCode::UnknownMemberId.code(), -1));
        assert_eq!(refused.protocol_name, none, "version {version}");
    }
}

#[tokio::test]
async fn a_protocol_without_a_name_is_told_like_none() {
    for (version, name, told) in
        [(6, "", Some("")), (6, "range", Some("range")), (7, "", None), (9, "range", Some("range"))]
    {
        let joined = joined(version, "", name).await;
        assert_eq!((joined.error_code, joined.protocol_name), (0, told.map(text)), "version {version}");
    }
}

//! The layout of every request that the broker takes, for the [guard](super): field after field in the order of the
//! wire, with the versions that have it. Kafka's message definitions (`clients/.../common/message/*Request.json`)
//! say the same in more words. Left out: whether a field may be null, since null only means nothing to walk.

/// One request.
pub struct Api {
    /// Its number.
    pub key: i16,
    /// The first version.
    pub lowest: i16,
    /// The last version that the message decoder knows.
    pub highest: i16,
    /// From this version on lengths are compact and structs end in tagged fields (KIP-482).
    pub flexible_since: i16,
    /// Its body.
    pub fields: &'static [Field],
}

/// One field of a struct.
#[derive(Clone, Copy)]
pub struct Field {
    /// For error texts.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The first version that has it.
    pub since: i16,
    /// The last version that has it.
    pub until: i16,
    /// Its number, if it is a tagged field.
    pub tag: Option<u32>,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string; its length is an int16 or compact.
    Text,
    /// Bytes or records; their length is an int32 or compact.
    Blob,
    /// An array of something that is no struct.
    Values(&'static Kind),
    /// An array of structs.
    Structs(&'static [Field]),
    /// A struct.
    Struct(&'static [Field]),
    /// A struct behind a byte that says whether it is there.
    NullableStruct(&'static [Field]),
}

impl Field {
    /// Whether this version has the field.
    pub fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }

    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, since: 0, until: i16::MAX, tag: None }
    }

    const fn since(self, since: i16) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: i16) -> Self {
        Self { until, ..self }
    }

    const fn tagged(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }
}

/// The request with this key, if the table has this version of it.
pub fn find(key: i16, version: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key && (api.lowest..=api.highest).contains(&version))
}

const fn boolean(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(1))
}

const fn int8(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(1))
}

const fn int16(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(2))
}

const fn int32(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(4))
}

const fn int64(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(8))
}

const fn uuid(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(16))
}

const fn text(name: &'static str) -> Field {
    Field::new(name, Kind::Text)
}

const fn blob(name: &'static str) -> Field {
    Field::new(name, Kind::Blob)
}

const fn int8s(name: &'static str) -> Field {
    Field::new(name, Kind::Values(&Kind::Fixed(1)))
}

const fn int32s(name: &'static str) -> Field {
    Field::new(name, Kind::Values(&Kind::Fixed(4)))
}

const fn int64s(name: &'static str) -> Field {
    Field::new(name, Kind::Values(&Kind::Fixed(8)))
}

const fn texts(name: &'static str) -> Field {
    Field::new(name, Kind::Values(&Kind::Text))
}

const fn structs(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Kind::Structs(fields))
}

const fn api(key: i16, lowest: i16, highest: i16, flexible_since: i16, fields: &'static [Field]) -> Api {
    Api { key, lowest, highest, flexible_since, fields }
}

/// The header of a request, but for the tagged fields that version 2 has: its text is never compact.
pub const REQUEST_HEADER: &[Field] =
    &[int16("api_key"), int16("api_version"), int32("correlation_id"), text("client_id")];

/// No version is flexible.
const NEVER: i16 = i16::MAX;

/// API key, lowest and highest version, first flexible version, fields.
pub const APIS: &[Api] = &[
    api(0, 3, 13, 9, PRODUCE),
    api(1, 4, 18, 12, FETCH),
    api(2, 1, 10, 6, LIST_OFFSETS),
    api(3, 0, 13, 9, METADATA),
    api(8, 2, 10, 8, OFFSET_COMMIT),
    api(9, 1, 10, 6, OFFSET_FETCH),
    api(10, 0, 6, 3, FIND_COORDINATOR),
    api(11, 0, 9, 6, JOIN_GROUP),
    api(12, 0, 4, 4, HEARTBEAT),
    api(13, 0, 5, 4, LEAVE_GROUP),
    api(14, 0, 5, 4, SYNC_GROUP),
    api(15, 0, 6, 5, DESCRIBE_GROUPS),
    api(16, 0, 5, 3, LIST_GROUPS),
    api(18, 0, 4, 3, API_VERSIONS),
    api(19, 2, 7, 5, CREATE_TOPICS),
    api(20, 1, 6, 4, DELETE_TOPICS),
    api(22, 0, 5, 2, INIT_PRODUCER_ID),
    api(23, 2, 4, 4, OFFSET_FOR_LEADER_EPOCH),
    api(24, 0, 5, 3, ADD_PARTITIONS_TO_TXN),
    api(25, 0, 4, 3, ADD_OFFSETS_TO_TXN),
    api(26, 0, 5, 3, END_TXN),
    api(27, 1, 1, 1, WRITE_TXN_MARKERS),
    api(28, 0, 5, 3, TXN_OFFSET_COMMIT),
    api(32, 1, 4, 4, DESCRIBE_CONFIGS),
    api(33, 0, 2, 2, ALTER_CONFIGS),
    api(37, 0, 3, 2, CREATE_PARTITIONS),
    api(42, 0, 2, 2, DELETE_GROUPS),
    api(44, 0, 1, 1, INCREMENTAL_ALTER_CONFIGS),
    api(47, 0, 0, NEVER, OFFSET_DELETE),
    api(60, 0, 2, 0, DESCRIBE_CLUSTER),
    api(61, 0, 0, 0, DESCRIBE_PRODUCERS),
    api(65, 0, 0, 0, DESCRIBE_TRANSACTIONS),
    api(66, 0, 2, 0, LIST_TRANSACTIONS),
    api(68, 0, 1, 0, CONSUMER_GROUP_HEARTBEAT),
    api(69, 0, 1, 0, CONSUMER_GROUP_DESCRIBE),
    api(74, 0, 1, 0, LIST_CONFIG_RESOURCES),
    api(75, 0, 0, 0, DESCRIBE_TOPIC_PARTITIONS),
];

const PRODUCE: &[Field] = &[
    text("transactional_id"),
    int16("acks"),
    int32("timeout_ms"),
    structs(
        "topic_data",
        &[
            text("name").until(12),
            uuid("topic_id").since(13),
            structs("partition_data", &[int32("index"), blob("records")]),
        ],
    ),
];

const PARTITIONS_BY_TOPIC: &[Field] = &[text("name"), int32s("partitions")];

const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    structs(
        "transactions",
        &[
            text("transactional_id"),
            int64("producer_id"),
            int16("producer_epoch"),
            boolean("verify_only"),
            structs("topics", PARTITIONS_BY_TOPIC),
        ],
    )
    .since(4),
    text("v3_and_below_transactional_id").until(3),
    int64("v3_and_below_producer_id").until(3),
    int16("v3_and_below_producer_epoch").until(3),
    structs("v3_and_below_topics", PARTITIONS_BY_TOPIC).until(3),
];

const ADD_OFFSETS_TO_TXN: &[Field] =
    &[text("transactional_id"), int64("producer_id"), int16("producer_epoch"), text("group_id")];

const END_TXN: &[Field] =
    &[text("transactional_id"), int64("producer_id"), int16("producer_epoch"), boolean("committed")];

const WRITE_TXN_MARKERS: &[Field] = &[structs(
    "markers",
    &[
        int64("producer_id"),
        int16("producer_epoch"),
        boolean("transaction_result"),
        structs("topics", &[text("name"), int32s("partition_indexes")]),
        int32("coordinator_epoch"),
    ],
)];

const TXN_OFFSET_COMMIT: &[Field] = &[
    text("transactional_id"),
    text("group_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    int32("generation_id").since(3),
    text("member_id").since(3),
    text("group_instance_id").since(3),
    structs(
        "topics",
        &[
            text("name"),
            structs(
                "partitions",
                &[
                    int32("partition_index"),
                    int64("committed_offset"),
                    int32("committed_leader_epoch").since(2),
                    text("committed_metadata"),
                ],
            ),
        ],
    ),
];

const DESCRIBE_PRODUCERS: &[Field] = &[structs("topics", &[text("name"), int32s("partition_indexes")])];

const DESCRIBE_TRANSACTIONS: &[Field] = &[texts("transactional_ids")];

const LIST_TRANSACTIONS: &[Field] = &[
    texts("state_filters"),
    int64s("producer_id_filters"),
    int64("duration_filter").since(1),
    text("transactional_id_pattern").since(2),
];

const FETCH: &[Field] = &[
    text("cluster_id").since(12).tagged(0),
    int32("replica_id").until(14),
    Field::new("replica_state", Kind::Struct(&[int32("replica_id"), int64("replica_epoch")])).since(15).tagged(1),
    int32("max_wait_ms"),
    int32("min_bytes"),
    int32("max_bytes"),
    int8("isolation_level"),
    int32("session_id").since(7),
    int32("session_epoch").since(7),
    structs(
        "topics",
        &[
            text("topic").until(12),
            uuid("topic_id").since(13),
            structs(
                "partitions",
                &[
                    int32("partition"),
                    int32("current_leader_epoch").since(9),
                    int64("fetch_offset"),
                    int32("last_fetched_epoch").since(12),
                    int64("log_start_offset").since(5),
                    int32("partition_max_bytes"),
                    uuid("replica_directory_id").since(17).tagged(0),
                    int64("high_watermark").since(18).tagged(1),
                ],
            ),
        ],
    ),
    structs("forgotten_topics_data", &[text("topic").until(12), uuid("topic_id").since(13), int32s("partitions")])
        .since(7),
    text("rack_id").since(11),
];

const LIST_OFFSETS: &[Field] = &[
    int32("replica_id"),
    int8("isolation_level").since(2),
    structs(
        "topics",
        &[
            text("name"),
            structs(
                "partitions",
                &[int32("partition_index"), int32("current_leader_epoch").since(4), int64("timestamp")],
            ),
        ],
    ),
    int32("timeout_ms").since(10),
];

const METADATA: &[Field] = &[
    structs("topics", &[uuid("topic_id").since(10), text("name")]),
    boolean("allow_auto_topic_creation").since(4),
    boolean("include_cluster_authorized_operations").since(8).until(10),
    boolean("include_topic_authorized_operations").since(8),
];

const OFFSET_COMMIT: &[Field] = &[
    text("group_id"),
    int32("generation_id_or_member_epoch"),
    text("member_id"),
    text("group_instance_id").since(7),
    int64("retention_time_ms").until(4),
    structs(
        "topics",
        &[
            text("name").until(9),
            uuid("topic_id").since(10),
            structs(
                "partitions",
                &[
                    int32("partition_index"),
                    int64("committed_offset"),
                    int32("committed_leader_epoch").since(6),
                    text("committed_metadata"),
                ],
            ),
        ],
    ),
];

const OFFSET_FETCH: &[Field] = &[
    text("group_id").until(7),
    structs("topics", &[text("name"), int32s("partition_indexes")]).until(7),
    structs(
        "groups",
        &[
            text("group_id"),
            text("member_id").since(9),
            int32("member_epoch").since(9),
            structs("topics", &[text("name").until(9), uuid("topic_id").since(10), int32s("partition_indexes")]),
        ],
    )
    .since(8),
    boolean("require_stable").since(7),
];

const FIND_COORDINATOR: &[Field] =
    &[text("key").until(3), int8("key_type").since(1), texts("coordinator_keys").since(4)];

const JOIN_GROUP: &[Field] = &[
    text("group_id"),
    int32("session_timeout_ms"),
    int32("rebalance_timeout_ms").since(1),
    text("member_id"),
    text("group_instance_id").since(5),
    text("protocol_type"),
    structs("protocols", &[text("name"), blob("metadata")]),
    text("reason").since(8),
];

const HEARTBEAT: &[Field] =
    &[text("group_id"), int32("generation_id"), text("member_id"), text("group_instance_id").since(3)];

const LEAVE_GROUP: &[Field] = &[
    text("group_id"),
    text("member_id").until(2),
    structs("members", &[text("member_id"), text("group_instance_id"), text("reason").since(5)]).since(3),
];

const SYNC_GROUP: &[Field] = &[
    text("group_id"),
    int32("generation_id"),
    text("member_id"),
    text("group_instance_id").since(3),
    text("protocol_type").since(5),
    text("protocol_name").since(5),
    structs("assignments", &[text("member_id"), blob("assignment")]),
];

const DESCRIBE_GROUPS: &[Field] = &[texts("groups"), boolean("include_authorized_operations").since(3)];

const LIST_GROUPS: &[Field] = &[texts("states_filter").since(4), texts("types_filter").since(5)];

const API_VERSIONS: &[Field] = &[text("client_software_name").since(3), text("client_software_version").since(3)];

const CREATE_TOPICS: &[Field] = &[
    structs(
        "topics",
        &[
            text("name"),
            int32("num_partitions"),
            int16("replication_factor"),
            structs("assignments", &[int32("partition_index"), int32s("broker_ids")]),
            structs("configs", &[text("name"), text("value")]),
        ],
    ),
    int32("timeout_ms"),
    boolean("validate_only"),
];

const DELETE_TOPICS: &[Field] = &[
    structs("topics", &[text("name"), uuid("topic_id")]).since(6),
    texts("topic_names").until(5),
    int32("timeout_ms"),
];

const INIT_PRODUCER_ID: &[Field] = &[
    text("transactional_id"),
    int32("transaction_timeout_ms"),
    int64("producer_id").since(3),
    int16("producer_epoch").since(3),
];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    int32("replica_id").since(3),
    structs(
        "topics",
        &[
            text("topic"),
            structs("partitions", &[int32("partition"), int32("current_leader_epoch"), int32("leader_epoch")]),
        ],
    ),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    structs("resources", &[int8("resource_type"), text("resource_name"), texts("configuration_keys")]),
    boolean("include_synonyms"),
    boolean("include_documentation").since(3),
];

const ALTER_CONFIGS: &[Field] = &[
    structs(
        "resources",
        &[int8("resource_type"), text("resource_name"), structs("configs", &[text("name"), text("value")])],
    ),
    boolean("validate_only"),
];

const CREATE_PARTITIONS: &[Field] = &[
    structs("topics", &[text("name"), int32("count"), structs("assignments", &[int32s("broker_ids")])]),
    int32("timeout_ms"),
    boolean("validate_only"),
];

const DELETE_GROUPS: &[Field] = &[texts("groups_names")];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    structs(
        "resources",
        &[
            int8("resource_type"),
            text("resource_name"),
            structs("configs", &[text("name"), int8("config_operation"), text("value")]),
        ],
    ),
    boolean("validate_only"),
];

const OFFSET_DELETE: &[Field] =
    &[text("group_id"), structs("topics", &[text("name"), structs("partitions", &[int32("partition_index")])])];

const DESCRIBE_CLUSTER: &[Field] = &[
    boolean("include_cluster_authorized_operations"),
    int8("endpoint_type").since(1),
    boolean("include_fenced_brokers").since(2),
];

const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    text("group_id"),
    text("member_id"),
    int32("member_epoch"),
    text("instance_id"),
    text("rack_id"),
    int32("rebalance_timeout_ms"),
    texts("subscribed_topic_names"),
    text("subscribed_topic_regex").since(1),
    text("server_assignor"),
    structs("topic_partitions", &[uuid("topic_id"), int32s("partitions")]),
];

const CONSUMER_GROUP_DESCRIBE: &[Field] = &[texts("group_ids"), boolean("include_authorized_operations")];

const LIST_CONFIG_RESOURCES: &[Field] = &[int8s("resource_types").since(1)];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    structs("topics", &[text("name")]),
    int32("response_partition_limit"),
    Field::new("cursor", Kind::NullableStruct(&[text("topic_name"), int32("partition_index")])),
];

//! Consumer groups: what they keep in `__consumer_offsets`.

pub mod records;

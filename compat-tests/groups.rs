//! Consumer groups of librdkafka.
//!
//! What is judged comes from the clients' callbacks and from the records in `__consumer_offsets`, decoded by the
//! broker's own library; never from the clock. Retention of offsets is not exercised here.

mod commits;
mod instances;
mod judge;
mod member;
mod storms;

//! Consumer groups by request and reply: a shard, beside it one that only applies the records, which has to be equal.

mod classic;
mod heartbeats;
mod migration;
mod mixed;
mod recorded;
mod rules;
mod schedules;
mod world;

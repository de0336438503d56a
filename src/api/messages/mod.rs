//! Requests in versions that kafka-protocol's structs have fields for but its codec stops short of. Each is a newtype
//! around the codec's struct: the versions that the codec speaks go to it, the rest is written out here. A row of the
//! [table](super) names such a type as it names one of the codec's.
//!
//! Left out: the responses, which the codec knows in all versions.

mod flexible;
pub mod offset_commit;
pub mod offset_fetch;

#[cfg(test)]
mod tests;

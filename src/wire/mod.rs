//! The codec: bytes on one side, meaning on the other. No I/O, no async.

pub mod batch;
pub mod build;
pub mod compression;
pub mod control;
pub mod entries;
pub mod errors;
pub mod fields;
pub mod frame;
pub mod records;
pub mod shape;
pub mod validate;

//! What goes over the wire, byte by byte, without a client library in between: the bytes of Apache Kafka in
//! `fixtures/wire`, replayed against the real binary; every API in every version; hostile input.
//!
//! Left out: clients (the `compat` test), and what can be tested without a socket, which stands beside its module.

#![cfg(test)]

mod asking;
mod batches;
mod broker;
mod client;
mod codec;
mod fixtures;
mod groups;
mod hostile;
mod messages;
mod replay;
mod table;
mod transactions;
mod tree;

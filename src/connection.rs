//! One socket: frames in, dispatch, replies in the order of the requests.

pub mod budget;
pub mod inbound;
pub mod outbound;

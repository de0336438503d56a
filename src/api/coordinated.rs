//! What the APIs of groups share: who asks, and what to answer where the coordinator gives no answer.

use super::context::Ctx;
use super::errors::ErrorCode;
use crate::coordinator::Unavailable;
use crate::coordinator::group::request::{Caller, Reply};

/// Who asks, as a coordinator keeps it.
pub(super) fn caller(ctx: &Ctx) -> Caller {
    Caller {
        version: ctx.version,
        client_id: ctx.client_id.as_deref().unwrap_or_default().to_owned(),
        // As Java prints an address without a name.
        client_host: format!("/{}", ctx.peer.remote.ip().to_canonical()),
    }
}

/// The code for a reply that is not there.
pub(super) fn code_of(reply: &Result<Reply, Unavailable>) -> ErrorCode {
    match reply {
        Ok(other) => {
            tracing::error!(?other, "a coordinator gave the answer to another question");
            ErrorCode::UnknownServerError
        }
        Err(error) => error.into(),
    }
}

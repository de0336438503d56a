//! ListTransactions 0-2 (key 66): the transactional ids that are known, by producer, state, age and name (KIP-664).
//!
//! States that there are not are told apart, and let nothing through. Ids that the client may not see are left out.
//!
//! Versions: 1 duration (KIP-994); 2 a pattern of the id (KIP-1152): one that is none is INVALID_REGULAR_EXPRESSION.
//! (`KafkaApis.handleListTransactionsRequest`, `TransactionStateManager.listTransactionStates`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::coordinator::expressions::compile;
use crate::coordinator::txn::records::TransactionState;
use crate::coordinator::txn::request::{Filters, Listed};
use kafka_protocol::messages::list_transactions_response::TransactionState as Told;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let response = ListTransactionsResponse::default().with_throttle_time_ms(throttle(&ctx));
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let Ok(transactional_id_pattern) = pattern.map(compile).transpose() else {
        return response.with_error_code(ErrorCode::InvalidRegularExpression.code());
    };
    let state = |name: &StrBytes| TransactionState::from_name(name).map(TransactionState::name);
    let states: BTreeSet<&'static str> = request.state_filters.iter().filter_map(state).collect();
    let unknown: BTreeSet<&StrBytes> = request.state_filters.iter().filter(|name| state(name).is_none()).collect();
    let none_fits = states.is_empty() && !unknown.is_empty();
    let filters = Filters {
        producer_ids: request.producer_id_filters.iter().map(|id| id.0).collect(),
        states,
        duration_ms: if ctx.version >= 1 { request.duration_filter } else { -1 },
        transactional_id_pattern,
    };
    let listed = match ctx.broker.txns().list(Arc::new(filters)).await {
        Ok(listed) => listed,
        Err(error) => return response.with_error_code(ErrorCode::from(&error).code()),
    };
    let granted = |it: &Listed| authorize(&ctx, Operation::Describe, Resource::TransactionalId(&it.transactional_id));
    let told = listed.into_iter().filter(|it| !none_fits && granted(it)).map(told).collect();
    response.with_unknown_state_filters(unknown.into_iter().cloned().collect()).with_transaction_states(told)
}

fn told(listed: Listed) -> Told {
    Told::default()
        .with_transactional_id(TransactionalId(StrBytes::from(listed.transactional_id)))
        .with_producer_id(listed.producer_id.into())
        .with_transaction_state(StrBytes::from_static_str(listed.state))
}

//! The shard of groups as its shell has it: offsets that transactions commit, and what a crash leaves.

mod durability;
mod offsets_in_transactions;

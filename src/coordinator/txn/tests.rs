mod table;

use super::records::TransactionState;
use super::request::TransactionVersion;
use super::script::{Bench, producer};
use crate::wire::errors::ErrorCode;
use TransactionVersion::{V0, V2};

//! What an operator asks: read-only answers from the store, and the few acts that need a person's word.
//!
//! Every answer is a document that serialises (`--json`) and knows how to write itself for a terminal.

pub mod acts;
pub mod doctor;
pub mod explain;
pub mod order;
pub mod probe;
pub mod resolve;
pub mod sku;
pub mod status;
pub mod stock;

//! The pipeline: one stage per invocation, each safe to repeat. Stages never call stages; they meet in the store.
//!
//! Read in this order: [`settings`] what a stage is told, [`context`] what it may touch, [`report`] what it answers,
//! [`runner`] how one is run; then the stages as an order meets them.

pub mod context;
pub mod report;
pub mod runner;
pub mod settings;

pub mod adopt;
pub mod gc;
pub mod handling;
pub mod intake;
pub mod listing;
pub mod move_stock;
pub mod notify;
pub mod order_book;
pub mod poll;
pub mod publish;
pub mod push_stock;
pub mod quantity;
pub mod reconcile;
pub mod reserve;

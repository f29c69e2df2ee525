//! What an operator asks.

//! The contract with cron and the operator.

//! What the body of an event of VTEX's hook says. Only the order's id and the account are looked at.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::ids::OrderId;

/// What is used of a body.
#[derive(Deserialize)]
struct WireEvent {
    #[serde(default, rename = "OrderId")]
    order: Value,
    #[serde(default, rename = "Origin")]
    origin: Option<WireOrigin>,
    #[serde(default, rename = "hookConfig")]
    trial: Option<Value>,
}

#[derive(Deserialize)]
struct WireOrigin {
    #[serde(default, rename = "Account")]
    account: Option<String>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something about this order.
    Order(OrderId),
    /// Nothing: VTEX tries whether we answer.
    Trial,
    /// Something about another account's order.
    OtherAccount,
    /// A text that is no order's id, and why not.
    NoOrder(String, String),
}

/// A body that is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event")]
pub struct Malformed;

/// Reads a body; `account` is ours.
///
/// # Errors
///
/// [`Malformed`] for what is not one JSON object with an order's id, or is nested without end.
pub fn understand(bytes: &[u8], account: &str) -> Result<Told, Malformed> {
    // What is skipped by the second reading may be nested without end; the first refuses that.
    serde_json::from_slice::<Value>(bytes).map_err(|_| Malformed)?;
    let event = serde_json::from_slice::<WireEvent>(bytes).map_err(|_| Malformed)?;
    if event.trial.is_some() {
        return Ok(Told::Trial);
    }
    let from = event.origin.and_then(|origin| origin.account);
    if from.is_some_and(|from| !from.eq_ignore_ascii_case(account)) {
        return Ok(Told::OtherAccount);
    }
    let text = match event.order {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(Malformed);
        }
    };
    Ok(match OrderId::parse(&text) {
        Ok(order) => Told::Order(order),
        Err(err) => Told::NoOrder(text, err.to_string()),
    })
}

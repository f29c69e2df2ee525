//! VTEX's hook: a change of an order's status, posted to us. Only the order's id is taken from it, and only as a hint.
//!
//! Source: "Orders feed", section on the hook (VTEX developer guides). VTEX signs nothing: a static header that was
//! registered with the hook, and the account in the body, are all that tells it from others. Whatever is not 200 within
//! five seconds is sent again.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::domain::ids::OrderId;
use crate::serve::desk::DeskError;
use crate::serve::event::{Told, understand};
use crate::serve::metrics::Heard;
use crate::serve::{HookOptions, Shared};

/// The largest body; a real one has some hundred bytes.
const MOST_BYTES: usize = 64 * 1024;

/// Takes one event.
pub(super) async fn told(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let began = Instant::now();
    let (heard, answer) = match judge(&shared, &headers, body).await {
        Ok(Told::Order(order)) => take(&shared, order).await,
        // Unverified: whether the trial carries the header. It says nothing and gets nothing, so it needs none.
        Ok(Told::Trial) => (Heard::Trial, (StatusCode::OK, "ok\n")),
        Ok(Told::OtherAccount) => (Heard::OtherAccount, (StatusCode::OK, "not ours\n")),
        Ok(Told::NoOrder(text, why)) => note(&shared, &text, &why).await,
        Err((heard, status, text)) => (heard, (status, text)),
    };
    shared.counts.hook(heard, began.elapsed());
    answer.into_response()
}

type Refusal = (Heard, StatusCode, &'static str);

async fn judge(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<Told, Refusal> {
    let Some(hook) = &shared.options.hook else {
        let text = "no hook is configured; hint: serve.hook\n";
        return Err((Heard::Denied, StatusCode::NOT_FOUND, text));
    };
    let known = is_known(hook, headers);
    let bytes = read(shared, headers, body).await?;
    let told = understand(&bytes, &hook.account);
    if !known && told != Ok(Told::Trial) {
        let text = "the header is missing or wrong\n";
        return Err((Heard::Denied, StatusCode::UNAUTHORIZED, text));
    }
    told.map_err(|_| (Heard::Malformed, StatusCode::BAD_REQUEST, "not an event\n"))
}

/// Puts the order into the inbox, and answers when that is durable.
async fn take(shared: &Shared, order: OrderId) -> (Heard, (StatusCode, &'static str)) {
    let patience = shared.options.answer_timeout;
    match shared.desk.hint(order, patience).await {
        Ok(()) => {
            if let Some(bell) = &shared.bell {
                bell.ring();
            }
            (Heard::Taken, (StatusCode::OK, "ok\n"))
        }
        Err(err) => refuse(shared, &err),
    }
}

/// Notes what is no order's id, as such an event of the feed is noted: VTEX would only send it again.
async fn note(shared: &Shared, text: &str, why: &str) -> (Heard, (StatusCode, &'static str)) {
    let patience = shared.options.answer_timeout;
    match shared.desk.reject(text, why, patience).await {
        Ok(()) => (Heard::NoOrder, (StatusCode::OK, "no order\n")),
        Err(err) => refuse(shared, &err),
    }
}

fn refuse(shared: &Shared, err: &DeskError) -> (Heard, (StatusCode, &'static str)) {
    if shared.counts.may_complain() {
        log::warn!("events of the hook are not taken, and will come again: {err}");
    }
    let answer = (StatusCode::SERVICE_UNAVAILABLE, "try again\n");
    (Heard::Busy, answer)
}

/// Compares the header with every accepted value, in a time that tells nothing about them.
fn is_known(hook: &HookOptions, headers: &HeaderMap) -> bool {
    let sent = headers.get(&hook.header);
    let sent = Sha256::digest(sent.map_or(&[] as &[u8], |value| value.as_bytes()));
    let equal = |token: &SecretString| {
        let token = Sha256::digest(token.expose_secret().as_bytes());
        token.as_slice().ct_eq(sent.as_slice())
    };
    let none = Choice::from(0);
    hook.tokens
        .iter()
        .fold(none, |known, token| known | equal(token))
        .into()
}

/// Reads a body within its bounds.
async fn read(shared: &Shared, headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Refusal> {
    let large = (
        Heard::Malformed,
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is too large\n",
    );
    let announced = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
    let announced = announced.and_then(|n| n.parse::<usize>().ok());
    if announced.is_some_and(|n| n > MOST_BYTES) {
        return Err(large);
    }
    let all = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let cut = (Heard::Malformed, StatusCode::BAD_REQUEST, "cut off\n");
            let Ok(data) = frame.map_err(|_| cut)?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > MOST_BYTES {
                return Err(large);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    };
    let slow = (
        Heard::Malformed,
        StatusCode::REQUEST_TIMEOUT,
        "the body took too long\n",
    );
    let read = tokio::time::timeout(shared.options.read_timeout, all).await;
    read.unwrap_or(Err(slow))
}

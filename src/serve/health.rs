//! Whether the door is alive, and whether the whole program does its work.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::serve::Shared;
use crate::store::Store;
use crate::store::inbox::InboxDepth;
use crate::store::runs::RunRow;

/// How long the state file may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Answers that the process runs and its state file can be read.
pub(super) async fn alive(State(shared): State<Arc<Shared>>) -> Response {
    let sign = shared.desk.read(PATIENCE, Store::seq).await;
    let health = Health {
        ok: sign.is_ok(),
        reason: sign.err().map(|err| err.to_string()),
    };
    json(health.ok, &health)
}

#[derive(Serialize)]
struct Health {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Answers whether every stage has run lately and the inbox is looked after.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let asked = shared
        .desk
        .read(PATIENCE, |store| Ok((store.runs()?, store.inbox_depth()?)));
    let reasons = match asked.await {
        Ok((runs, inbox)) => overdue(&shared, &runs, inbox),
        Err(err) => vec![err.to_string()],
    };
    let readiness = Readiness {
        ready: reasons.is_empty(),
        reasons,
    };
    json(readiness.ready, &readiness)
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

fn overdue(shared: &Shared, runs: &[RunRow], inbox: InboxDepth) -> Vec<String> {
    let now = shared.clock.now();
    let most = shared.options.stale_after_ms;
    let mut reasons = Vec::new();
    for stage in &shared.options.stages {
        match runs.iter().find(|run| run.stage == *stage) {
            None => reasons.push(format!("{stage} has never run")),
            Some(run) if now.ms_since(run.ended_at) > most => {
                reasons.push(format!("{stage} ran last at {}", run.ended_at));
            }
            Some(_) => {}
        }
    }
    if let Some(oldest) = inbox.oldest.filter(|at| now.ms_since(*at) > most) {
        let orders = inbox.orders;
        reasons.push(format!(
            "{orders} orders in the inbox, the oldest told of at {oldest}"
        ));
    }
    reasons
}

fn json(good: bool, body: &impl Serialize) -> Response {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let text = serde_json::to_string(body).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

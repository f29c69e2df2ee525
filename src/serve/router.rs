//! What is answered where. Every part of the door adds its routes here, and the common limits lie around all of them.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::serve::{Shared, health, hook, limits, metrics, stock};

/// Puts the routes together.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let hook = Router::new().route("/webhook/vtex", post(hook::told));
    let alive = Router::new().route("/healthz", get(health::alive));
    let inside = Router::new()
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .layer(from_fn_with_state(Arc::clone(&shared), limits::from_here));
    Router::new()
        .merge(hook)
        .merge(alive)
        .merge(inside)
        .merge(stock::routes())
        .fallback(async || (StatusCode::NOT_FOUND, "no such path\n"))
        .layer(from_fn_with_state(Arc::clone(&shared), limits::rate))
        .with_state(shared)
}

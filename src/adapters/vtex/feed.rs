//! The feed of order events (Feed v3): its configuration, reading, committing.
//!
//! Source: "Orders feed" (VTEX developer guides), Orders API.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::adapters::http::calls::{classify_read, classify_write};
use crate::adapters::http::text::one_line;
use crate::adapters::vtex::Vtex;
use crate::adapters::vtex::status::FEED_STATUSES;
use crate::adapters::vtex::wire::{count, text};
use crate::domain::order::FeedEvent;
use crate::domain::ports::{FeedConfig, PortError, PortResult};

/// The most events that one read may ask for.
const MAX_LOT: usize = 10;
/// Status changes only: the other type skips events when it filters by status (known issue 832400).
pub(super) const FROM_WORKFLOW: &str = "FromWorkflow";

#[derive(Deserialize)]
struct WireConfig {
    filter: Option<WireFilter>,
    queue: Option<WireQueue>,
    #[serde(default)]
    quantity: Value,
    #[serde(default, rename = "approximateAgeOfOldestMessageInSeconds")]
    oldest: Value,
    // The same figure in the spelling of an older answer.
    #[serde(default, rename = "aproximateAgeOfOldestMessageInSeconds")]
    oldest_misspelt: Value,
}

/// Which events are told, in the configuration of the feed and of the hook alike.
#[derive(Deserialize)]
pub(super) struct WireFilter {
    #[serde(default, rename = "type")]
    kind: Value,
    status: Option<Vec<String>>,
}

impl WireFilter {
    /// Says how a filter differs from the one that is wanted.
    pub(super) fn differences(filter: Option<&Self>) -> Vec<String> {
        let mut differences = Vec::new();
        let kind = filter.and_then(|f| text(&f.kind)).unwrap_or_default();
        if kind != FROM_WORKFLOW {
            differences.push(format!("its type is {:?}", one_line(&kind, 40)));
        }
        let present: &[String] = filter.and_then(|f| f.status.as_deref()).unwrap_or_default();
        let missing: Vec<&str> = FEED_STATUSES
            .into_iter()
            .filter(|wanted| !present.iter().any(|status| status == wanted))
            .collect();
        // More statuses than wanted cost only reads; fewer lose orders.
        if !missing.is_empty() {
            differences.push(format!("it leaves out {}", missing.join(", ")));
        }
        differences
    }
}

#[derive(Deserialize)]
struct WireQueue {
    #[serde(default, rename = "visibilityTimeoutInSeconds")]
    visibility: Value,
    #[serde(default, rename = "MessageRetentionPeriodInSeconds")]
    retention: Value,
    // The guides write a small m, the schema a capital one; the answer may use either.
    #[serde(default, rename = "messageRetentionPeriodInSeconds")]
    retention_small: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEvent {
    #[serde(default)]
    handle: Value,
    #[serde(default)]
    order_id: Value,
    #[serde(default)]
    state: Value,
}

impl Vtex<'_> {
    pub(super) fn read_feed_config(&self) -> PortResult<Option<FeedConfig>> {
        let wire: Option<WireConfig> =
            self.find("read feed configuration", "", "/api/orders/feed/config")?;
        Ok(wire.map(|wire| self.judge_feed(&wire)))
    }

    fn judge_feed(&self, wire: &WireConfig) -> FeedConfig {
        let mut differences = WireFilter::differences(wire.filter.as_ref());
        let queue = wire.queue.as_ref();
        let retention =
            queue.and_then(|q| count(&q.retention).or_else(|| count(&q.retention_small)));
        let wanted = self.config.feed_retention.duration().as_secs();
        if let Some(retention) = retention
            && retention < wanted
        {
            differences.push(format!("events are kept for {retention} s, not {wanted} s"));
        }
        let visibility = queue.and_then(|q| count(&q.visibility));
        let wanted_visibility = self.config.feed_visibility.duration().as_secs();
        if let Some(visibility) = visibility
            && visibility != wanted_visibility
        {
            differences.push(format!(
                "read events are hidden for {visibility} s, not {wanted_visibility} s"
            ));
        }
        FeedConfig {
            as_wanted: differences.is_empty(),
            difference: differences.join("; "),
            depth: count(&wire.quantity),
            oldest_s: count(&wire.oldest).or_else(|| count(&wire.oldest_misspelt)),
            retention_s: retention.unwrap_or(wanted),
        }
    }

    pub(super) fn write_feed_config(&self) -> PortResult<()> {
        let body = json!({
            "filter": { "type": FROM_WORKFLOW, "status": FEED_STATUSES },
            "queue": {
                "visibilityTimeoutInSeconds": self.config.feed_visibility.duration().as_secs(),
                "MessageRetentionPeriodInSeconds": self.config.feed_retention.duration().as_secs(),
            },
        });
        self.post_to_feed("install feed", "/api/orders/feed/config", &body)
    }

    pub(super) fn read_events(&self) -> PortResult<Option<Vec<FeedEvent>>> {
        let path = format!("/api/orders/feed?maxlot={MAX_LOT}");
        let events: Option<Vec<WireEvent>> = self.find("read feed", "", &path)?;
        let Some(events) = events else {
            return Ok(None);
        };
        Ok(Some(
            events
                .into_iter()
                .map(|event| FeedEvent {
                    handle: text(&event.handle).filter(|handle| !handle.is_empty()),
                    order: text(&event.order_id).unwrap_or_default(),
                    status: text(&event.state).map_or_else(String::new, |s| one_line(&s, 64)),
                })
                .collect(),
        ))
    }

    pub(super) fn commit_events(&self, handles: &[String]) -> PortResult<()> {
        for lot in handles.chunks(MAX_LOT) {
            self.post_to_feed(
                "commit feed",
                "/api/orders/feed",
                &json!({ "handles": lot }),
            )?;
        }
        Ok(())
    }

    fn post_to_feed(&self, name: &'static str, path: &str, body: &Value) -> PortResult<()> {
        self.change(name, Method::POST, path, Some(body))
            .map(|_| ())
    }

    /// Every change of the feed and of the hook may be repeated by a later run without harm, so no outcome of them is
    /// uncertain. Returns false when VTEX answers 404 to a removal.
    pub(super) fn change(
        &self,
        name: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> PortResult<bool> {
        let removal = method == Method::DELETE;
        let request = self.request(name, "", method, path, body)?;
        let answer = self.calls.write(request, None).map_err(certain)?;
        if answer.is_success() || (removal && answer.status == 404) {
            return Ok(answer.is_success());
        }
        let reason = self.refusal(name, &answer);
        if answer.status == 429 {
            return Err(PortError::Transient {
                reason,
                retry_after: self.calls.asked_wait(&answer),
            });
        }
        let now = self.calls.env().clock.now();
        Err(match classify_write(&answer, reason.clone()) {
            PortError::Uncertain { .. } => classify_read(&answer, reason, now),
            err @ (PortError::Transient { .. }
            | PortError::Rejected { .. }
            | PortError::Denied { .. }) => err,
        })
    }
}

fn certain(err: PortError) -> PortError {
    match err {
        PortError::Uncertain { reason } => PortError::transient(reason),
        PortError::Transient { .. } | PortError::Rejected { .. } | PortError::Denied { .. } => err,
    }
}

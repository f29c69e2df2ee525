//! The hook: VTEX posts each change of status to an address of ours. Its configuration stands beside the feed's, one of
//! each per application key.
//!
//! Source: "Orders feed", section on the hook (VTEX developer guides), Orders API.

use std::collections::BTreeMap;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::adapters::http::text::one_line;
use crate::adapters::vtex::Vtex;
use crate::adapters::vtex::feed::{FROM_WORKFLOW, WireFilter};
use crate::adapters::vtex::status::FEED_STATUSES;
use crate::domain::ports::{HookConfig, PortError, PortResult};

const PATH: &str = "/api/orders/hook/config";

/// Where the hook posts to, and what it says to prove that it is the hook.
#[derive(Debug, Clone)]
pub struct HookTarget {
    /// Our address as VTEX reaches it.
    pub url: String,
    /// The header's name.
    pub header: String,
    /// The header's value.
    pub token: SecretString,
}

// Unverified: the contracts give this answer no schema; it is read in the form in which it is written.
#[derive(Deserialize)]
struct WireConfig {
    filter: Option<WireFilter>,
    hook: Option<WireHook>,
}

#[derive(Deserialize)]
struct WireHook {
    #[serde(default)]
    url: String,
    headers: Option<BTreeMap<String, Value>>,
}

impl Vtex<'_> {
    pub(super) fn read_hook_config(&self) -> PortResult<Option<HookConfig>> {
        let wire: Option<WireConfig> = self.find("read hook configuration", "", PATH)?;
        // Unverified: whether VTEX answers 404 or an empty document where there is no hook.
        Ok(wire.and_then(|wire| {
            let hook = wire.hook.as_ref().filter(|hook| !hook.url.is_empty())?;
            Some(self.judge_hook(wire.filter.as_ref(), hook))
        }))
    }

    fn judge_hook(&self, filter: Option<&WireFilter>, hook: &WireHook) -> HookConfig {
        let mut differences = WireFilter::differences(filter);
        let url = one_line(&hook.url, 200);
        if let Some(target) = &self.hook {
            if hook.url != target.url {
                differences.push(format!("it posts to {url}"));
            }
            // Only the name: whether VTEX shows the value, or stars in its place, is not documented.
            let named = hook.headers.as_ref().is_none_or(|headers| {
                headers
                    .keys()
                    .any(|name| name.eq_ignore_ascii_case(&target.header))
            });
            if !named {
                differences.push(format!("it does not send the header {}", target.header));
            }
        }
        HookConfig {
            url,
            as_wanted: differences.is_empty(),
            difference: differences.join("; "),
        }
    }

    pub(super) fn write_hook_config(&self) -> PortResult<()> {
        let Some(target) = &self.hook else {
            return Err(PortError::rejected(
                "install hook: serve.hook.url and serve.hook.token are not configured",
            ));
        };
        let headers = BTreeMap::from([(&target.header, target.token.expose_secret())]);
        let body = json!({
            "filter": { "type": FROM_WORKFLOW, "status": FEED_STATUSES },
            "hook": { "url": target.url, "headers": headers },
        });
        self.change("install hook", Method::POST, PATH, Some(&body))
            .map(|_| ())
    }

    pub(super) fn delete_hook_config(&self) -> PortResult<()> {
        self.change("remove hook", Method::DELETE, PATH, None)
            .map(|_| ())
    }
}

//! VTEX as the web store: orders, feed, stock, catalogue over its HTTP interfaces.
//!
//! Each file holds one of VTEX's areas with its private wire structs; [`Vtex`] gathers them behind the
//! [`Storefront`] port. Reads may be repeated inside a run, writes never; statuses become decisions here and VTEX's
//! words go no further.

mod catalog;
mod checks;
mod feed;
mod hook;
mod order;
mod orders;
mod status;
mod stock;
mod wire;

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::adapters::http::calls::{Calls, Env, status_text};
use crate::adapters::http::client::{Answer, HttpClient, HttpOptions, Request};
use crate::adapters::http::json::parse_json;
use crate::adapters::http::text::one_line;
use crate::config::sections::VtexConfig;
use crate::domain::ids::{OrderId, SkuId, SkuRef, WarehouseId};
use crate::domain::order::{FeedEvent, OrderDocument};
use crate::domain::ports::{
    FeedConfig, HookConfig, ListFilter, ListPage, Permit, PortError, PortResult, ReservationState,
    SkuInfo, StoreStock, Storefront,
};
use crate::domain::time::Moment;

pub use hook::HookTarget;

const APP_KEY: HeaderName = HeaderName::from_static("x-vtex-api-appkey");
const APP_TOKEN: HeaderName = HeaderName::from_static("x-vtex-api-apptoken");

/// A VTEX account.
pub struct Vtex<'a> {
    config: VtexConfig,
    calls: Calls<'a>,
    headers: HeaderMap,
    hook: Option<HookTarget>,
}

impl<'a> Vtex<'a> {
    /// Prepares the account's client; the network is touched at the first call.
    ///
    /// # Errors
    ///
    /// A sentence for a person when the address or a credential cannot be used.
    pub fn new(
        config: &VtexConfig,
        app_key: &SecretString,
        app_token: &SecretString,
        env: Env<'a>,
    ) -> Result<Self, String> {
        let base = config
            .base_url
            .clone()
            .unwrap_or_else(|| format!("https://{}.vtexcommercestable.com.br", config.account));
        let client = HttpClient::new(
            &base,
            HttpOptions {
                connect_timeout: config.connect_timeout.duration(),
                total_timeout: config.total_timeout.duration(),
                ca_file: config.ca_file.clone(),
                keep_alive: true,
                allow_local_addresses: false,
            },
        )
        .map_err(|err| format!("vtex: {err}"))?;
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([
            (APP_KEY, credential(app_key, "vtex.app_key")?),
            (APP_TOKEN, credential(app_token, "vtex.app_token")?),
            // The contracts require both on every call, also where there is no body.
            (ACCEPT, json.clone()),
            (CONTENT_TYPE, json),
        ]);
        Ok(Self {
            config: config.clone(),
            calls: Calls::new(client, env),
            headers,
            hook: None,
        })
    }

    /// Says where the hook is to post to; without it no hook can be installed.
    pub fn with_hook(mut self, hook: Option<HookTarget>) -> Self {
        self.hook = hook;
        self
    }

    /// Builds a request; `path` is already encoded.
    fn request(
        &self,
        name: &'static str,
        about: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> PortResult<Request> {
        Ok(Request {
            name,
            about: about.to_owned(),
            method,
            url: self
                .calls
                .client()
                .url(path)
                .map_err(|err| PortError::rejected(format!("{name}: {err}")))?,
            headers: self.headers.clone(),
            body: body.map(|body| body.to_string().into_bytes()),
            timeout: None,
        })
    }

    /// Reads JSON; `None` when VTEX answers 404.
    fn find<T: DeserializeOwned>(
        &self,
        name: &'static str,
        about: &str,
        path: &str,
    ) -> PortResult<Option<T>> {
        let request = self.request(name, about, Method::GET, path, None)?;
        self.calls.read_json(&request)
    }

    /// Reads JSON that must be there.
    fn get<T: DeserializeOwned>(
        &self,
        name: &'static str,
        about: &str,
        path: &str,
    ) -> PortResult<T> {
        let found = self.find(name, about, path)?;
        found.ok_or_else(|| self.unusable(name, about, "404 not found"))
    }

    /// Writes an error about an answer that cannot be used.
    fn unusable(&self, name: &str, about: &str, reason: &str) -> PortError {
        let host = self.calls.client().host();
        let title = format!("{name} {about}");
        PortError::rejected(format!("{} at {host}: {reason}", title.trim_end()))
    }

    /// Writes the text of an error for an answer to a write, with VTEX's own words.
    fn refusal(&self, title: &str, answer: &Answer) -> String {
        let host = self.calls.client().host();
        let status = status_text(answer);
        match words(answer) {
            Some(words) => format!("{title} at {host}: {status}: {words}"),
            None => format!("{title} at {host}: {status}"),
        }
    }
}

/// Writes the text of an error for an answer about an order: its sentence may be about the customer, its code is not.
fn refusal_of_order(title: &str, host: &str, answer: &Answer) -> String {
    let status = status_text(answer);
    let body: Value = parse_json(answer).unwrap_or_default();
    let code = body["error"]["code"].as_str().filter(|code| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=20).contains(&code.len()) && code.chars().all(plain)
    });
    match code {
        Some(code) => format!("{title} at {host}: {status}: code {code}"),
        None => format!("{title} at {host}: {status}"),
    }
}

fn credential(secret: &SecretString, key: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(secret.expose_secret())
        .map_err(|_| format!("{key} holds characters that no header may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Finds the sentence in an error's body: VTEX's areas each have a form of their own.
fn words(answer: &Answer) -> Option<String> {
    let body: Value = parse_json(answer).ok()?;
    let found = [
        &body["error"]["message"],
        &body["message"],
        &body["Message"],
        &body["error"],
        &body,
    ]
    .into_iter()
    .find_map(Value::as_str)?;
    let code = body["error"]["code"].as_str().unwrap_or_default();
    Some(one_line(format!("{code} {found}").trim(), 200))
}

/// Writes an instant as VTEX's filters and stock records expect it: UTC, milliseconds, `Z`.
fn utc(moment: Moment) -> String {
    match jiff::Timestamp::from_millisecond(moment.0) {
        Ok(instant) => format!("{instant:.3}"),
        Err(_) => moment.to_string(),
    }
}

impl Storefront for Vtex<'_> {
    fn feed_config(&self) -> PortResult<Option<FeedConfig>> {
        self.read_feed_config()
    }

    fn install_feed(&self) -> PortResult<()> {
        self.write_feed_config()
    }

    fn hook_config(&self) -> PortResult<Option<HookConfig>> {
        self.read_hook_config()
    }

    fn install_hook(&self) -> PortResult<()> {
        self.write_hook_config()
    }

    fn remove_hook(&self) -> PortResult<()> {
        self.delete_hook_config()
    }

    fn read_feed(&self) -> PortResult<Option<Vec<FeedEvent>>> {
        self.read_events()
    }

    fn commit_feed(&self, handles: &[String]) -> PortResult<()> {
        self.commit_events(handles)
    }

    fn list_orders(&self, filter: ListFilter, page: u32) -> PortResult<ListPage> {
        self.read_list(filter, page)
    }

    fn order(&self, id: &OrderId) -> PortResult<Option<OrderDocument>> {
        self.read_order(id)
    }

    fn start_handling(&self, id: &OrderId, permit: &Permit<'_>) -> PortResult<()> {
        self.send_start_handling(id, permit)
    }

    fn reservation(&self, id: &str) -> PortResult<Option<ReservationState>> {
        self.read_reservation(id)
    }

    fn stock(&self, sku: &SkuId) -> PortResult<Vec<StoreStock>> {
        self.read_stock(sku)
    }

    fn set_quantity(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
        permit: &Permit<'_>,
    ) -> PortResult<()> {
        self.write_quantity(sku, warehouse, quantity, as_of, permit)
    }

    fn resolve_refs(&self, refs: &[SkuRef]) -> PortResult<BTreeMap<SkuRef, SkuId>> {
        self.find_skus(refs)
    }

    fn sku(&self, id: &SkuId) -> PortResult<Option<SkuInfo>> {
        self.read_sku(id)
    }

    fn kit_parts(&self, id: &SkuId) -> PortResult<Vec<(SkuId, u32)>> {
        self.read_kit_parts(id)
    }

    fn sku_ids(&self, page: u32) -> PortResult<Vec<SkuId>> {
        self.read_sku_ids(page)
    }

    fn warehouses(&self) -> PortResult<Vec<(WarehouseId, bool)>> {
        self.read_warehouses()
    }

    fn clock_ahead_ms(&self) -> Option<i64> {
        self.calls.clock_ahead_ms()
    }
}

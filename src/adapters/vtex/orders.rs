//! Orders: the list, the document, start-handling.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::adapters::vtex::order::WireOrder;
use crate::adapters::vtex::status::READY;
use crate::adapters::vtex::wire::{count, encode, moment, text};
use crate::adapters::vtex::{Vtex, refusal_of_order, utc};
use crate::domain::ids::OrderId;
use crate::domain::order::OrderDocument;
use crate::domain::ports::{ListFilter, ListPage, Permit, PortError, PortResult};

/// The most orders on one page of the list.
const PER_PAGE: u32 = 100;
/// VTEX shows no page beyond this one.
const MAX_PAGE: u32 = 30;

#[derive(Deserialize)]
struct WireList {
    list: Option<Vec<WireRow>>,
    paging: Option<WirePaging>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRow {
    #[serde(default)]
    order_id: Value,
    #[serde(default)]
    creation_date: Value,
}

#[derive(Deserialize)]
struct WirePaging {
    #[serde(default)]
    total: Value,
}

impl Vtex<'_> {
    pub(super) fn read_list(&self, filter: ListFilter, page: u32) -> PortResult<ListPage> {
        const NAME: &str = "list orders";
        if !(1..=MAX_PAGE).contains(&page) {
            return Err(PortError::rejected(format!(
                "{NAME}: page {page} is not between 1 and {MAX_PAGE}; narrow the window"
            )));
        }
        let path = format!(
            "/api/oms/pvt/orders?page={page}&per_page={PER_PAGE}&orderBy={}&{}",
            encode("creationDate,asc"),
            filter_query(filter)
        );
        let wire: WireList = self.get(NAME, &format!("page {page}"), &path)?;
        let total = wire.paging.as_ref().and_then(|p| count(&p.total));
        let (Some(list), Some(total)) = (wire.list, total) else {
            return Err(self.unusable(NAME, "", "the answer has no list or no total"));
        };
        let orders = list
            .iter()
            .map(|row| {
                (
                    text(&row.order_id).unwrap_or_default(),
                    moment(&row.creation_date),
                )
            })
            .collect();
        Ok(ListPage { orders, total })
    }

    pub(super) fn read_order(&self, id: &OrderId) -> PortResult<Option<OrderDocument>> {
        const NAME: &str = "read order";
        let path = format!("/api/oms/pvt/orders/{}", encode(id.as_str()));
        let Some(wire) = self.find::<WireOrder>(NAME, id.as_str(), &path)? else {
            return Ok(None);
        };
        wire.into_document(id, &self.config.seller)
            .map(Some)
            .map_err(|reason| self.unusable(NAME, id.as_str(), &reason))
    }

    pub(super) fn send_start_handling(&self, id: &OrderId, permit: &Permit<'_>) -> PortResult<()> {
        const NAME: &str = "start handling";
        let path = format!("/api/oms/pvt/orders/{}/start-handling", encode(id.as_str()));
        let request = self.request(NAME, id.as_str(), Method::POST, &path, None)?;
        let title = request.title();
        let answer = self.calls.write(request, Some(permit))?;
        let reason = || refusal_of_order(&title, self.calls.client().host(), &answer);
        match answer.status {
            204 => Ok(()),
            401 | 403 => Err(PortError::denied(reason())),
            404 => Err(PortError::rejected(reason())),
            // A conflict usually means that it was done before: only the order itself can tell.
            _ => Err(PortError::uncertain(reason())),
        }
    }
}

fn filter_query(filter: ListFilter) -> String {
    let window = |field: &str, from, to| {
        let range = format!("{field}:[{} TO {}]", utc(from), utc(to));
        format!("f_{field}={}", encode(&range))
    };
    match filter {
        ListFilter::Created(from, to) => window("creationDate", from, to),
        ListFilter::Authorized(from, to) => window("authorizedDate", from, to),
        ListFilter::Ready => format!("f_status={READY}"),
    }
}

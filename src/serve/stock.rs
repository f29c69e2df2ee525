//! The available-stock interface of WinThor's page, answered by this program: its two routes, its parameters, its JSON.
//!
//! Source: "Integração do estoque disponível" and the API guide of TOTVS (TDN). What the page leaves open is answered as
//! its known clients expect: pages count from 1 and page 0 is page 1, a number that is 0 filters nothing, a branch is text,
//! the order ends with branch and product. Whatever cannot be understood is 400, never guessed at.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Number, json};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::Semaphore;

use crate::domain::available::{
    AvailablePage, AvailableQuery, AvailableRow, AvailableStock, CallOrigin, LocalTime, OrderKey,
};
use crate::domain::ids::BaseCode;
use crate::domain::ports::PortError;
use crate::domain::qty::Qty;
use crate::serve::Shared;

/// Rows of a page for which no size was asked.
const PAGE_SIZE: u32 = 20;
/// Branches in one question.
const MOST_BRANCHES: usize = 100;
/// Questions that are answered or wait at a time.
const AT_ONCE: usize = 16;

/// The interface: who may ask, and who answers.
pub struct StockApi {
    /// The accepted tokens.
    pub tokens: Vec<SecretString>,
    /// Rows of a page at most.
    pub largest_page: u32,
    /// Where the answers come from.
    pub source: Arc<dyn AvailableStock + Send + Sync>,
    /// Bounds the questions under way.
    pub slots: Arc<Semaphore>,
}

impl StockApi {
    /// Puts the interface together.
    pub fn new(
        tokens: Vec<SecretString>,
        largest_page: u32,
        source: Arc<dyn AvailableStock + Send + Sync>,
    ) -> Self {
        Self {
            tokens,
            largest_page,
            source,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl std::fmt::Debug for StockApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StockApi")
    }
}

/// Returns the routes.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/stock-vtex/v1/available/list", get(list))
        .route("/api/stock-vtex/v1/available/{branch}/{product}", get(one))
}

async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(
        &shared,
        &headers,
        query.as_deref().unwrap_or_default(),
        None,
    )
    .await
}

async fn one(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((branch, product)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref().unwrap_or_default();
    answer(&shared, &headers, query, Some((branch, product))).await
}

async fn answer(
    shared: &Shared,
    headers: &HeaderMap,
    query: &str,
    place: Option<(String, String)>,
) -> Response {
    let Some(api) = &shared.options.stock else {
        return refusal(
            StatusCode::NOT_FOUND,
            "not configured",
            "serve.stock_api is not set",
        );
    };
    if !may_ask(api, headers) {
        let body = json!({"code": "AUTHENTICATION_FAILED", "description": "the token is missing or wrong"});
        return reply(StatusCode::UNAUTHORIZED, &body);
    }
    let mut parameters = match parameters(query) {
        Ok(parameters) => parameters,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, "malformed question", &why),
    };
    if let Some((branch, product)) = place {
        parameters.insert("branchId".into(), branch);
        parameters.insert("productId".into(), product);
    }
    let query = match understand(&parameters, api.largest_page) {
        Ok(query) => query,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, "malformed question", &why),
    };
    let busy = |why: &str| refusal(StatusCode::SERVICE_UNAVAILABLE, "try again later", why);
    let Ok(slot) = Arc::clone(&api.slots).try_acquire_owned() else {
        return busy("too many questions at a time");
    };
    let (source, asked) = (Arc::clone(&api.source), query.clone());
    let work = tokio::task::spawn_blocking(move || {
        let page = source.page(&asked);
        drop(slot);
        page
    });
    match tokio::time::timeout(shared.options.answer_timeout, work).await {
        Err(_) => busy("the stock is still being read"),
        Ok(Err(_)) => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "no answer was made",
        ),
        Ok(Ok(Ok(page))) => reply(StatusCode::OK, &document(&page, query.page == 1)),
        Ok(Ok(Err(PortError::Rejected { reason }))) => {
            refusal(StatusCode::BAD_REQUEST, "cannot be answered", &reason)
        }
        Ok(Ok(Err(err))) => busy(&err.to_string()),
    }
}

/// Compares the token with every accepted one, in a time that tells nothing about them.
fn may_ask(api: &StockApi, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
    // As older clients of the interface send it.
    let cookie = text(COOKIE).and_then(|text| {
        let mut pairs = text
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        pairs
            .find(|(name, _)| *name == "suukie")
            .map(|(_, value)| value)
    });
    let sent = Sha256::digest(bearer.or(cookie).unwrap_or_default());
    let equal = |token: &SecretString| {
        let token = Sha256::digest(token.expose_secret());
        token.as_slice().ct_eq(sent.as_slice())
    };
    let none = Choice::from(0);
    api.tokens
        .iter()
        .fold(none, |known, token| known | equal(token))
        .into()
}

/// The parameters of the page, by name; one that is given twice counts once, as long as it says the same.
fn parameters(query: &str) -> Result<HashMap<String, String>, String> {
    let mut found: HashMap<String, String> = HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |text: &str| {
            let text = text.replace('+', " ");
            let decoded = percent_decode_str(&text).decode_utf8();
            decoded
                .map(|text| text.trim().to_owned())
                .map_err(|_| format!("{pair:?} is not UTF-8"))
        };
        let (name, value) = (text(name)?, text(value)?);
        if let Some(other) = found.insert(name.clone(), value.clone())
            && other != value
        {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(found)
}

/// Reads a question; what is not given, or given empty, does not filter.
fn understand(given: &HashMap<String, String>, largest: u32) -> Result<AvailableQuery, String> {
    let text = |name: &str| {
        given
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    };
    let number = |name: &str| -> Result<Option<u64>, String> {
        let read = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
        let value =
            text(name).map(|value| read(value).ok_or(format!("{name}: {value:?} is no number")));
        // The page's own example fills every filter with 0.
        Ok(value.transpose()?.filter(|id| *id != 0))
    };
    let truth = |name: &str| -> Result<Option<bool>, String> {
        let read = |value: &str| match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{name}: {value:?} is neither true nor false")),
        };
        text(name).map(read).transpose()
    };
    let branches = text("branchId").ok_or("branchId: is required")?;
    let branch = |text: &str| BaseCode::parse(text).map_err(|err| format!("branchId: {err}"));
    let branches: Vec<_> = branches.split(',').map(branch).collect::<Result<_, _>>()?;
    if branches.len() > MOST_BRANCHES {
        return Err(format!(
            "branchId: names more than {MOST_BRANCHES} branches"
        ));
    }
    let origin = match text("callOrigin") {
        None | Some("W") => CallOrigin::Web,
        Some("WSH") => CallOrigin::Hub,
        Some(other) => return Err(format!("callOrigin: {other:?} is neither W nor WSH")),
    };
    let since = text("lastChange").map(|date| {
        LocalTime::parse(date).ok_or(format!(
            "lastChange: {date:?} is not like 2026-01-31T16:14:03"
        ))
    });
    let size = u32::try_from(number("pageSize")?.unwrap_or(u64::from(PAGE_SIZE)));
    let size = size.ok().filter(|size| *size <= largest);
    let page = u32::try_from(number("page")?.unwrap_or(1)).map_err(|_| "page: is too large")?;
    let order = text("order").unwrap_or("lastChange").split(',').map(order);
    let types = text("merchandiseType")
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    Ok(AvailableQuery {
        branches,
        origin,
        since: since.transpose()?,
        order: order.collect::<Result<_, _>>()?,
        category: number("categoryId")?,
        subcategory: number("subcategoryId")?,
        section: number("sectionId")?,
        department: number("departmentId")?,
        provider: number("providerId")?,
        product: text("productId").filter(|id| *id != "0").map(str::to_owned),
        page,
        page_size: size.ok_or(format!("pageSize: at most {largest}"))?,
        packaging_sales: truth("usesPackagingSales")?.unwrap_or(false),
        resale: truth("resale")?,
        types: types
            .filter(|kind| !kind.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

/// One key of the order; a minus before it turns it round.
fn order(text: &str) -> Result<(OrderKey, bool), String> {
    let text = text.trim();
    let (name, descending) = text
        .strip_prefix('-')
        .map_or((text, false), |name| (name, true));
    let key = match name {
        "lastChange" => OrderKey::LastChange,
        "createDate" => OrderKey::CreateDate,
        "productId" => OrderKey::Product,
        "warehouseBranchId" => OrderKey::Branch,
        _ => {
            return Err(format!(
                "order: {text:?} is no field that can be ordered by"
            ));
        }
    };
    Ok((key, descending))
}

/// A page as it is written: the fields and their order are those of the interface.
#[derive(Serialize)]
struct Document {
    first: bool,
    items: Vec<Item>,
    #[serde(rename = "hasNext")]
    has_next: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    create_date: String,
    last_change: String,
    product_id: String,
    quantity: Number,
    unlimited_quantity: bool,
    warehouse_branch_id: String,
    warehouse_branch_name: String,
    unit_multiplier: Number,
}

fn document(page: &AvailablePage, first: bool) -> Document {
    let item = |row: &AvailableRow| Item {
        create_date: row.created.to_string(),
        last_change: row.changed.to_string(),
        product_id: row.product_id.clone(),
        quantity: exact(row.quantity),
        unlimited_quantity: row.unlimited,
        warehouse_branch_id: row.branch.to_string(),
        warehouse_branch_name: row.branch_name.clone(),
        unit_multiplier: exact(row.unit_multiplier),
    };
    Document {
        first,
        items: page.rows.iter().map(item).collect(),
        has_next: page.has_next,
    }
}

/// A number with every digit that it has.
fn exact(quantity: Qty) -> Number {
    quantity
        .to_string()
        .parse()
        .unwrap_or_else(|_| Number::from(0))
}

/// The error object of the API guide.
fn refusal(status: StatusCode, message: &str, detail: &str) -> Response {
    let body = json!({
        "code": status.as_u16().to_string(), "message": message, "detailedMessage": detail, "helpUrl": "",
    });
    reply(status, &body)
}

fn reply(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<AvailableQuery, String> {
        understand(&parameters(query)?, 2000)
    }

    #[test]
    fn every_parameter_of_the_page_is_read() {
        let query = asked(
            "branchId=1%2C02&callOrigin=WSH&lastChange=2021-08-03T16:14:03&order=lastChange,-productId&categoryId=1&\
             subcategoryId=2&sectionId=3&departmentId=4&providerId=5&productId=789-100&page=2&pageSize=100&\
             usesPackagingSales=true&resale=false&merchandiseType=PA,KT",
        );
        let query = query.unwrap();
        assert_eq!(
            query
                .branches
                .iter()
                .map(BaseCode::as_str)
                .collect::<Vec<_>>(),
            ["1", "02"]
        );
        assert_eq!(query.origin, CallOrigin::Hub);
        assert_eq!(query.since.unwrap().to_string(), "2021-08-03T16:14:03");
        assert_eq!(
            query.order,
            [(OrderKey::LastChange, false), (OrderKey::Product, true)]
        );
        let ids = [
            query.category,
            query.subcategory,
            query.section,
            query.department,
            query.provider,
        ];
        assert_eq!(ids, [Some(1), Some(2), Some(3), Some(4), Some(5)]);
        assert_eq!(query.product.as_deref(), Some("789-100"));
        assert_eq!((query.page, query.page_size), (2, 100));
        assert!(query.packaging_sales);
        assert_eq!(query.resale, Some(false));
        assert_eq!(query.types, ["PA", "KT"]);
    }

    #[test]
    fn placeholders_do_not_filter_and_page_0_is_page_1() {
        let query = asked(
            "branchId=1,2&categoryId=0&subcategoryId=0&sectionId=0&departmentId=0&providerId=0&productId=0&page=0&\
             pageSize=0&merchandiseType=&callOrigin=W",
        );
        let plain = AvailableQuery {
            order: vec![(OrderKey::LastChange, false)],
            ..AvailableQuery::of(
                ["1", "2"].map(|b| BaseCode::parse(b).unwrap()).to_vec(),
                PAGE_SIZE,
            )
        };
        assert_eq!(query.unwrap(), plain);
    }

    #[test]
    fn what_cannot_be_understood_says_which_parameter_and_why() {
        for (query, why) in [
            ("", "branchId: is required"),
            ("branchId=", "branchId: is required"),
            ("branchId=1,,2", "branchId: "),
            (
                "branchId=1&callOrigin=X",
                "callOrigin: \"X\" is neither W nor WSH",
            ),
            (
                "branchId=1&lastChange=03/08/2021",
                "lastChange: \"03/08/2021\"",
            ),
            ("branchId=1&lastChange=2021-08-03T16:14:03Z", "lastChange: "),
            ("branchId=1&page=-1", "page: \"-1\" is no number"),
            ("branchId=1&page=%2B1", "page: \"+1\" is no number"),
            ("branchId=1&pageSize=2001", "pageSize: at most 2000"),
            ("branchId=1&pageSize=x", "pageSize: \"x\" is no number"),
            ("branchId=1&order=quantity", "order: \"quantity\""),
            (
                "branchId=1&resale=S",
                "resale: \"S\" is neither true nor false",
            ),
            ("branchId=1&branchId=2", "branchId is given twice"),
            ("branchId=%FF", "is not UTF-8"),
            (
                "branchId=1&sectionId=1.5",
                "sectionId: \"1.5\" is no number",
            ),
        ] {
            let told = asked(query).unwrap_err();
            assert!(told.contains(why), "{query}: {told}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_fields_their_order() {
        let row = AvailableRow {
            created: LocalTime::NONE,
            changed: LocalTime::parse("2021-08-03T16:56:42").unwrap(),
            product_id: "99999999999999999999-7".into(),
            quantity: Qty::parse("120.00000001").unwrap(),
            unlimited: false,
            branch: BaseCode::parse("1").unwrap(),
            branch_name: "MATRIZ \"A\"".into(),
            unit_multiplier: Qty::parse("2.5").unwrap(),
        };
        let page = AvailablePage {
            rows: vec![row],
            has_next: true,
        };
        let text = serde_json::to_string(&document(&page, false)).unwrap();
        let wanted = r#"{"first":false,"items":[{"createDate":"1900-01-01T00:00:00","lastChange":"2021-08-03T16:56:42","productId":"99999999999999999999-7","quantity":120.00000001,"unlimitedQuantity":false,"warehouseBranchId":"1","warehouseBranchName":"MATRIZ \"A\"","unitMultiplier":2.5}],"hasNext":true}"#;
        assert_eq!(text, wanted);
    }
}

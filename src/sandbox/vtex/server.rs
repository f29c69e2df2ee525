//! The store's HTTP interface.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::fmt::rfc2822;
use serde_json::{Value, json};

use crate::domain::ids::{OrderId, SkuId, WarehouseId};
use crate::domain::time::Moment;
use crate::sandbox::catalogue::{Product, WAREHOUSE};
use crate::sandbox::faults::Faults;
use crate::sandbox::http::{Reply, Request, Server};
use crate::sandbox::vtex::documents;
use crate::sandbox::vtex::hook::{self, Postmen};
use crate::sandbox::vtex::model::{Order, Refusal, VtexModel};
use crate::sandbox::{ACCOUNT, APP_KEY, APP_TOKEN, SandboxClock};

/// A running store.
pub struct VtexServer {
    server: Server,
    model: Arc<Mutex<VtexModel>>,
    _postmen: Arc<Mutex<Option<Postmen>>>,
}

impl VtexServer {
    /// Opens a store with these goods.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had.
    pub fn start(
        clock: SandboxClock,
        faults: Faults,
        products: &[Product],
    ) -> std::io::Result<Self> {
        let model = Arc::new(Mutex::new(VtexModel::new(products, &[WAREHOUSE, "1_2"])));
        let postmen = Arc::new(Mutex::new(None));
        let desk = Desk {
            model: Arc::clone(&model),
            clock,
            faults,
            postmen: Arc::clone(&postmen),
        };
        let server = Server::start(Arc::new(move |request| desk.answer(request)))?;
        Ok(Self {
            server,
            model,
            _postmen: postmen,
        })
    }

    /// Returns the store's address.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the store's port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Looks at, or changes, what the store remembers.
    pub fn with<T>(&self, work: impl FnOnce(&mut VtexModel) -> T) -> T {
        work(&mut lock(&self.model))
    }
}

pub(super) fn lock(model: &Mutex<VtexModel>) -> MutexGuard<'_, VtexModel> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Desk {
    model: Arc<Mutex<VtexModel>>,
    clock: SandboxClock,
    faults: Faults,
    /// Hired with the first hook.
    postmen: Arc<Mutex<Option<Postmen>>>,
}

fn problem(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(
        status,
        &json!({"error": {"code": code, "message": message, "exception": null}}),
    )
}

impl Desk {
    fn answer(&self, request: &Request) -> Reply {
        let now = self.clock.now();
        let reply = self.checked(request, now);
        let date = jiff::Timestamp::from_millisecond(now.0).ok();
        let date = date.and_then(|at| {
            rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&at)
                .ok()
        });
        match date {
            Some(date) => reply.header("Date", &date),
            None => reply,
        }
    }

    fn checked(&self, request: &Request, now: Moment) -> Reply {
        let mut model = lock(&self.model);
        model.tick(now);
        let known = request.header("x-vtex-api-appkey") == Some(APP_KEY)
            && request.header("x-vtex-api-apptoken") == Some(APP_TOKEN);
        if !known {
            model.violations.push(format!(
                "{} {} without the right key",
                request.method, request.path
            ));
            return problem(401, "1", "Unauthorized access");
        }
        for name in ["accept", "content-type"] {
            if request.header(name).is_none() {
                model.violations.push(format!(
                    "{} {} without {name}",
                    request.method, request.path
                ));
            }
        }
        // Calls that were under way when the host asked to wait are nobody's fault.
        let asked = model.quiet_from.is_some_and(|from| now > from.plus_ms(300));
        if asked && model.quiet_until.is_some_and(|until| now < until) {
            model.violations.push(format!(
                "{} was called before Retry-After had passed",
                request.path
            ));
        }
        drop(model);
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let (operation, detail): (&'static str, String) =
            match (request.method.as_str(), segments.as_slice()) {
                ("GET", ["api", "orders", "feed", "config"]) => ("feed config", String::new()),
                ("POST", ["api", "orders", "feed", "config"]) => ("install feed", String::new()),
                ("GET", ["api", "orders", "feed"]) => ("read feed", String::new()),
                ("POST", ["api", "orders", "feed"]) => ("commit feed", String::new()),
                (_, ["api", "orders", "hook", "config"]) => ("hook config", String::new()),
                ("GET", ["api", "oms", "pvt", "orders"]) => ("list orders", String::new()),
                ("GET", ["api", "oms", "pvt", "orders", id]) => ("get order", (*id).to_owned()),
                ("POST", ["api", "oms", "pvt", "orders", id, "start-handling"]) => {
                    ("start handling", (*id).to_owned())
                }
                (_, ["api", "logistics", "pvt", "inventory", "skus", sku, ..])
                    if request.method == "GET" =>
                {
                    ("get stock", (*sku).to_owned())
                }
                ("PATCH" | "PUT", ["api", "logistics", "pvt", "inventory", "skus", sku, ..]) => {
                    ("set stock", (*sku).to_owned())
                }
                ("PUT", ["api", "fulfillment", "pvt", "stock"]) => ("set stock", String::new()),
                ("GET", ["api", "logistics", "pvt", "inventory", "reservations", id]) => {
                    ("get reservation", (*id).to_owned())
                }
                ("GET", ["api", "logistics", "pvt", "configuration", "warehouses"]) => {
                    ("list warehouses", String::new())
                }
                (_, ["api", "catalog_system" | "catalog", ..]) => {
                    ("catalogue", request.path.clone())
                }
                _ => ("unknown", request.path.clone()),
            };
        let reply = self.faults.run("vtex", operation, detail, || {
            self.route(request, &segments, now)
        });
        if reply.status == 429 {
            let seconds = reply.headers.iter().find(|(name, _)| name == "Retry-After");
            let seconds = seconds
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(0);
            let mut model = lock(&self.model);
            model.quiet_from = Some(now);
            model.quiet_until = Some(now.plus_ms(seconds * 1000));
        }
        reply
    }

    /// The hook's configuration. The trial of its address is made while nothing is locked.
    fn hook(&self, request: &Request, now: Moment) -> Reply {
        match request.method.as_str() {
            "GET" => lock(&self.model).hook_config.as_ref().map_or_else(
                || problem(404, "OMS001", "Hook configuration not found"),
                |config| Reply::json(200, config),
            ),
            "POST" => {
                let config = request.json();
                if !hook::answers(&config) {
                    return problem(400, "OMS005", "Unable to check address");
                }
                let mut model = lock(&self.model);
                model.hook_config = Some(config);
                model.hook_alive = now;
                drop(model);
                let hire = || Postmen::start(&self.model, &self.clock);
                let mut postmen = self.postmen.lock().unwrap_or_else(PoisonError::into_inner);
                postmen.get_or_insert_with(hire);
                // The contract has the answer look like an event.
                let origin = json!({"Account": ACCOUNT, "Key": APP_KEY});
                let event = json!({"Domain": "Fulfillment", "OrderId": "", "State": "", "LastState": "",
                    "LastChange": "", "CurrentChange": "", "Origin": origin});
                Reply::json(200, &event)
            }
            "DELETE" => match lock(&self.model).hook_config.take() {
                Some(_) => Reply::empty(200),
                None => problem(404, "OMS001", "Hook configuration not found"),
            },
            _ => Reply::text(404, "no such route"),
        }
    }

    fn route(&self, request: &Request, segments: &[&str], now: Moment) -> Reply {
        if segments == ["api", "orders", "hook", "config"] {
            return self.hook(request, now);
        }
        let mut model = lock(&self.model);
        match (request.method.as_str(), segments) {
            ("GET", ["api", "orders", "feed", "config"]) => feed_config(&model),
            ("POST", ["api", "orders", "feed", "config"]) => {
                model.feed_config = Some(request.json());
                Reply::empty(200)
            }
            ("GET", ["api", "orders", "feed"]) => read_feed(&mut model, request, now),
            ("POST", ["api", "orders", "feed"]) => commit_feed(&mut model, request),
            ("GET", ["api", "oms", "pvt", "orders"]) => list_orders(&mut model, request, now),
            ("GET", ["api", "oms", "pvt", "orders", id]) => order(&mut model, id),
            ("POST", ["api", "oms", "pvt", "orders", id, "start-handling"]) => {
                handle(&mut model, id, now)
            }
            ("GET", ["api", "logistics", "pvt", "inventory", "skus", sku]) => stock(&model, sku),
            (
                "PATCH",
                [
                    "api",
                    "logistics",
                    "pvt",
                    "inventory",
                    "skus",
                    sku,
                    "warehouses",
                    warehouse,
                    "quantity",
                ],
            ) => set_stock(&mut model, sku, warehouse, &request.json(), now, 204),
            (
                "PUT",
                [
                    "api",
                    "logistics",
                    "pvt",
                    "inventory",
                    "skus",
                    sku,
                    "warehouses",
                    warehouse,
                ],
            ) => put_stock(&mut model, sku, warehouse, &request.json(), now),
            ("PUT", ["api", "fulfillment", "pvt", "stock"]) => {
                let body = request.json();
                let text = |name: &str| {
                    body[name]
                        .as_str()
                        .map_or_else(|| body[name].to_string(), str::to_owned)
                };
                set_stock(
                    &mut model,
                    &text("skuId"),
                    &text("warehouseId"),
                    &body,
                    now,
                    200,
                )
            }
            ("GET", ["api", "logistics", "pvt", "inventory", "reservations", id]) => {
                documents::reservation(&model, id).map_or_else(
                    || Reply::text(404, "no such reservation"),
                    |r| Reply::json(200, &r),
                )
            }
            ("GET", ["api", "logistics", "pvt", "configuration", "warehouses"]) => {
                Reply::json(200, &warehouses(&model))
            }
            (_, ["api", "catalog_system" | "catalog", ..]) => {
                catalogue(&mut model, request, segments)
            }
            _ => Reply::text(404, "no such route"),
        }
    }
}

fn feed_config(model: &VtexModel) -> Reply {
    let Some(config) = &model.feed_config else {
        return problem(404, "OMS001", "Feed configuration not found");
    };
    let mut config = config.clone();
    config["quantity"] = json!(model.feed.len());
    config["approximateAgeOfOldestMessageInSeconds"] = json!(0);
    Reply::json(200, &config)
}

fn read_feed(model: &mut VtexModel, request: &Request, now: Moment) -> Reply {
    if model.feed_config.is_none() {
        return problem(404, "OMS001", "Feed configuration not found");
    }
    let most: usize = request
        .query
        .get("maxlot")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    if most == 0 || most > 10 {
        model.violations.push(format!("maxlot {most}"));
        return problem(400, "OMS002", "maxlot must be 1 to 10");
    }
    let events = model.read_feed(most, now);
    let event = |e: &crate::sandbox::vtex::model::Event| {
        json!({
            "eventId": e.handle, "handle": e.handle, "domain": "Fulfillment", "state": e.status, "lastState": "",
            "orderId": e.order.as_str(), "lastChange": documents::instant(now), "currentChange": documents::instant(now),
        })
    };
    Reply::json(200, &Value::Array(events.iter().map(event).collect()))
}

fn commit_feed(model: &mut VtexModel, request: &Request) -> Reply {
    let body = request.json();
    let handles: Vec<String> = body["handles"]
        .as_array()
        .map(|all| {
            all.iter()
                .filter_map(|h| h.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    if handles.is_empty() {
        model.violations.push("a commit without handles".into());
    }
    model.commit_feed(&handles);
    Reply::empty(200)
}

/// Reads `creationDate:[A TO B]`.
fn window(text: &str) -> Option<(Moment, Moment)> {
    let inner = text.split_once(":[")?.1.strip_suffix(']')?;
    let (from, to) = inner.split_once(" TO ")?;
    Some((Moment::parse(from)?, Moment::parse(to)?))
}

fn list_orders(model: &mut VtexModel, request: &Request, now: Moment) -> Reply {
    let number = |name: &str, default: usize| {
        request
            .query
            .get(name)
            .and_then(|n| n.parse().ok())
            .unwrap_or(default)
    };
    let (page, per_page) = (number("page", 1), number("per_page", 15));
    if page == 0 || page > 30 || per_page == 0 || per_page > 100 {
        model
            .violations
            .push(format!("order list page {page} of {per_page}"));
        return problem(400, "OMS004", "page limit");
    }
    let created = request
        .query
        .get("f_creationDate")
        .and_then(|text| window(text));
    let authorized = request
        .query
        .get("f_authorizedDate")
        .and_then(|text| window(text));
    let status = request.query.get("f_status");
    let fits = |order: &&Order| {
        let within = |at: Moment, window: Option<(Moment, Moment)>| {
            window.is_none_or(|(a, b)| a <= at && at <= b)
        };
        order.listed_from <= now
            && within(order.created, created)
            && (authorized.is_none() || order.authorized.is_some_and(|at| within(at, authorized)))
            && status.is_none_or(|status| status == order.status)
    };
    let mut orders: Vec<&Order> = model.orders.values().filter(fits).collect();
    orders.sort_by_key(|order| (order.created, order.id.clone()));
    if request
        .query
        .get("orderBy")
        .is_some_and(|by| by.ends_with("desc"))
    {
        orders.reverse();
    }
    let total = orders.len();
    let list: Vec<Value> = orders
        .iter()
        .skip((page - 1) * per_page)
        .take(per_page)
        .map(|o| documents::listed(o))
        .collect();
    let paging = json!({"total": total, "pages": total.div_ceil(per_page), "currentPage": page, "perPage": per_page});
    Reply::json(
        200,
        &json!({"list": list, "facets": [], "paging": paging, "stats": documents::statistics()}),
    )
}

fn order(model: &mut VtexModel, id: &str) -> Reply {
    let id = OrderId::parse(id).ok();
    if let Some(id) = &id {
        model.note_reading(id);
    }
    match id.and_then(|id| model.orders.get(&id)) {
        Some(order) => Reply::json(200, &documents::order(model, order)),
        None => problem(404, "OMS007", "Order not found"),
    }
}

fn handle(model: &mut VtexModel, id: &str, now: Moment) -> Reply {
    let Ok(id) = OrderId::parse(id) else {
        return problem(404, "OMS007", "Order not found");
    };
    *model.handling_calls.entry(id.clone()).or_insert(0) += 1;
    match model.start_handling(&id, now) {
        Ok(()) => Reply::empty(204),
        Err(Refusal::Missing) => problem(404, "OMS007", "Order not found"),
        Err(Refusal::Conflict) => problem(
            409,
            "OMS003",
            "The order is not in a status that allows handling",
        ),
    }
}

fn stock(model: &VtexModel, sku: &str) -> Reply {
    let Ok(id) = SkuId::parse(sku) else {
        return Reply::text(400, "not a SKU");
    };
    let balance: Vec<Value> = model
        .shelves_of(&id)
        .map(|(warehouse, shelf)| {
            json!({
                "warehouseId": warehouse.as_str(), "warehouseName": "a warehouse", "totalQuantity": shelf.total,
                "reservedQuantity": model.reserved(&id, warehouse), "hasUnlimitedQuantity": shelf.unlimited,
                "timeToRefill": null, "dateOfSupplyUtc": null, "leadTime": shelf.lead_time,
            })
        })
        .collect();
    Reply::json(200, &json!({"skuId": sku, "balance": balance}))
}

fn set_stock(
    model: &mut VtexModel,
    sku: &str,
    warehouse: &str,
    body: &Value,
    now: Moment,
    status: u16,
) -> Reply {
    let (Ok(id), Ok(place)) = (SkuId::parse(sku), WarehouseId::parse(warehouse)) else {
        return Reply::text(400, "not a SKU or warehouse");
    };
    let Some(quantity) = body["quantity"]
        .as_i64()
        .filter(|q| (0..=i64::from(i32::MAX)).contains(q))
    else {
        model
            .violations
            .push(format!("quantity {} for SKU {sku}", body["quantity"]));
        return Reply::text(400, "quantity");
    };
    let as_of = body["dateUtcOnBalanceSystem"]
        .as_str()
        .map_or(Some(now), Moment::parse);
    let Some(as_of) = as_of.filter(|at| *at <= now.plus_ms(2000)) else {
        model.violations.push(format!(
            "instant {} for SKU {sku}",
            body["dateUtcOnBalanceSystem"]
        ));
        return Reply::text(400, "dateUtcOnBalanceSystem");
    };
    if !model.set_quantity(&id, &place, quantity, as_of) {
        return Reply::text(404, "no such SKU in the warehouse");
    }
    if let Some(shelf) = model.shelves.get_mut(&(id, place)) {
        shelf.unlimited = body["unlimitedQuantity"].as_bool().unwrap_or(false);
        shelf.written_at = now;
    }
    Reply::empty(status)
}

fn put_stock(
    model: &mut VtexModel,
    sku: &str,
    warehouse: &str,
    body: &Value,
    now: Moment,
) -> Reply {
    if body["leadTime"].as_str().is_none() {
        model.violations.push(format!(
            "PUT for SKU {sku} without a lead time: it is now zero"
        ));
    }
    let reply = set_stock(model, sku, warehouse, body, now, 200);
    let lead_time = body["leadTime"].as_str().unwrap_or("00:00:00").to_owned();
    if reply.status == 200
        && let (Ok(id), Ok(place)) = (SkuId::parse(sku), WarehouseId::parse(warehouse))
        && let Some(shelf) = model.shelves.get_mut(&(id, place))
    {
        shelf.lead_time = lead_time;
    }
    if reply.status == 200 {
        Reply::json(200, &Value::Bool(true))
    } else {
        reply
    }
}

fn warehouses(model: &VtexModel) -> Value {
    let ids: BTreeSet<&WarehouseId> = model
        .shelves
        .keys()
        .map(|(_, warehouse)| warehouse)
        .collect();
    let warehouse = |id: &&WarehouseId| json!({"id": id.as_str(), "name": "a warehouse", "warehouseDocks": [], "pickupPointIds": [], "priority": 0, "isActive": true});
    Value::Array(ids.iter().map(warehouse).collect())
}

fn catalogue(model: &mut VtexModel, request: &Request, segments: &[&str]) -> Reply {
    let by_id = |model: &VtexModel, id: &str| {
        let id = SkuId::parse(id).ok()?;
        model.product(&id).cloned()
    };
    let by_ref = |model: &VtexModel, r: &str| {
        model
            .products
            .iter()
            .find(|p| p.variant.reference() == r)
            .cloned()
    };
    let missing = || Reply::text(404, "SKU not found");
    match (request.method.as_str(), segments) {
        ("GET", [.., "stockkeepingunitbyid", id]) => by_id(model, id)
            .map_or_else(missing, |product| {
                Reply::json(200, &documents::sku(&product))
            }),
        ("GET", [.., "stockkeepingunitidbyrefid", reference]) => by_ref(model, reference)
            .map_or_else(missing, |product| {
                Reply::json(200, &json!(product.sku.as_str()))
            }),
        ("POST", [.., "stockkeepingunitidsbyrefids"]) => {
            let body = request.json();
            let asked: Vec<&str> = body
                .as_array()
                .map(|a| a.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            if asked.iter().collect::<BTreeSet<_>>().len() != asked.len() {
                model
                    .violations
                    .push("a reference twice in one look-up".into());
                return Reply::text(500, "duplicate");
            }
            let found = asked.iter().map(|r| {
                (
                    (*r).to_owned(),
                    by_ref(model, r).map_or(Value::Null, |p| json!(p.sku.as_str())),
                )
            });
            Reply::json(200, &Value::Object(found.collect()))
        }
        ("GET", [.., "stockkeepingunitids"]) => {
            let number = |name: &str| {
                request
                    .query
                    .get(name)
                    .and_then(|n| n.parse::<usize>().ok())
                    .unwrap_or(0)
            };
            let (page, size) = (number("page").max(1), number("pagesize"));
            if size == 0 || size > 1000 {
                model.violations.push(format!("catalogue page of {size}"));
                return Reply::text(400, "pagesize");
            }
            let ids = model.products.iter().skip((page - 1) * size).take(size);
            let ids: Vec<i64> = ids
                .filter_map(|product| product.sku.as_str().parse().ok())
                .collect();
            Reply::json(200, &json!(ids))
        }
        ("GET", [.., "stockkeepingunitkit"]) => {
            let parent = request
                .query
                .get("parentSkuId")
                .cloned()
                .unwrap_or_default();
            match SkuId::parse(&parent)
                .ok()
                .and_then(|id| model.kits.get(&id))
            {
                // The contract types the answer as one object, although a kit may have several parts.
                Some((part, units)) => Reply::json(
                    200,
                    &json!({"Id": 1, "StockKeepingUnitParent": parent.parse::<i64>().unwrap_or(0),
                        "StockKeepingUnitId": part.as_str().parse::<i64>().unwrap_or(0), "Quantity": units,
                        "UnitPrice": 1.0}),
                ),
                None => missing(),
            }
        }
        _ => missing(),
    }
}

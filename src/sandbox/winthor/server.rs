//! The installation's services, with their habits: a log-in, naive dates, pages that begin with 1 whatever is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::domain::ids::OrderId;
use crate::domain::time::Moment;
use crate::sandbox::SandboxClock;
use crate::sandbox::faults::Faults;
use crate::sandbox::http::{Reply, Request, Server};
use crate::sandbox::winthor::model::{ErpOrder, Packaging, Product, Shelf, WinthorModel, shares};

/// The user of the services.
pub const USER: &str = "INTEGRA";
/// Its password.
pub const PASSWORD: &str = "Sandbox1";
/// What the log-in wants instead of it: MD5 of the password in capitals.
const PASSWORD_MD5: &str = "BDB122192ECFF44B04A60855DB993D34";
/// 1900-01-01T00:00:00, which stands where there is no date.
const NO_DATE: Moment = Moment(-2_208_988_800_000);
/// The largest page.
const MOST_ROWS: usize = 2000;

/// Running services.
pub struct WinthorServer {
    server: Server,
    model: Arc<Mutex<WinthorModel>>,
}

struct Desk {
    model: Arc<Mutex<WinthorModel>>,
    tokens: Mutex<BTreeMap<String, Moment>>,
    clock: SandboxClock,
    faults: Faults,
}

impl WinthorServer {
    /// Starts the services over an installation.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had.
    pub fn start(
        clock: SandboxClock,
        faults: Faults,
        model: WinthorModel,
    ) -> std::io::Result<Self> {
        let model = Arc::new(Mutex::new(model));
        let desk = Desk {
            model: Arc::clone(&model),
            tokens: Mutex::default(),
            clock,
            faults,
        };
        let server = Server::start(Arc::new(move |request| desk.answer(request)))?;
        Ok(Self { server, model })
    }

    /// Returns the services' base address.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Looks at, or changes, what the installation remembers.
    pub fn with<T>(&self, work: impl FnOnce(&mut WinthorModel) -> T) -> T {
        work(&mut lock(&self.model))
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn refused(status: u16, message: &str) -> Reply {
    let body =
        json!({"code": "STOCK", "message": message, "detailedMessage": message, "helpUrl": ""});
    Reply::json(status, &body)
}

impl Desk {
    fn answer(&self, request: &Request) -> Reply {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let (operation, detail) = match segments.as_slice() {
            ["winthor", "autenticacao", "v1", "login"] => ("log in", String::new()),
            ["api", "stock-vtex", "v1", "available", ..] => (
                "read stock",
                request.query.get("page").cloned().unwrap_or_default(),
            ),
            ["api", "wholesale", "v1", "orders", "list"] => ("look up order", String::new()),
            _ => ("unknown", request.path.clone()),
        };
        self.faults.run("winthor", operation, detail, || {
            self.route(request, &segments)
        })
    }

    fn route(&self, request: &Request, segments: &[&str]) -> Reply {
        if let ["winthor", "autenticacao", "v1", "login"] = segments {
            return self.log_in(request);
        }
        if !self.known(request) {
            let body = json!({"code": "AUTHENTICATION_FAILED", "description": "Token invalido ou expirado"});
            return Reply::json(401, &body);
        }
        let mut model = lock(&self.model);
        if request.method != "GET" {
            model
                .violations
                .push(format!("{} {}", request.method, request.path));
            return refused(405, "somente leitura");
        }
        match segments {
            ["api", "stock-vtex", "v1", "available", "list"] => list(&model, &request.query),
            ["api", "stock-vtex", "v1", "available", branch, product] => {
                let mut query = request.query.clone();
                query.insert("branchId".into(), (*branch).into());
                query.insert("productId".into(), (*product).into());
                list(&model, &query)
            }
            ["api", "wholesale", "v1", "orders", "list"] => orders(&model, &request.query),
            _ => refused(404, "recurso inexistente"),
        }
    }

    fn log_in(&self, request: &Request) -> Reply {
        let body = request.json();
        let (user, secret) = (&body["login"], &body["senha"]);
        if request.method != "POST" || user != USER || secret != PASSWORD_MD5 {
            return refused(401, "Usuario ou senha invalidos");
        }
        let mut tokens = lock(&self.tokens);
        let token = format!("eyJhbGciOiJIUzI1NiJ9.{:08}.c2FuZGJveA", tokens.len());
        let until = self.clock.now().plus_ms(lock(&self.model).habits.token_ms);
        tokens.insert(token.clone(), until);
        Reply::json(200, &json!({"accessToken": token, "refreshToken": null}))
    }

    fn known(&self, request: &Request) -> bool {
        let bearer = request
            .header("authorization")
            .and_then(|text| text.strip_prefix("Bearer "));
        let cookie = request
            .header("cookie")
            .and_then(|text| text.strip_prefix("suukie="));
        let now = self.clock.now();
        bearer.or(cookie).is_some_and(|token| {
            lock(&self.tokens)
                .get(token)
                .is_some_and(|until| now < *until)
        })
    }
}

/// One line of an answer before it is written.
struct Line<'m> {
    number: u64,
    product: &'m Product,
    branch: &'m str,
    shelf: &'m Shelf,
    packaging: &'m Packaging,
    /// Whether the product's stock is divided among its packagings.
    divided: bool,
}

impl Line<'_> {
    /// A list has many pages, and each is put in order anew: only the lines of the page asked for are divided.
    fn quantity(&self) -> Decimal {
        let stock = self.shelf.available();
        if !self.divided {
            return stock;
        }
        let own = |(packaging, units): (&Packaging, Decimal)| {
            std::ptr::eq(packaging, self.packaging).then_some(units)
        };
        let parts = shares(stock, &self.product.packagings);
        parts.into_iter().find_map(own).unwrap_or_default()
    }
}

fn list(model: &WinthorModel, query: &BTreeMap<String, String>) -> Reply {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let branches: Vec<&str> = text("branchId").split(',').map(str::trim).collect();
    if text("branchId").is_empty() {
        return refused(400, "branchId e obrigatorio");
    }
    if !matches!(text("callOrigin"), "" | "W" | "WSH") {
        return refused(400, "callOrigin desconhecido");
    }
    let wanted = text("productId")
        .rsplit('-')
        .next()
        .and_then(|id| id.parse::<u64>().ok());
    let wanted = wanted.filter(|id| *id != 0);
    let since = Moment::parse(&format!("{}Z", text("lastChange")));
    let kinds: Vec<&str> = text("merchandiseType")
        .split(',')
        .filter(|kind| !kind.is_empty())
        .collect();
    let divided = text("usesPackagingSales") == "true";
    let mut lines = Vec::new();
    let of_one = |id: u64| model.products.range(id..=id);
    let products = wanted.map_or_else(|| model.products.range(..), of_one);
    for (number, product) in products {
        let fits = (text("callOrigin") == "WSH" || product.on_web)
            && (kinds.is_empty() || kinds.contains(&product.kind.as_str()))
            && (text("resale").is_empty() || (text("resale") == "true") == product.resale);
        if !fits {
            continue;
        }
        for (branch, shelf) in &product.shelves {
            let old = since.is_some_and(|since| shelf.changed.unwrap_or(NO_DATE) < since);
            if !branches.contains(&branch.as_str()) || old {
                continue;
            }
            let line = |packaging| Line {
                number: *number,
                product,
                branch,
                shelf,
                packaging,
                divided,
            };
            let all = product.packagings.iter();
            if divided {
                let packs = all.filter(|p| p.factor.is_some_and(|factor| factor > Decimal::ZERO));
                lines.extend(packs.map(line));
            } else {
                let smallest = all.filter(|p| p.factor.is_some()).min_by_key(|p| p.factor);
                lines.extend(smallest.map(line));
            }
        }
    }
    lines.sort_by_key(|line| {
        let code = line.packaging.code.as_str();
        (line.shelf.changed, line.branch, line.number, code)
    });
    if text("order").starts_with('-') {
        lines.reverse();
    }
    page(model, &lines, query)
}

fn page(model: &WinthorModel, lines: &[Line<'_>], query: &BTreeMap<String, String>) -> Reply {
    let number = |name: &str, otherwise: usize| {
        query
            .get(name)
            .and_then(|n| n.parse().ok())
            .filter(|n| *n > 0)
            .unwrap_or(otherwise)
    };
    let size = number("pageSize", 20).min(MOST_ROWS);
    let page = if model.habits.same_page {
        1
    } else {
        number("page", 1)
    };
    let from = (page - 1).saturating_mul(size).min(lines.len());
    let to = from.saturating_add(size).min(lines.len());
    let items: Vec<Value> = lines[from..to]
        .iter()
        .map(|line| item(model, line))
        .collect();
    let more = to < lines.len() || (model.habits.same_page && !items.is_empty());
    Reply::json(
        200,
        &json!({"first": false, "items": items, "hasNext": more}),
    )
}

fn item(model: &WinthorModel, line: &Line<'_>) -> Value {
    let exact = |value: Decimal| -> Value {
        if model.habits.commas {
            return json!(value.to_string().replace('.', ","));
        }
        serde_json::from_str(&value.to_string()).unwrap_or(Value::Null)
    };
    let changed = line.shelf.changed.map_or_else(
        || "1900-01-01T00:00:00".to_owned(),
        |at| {
            at.floor_second()
                .to_string()
                .trim_end_matches('Z')
                .to_owned()
        },
    );
    json!({
        "createDate": "1900-01-01T00:00:00",
        "lastChange": changed,
        "productId": format!("{}-{}", line.packaging.code, line.number),
        "quantity": exact(line.quantity()),
        "unlimitedQuantity": line.product.unlimited,
        "warehouseBranchId": line.branch,
        "warehouseBranchName": format!("FILIAL {}", line.branch),
        "unitMultiplier": exact(line.packaging.factor.unwrap_or_default()),
    })
}

fn orders(model: &WinthorModel, query: &BTreeMap<String, String>) -> Reply {
    let asked = query.get("orderIdSeller").map(String::as_str);
    let ids = asked.unwrap_or_default().split(',');
    let ids: Vec<OrderId> = ids.filter_map(|id| OrderId::parse(id).ok()).collect();
    let found = ids
        .iter()
        .filter_map(|id| Some((id, model.orders.get(id)?)));
    let document = |(id, order): (&OrderId, &ErpOrder)| {
        let items = order.items.iter().map(|(product, units)| {
            let units: Value = serde_json::from_str(&units.to_string()).unwrap_or(Value::Null);
            json!({"productId": product, "quantity": units})
        });
        json!({
            "orderIdSeller": id.as_str(), "orderId": order.number, "position": order.position.to_string(),
            "branchId": crate::sandbox::winthor::model::BRANCH, "items": items.collect::<Vec<_>>(),
        })
    };
    let items: Vec<_> = found.map(document).collect();
    Reply::json(
        200,
        &json!({"first": true, "items": items, "hasNext": false}),
    )
}

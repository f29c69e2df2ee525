//! The installation's HTTP interface, with its habits: nothing is 404, messages are reason phrases, dates are odd.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::domain::ids::BaseCode;
use crate::domain::time::Moment;
use crate::sandbox::catalogue::{DEPOT, Product, Variant};
use crate::sandbox::dragonfish::model::{Draft, DragonfishModel, Movement};
use crate::sandbox::faults::Faults;
use crate::sandbox::http::{Mischief, Reply, Request, Server};
use crate::sandbox::{CLIENT_ID, JWT, SandboxClock};

/// A running service.
pub struct DragonfishServer {
    server: Server,
    model: Arc<Mutex<DragonfishModel>>,
}

impl DragonfishServer {
    /// Starts a service over an installation with these goods.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had.
    pub fn start(
        clock: SandboxClock,
        faults: Faults,
        products: &[Product],
    ) -> std::io::Result<Self> {
        let model = Arc::new(Mutex::new(DragonfishModel::new(products)));
        let desk = Desk {
            model: Arc::clone(&model),
            clock,
            faults,
            inside: AtomicI32::new(0),
        };
        let server = Server::start(Arc::new(move |request| desk.answer(request)))?;
        Ok(Self { server, model })
    }

    /// Returns the service's base address.
    pub fn url(&self) -> String {
        format!("{}/api.Dragonfish", self.server.url())
    }

    /// Looks at, or changes, what the installation remembers.
    pub fn with<T>(&self, work: impl FnOnce(&mut DragonfishModel) -> T) -> T {
        work(&mut lock(&self.model))
    }
}

fn lock(model: &Mutex<DragonfishModel>) -> MutexGuard<'_, DragonfishModel> {
    model
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Desk {
    model: Arc<Mutex<DragonfishModel>>,
    clock: SandboxClock,
    faults: Faults,
    inside: AtomicI32,
}

/// An answer without rows.
fn nothing() -> Reply {
    Reply::empty(404).reason("No se encontraron datos")
}

fn refused(status: u16, text: &str) -> Reply {
    Reply::empty(status).reason(text).header(
        "InformacionAdicional",
        "Operacion nro: 1\\r\\n\\tverifique los datos",
    )
}

impl Desk {
    fn answer(&self, request: &Request) -> Reply {
        if self.inside.fetch_add(1, Ordering::SeqCst) > 0 {
            lock(&self.model)
                .violations
                .push("two requests at once".into());
        }
        let reply = self.checked(request);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        let marked = lock(&self.model).habits.byte_order_mark && !reply.body.is_empty();
        if marked && reply.mischief == Mischief::None {
            let mut body = "\u{feff}".as_bytes().to_vec();
            body.extend_from_slice(&reply.body);
            return Reply { body, ..reply };
        }
        reply
    }

    fn checked(&self, request: &Request) -> Reply {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let Some((&"api.Dragonfish", rest)) = segments.split_first() else {
            return nothing();
        };
        let open = matches!(rest, ["ObtenerInformacionServicio"]);
        if !open && !request.path.ends_with('/') {
            lock(&self.model)
                .violations
                .push(format!("{} without a final slash", request.path));
            return Reply::empty(307).header("Location", "http://127.0.0.1:9/elsewhere/");
        }
        let operation: &'static str = match (request.method.as_str(), rest) {
            (_, ["ObtenerInformacionServicio"]) => "version",
            ("POST", ["Autenticar"]) => "log in",
            ("GET", ["ConsultaStockYPreciosEntreLocales"]) => "read stock",
            ("GET", ["ConsultaStockYPrecios"]) => "read base",
            ("GET", ["Movimientodestock"]) => "list movements",
            ("POST", ["Movimientodestock"]) => "book movement",
            _ => "look up",
        };
        let detail = request.query.get("query").cloned().unwrap_or_default();
        self.faults.run("dragonfish", operation, detail, || {
            self.route(request, rest)
        })
    }

    fn route(&self, request: &Request, rest: &[&str]) -> Reply {
        let mut model = lock(&self.model);
        match rest {
            ["ObtenerInformacionServicio"] => {
                return Reply::json(
                    200,
                    &json!({"InformacionOrganic": {"Version": "15.0006.14682"}}),
                );
            }
            ["Autenticar"] if request.method == "POST" => return log_in(&mut model, request),
            _ => {}
        }
        let authorization = request.header("authorization").unwrap_or_default();
        if authorization.starts_with("Bearer") {
            model.violations.push("the token was sent as Bearer".into());
        }
        let known = authorization == JWT && request.header("idcliente") == Some(CLIENT_ID);
        if !known || (model.habits.must_log_in && !model.logged_in) {
            return Reply::empty(401).reason("Cliente no autenticado");
        }
        match (request.method.as_str(), rest) {
            ("GET", ["ConsultaStockYPreciosEntreLocales"]) => stock_everywhere(&mut model, request),
            ("GET", ["ConsultaStockYPrecios"]) => stock_of_base(&mut model, request),
            ("GET", ["Movimientodestock"]) => list_movements(&mut model, request),
            ("POST", ["Movimientodestock"]) => book(&mut model, request, self.clock.now()),
            ("GET", ["Motivo", code]) => exists(&model.motives, code),
            ("GET", ["Vendedor", code]) => exists(&model.sellers, code),
            ("GET", ["Origendedatos", code]) => exists(&model.origins, code),
            ("GET", ["Articulo"]) => Reply::json(
                200,
                &json!({"TotalRegistros": 1, "Resultados": [{"Codigo": "REM1", "Descripcion": "Remera"}]}),
            ),
            _ => nothing(),
        }
    }
}

fn log_in(model: &mut DragonfishModel, request: &Request) -> Reply {
    if !model.habits.must_log_in {
        return Reply::empty(404);
    }
    let body = request.json();
    if body["IdCliente"] != CLIENT_ID || body["JWToken"] != JWT {
        return Reply::empty(401).reason("Cliente no autenticado");
    }
    model.logged_in = true;
    Reply::json(200, &json!({}))
}

fn exists(codes: &BTreeSet<String>, code: &str) -> Reply {
    if codes.contains(code) {
        return Reply::json(
            200,
            &json!({"Codigo": code, "Descripcion": "x", "Inactivo": false}),
        );
    }
    nothing()
}

/// The page that is asked for; every parameter must be explicit.
fn page(model: &mut DragonfishModel, request: &Request) -> (usize, usize) {
    let number = |name: &str| {
        request
            .query
            .get(name)
            .and_then(|n| n.parse::<usize>().ok())
    };
    if number("limit").is_none() || number("page").is_none() {
        model
            .violations
            .push(format!("{} without limit and page", request.path));
    }
    (
        number("page").unwrap_or(1).max(1),
        number("limit").unwrap_or(10).clamp(1, 5000),
    )
}

fn flag(request: &Request, name: &str) -> bool {
    request.query.get(name).is_some_and(|value| value == "true")
}

/// One page of rows, or 404 where there are none.
fn listed(model: &mut DragonfishModel, request: &Request, rows: &[Value]) -> Reply {
    let (page, limit) = page(model, request);
    let shown: Vec<Value> = rows
        .iter()
        .skip((page - 1) * limit)
        .take(limit)
        .cloned()
        .collect();
    if shown.is_empty() {
        return nothing();
    }
    let next = format!("http://127.0.0.1:9/api.Dragonfish/next?page={}", page + 1);
    Reply::json(
        200,
        &json!({"TotalRegistros": rows.len(), "Siguiente": next, "Resultados": shown}),
    )
}

fn wanted(request: &Request, variant: &Variant) -> bool {
    let query = request
        .query
        .get("query")
        .map(String::as_str)
        .unwrap_or_default()
        .to_uppercase();
    let article = variant.article.to_uppercase();
    let composed = format!("{}!{}!{}", article, variant.color, variant.size).to_uppercase();
    match flag(request, "exacto") {
        true => query.is_empty() || article == query || composed == query,
        false => article.contains(&query) || composed.contains(&query),
    }
}

fn number(value: Decimal) -> Value {
    serde_json::from_str(&value.normalize().to_string()).unwrap_or(Value::Null)
}

fn stock_everywhere(model: &mut DragonfishModel, request: &Request) -> Reply {
    let mut rows: BTreeMap<Variant, Vec<Value>> = BTreeMap::new();
    for (base, stock) in &model.stock {
        if model.offline.contains(base) {
            continue;
        }
        for (variant, units) in stock.iter().filter(|(variant, _)| wanted(request, variant)) {
            // The service writes base codes in either case.
            let name = if base.as_str() == "SUR" {
                "Sur".to_owned()
            } else {
                base.to_string()
            };
            rows.entry(variant.clone())
                .or_default()
                .push(json!({"BaseDeDatos": name, "Stock": number(*units)}));
        }
    }
    let repeat = if model.habits.repeat_rows { 2 } else { 1 };
    let mut found = Vec::new();
    for (variant, bases) in rows {
        for list in 1..=repeat {
            found.push(json!({
                "Articulo": variant.article, "Color": variant.color, "Talle": variant.size,
                "ArticuloDescripcion": "x", "Stock": bases, "Lista": format!("L{list}"), "Precio": 1000.0,
            }));
        }
    }
    listed(model, request, &found)
}

fn header_base(request: &Request) -> BaseCode {
    let code = request.header("basededatos").unwrap_or(DEPOT);
    BaseCode::parse(code).unwrap_or_else(|_| crate::sandbox::catalogue::base(DEPOT))
}

fn stock_of_base(model: &mut DragonfishModel, request: &Request) -> Reply {
    let base = header_base(request);
    if model.offline.contains(&base) {
        return refused(500, "La base de datos no se encuentra disponible");
    }
    let with_zero = flag(request, "stockcero");
    let stock = model.stock.get(&base).cloned().unwrap_or_default();
    let rows: Vec<Value> = stock
        .iter()
        .filter(|(variant, units)| wanted(request, variant) && (with_zero || !units.is_zero()))
        .map(|(variant, units)| {
            json!({
                "Articulo": variant.article, "Color": variant.color, "Talle": variant.size, "Stock": number(*units),
                "Disponible": number(*units), "Lista": "L1", "Precio": 1000.0,
            })
        })
        .collect();
    listed(model, request, &rows)
}

fn list_movements(model: &mut DragonfishModel, request: &Request) -> Reply {
    let base = header_base(request);
    let text = request.query.get("query").cloned().unwrap_or_default();
    let mut found: Vec<Movement> = model.search(&base, &text).into_iter().cloned().collect();
    if let Some(day) = request.query.get("Fecha") {
        found.retain(|movement| local(movement.at).0 == *day);
    }
    match request.query.get("sort").map(String::as_str) {
        Some("Numero") => found.sort_by_key(|movement| movement.number),
        Some(_) | None => {
            model
                .violations
                .push("movements were listed without a stable order".into());
            found.sort_by(|a, b| a.code.cmp(&b.code));
        }
    }
    let rows: Vec<Value> = found.iter().map(document).collect();
    listed(model, request, &rows)
}

/// The day and the time of day in Buenos Aires.
fn local(at: Moment) -> (String, String) {
    let text = at.plus_ms(-3 * 3_600_000).floor_second().to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    (day.to_owned(), time.trim_end_matches('Z').to_owned())
}

fn document(movement: &Movement) -> Value {
    let (day, time) = local(movement.at);
    // Only the day is kept: its midnight, as the service's own time zone has it.
    let midnight = Moment::parse(&format!("{day}T00:00:00-03:00")).unwrap_or(movement.at);
    let lines: Vec<Value> = movement
        .lines
        .iter()
        .enumerate()
        .map(|(at, (variant, units))| {
            json!({
                "Codigo": format!("{}-{at}", movement.code), "Articulo": variant.article, "ArticuloDetalle": "x",
                "Color": variant.color, "ColorDetalle": "x", "Talle": variant.size, "Cantidad": number(*units),
                "NroItem": at + 1,
            })
        })
        .collect();
    json!({
        "Codigo": movement.code, "Numero": movement.number, "OrigenDestino": movement.origin, "Tipo": movement.kind,
        "Motivo": movement.motive, "vendedor": movement.seller, "Remito": movement.reference,
        "Fecha": format!("/Date({}-0300)/", midnight.0), "Observacion": movement.note, "MovimientoDetalle": lines,
        "CompAfec": [], "InformacionAdicional": {
            "HoraAltaFW": time, "BaseDeDatosAltaFW": movement.base.as_str(), "EstadoTransferencia": "PENDIENTE",
        },
    })
}

const MEMBERS: [&str; 7] = [
    "OrigenDestino",
    "Tipo",
    "Motivo",
    "vendedor",
    "Remito",
    "Observacion",
    "MovimientoDetalle",
];

fn book(model: &mut DragonfishModel, request: &Request, now: Moment) -> Reply {
    let base = header_base(request);
    if request.header("basededatos").is_none() {
        model
            .violations
            .push("a movement without BaseDeDatos".into());
    }
    if model.offline.contains(&base) {
        return refused(500, "La base de datos no se encuentra disponible");
    }
    let body = request.json();
    let members = body
        .as_object()
        .map(|o| o.keys().cloned().collect::<Vec<_>>())
        .unwrap_or_default();
    for member in members
        .iter()
        .filter(|member| !MEMBERS.contains(&member.as_str()))
    {
        model
            .violations
            .push(format!("a movement with the unknown member {member}"));
    }
    let text = |name: &str| {
        body[name]
            .as_str()
            .unwrap_or_default()
            .trim_end()
            .to_uppercase()
    };
    let line = |line: &Value| {
        let part = |name: &str| {
            line[name]
                .as_str()
                .unwrap_or_default()
                .trim_end()
                .to_uppercase()
        };
        let variant = Variant {
            article: part("Articulo"),
            color: part("Color"),
            size: part("Talle"),
        };
        let units = Decimal::from_str(&line["Cantidad"].to_string()).unwrap_or_default();
        (variant, units)
    };
    let draft = Draft {
        kind: body["Tipo"].as_i64().unwrap_or(1),
        origin: text("OrigenDestino"),
        motive: text("Motivo"),
        seller: text("vendedor"),
        reference: text("Remito"),
        note: body["Observacion"].as_str().unwrap_or_default().to_owned(),
        lines: body["MovimientoDetalle"]
            .as_array()
            .map(|l| l.iter().map(line).collect())
            .unwrap_or_default(),
    };
    if let Some(reason) = model.refuse(&base, &draft) {
        return refused(400, &reason);
    }
    let movement = model.enter(&base, draft, now);
    Reply::json(201, &document(&movement))
}

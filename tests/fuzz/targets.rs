//! What foreign input may do to the program: be read or refused, never stop it. Each target takes any bytes.
//!
//! Answers of the storefront and of the ERP come over loopback through the adapters' own doors, so that the way from the
//! status line to the domain's facts is under test as a whole. The first byte chooses the status, the second the question.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use stockbridge::adapters::dragonfish::{Dragonfish, Setup};
use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::mail::render::Templates;
use stockbridge::adapters::vtex::Vtex;
use stockbridge::config::load::{LoadOptions, load};
use stockbridge::config::sections::{ErpConfig, NotifyConfig, VtexConfig};
use stockbridge::domain::ids::{BaseCode, ErpCode, OrderId, SkuId, SkuRef, WarehouseId};
use stockbridge::domain::movement::{Movement, MovementKey, Operation, sight};
use stockbridge::domain::notice::{Notice, NoticeBody, NoticeItem, NoticeKind, Repeat};
use stockbridge::domain::ports::{
    CallOutcome, Clock, Gate, Held, ListFilter, Locks, MovementSink, Permit, PortResult, Rng,
    Search, StockSource, Storefront,
};
use stockbridge::domain::time::{BootId, BootTime, Moment};
use stockbridge::serve::event::{Told, understand};
use stockbridge::store::instance::MarkFile;

/// One target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 7] = [
    ("store", store),
    ("erp", erp),
    ("dates", dates),
    ("config", config),
    ("template", template),
    ("mark", mark),
    ("hook", hook),
];

const STATUSES: [&str; 8] = ["200", "200", "200", "201", "404", "409", "429", "500"];
/// `{"exp":"1893456000"}`: the end of 2029.
const TOKEN: &str = "e30.eyJleHAiOiIxODkzNDU2MDAwIn0.c2lnbmF0dXJl";
const BOOT: i64 = 1_000_000;

/// The machine: its clock moves only when somebody waits.
struct World(AtomicI64);

static WORLD: World = World(AtomicI64::new(BOOT));

impl Clock for World {
    fn now(&self) -> Moment {
        Moment::parse("2026-03-02T12:00:00Z").unwrap()
    }
    fn boot(&self) -> BootTime {
        BootTime(self.0.load(Ordering::SeqCst))
    }
    fn boot_id(&self) -> BootId {
        BootId("fuzz".to_owned())
    }
    fn sleep(&self, duration: Duration) {
        let ms = i64::try_from(duration.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Rng for World {
    fn uniform(&self, _: u64) -> u64 {
        0
    }
}

impl Gate for World {
    fn admit(&self, _: &str) -> PortResult<()> {
        Ok(())
    }
    fn report(&self, _: &str, _: CallOutcome) {}
}

struct Free;
impl Held for Free {}

impl Locks for World {
    fn hold(&self, _: &str, _: Duration) -> Result<Option<Box<dyn Held>>, String> {
        Ok(Some(Box::new(Free)))
    }
}

fn env() -> Env<'static> {
    Env {
        clock: &WORLD,
        rng: &WORLD,
        gate: &WORLD,
        until: None,
        min_retry_after: Duration::from_secs(60),
    }
}

fn permit() -> Permit<'static> {
    Permit {
        clock: &WORLD,
        send_by: WORLD.boot().plus_ms(500_000),
    }
}

/// What the peer answers to everything.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The address of a peer that gives the current answer to every request.
fn peer() -> &'static str {
    static PEER: OnceLock<String> = OnceLock::new();
    PEER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream));
            }
        });
        format!("http://{address}")
    })
}

fn serve(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let answer = ANSWER.lock().unwrap().clone();
        stream.write_all(&answer).ok()?;
    }
}

/// Makes the rest of the bytes the answer to every request and returns the number of the question.
fn answer(data: &[u8]) -> Option<u8> {
    let (status, question, body) = match data {
        [status, question, body @ ..] => (STATUSES[usize::from(status % 8)], *question, body),
        _ => return None,
    };
    let mut bytes = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    *ANSWER.lock().unwrap() = bytes;
    WORLD.0.store(BOOT, Ordering::SeqCst);
    Some(question)
}

fn order_id() -> OrderId {
    OrderId::parse("1234567890123-01").unwrap()
}

/// Any answer of the storefront to any question.
pub fn store(data: &[u8]) {
    static VTEX: OnceLock<Vtex<'static>> = OnceLock::new();
    let Some(question) = answer(data) else { return };
    let vtex = VTEX.get_or_init(|| {
        let text = format!(
            "account = \"tienda\"\nbase_url = \"{}\"\napp_key = {{ env = \"K\" }}\napp_token = {{ env = \"T\" }}\n",
            peer()
        );
        let config: VtexConfig = toml::from_str(&text).unwrap();
        Vtex::new(&config, &"key".into(), &"token".into(), env()).unwrap()
    });
    let sku = SkuId::parse("25").unwrap();
    let warehouse = WarehouseId::parse("1_1").unwrap();
    match question % 12 {
        0 => {
            if let Ok(Some(document)) = vtex.order(&order_id()) {
                assert_eq!(document.id, order_id());
            }
        }
        1 => drop(vtex.read_feed()),
        2 => drop(vtex.list_orders(ListFilter::Ready, 1)),
        3 => drop(vtex.feed_config()),
        4 => drop(vtex.stock(&sku)),
        5 => drop(vtex.reservation("00-1")),
        6 => drop(vtex.resolve_refs(&[SkuRef::parse("A-N01-1").unwrap()])),
        7 => drop(vtex.sku(&sku)),
        8 => drop(vtex.kit_parts(&sku)),
        9 => drop(vtex.sku_ids(1)),
        10 => drop(vtex.warehouses()),
        _ => drop(vtex.set_quantity(&sku, &warehouse, 1, Moment(0), &permit())),
    }
}

fn dragonfish() -> &'static Dragonfish<'static> {
    static ERP: OnceLock<Dragonfish<'static>> = OnceLock::new();
    ERP.get_or_init(|| {
        let text = format!(
            "depot = \"WOO\"\nblocked_bases = [\"OUTLET\"]\n[dragonfish]\nurl = \"{}/api.Dragonfish\"\nclient_id = \"WEB\"\n\
             allow_plain_http_for = \"127.0.0.1\"\ntoken = {{ env = \"T\" }}\norigin = \"WOO\"\nauthenticate = false\n",
            peer()
        );
        let config: &'static ErpConfig = Box::leak(Box::new(toml::from_str(&text).unwrap()));
        let base = |code: &str| BaseCode::parse(code).unwrap();
        Dragonfish::new(Setup {
            erp: config,
            config: config.dragonfish.as_ref().unwrap(),
            counted: ["NORTE", "WOO", "CENTRO"].map(base).to_vec(),
            movement_limit: Duration::from_millis(400),
            token: TOKEN.into(),
            sql_password: None,
        statements: BTreeMap::new(),
            env: env(),
            locks: &WORLD,
        })
        .unwrap()
    })
}

fn movement() -> Movement {
    let base = BaseCode::parse("WOO").unwrap();
    let operation = Operation::parse("S1").unwrap();
    Movement {
        key: MovementKey::derive("tienda", &base, &order_id(), operation),
        lines: BTreeMap::from([(ErpCode::parse("A-N01-42").unwrap(), 2)]),
        order: order_id(),
        operation,
        base,
    }
}

/// Any answer of the ERP to any question.
pub fn erp(data: &[u8]) {
    let Some(question) = answer(data) else { return };
    let code = ErpCode::parse("A-N01-42").unwrap();
    let movement = movement();
    match question % 4 {
        0 => drop(dragonfish().find(&movement.base, &Search::Text(movement.key.to_string()))),
        1 => drop(dragonfish().read(&[code])),
        2 => drop(dragonfish().read_all(&|_| ())),
        _ => {
            if let Ok(found) = dragonfish().book(&movement, &permit()) {
                drop(sight(&movement, &[found]));
            }
        }
    }
}

/// Any date in a listed movement.
pub fn dates(data: &[u8]) {
    let date = serde_json::Value::from(String::from_utf8_lossy(data));
    let row = serde_json::json!({ "Codigo": "1", "Numero": 7, "Tipo": 2, "Remito": "R", "Fecha": date,
        "FechaAltaFW": date, "HoraAltaFW": date, "MovimientoDetalle": [] });
    let body = serde_json::json!({ "TotalRegistros": 1, "Resultados": [row] });
    erp(format!("00{body}").as_bytes());
}

/// A folder for files to be read, and the name of one in it.
fn file(name: &str, data: &[u8]) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let path = folder.path().join(name);
    std::fs::write(&path, data).unwrap();
    path
}

/// Any configuration file, and any file of variables beside a good one.
pub fn config(data: &[u8]) {
    let options = |file: PathBuf, env_file: Option<PathBuf>| LoadOptions {
        file: Some(file),
        env_file,
        env: BTreeMap::new(),
        state: None,
    };
    drop(load(&options(file("any.toml", data), None)));
    let good = file(
        "good.toml",
        include_bytes!("../../examples/stockbridge.toml"),
    );
    drop(load(&options(good, Some(file("any.env", data)))));
}

/// Any text in every place of a notice; and any notice that the state file may hold.
pub fn template(data: &[u8]) {
    static TEMPLATES: OnceLock<Vec<Templates>> = OnceLock::new();
    let all = TEMPLATES.get_or_init(|| {
        ["es", "pt", "en"]
            .map(|language| {
                let config: NotifyConfig = toml::from_str(&format!(
                    "language = \"{language}\"
[mail]
transport = \"file\"
folder = \"mail\"
from = \"a@example.com\"
to = [\"b@example.com\"]"
                ))
                .unwrap();
                Templates::load(&config, "tienda").unwrap()
            })
            .into()
    });
    let text = String::from_utf8_lossy(data).into_owned();
    let body = serde_json::from_slice(data).unwrap_or_else(|_| NoticeBody {
        reason: Some(text.clone()),
        action: Some(text.clone()),
        movement: Some(text.clone()),
        pickup_point: Some(text.clone()),
        figures: BTreeMap::from([(text.clone(), text.clone())]),
        items: vec![NoticeItem {
            reference: text.clone(),
            name: Some(text.clone()),
            order: None,
            attributes: vec![],
            units: 1,
            picks: vec![],
            short: 0,
        }],
        repeats: vec![Repeat {
            kind: NoticeKind::Remito,
            subject: text.clone(),
            times: 2,
        }],
        ..NoticeBody::default()
    });
    for (templates, kind) in all
        .iter()
        .flat_map(|t| NoticeKind::ALL.map(|kind| (t, kind)))
    {
        let notice = Notice {
            key: "k".to_owned(),
            channel: "mail".to_owned(),
            kind,
            body: body.clone(),
            written: Moment(0),
            maybe_duplicate: true,
        };
        if let Ok(rendered) = templates.render(&notice) {
            assert!(
                !rendered.subject.contains(['\n', '\r']),
                "a header of its own"
            );
            assert!(!rendered.html.contains("<script"), "markup from data");
        }
    }
}

/// Any mark beside a state file.
pub fn mark(data: &[u8]) {
    let path = file("state.sqlite.mark", data);
    drop(MarkFile::read(&path.with_extension("")));
}

/// An event of the hook: whatever is taken from it is an order's id.
pub fn hook(data: &[u8]) {
    if let Ok(Told::Order(order)) = understand(data, "tienda") {
        assert!(OrderId::parse(order.as_str()).is_ok());
    }
}

//! The same catalogue told by two: the sandbox's own services, which share no code with ours, and the binary that reads
//! them; and the adapter for such services as a consumer of both.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use rust_decimal::Decimal;
use serde_json::Value;
use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::winthor::{Setup, Winthor};
use stockbridge::config::winthor::WinthorConfig;
use stockbridge::domain::ids::{BaseCode, ErpCode};
use stockbridge::domain::ports::StockSource;
use stockbridge::domain::stock::{StockLevels, VariantLevels};
use stockbridge::sandbox::WinthorSandbox;
use stockbridge::sandbox::winthor::model::{
    BRANCH, OTHER, Packaging, Product, Shelf, WinthorModel,
};
use stockbridge::sandbox::winthor::server::{PASSWORD, USER};

use crate::erp_wire::Still;
use crate::served::{CONSUMER, Items, TOKEN, all, ask, bearer, send, winthor};

/// Catalogues, and questions about each.
const CATALOGUES: u64 = 6;
const QUESTIONS: u32 = 40;

const FACTORS: [&str; 8] = ["1", "1", "1", "6", "12", "2.5", "0.5", "24"];

/// Fills an installation by chance: packagings with and without one of factor 1, two of them, fractions, columns left
/// empty, codes longer than any integer, stock below zero, products that are not sold on the web.
fn fill(model: &mut WinthorModel, rng: &mut Rng) {
    let numbers: BTreeSet<u64> = (0..rng.u64(5..60)).map(|_| rng.u64(1..999_999)).collect();
    let shelf = |rng: &mut Rng| Shelf {
        lying: Decimal::new(rng.i64(-3_000..60_000), rng.u32(0..3)),
        reserved: Decimal::from(rng.i64(0..9)),
        blocked: Decimal::from(rng.i64(0..3)),
        changed: None,
    };
    model.products.clear();
    for number in numbers {
        let packagings = (0..rng.u64(1..5)).map(|at| Packaging {
            code: match number % 5 {
                0 => format!("999999999999{number:06}{at:02}"),
                _ => format!("7890{number:06}{at}"),
            },
            factor: match rng.u8(0..12) {
                0 => None,
                _ => FACTORS[rng.usize(0..FACTORS.len())].parse().ok(),
            },
        });
        let product = Product {
            packagings: packagings.collect(),
            shelves: [BRANCH, OTHER]
                .map(|branch| (branch.to_owned(), shelf(rng)))
                .into(),
            on_web: rng.u8(0..10) > 0,
            unlimited: rng.u8(0..10) == 0,
            resale: true,
            kind: "L".into(),
        };
        model.products.insert(number, product);
    }
}

/// A question by chance, without pages.
fn question(rng: &mut Rng, products: &[u64]) -> String {
    let mut query = String::new();
    for parts in [
        &[
            "branchId=1",
            "branchId=2",
            "branchId=1,2",
            "branchId=2,1",
            "branchId=1%2C2",
            "branchId=2,1,1",
        ][..],
        &[
            "",
            "&usesPackagingSales=true",
            "&usesPackagingSales=false",
            "&usesPackagingSales=true",
        ],
        &["", "&callOrigin=W", "&callOrigin="],
        &["", "&order=lastChange", "&order=-lastChange"],
        &[
            "",
            "&categoryId=0&subcategoryId=0&sectionId=0&departmentId=0&providerId=0",
        ],
        &[
            "",
            "",
            "",
            "",
            "",
            "&lastChange=1899-12-31T23:55:12",
            "&merchandiseType=ZZ",
        ],
    ] {
        query += parts[rng.usize(0..parts.len())];
    }
    let product = products[rng.usize(0..products.len())];
    query += &match rng.u8(0..8) {
        0 => format!("&productId={product}"),
        1 => format!("&productId=7890-{product}"),
        2 => "&productId=0".to_owned(),
        3 => "&productId=1234567".to_owned(),
        _ => String::new(),
    };
    query
}

/// What must be equal of an item, whoever tells it: quantity, units of a pack, whether without limit. The dates of change
/// are each one's own.
type Told = BTreeMap<(String, String), (Decimal, Decimal, bool)>;

fn told(items: &Items) -> Told {
    let number = |item: &Value, name: &str| {
        let text = item[name].to_string();
        text.parse::<Decimal>().unwrap().normalize()
    };
    let item = |(key, item): (&(String, String), &Value)| {
        let unlimited = item["unlimitedQuantity"].as_bool().unwrap();
        let quantity = number(item, "quantity");
        (
            key.clone(),
            (quantity, number(item, "unitMultiplier"), unlimited),
        )
    };
    items.iter().map(item).collect()
}

/// What is left to tell of undivided stock by whoever reads it in packagings: the sum of the shares. Below zero is none, and
/// without a packaging of factor 1 the services keep the rest of the division back.
fn as_read_in_packagings(theirs: Told, shares: &Told) -> Told {
    let product = |id: &str| id.rsplit('-').next().unwrap().to_owned();
    let mut sums: BTreeMap<(String, String), Decimal> = BTreeMap::new();
    for ((id, branch), (quantity, ..)) in shares {
        *sums.entry((product(id), branch.clone())).or_default() += *quantity;
    }
    let mut told = Told::new();
    for ((id, branch), (_, factor, unlimited)) in theirs {
        let sum = sums[&(product(&id), branch.clone())].normalize();
        told.insert((id, branch), (sum, factor, unlimited));
    }
    told
}

/// The port of the sandbox's services, and a token for them.
fn theirs(sandbox: &WinthorSandbox) -> (u16, String) {
    let url = sandbox.winthor.url();
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let body = format!(r#"{{"login":"{USER}","senha":"BDB122192ECFF44B04A60855DB993D34"}}"#);
    let (_, given) = send(port, "POST", "/winthor/autenticacao/v1/login", "", &body);
    (port, bearer(given["accessToken"].as_str().unwrap()))
}

#[test]
fn two_tell_the_same_over_catalogues_by_chance() {
    let first = fastrand::u64(..);
    let (mut asked, mut rows, mut undivided) = (0, 0, 0);
    for seed in (0..CATALOGUES).map(|at| first.wrapping_add(at)) {
        eprintln!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let sandbox = WinthorSandbox::start(1).unwrap();
        let products: Vec<u64> = sandbox.winthor.with(|model| {
            fill(model, &mut rng);
            model.products.keys().copied().collect()
        });
        let served = winthor(&sandbox, "");
        let (there, their) = theirs(&sandbox);
        let our = bearer(TOKEN);
        let shares = all(there, "branchId=1,2&usesPackagingSales=true", 500, &their);
        let shares = told(&shares);
        for _ in 0..QUESTIONS {
            let (query, size) = (question(&mut rng, &products), rng.u32(1..30));
            let mut wanted = told(&all(there, &query, size, &their));
            if !query.contains("usesPackagingSales=true") {
                undivided += wanted.len();
                wanted = as_read_in_packagings(wanted, &shares);
            }
            let items = all(served.port, &query, size, &our);
            assert_eq!(told(&items), wanted, "seed {seed}, {query}, {size} a page");
            asked += 1;
            rows += items.len();
        }
        for product in &products {
            let path = format!("/api/stock-vtex/v1/available/2/{product}?usesPackagingSales=true");
            let items = |(status, body): (u16, Value)| {
                assert_eq!(status, 200, "seed {seed}, {path}: {body}");
                let items = body["items"].as_array().unwrap().clone();
                let key = |item: &Value| item["productId"].as_str().unwrap().to_owned();
                let keyed = items
                    .into_iter()
                    .map(|item| ((key(&item), "2".into()), item));
                told(&keyed.collect())
            };
            let ours = items(ask(served.port, &path, &our));
            assert_eq!(
                ours,
                items(ask(there, &path, &their)),
                "seed {seed}, {path}"
            );
        }
        both_are_read_alike(seed, &sandbox, served.port);
        assert_eq!(sandbox.violations(), Vec::<String>::new());
    }
    assert!(
        asked >= 200 && rows > 1_000,
        "{asked} questions, {rows} rows"
    );
    eprintln!("{asked} questions, {rows} rows, {undivided} of them undivided");
}

/// Reads everything, and some again, with the adapter for WinThor's services.
fn read(url: &str, [user, password]: [&str; 2], keys: &str) -> StockLevels {
    let text = format!("url = \"{url}\"\nuser = \"{user}\"\npage_size = 13\n{keys}");
    let config: WinthorConfig = toml::from_str(&text).unwrap();
    let world = Still::default();
    let branches = [BRANCH, OTHER].map(|branch| BaseCode::parse(branch).unwrap());
    let setup = Setup {
        config: &config,
        branches: branches.to_vec(),
        password: password.to_owned().into(),
        env: Env {
            clock: &world,
            rng: &world,
            gate: &world,
            until: None,
            min_retry_after: std::time::Duration::from_secs(60),
        },
    };
    let winthor = Winthor::new(setup).unwrap();
    let all = winthor.read_all(&|_| {}).unwrap();
    let codes: Vec<ErpCode> = all.variants.keys().take(3).cloned().collect();
    let some = winthor.read(&codes).unwrap();
    for code in codes {
        assert_eq!(some.variants[&code], all.variants[&code], "{code}");
    }
    all
}

/// The adapter finds the same at either, however it logs in.
fn both_are_read_alike(seed: u64, sandbox: &WinthorSandbox, port: u16) {
    let wanted = read(&sandbox.winthor.url(), [USER, PASSWORD], "");
    let ours = format!("http://127.0.0.1:{port}");
    for keys in [
        "",
        "auth = \"cookie\"\npassword_hash = \"plain\"",
        "password_hash = \"md5\"\nlogin_fields = \"username-password\"",
    ] {
        assert_eq!(read(&ours, CONSUMER, keys), wanted, "seed {seed}, {keys}");
    }
    let packed = |level: &VariantLevels| matches!(level, VariantLevels::Packed(_));
    assert!(wanted.variants.values().any(packed), "seed {seed}");
    assert!(wanted.missing.is_empty(), "{:?}", wanted.missing);
}

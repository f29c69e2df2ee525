//! WinThor's services for tests: the stateful double with chosen products, and the real adapter that reads them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::winthor::{Setup, Winthor};
use stockbridge::config::winthor::WinthorConfig;
use stockbridge::domain::ids::{BaseCode, ErpCode};
use stockbridge::domain::packaging::Packaging;
use stockbridge::domain::stock::{PackedLevel, VariantLevels};
use stockbridge::sandbox::winthor::model::{self, Product, Shelf};
use stockbridge::sandbox::winthor::server::PASSWORD;
use stockbridge::sandbox::{SandboxClock, WinthorSandbox};

use crate::erp_wire::Still;

pub const PACKS: [(&str, &str); 3] = [("11", "1"), ("22", "6"), ("33", "12")];
pub const TWELVE: [(&str, &str); 1] = [("98765432109876543210", "12")];

pub fn base(text: &str) -> BaseCode {
    BaseCode::parse(text).unwrap()
}

pub fn code(text: &str) -> ErpCode {
    ErpCode::parse(text).unwrap()
}

/// Talks to an address with these keys of `[erp.winthor]`; the clock stands where the sandbox's does.
pub fn on<T>(url: &str, keys: &str, branches: &[&str], act: impl FnOnce(&Winthor<'_>) -> T) -> T {
    let world = Still::default();
    world
        .now
        .store(SandboxClock::default().now().0, Ordering::Relaxed);
    with(&world, url, keys, branches, PASSWORD, act)
}

pub fn with<T>(
    world: &Still,
    url: &str,
    keys: &str,
    branches: &[&str],
    password: &str,
    act: impl FnOnce(&Winthor<'_>) -> T,
) -> T {
    let text = format!(
        "url = \"{url}\"\nallow_plain_http_for = \"127.0.0.1\"\nuser = \"INTEGRA\"\npassword = {{ env = \"P\" }}\n\
         read_timeout = \"2s\"\n{keys}\n"
    );
    let config: WinthorConfig = toml::from_str(&text).unwrap();
    let winthor = Winthor::new(Setup {
        config: &config,
        branches: branches.iter().map(|text| base(text)).collect(),
        password: password.to_owned().into(),
        env: Env {
            clock: world,
            rng: world,
            gate: world,
            until: None,
            min_retry_after: Duration::from_secs(60),
        },
    });
    act(&winthor.unwrap())
}

/// A product with packagings by code and factor, and stock per branch.
pub fn product(packagings: &[(&str, &str)], stock: &[(&str, &str)]) -> Product {
    let packaging = |(code, factor): &(&str, &str)| model::Packaging {
        code: (*code).to_owned(),
        factor: factor.parse().ok(),
    };
    let shelf = |(branch, units): &(&str, &str)| {
        let shelf = Shelf {
            lying: units.parse().unwrap(),
            ..Shelf::default()
        };
        ((*branch).to_owned(), shelf)
    };
    Product {
        packagings: packagings.iter().map(packaging).collect(),
        shelves: stock.iter().map(shelf).collect(),
        on_web: true,
        unlimited: false,
        resale: true,
        kind: "L".into(),
    }
}

/// A sandbox with these products alone.
pub fn sandbox(products: &[(u64, Product)]) -> WinthorSandbox {
    let sandbox = WinthorSandbox::start(1).unwrap();
    sandbox
        .winthor
        .with(|erp| erp.products = products.iter().cloned().collect());
    sandbox
}

/// A unit, a pack of 6 and a box of 12 of one product; one with a code that no 64-bit number holds; a shortage.
pub fn small() -> WinthorSandbox {
    sandbox(&[
        (100, product(&PACKS, &[("1", "100"), ("2", "10.75")])),
        (200, product(&TWELVE, &[("1", "100"), ("2", "0")])),
        (300, product(&[("3001", "1")], &[("1", "-7"), ("2", "2.5")])),
    ])
}

/// What a product's packagings see, per branch.
pub fn packed(product: &str, packs: &[(&str, &str)], stock: &[(&str, &str)]) -> VariantLevels {
    let packaging = |(auxiliary, factor): &(&str, &str)| Packaging {
        code: code(&format!("{auxiliary}-{product}")),
        factor: factor.parse().unwrap(),
    };
    let level = |(branch, units): &(&str, &str)| {
        let level = PackedLevel {
            product: code(product),
            stock: units.parse().unwrap(),
            packagings: packs.iter().map(packaging).collect(),
            unlimited: false,
        };
        (base(branch), Box::new(level))
    };
    VariantLevels::Packed(stock.iter().map(level).collect())
}

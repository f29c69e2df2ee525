//! A shop with WinThor for tests: the sandbox, a configuration that points at it, and the program, run as cron would.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "each test file uses its part; the deadlines of the protocol are real time"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rust_decimal::Decimal;
use stockbridge::app::Wrap;
use stockbridge::domain::ids::{OrderId, SkuId};
use stockbridge::exit::Exit;
use stockbridge::sandbox::WinthorSandbox;
use stockbridge::sandbox::oracle::{Row, packs};
use stockbridge::sandbox::winthor::model::BRANCH;
use stockbridge::sandbox::winthor::server::{PASSWORD, USER};

use crate::shop::{TIMES, changed, furnish, mails_in, run_in, warehouse};

/// From one run of cron to the next, for the sandbox's clock.
const CYCLE_MS: i64 = 61_000;

/// A shop.
pub struct WinthorShop {
    /// The outside.
    pub sandbox: WinthorSandbox,
    /// Where configuration, secrets, state and mails lie.
    pub folder: tempfile::TempDir,
}

impl WinthorShop {
    /// Opens a shop with so many products.
    pub fn open(count: u64) -> Self {
        Self::with(count, "")
    }

    /// Opens a shop whose configuration has these lines changed (`key = value` under its section header).
    pub fn with(count: u64, changes: &str) -> Self {
        let sandbox = WinthorSandbox::start(count).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"
[store]
path = "state.sqlite"
shared_locks = "{locks}"
[vtex]
account = "tienda"
base_url = "{vtex}"
app_key = {{ file = "key" }}
app_token = {{ file = "token" }}
manage_feed = true
feed_visibility = "30s"
total_timeout = "500ms"
[poll]
cutover = "2020-01-01T00:00:00Z"
sweep_every = "1h"
[erp.winthor]
url = "{erp}"
user = "{USER}"
password = {{ file = "erp" }}
page_size = 50
read_timeout = "2s"
[[warehouse]]
id = "1_1"
bases = ["{BRANCH}"]
{TIMES}"#,
            locks = folder.path().join("locks").display(),
            vtex = sandbox.vtex.url(),
            erp = sandbox.winthor.url(),
        );
        furnish(folder.path(), &changed(text, changes), &[("erp", PASSWORD)]);
        Self { sandbox, folder }
    }

    /// Returns the path of a file of the shop.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one command of the program.
    pub fn run(&self, args: &[&str]) -> Exit {
        run_in(self.folder.path(), args, &Wrap::default())
    }

    /// Runs all stages, so many times, as far apart as cron does.
    pub fn cycles(&self, n: u32) -> Exit {
        let mut last = Exit::Done;
        for _ in 0..n {
            last = self.run(&["run"]);
            self.sandbox.clock.advance(CYCLE_MS);
        }
        last
    }

    /// Runs until every number is right, at most some seconds: an unknown outcome must be left alone until its call is
    /// dead, and that time is the machine's own.
    pub fn finish(&self) {
        self.cycles(3);
        for _ in 0..8 {
            if self.wrong_numbers().is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(400));
            self.cycles(2);
        }
    }

    /// Returns the SKU of a product's packaging, counted from 0.
    pub fn sku(&self, product: u64, packaging: usize) -> SkuId {
        let code = self
            .sandbox
            .winthor
            .with(|erp| erp.products[&product].packagings[packaging].code.clone());
        let reference = format!("{code}-{product}");
        self.sandbox.vtex.with(|store| {
            let mut products = store.products.iter();
            let found = products.find(|p| p.variant.reference() == reference);
            found.unwrap().sku.clone()
        })
    }

    /// Sells packs in one order, paid and released: product, packaging, packs.
    pub fn sell(&self, lines: &[(u64, usize, u32)]) -> OrderId {
        let lines: Vec<_> = lines
            .iter()
            .map(|(product, packaging, packs)| {
                (self.sku(*product, *packaging), warehouse(), *packs)
            })
            .collect();
        let now = self.sandbox.clock.now();
        self.sandbox.vtex.with(|store| store.sell(&lines, now))
    }

    /// Somebody's integration brings an order into WinThor, in base units; it is pending there.
    pub fn bring_in(&self, id: &OrderId) {
        let (lines, products) = self
            .sandbox
            .vtex
            .with(|store| (store.orders[id].lines.clone(), store.products.clone()));
        let mut items: BTreeMap<u64, Decimal> = BTreeMap::new();
        self.sandbox.winthor.with(|erp| {
            for line in &lines {
                let product = products.iter().find(|p| p.sku == line.sku).unwrap();
                let (number, factor) = erp.packaging(&product.variant.reference()).unwrap();
                *items.entry(number).or_default() += Decimal::from(line.units) * factor;
            }
            erp.bring_in(id, items);
        });
    }

    /// Moves an order to another position in WinThor.
    pub fn position(&self, id: &OrderId, position: char) {
        let now = self.sandbox.clock.now();
        self.sandbox
            .winthor
            .with(|erp| erp.position(id, position, now));
    }

    /// Cancels an order in the store.
    pub fn cancel(&self, id: &OrderId) {
        let now = self.sandbox.clock.now();
        self.sandbox.vtex.with(|store| store.cancel(id, now));
    }

    /// Sells units over the counter of the store's branch.
    pub fn counter_sale(&self, product: u64, units: i64) {
        let now = self.sandbox.clock.now();
        self.sandbox
            .winthor
            .with(|erp| erp.counter_sale(product, BRANCH, units.into(), now));
    }

    /// Returns the packs of a packaging that the store offers.
    pub fn offered(&self, product: u64, packaging: usize) -> i64 {
        let sku = self.sku(product, packaging);
        self.sandbox
            .vtex
            .with(|store| store.available(&sku, &warehouse()))
    }

    /// Returns the status of an order in the store.
    pub fn status(&self, id: &OrderId) -> &'static str {
        self.sandbox.vtex.with(|store| store.orders[id].status)
    }

    /// Returns the numbers that are wrong by the sandbox's own log.
    pub fn wrong_numbers(&self) -> Vec<Row> {
        let rows = packs(&self.sandbox, &warehouse());
        rows.into_iter().filter(|row| !row.right()).collect()
    }

    /// Asserts that every number is right, and that no rule of the outside was broken.
    pub fn assert_right(&self, what: &str) {
        let wrong = self.wrong_numbers();
        assert!(wrong.is_empty(), "{what}: {wrong:?}");
        assert_eq!(self.sandbox.violations(), Vec::<String>::new(), "{what}");
    }

    /// Returns how many mails of a kind were sent.
    pub fn mails(&self, kind: &str) -> usize {
        let mark = format!("Message-ID: <{kind}.");
        let mails = mails_in(self.folder.path());
        mails.iter().filter(|mail| mail.contains(&mark)).count()
    }
}

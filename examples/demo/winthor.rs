//! A day of a shop with WinThor: several packagings of one product share its stock, somebody else's integration brings the
//! orders into the ERP, and this program only looks.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rust_decimal::Decimal;
use stockbridge::domain::ids::{OrderId, SkuId};
use stockbridge::sandbox::faults::{Fault, When};
use stockbridge::sandbox::oracle::packs;
use stockbridge::sandbox::winthor::model::{BRANCH, OTHER};
use stockbridge::sandbox::winthor::server::PASSWORD;
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, WinthorSandbox};

use crate::day::mails;
use crate::shop::{Program, TIMES, warehouse};

/// Products of the shop, each in one to three packagings.
const PRODUCTS: u64 = 120;

struct Day {
    sandbox: WinthorSandbox,
    program: Program,
    minute: u32,
    orders: Vec<(OrderId, &'static str)>,
}

/// Plays the day and prints its story; true when every number is right at its end.
pub fn play(folder: &Path) -> io::Result<bool> {
    let sandbox = WinthorSandbox::start(PRODUCTS)?;
    let text = configuration(&sandbox);
    let files = [
        ("vtex-key", APP_KEY),
        ("vtex-token", APP_TOKEN),
        ("erp-password", PASSWORD),
        ("stockbridge.toml", text.as_str()),
    ];
    let mut day = Day {
        program: Program::open(None, folder, &files)?,
        sandbox,
        minute: 0,
        orders: Vec::new(),
    };
    day.morning()?;
    day.sales()?;
    day.trouble()?;
    day.evening()?;
    let right = day.verdict();
    let folder = day.program.folder.display();
    println!("\nEverything is still in {folder}. Go on there:");
    println!("  cargo run --release -- status --config {folder}/stockbridge.toml");
    println!("  cargo run --release -- explain 5003 --config {folder}/stockbridge.toml");
    Ok(right)
}

impl Day {
    fn say(&self, what: &str) {
        println!(
            "{:02}:{:02}  {what}",
            9 + self.minute / 60,
            self.minute % 60
        );
    }

    fn cron(&mut self, minutes: u32) -> io::Result<()> {
        for _ in 0..minutes {
            self.minute += 1;
            for (stage, counts) in self.program.minute()? {
                println!("         {stage:<11}{counts}");
            }
            self.sandbox.clock.advance(61_000);
        }
        Ok(())
    }

    /// The SKU of a product's packaging.
    fn sku(&self, product: u64, packaging: usize) -> SkuId {
        let code = self
            .sandbox
            .winthor
            .with(|erp| erp.products[&product].packagings[packaging].code.clone());
        let reference = format!("{code}-{product}");
        self.sandbox.vtex.with(|store| {
            let found = store
                .products
                .iter()
                .find(|p| p.variant.reference() == reference);
            found
                .map(|p| p.sku.clone())
                .expect("every packaging is in the store")
        })
    }

    fn sell(&mut self, lines: &[(u64, usize, u32)], story: &'static str) -> OrderId {
        let lines: Vec<_> = lines
            .iter()
            .map(|(product, packaging, packs)| {
                (self.sku(*product, *packaging), warehouse(), *packs)
            })
            .collect();
        let now = self.sandbox.clock.now();
        let order = self.sandbox.vtex.with(|store| store.sell(&lines, now));
        self.orders.push((order.clone(), story));
        order
    }

    /// The integration brings an order into WinThor, in base units.
    fn bring_in(&self, id: &OrderId) {
        let order = self
            .sandbox
            .vtex
            .with(|store| (store.orders[id].lines.clone(), store.products.clone()));
        let (lines, products) = order;
        let mut items: BTreeMap<u64, Decimal> = BTreeMap::new();
        self.sandbox.winthor.with(|erp| {
            for line in &lines {
                let product = products.iter().find(|p| p.sku == line.sku);
                let packaging = product.and_then(|p| erp.packaging(&p.variant.reference()));
                if let Some((number, factor)) = packaging {
                    *items.entry(number).or_default() += Decimal::from(line.units) * factor;
                }
            }
            erp.bring_in(id, items);
        });
    }

    fn position(&self, id: &OrderId, position: char) {
        let now = self.sandbox.clock.now();
        self.sandbox
            .winthor
            .with(|erp| erp.position(id, position, now));
    }

    fn morning(&mut self) -> io::Result<()> {
        self.say("The program runs for the first time: it learns the catalogue and publishes every packaging.");
        self.cron(3)
    }

    fn sales(&mut self) -> io::Result<()> {
        self.say(
            "Three customers pay: single units, packs of 6, and packs of 12 of the same product.",
        );
        let first = self.sell(&[(2, 0, 5), (2, 1, 2)], "reserved, then invoiced");
        let second = self.sell(&[(8, 2, 1)], "reserved");
        self.sell(&[(14, 1, 1), (4, 1, 3)], "canceled before WinThor had it");
        self.cron(2)?;
        self.say("The integration brings two of them in; one is reserved, the other still pending. A counter sells.");
        self.bring_in(&first);
        self.bring_in(&second);
        self.position(&first, 'L');
        let now = self.sandbox.clock.now();
        self.sandbox.winthor.with(|erp| {
            erp.counter_sale(8, BRANCH, Decimal::from(7), now);
            erp.counter_sale(8, OTHER, Decimal::from(30), now);
        });
        self.cron(2)?;
        self.say("The second is reserved too. The third order is canceled.");
        self.position(&second, 'L');
        let third = self.orders[2].0.clone();
        let now = self.sandbox.clock.now();
        self.sandbox.vtex.with(|store| store.cancel(&third, now));
        self.cron(3)
    }

    fn trouble(&mut self) -> io::Result<()> {
        let faults = self.sandbox.faults.clone();
        self.say("WinThor's token expires, a page of stock is cut off, and a reading fails.");
        self.sandbox.clock.advance(8_000_000);
        faults.on("read stock", 1, When::After, Fault::Cut);
        faults.on("read stock", 1, When::Before, Fault::Status(500));
        let order = self.sell(&[(20, 0, 3)], "while WinThor was unwell");
        self.cron(2)?;
        self.bring_in(&order);
        self.position(&order, 'L');
        self.cron(2)?;
        self.say("WinThor cancels an order that the store still has: its units are there again, and still sold.");
        let order = self.sell(&[(26, 0, 4)], "canceled in WinThor only");
        self.bring_in(&order);
        self.position(&order, 'L');
        self.cron(2)?;
        self.position(&order, 'C');
        self.cron(2)?;
        self.say("A product is counted: less is there than was sold.");
        self.sell(&[(32, 0, 2)], "sold, and not there");
        let now = self.sandbox.clock.now();
        self.sandbox.winthor.with(|erp| {
            let lying = erp.products[&32].shelves[BRANCH].lying;
            erp.counter_sale(32, BRANCH, lying + Decimal::from(3), now);
        });
        self.cron(2)
    }

    fn evening(&mut self) -> io::Result<()> {
        self.say("The first order is invoiced, in WinThor and in the store.");
        let first = self.orders[0].0.clone();
        self.position(&first, 'F');
        let now = self.sandbox.clock.now();
        self.sandbox.vtex.with(|store| store.invoice(&first, now));
        self.cron(4)
    }

    fn verdict(&self) -> bool {
        let rows = packs(&self.sandbox, &warehouse());
        let of = |row: &stockbridge::sandbox::oracle::Row, product: u64| {
            row.reference.ends_with(&format!("-{product}"))
        };
        println!("\nPublished packs against true ones, by the sandbox's own log");
        println!("  {:<28}{:>8}{:>8}", "packaging-product", "offered", "true");
        let shown = |row: &&_| {
            [2, 4, 8, 14, 20, 26, 29, 32]
                .iter()
                .any(|product| of(row, *product))
        };
        for row in rows
            .iter()
            .filter(|row| shown(row) || !row.right())
            .take(60)
        {
            let mark = if row.right() { "" } else { "   WRONG" };
            println!(
                "  {:<28}{:>8}{:>8}{mark}",
                row.reference, row.offered, row.truth
            );
        }
        let right = rows.iter().filter(|row| row.right()).count();
        println!("  {right} of {} numbers are right", rows.len());
        println!("\nOrders in WinThor");
        for (order, story) in &self.orders {
            let there = self
                .sandbox
                .winthor
                .with(|erp| erp.orders.get(order).map(|o| (o.number, o.position)));
            let there = there.map_or_else(
                || "not there".to_owned(),
                |(n, p)| format!("{n} in position {p}"),
            );
            println!("  {order}  {there:<22}{story}");
        }
        println!("\nMails sent");
        for (kind, n) in mails(&self.program.folder) {
            println!("  {n:>3} {kind}");
        }
        let violations = self.sandbox.violations();
        for violation in &violations {
            println!("  RULE BROKEN: {violation}");
        }
        let good = right == rows.len() && violations.is_empty();
        let verdict = if good {
            "Every number is right."
        } else {
            "The day ended with wrong numbers."
        };
        println!("\n{verdict}");
        good
    }
}

fn configuration(sandbox: &WinthorSandbox) -> String {
    format!(
        r#"# Written by the demo. Waiting times this short are accepted only where every host is this machine.
[store]
path = "state.sqlite"
shared_locks = "locks"

[vtex]
account = "tienda"
base_url = "{vtex}"
app_key = {{ file = "vtex-key" }}
app_token = {{ file = "vtex-token" }}
manage_feed = true
feed_visibility = "30s"
total_timeout = "1s"

[poll]
cutover = "2020-01-01T00:00:00Z"

[erp.winthor]
url = "{erp}"
user = "INTEGRA"
password = {{ file = "erp-password" }}
page_size = 50
read_timeout = "2s"

[[warehouse]]
id = "1_1"
bases = ["{BRANCH}"]

{TIMES}"#,
        vtex = sandbox.vtex.url(),
        erp = sandbox.winthor.url(),
    )
}

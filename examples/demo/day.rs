//! The day, and the verdict.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use stockbridge::domain::ids::OrderId;
use stockbridge::sandbox::catalogue::base;
use stockbridge::sandbox::faults::{Fault, When};
use stockbridge::sandbox::oracle::{bookings, bookkeeping, numbers};

use crate::shop::{Play, Shop, counted, warehouse};

/// SKUs of the shop.
const SKUS: usize = 320;

struct Day {
    shop: Shop,
    minute: u32,
    orders: Vec<(OrderId, &'static str)>,
}

/// Plays the day and prints its story; true when every number is right at its end.
pub fn play(play: &Play) -> io::Result<bool> {
    let mut day = Day {
        shop: Shop::open(play, SKUS)?,
        minute: 0,
        orders: Vec::new(),
    };
    if day.shop.tables.is_some() {
        println!(
            "Stock is read from tables, through an ODBC driver: {}.\n",
            play.road
        );
    }
    if let Some(fault) = play.seeded {
        println!(
            "A fault is seeded: {}. This day must end badly.\n",
            fault.name()
        );
    }
    day.morning()?;
    day.sales()?;
    day.trouble()?;
    day.evening()?;
    let right = day.verdict();
    let folder = day.shop.program.folder.display();
    println!("\nEverything is still in {folder}. Go on there:");
    println!("  cargo run --release -- status --config {folder}/stockbridge.toml");
    println!("  cargo run --release -- explain REM1-N01-S --config {folder}/stockbridge.toml");
    if let Some((order, _)) = day.orders.first() {
        println!("  cargo run --release -- show {order} --config {folder}/stockbridge.toml");
    }
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

    /// Lets cron run, and tells what the stages did.
    fn cron(&mut self, minutes: u32) -> io::Result<()> {
        for _ in 0..minutes {
            self.minute += 1;
            for (stage, counts) in self.shop.minute()? {
                println!("         {stage:<11}{counts}");
            }
        }
        Ok(())
    }

    fn sell(&mut self, lines: &[(usize, u32)], story: &'static str) -> OrderId {
        let order = self.shop.sell(lines);
        self.orders.push((order.clone(), story));
        order
    }

    fn morning(&mut self) -> io::Result<()> {
        self.say(
            "The program runs for the first time: it learns the catalogue and publishes every SKU.",
        );
        self.cron(2)
    }

    fn sales(&mut self) -> io::Result<()> {
        self.say("Three customers pay; a fourth has placed an order and has not paid yet.");
        self.sell(&[(0, 2)], "paid");
        self.sell(
            &[(25, 1), (45, 1)],
            "paid, two articles with hyphens and blanks in their codes",
        );
        self.sell(&[(1, 1), (2, 1)], "paid");
        let unpaid = self.shop.place(&[(6, 1)]);
        self.orders.push((unpaid.clone(), "paid late"));
        self.cron(2)?;
        self.say(
            "The fourth one pays. Two shops sell over the counter, which the program does not see.",
        );
        self.shop.pay(&unpaid);
        let (_, shirt) = self.shop.goods(0);
        let (_, coat) = self.shop.goods(70);
        self.shop.sandbox.dragonfish.with(|erp| {
            erp.shop_sale(&base("CENTRO"), &shirt, 1);
            erp.shop_sale(&base("NORTE"), &coat, 1);
        });
        self.cron(2)?;
        self.say("An order is canceled before it is booked, another one after; a third one is changed by a person.");
        let early = self.sell(&[(10, 1)], "canceled before booking");
        self.shop.program.run(&["poll"])?;
        self.shop.program.run(&["reserve"])?;
        let late = self.orders[0].0.clone();
        self.orders[0].1 = "canceled after booking";
        let changed = self.orders[1].0.clone();
        self.orders[1].1 = "one of two articles taken out";
        let (shirt, _) = self.shop.goods(25);
        let now = self.shop.sandbox.clock.now();
        self.shop.sandbox.vtex.with(|store| {
            store.cancel(&early, now);
            store.cancel(&late, now);
            store.change(&changed, &shirt, 0, now);
        });
        self.cron(3)
    }

    fn trouble(&mut self) -> io::Result<()> {
        let faults = self.shop.sandbox.faults.clone();
        self.say("The ERP books a movement and its answer is lost. Nobody may book it again.");
        faults.on("book movement", 1, When::After, Fault::Reset);
        self.sell(&[(12, 1)], "answer of the ERP lost");
        self.cron(2)?;
        self.say("VTEX answers 500 to a stock write that it has applied, locks another SKU, and delivers events twice.");
        faults.on("set stock", 1, When::After, Fault::Status(500));
        faults.on("set stock", 1, When::Before, Fault::Locked);
        self.sell(&[(13, 1), (14, 1)], "paid");
        self.cron(2)?;
        self.say("The ERP's service is restarted: everybody must log in again. A base goes offline for a minute.");
        self.shop.sandbox.dragonfish.with(|erp| {
            erp.restart();
            erp.offline.insert(base("SUR"));
        });
        self.sell(&[(15, 1)], "while a base was offline");
        self.cron(1)?;
        self.shop.sandbox.dragonfish.with(|erp| erp.offline.clear());
        self.cron(1)?;
        self.tables_down()?;
        self.say("A person starts handling of an order by hand, before the program has seen it.");
        let by_hand = self.sell(&[(16, 1)], "handled by a person");
        let now = self.shop.sandbox.clock.now();
        // The store refuses only what is not ready, and this order is.
        let _ = self
            .shop
            .sandbox
            .vtex
            .with(|store| store.start_handling(&by_hand, now));
        self.cron(2)
    }

    /// The SQL Server cannot be reached for a minute; what that means is for the road to say.
    fn tables_down(&mut self) -> io::Result<()> {
        if self.shop.tables.is_none() {
            return Ok(());
        }
        self.say("The SQL Server cannot be reached for a minute.");
        self.shop.tables_reachable(false)?;
        let (_, variant) = self.shop.goods(15);
        let label = variant.reference();
        // So that this minute reads everything: `push.full_every` is one second here, and a minute of the story may be less.
        thread::sleep(Duration::from_secs(1));
        self.cron(1)?;
        let road = self.shop.road_of(&label)?;
        println!("         {label} was last read by {road}");
        self.shop.tables_reachable(true)?;
        self.cron(1)
    }

    fn evening(&mut self) -> io::Result<()> {
        self.say("People make the remitos: goods go from the shops to the depot. Some orders are invoiced.");
        let order = self.orders[2].0.clone();
        let now = self.shop.sandbox.clock.now();
        for at in [1, 2] {
            let (_, variant) = self.shop.goods(at);
            self.shop.sandbox.dragonfish.with(|erp| {
                erp.make_remito(&base("CENTRO"), &variant, 1, order.as_str(), now);
            });
        }
        self.shop
            .sandbox
            .vtex
            .with(|store| store.invoice(&order, now));
        self.cron(4)
    }

    fn verdict(&self) -> bool {
        let sandbox = &self.shop.sandbox;
        let rows = numbers(sandbox, &warehouse(), &counted());
        let touched: Vec<_> = [0, 1, 2, 6, 10, 12, 13, 14, 15, 16, 25, 45, 70]
            .map(|at| rows[at].sku.clone())
            .into();
        println!("\nPublished against true stock, by the sandbox's own log");
        println!("  {:<22}{:>8}{:>8}", "SKU", "offered", "true");
        for row in rows
            .iter()
            .filter(|row| touched.contains(&row.sku) || !row.right())
            .take(40)
        {
            let mark = if row.right() { "" } else { "   WRONG" };
            println!(
                "  {:<22}{:>8}{:>8}{mark}",
                row.reference, row.offered, row.truth
            );
        }
        let right = rows.iter().filter(|row| row.right()).count();
        println!("  {right} of {} numbers are right", rows.len());
        let movements = sandbox.dragonfish.with(|erp| erp.movements.clone());
        let booked = bookings(&movements);
        println!("\nMovements in the ERP per order");
        for (order, story) in &self.orders {
            let marker = format!("VTEX {order} #");
            let ours: Vec<_> = movements
                .iter()
                .filter(|m| m.note.starts_with(&marker))
                .collect();
            let out = ours.iter().filter(|m| m.kind == 2).count();
            let net: String = booked.get(order).map_or_else(
                || "nothing".into(),
                |b| {
                    if b.is_empty() {
                        "nothing".into()
                    } else {
                        format!("{} units", b.values().sum::<rust_decimal::Decimal>())
                    }
                },
            );
            println!(
                "  {order}  {out} out, {} back, in all {net:<10}  {story}",
                ours.len() - out
            );
        }
        let problems = bookkeeping(sandbox);
        for problem in &problems {
            println!("  WRONG: {problem}");
        }
        println!("\nMails sent");
        for (kind, n) in mails(&self.shop.program.folder) {
            println!("  {n:>3} {kind}");
        }
        let violations = sandbox.violations();
        for violation in &violations {
            println!("  RULE BROKEN: {violation}");
        }
        let good = right == rows.len() && problems.is_empty() && violations.is_empty();
        println!(
            "\n{}",
            if good {
                "Every number is right."
            } else {
                "The day ended with wrong numbers."
            }
        );
        good
    }
}

/// Counts the mails by kind, which their file names begin with.
pub fn mails(folder: &Path) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder.join("mail")) else {
        return kinds;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = name.split('.').next().unwrap_or_default().to_owned();
        *kinds.entry(kind).or_insert(0) += 1;
    }
    kinds
}

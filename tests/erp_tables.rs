//! What only the tables tell, through both ODBC drivers: two roads compared, changes, movements by their marker, bar
//! codes, sales documents, bases that nobody names; and what a run owes the server: its gate and its deadline.

#![cfg(feature = "odbc")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/erp_wire.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod erp_wire;
#[path = "support/parts.rs"]
mod parts;
#[path = "support/tds.rs"]
mod tds;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use erp_wire::{Still, Wire, json};
use stockbridge::domain::ids::{ErpCode, OrderId};
use stockbridge::domain::movement::{Direction, ErpDay};
use stockbridge::domain::ports::{
    CallOutcome, Check, CheckOutcome, Checks, Gate, Listing, MovementSink, PortError, PortResult,
    Search, StockSource,
};
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::VariantLevels;
use stockbridge::domain::time::BootTime;
use stockbridge::sandbox::Sandbox;
use stockbridge::sandbox::catalogue::Variant;
use tds::{NOBODY, PASSWORD, Rig, base, code, config, drivers, known, on, on_gated, on_in};

const SQL: &str = "stock_source = \"sql\"";
const ORDER: &str = "1234567890123-01";
const NOTE: &str = "VTEX 1234567890123-01 #S1 V1BKFRX6CDHMYHQ. VENTA_VTEX";

/// A service that holds the same article as the rig, in two bases.
fn service(woo: &str, centro: &str) -> Sandbox {
    let sandbox = Sandbox::start(1).unwrap();
    set(&sandbox, woo, centro);
    sandbox
}

fn set(sandbox: &Sandbox, woo: &str, centro: &str) {
    let variant = Variant {
        article: "A B".into(),
        color: "N01".into(),
        size: "42".into(),
    };
    sandbox.dragonfish.with(|erp| {
        for (name, cell) in [("WOO", woo), ("CENTRO", centro)] {
            let of_base = erp.stock.entry(base(name)).or_default();
            of_base.insert(variant.clone(), cell.parse().unwrap());
        }
    });
}

#[test]
fn two_figures_are_held_or_one_road_is_believed() {
    for driver in drivers() {
        let rig = Rig::start();
        let codes = [code("A B-N01-42")];
        let sandbox = service("-2", "4");
        let read = |rule: &str| {
            let road = format!("stock_source = \"both\"\non_disagreement = \"{rule}\"");
            let erp = config(&sandbox.dragonfish.url(), &driver, rig.relay, &road, "");
            on(&erp, &["WOO", "CENTRO"], |d| d.read(&codes)).unwrap()
        };
        let held = read("hold");
        let told = "base CENTRO: the service says 4, the tables 3.5";
        let unreadable = VariantLevels::Unreadable(told.into());
        assert_eq!(held.variants[&codes[0]], unreadable);
        assert_eq!(held.doubts[&codes[0]], told);
        let by = |figure| known(&[("WOO", "-2"), ("CENTRO", figure)]);
        assert_eq!(read("api").variants[&codes[0]], by("4"));
        assert_eq!(read("sql").variants[&codes[0]], by("3.5"));
        set(&sandbox, "-2", "3.50");
        let agreed = read("hold");
        assert_eq!(agreed.variants[&codes[0]], by("3.5"));
        assert!(agreed.doubts.is_empty());
    }
}

#[test]
fn one_road_alone_is_not_compared_and_says_so() {
    for driver in drivers() {
        let rig = Rig::start();
        let codes = [code("A B-N01-42")];
        let both = "stock_source = \"both\"";
        let erp = config(NOBODY, &driver, rig.relay, both, "");
        let levels = on(&erp, &["WOO"], |d| d.read(&codes)).unwrap();
        assert_eq!(levels.road, "sql (the other road failed)");
        let sandbox = service("1", "1");
        let erp = config(&sandbox.dragonfish.url(), &driver, 9, both, "");
        let levels = on(&erp, &["WOO"], |d| d.read(&codes)).unwrap();
        assert_eq!(levels.road, "api (the other road failed)");
    }
}

#[test]
fn what_was_written_since_the_last_run_is_named_and_nothing_else() {
    for driver in drivers() {
        let mut rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "changes_overlap = \"5m\"");
        let bases = ["WOO", "CENTRO"];
        let ask = |before| {
            on(&erp, &bases, |d| d.changed_since(before))
                .unwrap()
                .unwrap()
        };
        let first = ask(None);
        assert_eq!(first.codes, Vec::<ErpCode>::new());
        assert_eq!(ask(Some(first.watermark)).codes, Vec::<ErpCode>::new());
        rig.run("CENTRO", "UPDATE {}.COMB SET FMODIFW = current_date, HMODIFW = strftime(now()::TIMESTAMP, '%H:%M:%S') WHERE COART = 'ñandu'");
        let changed = ask(Some(first.watermark));
        assert_eq!(changed.codes, [code("ÑANDÚ-N01-42")], "{driver}");
        assert!(changed.watermark >= first.watermark);
        // The overlap names it again; a watermark of a clock that stood wrong begins no later than that.
        assert_eq!(ask(Some(changed.watermark)).codes, changed.codes);
        let astray = first.watermark + 365 * 24 * 3_600_000;
        assert_eq!(ask(Some(astray)).codes, changed.codes);
        // Long after, it is named no more.
        rig.run(
            "CENTRO",
            "UPDATE {}.COMB SET FMODIFW = '2020-01-02', HMODIFW = '23:59:59'",
        );
        assert_eq!(ask(Some(first.watermark)).codes, Vec::<ErpCode>::new());
    }
}

#[test]
fn a_base_that_cannot_be_read_holds_the_watermark_back_for_a_while() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let ask = |bases: &[&str], before| {
            on(&erp, bases, |d| d.changed_since(before))
                .unwrap()
                .unwrap()
        };
        let now = ask(&["WOO"], None).watermark;
        let before = now - 20 * 60_000;
        assert_eq!(ask(&["WOO", "NORTE"], Some(before)).watermark, before);
        let long_before = now - 30 * 3_600_000;
        let moved = ask(&["WOO", "NORTE"], Some(long_before)).watermark;
        assert!(moved > long_before && moved < now, "{moved}");
        let off = config(NOBODY, &driver, rig.relay, SQL, "changes = false");
        assert_eq!(on(&off, &["WOO"], |d| d.changed_since(None)).unwrap(), None);
    }
}

fn checks(
    erp: &stockbridge::config::sections::ErpConfig,
    bases: &[&str],
    name: &str,
) -> Vec<Check> {
    let checks = on(erp, bases, |d| d.checks());
    checks
        .into_iter()
        .filter(|check| check.name == name)
        .collect()
}

#[test]
fn a_base_that_nobody_names_is_told_and_never_counted() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let found = checks(&erp, &["WOO", "CENTRO"], "erp.sql.bases");
        assert_eq!(found[0].outcome, CheckOutcome::Warn);
        // Blocked, offline and the product's own databases are not among them.
        assert!(
            found[0].detail.ends_with(": LA PLATA"),
            "{}",
            found[0].detail
        );
        let levels = on(&erp, &["WOO"], |d| d.read(&[code("A B-N01-42")])).unwrap();
        assert_eq!(
            levels.variants[&code("A B-N01-42")],
            known(&[("WOO", "-2")])
        );
        let own = "left_out = [\"LA PLATA\", \"zoologicmaster\"]";
        let erp = config(NOBODY, &driver, rig.relay, SQL, own);
        let found = checks(&erp, &["WOO", "CENTRO"], "erp.sql.bases");
        assert!(
            found[0].detail.ends_with(": ADNIMPLANT"),
            "{}",
            found[0].detail
        );
    }
}

/// A statement file of the operator's own.
fn own(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.sql");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn the_plan_s_own_statement_can_stand_in_and_doctor_tells_where_it_cannot() {
    let plan = tds::root().join("sql/dragonfish/stock_plan.sql");
    let replaced = format!("statements = {{ stock_many = {plan:?} }}");
    for driver in drivers() {
        let mut rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, &replaced);
        let failed = checks(&erp, &["WOO"], "erp.sql.statements");
        assert_eq!(failed[0].outcome, CheckOutcome::Fail);
        assert!(failed[0].detail.contains("stock_many") && failed[0].detail.contains("COCODIGO"));
        let codes = ["A B-N01-42", "ÑANDÚ-N01-42"].map(code);
        let read = || on(&erp, &["WOO"], |d| d.read(&codes));
        assert!(
            matches!(read(), Err(PortError::Rejected { .. })),
            "the column is not there"
        );
        rig.run("WOO", "ALTER TABLE {}.COMB ADD COLUMN COCODIGO VARCHAR");
        rig.run(
            "WOO",
            "UPDATE {}.COMB SET COCODIGO = '7790001000012' WHERE COART = 'A B'",
        );
        let levels = read().unwrap();
        assert_eq!(levels.variants[&codes[0]], known(&[("WOO", "-2")]));
        assert_eq!(levels.variants[&codes[1]], VariantLevels::Absent);
        let sound = checks(&erp, &["WOO"], "erp.sql.statements");
        assert_eq!(sound[0].outcome, CheckOutcome::Ok, "{}", sound[0].detail);
    }
}

#[test]
fn a_statement_of_one_s_own_is_asked_as_it_stands() {
    let one = "SELECT COART, COCOL, TALLE, COCANT * 2 FROM ZooLogic.COMB WHERE COART = ? AND COCOL = ? AND TALLE = ?";
    let (_folder, path) = own(one);
    for driver in drivers() {
        let rig = Rig::start();
        let replaced = format!("statements = {{ stock_many = {path:?} }}");
        let erp = config(NOBODY, &driver, rig.relay, SQL, &replaced);
        let codes = ["A B-N01-42", "ÑANDÚ-N01-42"].map(code);
        let levels = on(&erp, &["WOO"], |d| d.read(&codes)).unwrap();
        assert_eq!(levels.variants[&codes[0]], known(&[("WOO", "-4")]));
        assert_eq!(levels.variants[&codes[1]], known(&[("WOO", "0")]));
    }
}

#[test]
fn bar_codes_lead_to_variants_and_back() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        on(&erp, &["WOO"], |d| {
            let (chosen, units) = d.bar_code(&code("A B-N01-42")).unwrap().unwrap();
            assert_eq!((chosen.as_str(), units), ("7790001000012", Qty::whole(1)));
            let pack = d.of_bar_code("pack-of-6").unwrap().unwrap();
            assert_eq!(pack, (code("ÑANDÚ-N01-42"), Qty::whole(6)));
            assert_eq!(d.of_bar_code("' OR 1 = 1 --").unwrap(), None);
            assert_eq!(d.bar_code(&code("NOBODY-N01-1")).unwrap(), None);
        });
    }
}

/// Enters a movement into the rig's table, with two lines.
fn enter(rig: &mut Rig, note: &str, annulled: bool) {
    rig.run(
        "WOO",
        &format!(
            "INSERT INTO {{}}.MSTOCK VALUES ('{{A1}}', 7, '2026-01-31', 2, 'V1BKFRX6CDHMYHQ', '{note}', {annulled}, \
             '2026-01-31', '10:20:30')"
        )
        .replace("{A1}", "A1"),
    );
    rig.run(
        "WOO",
        "INSERT INTO {}.DETMSTOCK VALUES ('A1', 1, 'A B', 'N01', '42', 2.00), ('A1', 2, 'a b', 'N01', '42', 1.00)",
    );
}

/// A listing of the service that proves nothing: it does not say how many rows there are.
fn unclear() -> Wire {
    Wire::start(vec![json("200 OK", r#"{"Resultados":[]}"#); 8])
}

fn find(erp: &stockbridge::config::sections::ErpConfig, search: &Search) -> PortResult<Listing> {
    on(erp, &["WOO"], |d| d.find(&base("WOO"), search))
}

#[test]
fn the_tables_answer_where_the_service_s_listing_proves_nothing() {
    let text = Search::Text(ORDER.into());
    let day = Search::Day(ErpDay::parse("2026-01-31").unwrap());
    for driver in drivers() {
        let mut rig = Rig::start();
        enter(&mut rig, NOTE, false);
        for search in [&text, &day] {
            let wire = unclear();
            let erp = config(&wire.url(), &driver, rig.relay, "authenticate = false", "");
            let Listing::Complete(rows) = find(&erp, search).unwrap() else {
                panic!("{driver}: {search:?} is not conclusive");
            };
            let [row] = &rows[..] else { panic!("{rows:?}") };
            assert_eq!(
                (row.number.as_deref(), row.direction),
                (Some("7"), Some(Direction::Out))
            );
            assert_eq!(
                (row.note.as_str(), row.reference.as_str()),
                (NOTE, "V1BKFRX6CDHMYHQ")
            );
            assert_eq!(
                row.lines.as_ref().unwrap()[&code("A B-N01-42")],
                Qty::whole(3)
            );
            assert_eq!(row.day, ErpDay::parse("2026-01-31"));
            // Ten o'clock there is one o'clock in the afternoon in UTC.
            assert_eq!(row.created.unwrap().to_string(), "2026-01-31T13:20:30Z");
        }
        let wire = unclear();
        let erp = config(&wire.url(), &driver, rig.relay, "authenticate = false", "");
        // A wildcard in what is looked for finds only itself.
        let nobody = Search::Text("1234567890123%".into());
        assert_eq!(find(&erp, &nobody).unwrap(), Listing::Complete(vec![]));
        let never = "movement_witness = \"never\"";
        let erp = config(
            &wire.url(),
            &driver,
            rig.relay,
            "authenticate = false",
            never,
        );
        assert!(matches!(
            find(&erp, &text).unwrap(),
            Listing::Inconclusive(_)
        ));
    }
}

#[test]
fn an_annulled_movement_and_a_silent_service_settle_nothing() {
    let text = Search::Text(ORDER.into());
    for driver in drivers() {
        let mut rig = Rig::start();
        enter(&mut rig, NOTE, true);
        let wire = unclear();
        let erp = config(&wire.url(), &driver, rig.relay, "authenticate = false", "");
        let Listing::Inconclusive(why) = find(&erp, &text).unwrap() else {
            panic!("{driver}: an annulled movement was taken for one");
        };
        assert!(why.contains("annulled by a person"), "{why}");
        // The service did not answer at all: the tables are no reason to go on without it.
        let erp = config(NOBODY, &driver, rig.relay, "authenticate = false", "");
        assert!(matches!(
            find(&erp, &text),
            Err(PortError::Transient { .. })
        ));
    }
}

#[test]
fn two_witnesses_that_differ_prove_nothing() {
    let text = Search::Text(ORDER.into());
    let none = r#"{"TotalRegistros":0,"Resultados":[]}"#;
    for driver in drivers() {
        let mut rig = Rig::start();
        let always = "movement_witness = \"always\"";
        let wire = Wire::start(vec![json("200 OK", none); 3]);
        let erp = config(
            &wire.url(),
            &driver,
            rig.relay,
            "authenticate = false",
            always,
        );
        assert_eq!(find(&erp, &text).unwrap(), Listing::Complete(vec![]));
        enter(&mut rig, NOTE, false);
        assert!(
            matches!(find(&erp, &text).unwrap(), Listing::Inconclusive(_)),
            "{driver}"
        );
        // Where the second witness cannot be heard, the service's word counts as it does without one.
        rig.order("reset");
        assert_eq!(find(&erp, &text).unwrap(), Listing::Complete(vec![]));
    }
}

#[test]
fn sales_documents_with_the_order_s_id_are_shown() {
    let order = OrderId::parse(ORDER).unwrap();
    for driver in drivers() {
        let mut rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let papers = || on(&erp, &["WOO", "CENTRO"], |d| d.papers(&order)).unwrap();
        assert_eq!(papers(), Vec::<String>::new());
        rig.run("CENTRO", &format!("INSERT INTO {{}}.COMPROBANTEV VALUES (11, 'vtex {ORDER}'), (27, '{ORDER}'), (27, 'other')"));
        let mut told = papers();
        told.sort();
        assert_eq!(
            told,
            [
                "base CENTRO: 1 factura electrónica",
                "base CENTRO: 1 remito"
            ]
        );
    }
}

/// A gate that says no, or notes what it was told.
#[derive(Default)]
struct Shut {
    closed: bool,
    hosts: Mutex<BTreeSet<String>>,
    told: Mutex<Vec<CallOutcome>>,
}

impl Gate for Shut {
    fn admit(&self, host: &str) -> PortResult<()> {
        self.hosts.lock().unwrap().insert(host.to_owned());
        if self.closed && host.starts_with("sql server") {
            return Err(PortError::transient("left alone for another 60 s"));
        }
        Ok(())
    }
    fn report(&self, host: &str, outcome: CallOutcome) {
        if host.starts_with("sql server") {
            self.told.lock().unwrap().push(outcome);
        }
    }
}

#[test]
fn the_gate_is_asked_before_the_server_and_told_how_it_went() {
    for driver in drivers() {
        let mut rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let codes = [code("A B-N01-42")];
        let world = Still::default();
        let read = |gate: &Shut, password| {
            on_gated(&world, gate, &erp, &["WOO"], password, None, |d| {
                d.read(&codes)
            })
        };
        let closed = Shut {
            closed: true,
            ..Shut::default()
        };
        let refused = read(&closed, PASSWORD);
        assert!(
            matches!(&refused, Err(PortError::Transient { reason, .. }) if reason.contains("left alone"))
        );
        assert_eq!(rig.seen(), 0);
        let open = Shut::default();
        read(&open, PASSWORD).unwrap();
        let told = open.told.lock().unwrap().clone();
        assert!(
            !told.is_empty() && told.iter().all(|t| *t == CallOutcome::Answered),
            "{told:?}"
        );
        let open = Shut::default();
        assert!(read(&open, "not it").is_err());
        assert_eq!(
            *open.told.lock().unwrap(),
            [CallOutcome::Denied],
            "{driver}"
        );
        rig.order("reset");
        let open = Shut::default();
        assert!(read(&open, PASSWORD).is_err());
        assert_eq!(
            open.told.lock().unwrap().last(),
            Some(&CallOutcome::Failed),
            "{driver}"
        );
    }
}

#[test]
fn no_statement_is_waited_for_past_the_run_s_deadline() {
    for driver in drivers() {
        let mut rig = Rig::start();
        let sql = "stock_source = \"sql\"";
        let mut erp = config(NOBODY, &driver, rig.relay, sql, "");
        let tables = erp.dragonfish.as_mut().unwrap().sql.as_mut().unwrap();
        tables.statement_timeout = toml::Value::String("60s".into()).try_into().unwrap();
        let world = Still::default();
        let codes = [code("A B-N01-42")];
        // The world's boot clock stands still: one second is left whenever it is asked.
        let until = BootTime(1_001_000);
        on_in(&world, &erp, &["WOO"], PASSWORD, Some(until), |d| {
            d.read(&codes).unwrap();
            rig.order("hang");
            let begun = Instant::now();
            let read = d.read(&codes);
            assert!(
                matches!(read, Err(PortError::Transient { .. })),
                "{driver}: {read:?}"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(4),
                "{driver}: {:?}",
                begun.elapsed()
            );
        });
        assert!(
            !world
                .outcomes
                .lock()
                .unwrap()
                .contains(&CallOutcome::Failed),
            "the run's end says nothing about the server"
        );
        let over = Some(BootTime(1));
        let read = on_in(&world, &erp, &["WOO"], PASSWORD, over, |d| d.read(&codes));
        assert!(
            matches!(&read, Err(PortError::Transient { reason, .. }) if reason.contains("time is up"))
        );
    }
}

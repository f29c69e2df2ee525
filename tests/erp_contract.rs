//! What every road to an ERP's stock must answer alike. Dragonfish: over HTTP against the sandbox, and over ODBC through
//! Microsoft's driver and FreeTDS, against a server that speaks TDS on a real socket (`tests/support/sql_rig.py`). WinThor:
//! over HTTP against the sandbox, and over ODBC through psqlODBC and MariaDB's driver, against those databases
//! (`tests/support/winthor_rig.rs`).

#![cfg(feature = "odbc")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/erp_suite.rs"]
mod erp_suite;
#[path = "support/erp_wire.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod erp_wire;
#[path = "support/parts.rs"]
mod parts;
#[path = "support/tds.rs"]
mod tds;
#[path = "support/winthor_rig.rs"]
mod winthor_rig;
#[path = "support/winthor_services.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod winthor_services;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use erp_suite::Expected;
use erp_wire::Still;
use parts::part;
use stockbridge::domain::ids::ErpCode;
use stockbridge::domain::packaging::Packaging;
use stockbridge::domain::ports::{CheckOutcome, Checks, PortError, PortResult, StockSource};

use stockbridge::domain::stock::{PackedLevel, StockLevels, VariantLevels};
use stockbridge::sandbox::Sandbox;
use stockbridge::sandbox::catalogue::Variant;
use tds::{NOBODY, Rig, base, code, config, drivers, known, on, on_in, root, site};

const BASES: [&str; 3] = ["WOO", "CENTRO", "LA PLATA"];
const SQL: &str = "stock_source = \"sql\"";

fn wanted() -> Vec<ErpCode> {
    ["A B-N01-42", "ÑANDÚ-N01-42", "NOBODY-N01-1"]
        .map(code)
        .to_vec()
}

/// What both roads must say of the same stock: padding, letter case, accents, zero, negative and large figures.
fn holds_the_contract(levels: &StockLevels) {
    let expected = BTreeMap::from([
        (
            code("A B-N01-42"),
            known(&[
                ("WOO", "-2"),
                ("CENTRO", "3.5"),
                ("LA PLATA", "123456789012.45"),
            ]),
        ),
        (
            code("ÑANDÚ-N01-42"),
            known(&[("WOO", "0"), ("CENTRO", "0"), ("LA PLATA", "7")]),
        ),
        (code("NOBODY-N01-1"), VariantLevels::Absent),
    ]);
    assert_eq!(levels.variants, expected);
    assert!(levels.missing.is_empty(), "{:?}", levels.missing);
}

/// The stateful service, with the stock that the rig has too.
fn service() -> Sandbox {
    let sandbox = Sandbox::start(3).unwrap();
    sandbox.dragonfish.with(|erp| {
        for (article, cells) in [
            ("A B", ["-2", "3.50", "123456789012.45"]),
            ("ÑANDÚ", ["0", "0", "7"]),
        ] {
            let variant = Variant {
                article: article.into(),
                color: "N01".into(),
                size: "42".into(),
            };
            for (name, cell) in BASES.iter().zip(cells) {
                let of_base = erp.stock.entry(base(name)).or_default();
                of_base.insert(variant.clone(), cell.parse().unwrap());
            }
        }
    });
    sandbox
}

#[test]
fn http_holds_the_contract() {
    let sandbox = service();
    let erp = config(&sandbox.dragonfish.url(), "unused", 1, "", "");
    let levels = on(&erp, &BASES, |dragonfish| dragonfish.read(&wanted())).unwrap();
    holds_the_contract(&levels);
    assert_eq!(levels.road, "api");
    assert_eq!(sandbox.violations(), Vec::<String>::new());
}

#[test]
fn every_statement_is_one_reading_to_two_parsers() {
    let parsers = site("sqlglot").is_some() && site("sqlfluff").is_some();
    if !part("sqlglot and sqlfluff", parsers) {
        return;
    }
    let parse = |folder: &std::path::Path| {
        Command::new(root().join("target/py/bin/python3"))
            .arg(root().join("tests/support/sql_parse.py"))
            .arg(folder)
            .output()
            .unwrap()
    };
    let run = parse(&root().join("sql/dragonfish"));
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    let n_files = std::fs::read_dir(root().join("sql/dragonfish"))
        .unwrap()
        .count();
    assert_eq!(
        String::from_utf8_lossy(&run.stdout).lines().count(),
        n_files
    );
    for bad in [
        "UPDATE ZooLogic.COMB SET COCANT = 1",
        "SELECT COART INTO X FROM ZooLogic.COMB",
        "SELECT COART FROM ZooLogic.COMB; DELETE FROM ZooLogic.COMB",
        "SELECT COART FROM ZooLogic.COMB LIMIT 5",
        "SELECT NOW()",
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bad.sql"), bad).unwrap();
        assert!(!parse(folder.path()).status.success(), "{bad}");
    }
}

#[test]
fn odbc_holds_the_contract_through_both_drivers() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        on(&erp, &BASES, |dragonfish| {
            let levels = dragonfish.read(&wanted()).unwrap();
            holds_the_contract(&levels);
            assert_eq!(levels.road, "sql");
            let doubtful = ["TWICE-N01-1", "NULLED-N01-1"].map(code);
            let levels = dragonfish.read(&doubtful).unwrap();
            for code in &doubtful {
                let level = &levels.variants[code];
                assert!(
                    matches!(level, VariantLevels::Unreadable(_)),
                    "{code}: {level:?}"
                );
            }
            let all = dragonfish.read_all(&|_| {}).unwrap();
            assert_eq!(all.road, "sql bulk");
            assert_eq!(all.variants.len(), 4);
            let some = wanted().into_iter().collect();
            let levels = dragonfish.read_wanted(&some, &|_| {}).unwrap();
            holds_the_contract(&levels);
        });
    }
}

#[test]
fn a_base_that_is_offline_or_not_there_is_missing_and_proves_no_absence() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let levels = on(&erp, &["WOO", "NORTE", "SUR"], |dragonfish| {
            dragonfish.read(&wanted()).unwrap()
        });
        assert!(levels.missing[&base("NORTE")].contains("OFFLINE"));
        assert!(levels.missing.contains_key(&base("SUR")));
        assert_eq!(
            levels.variants[&code("A B-N01-42")],
            known(&[("WOO", "-2")])
        );
        assert!(!levels.variants.contains_key(&code("NOBODY-N01-1")));
    }
}

#[test]
fn doctor_tells_a_base_that_is_offline_and_a_login_that_can_write() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let checks = on(&erp, &["WOO", "CENTRO", "NORTE"], |dragonfish| {
            dragonfish.checks()
        });
        let of_sql = checks.iter().filter(|check| check.name == "erp.sql");
        let outcomes: Vec<_> = of_sql.map(|check| check.outcome).collect();
        assert_eq!(
            outcomes,
            [CheckOutcome::Warn, CheckOutcome::Ok, CheckOutcome::Fail],
            "{driver}: {checks:?}"
        );
    }
}

#[test]
fn a_wrong_password_is_denied_once_and_never_shown() {
    for driver in drivers() {
        let mut rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let world = Still::default();
        let read: PortResult<_> =
            on_in(&world, &erp, &BASES, "not it", None, |d| d.read(&wanted()));
        let Err(PortError::Denied { reason }) = read else {
            panic!("{driver}: {read:?}");
        };
        assert!(!reason.contains("not it"), "{reason}");
        assert_eq!(rig.seen(), 0, "no statement came through");
    }
}

#[test]
fn a_fault_on_the_wire_ends_in_time_and_the_next_read_is_whole() {
    for driver in drivers() {
        for mode in ["reset", "close", "cut", "hang"] {
            let mut rig = Rig::start();
            let erp = config(NOBODY, &driver, rig.relay, SQL, "");
            on(&erp, &["WOO"], |dragonfish| {
                let codes = [code("A B-N01-42")];
                dragonfish.read(&codes).unwrap();
                rig.order(mode);
                let begun = Instant::now();
                let read = dragonfish.read(&codes);
                assert!(
                    matches!(read, Err(PortError::Transient { .. })),
                    "{driver} {mode}: {read:?}"
                );
                assert!(begun.elapsed() < Duration::from_secs(8), "{driver} {mode}");
                rig.order("pass");
                let levels = dragonfish.read(&codes).unwrap();
                assert_eq!(levels.variants[&codes[0]], known(&[("WOO", "-2")]));
            });
        }
    }
}

#[test]
fn the_other_road_answers_when_the_first_is_down_and_says_so() {
    for driver in drivers() {
        let rig = Rig::start();
        let road = "stock_source = \"api-then-sql\"";
        let erp = config(NOBODY, &driver, rig.relay, road, "");
        let levels = on(&erp, &BASES, |d| d.read(&wanted())).unwrap();
        holds_the_contract(&levels);
        assert_eq!(levels.road, "sql (the first road failed)");
        let sandbox = service();
        let road = "stock_source = \"sql-then-api\"";
        let erp = config(&sandbox.dragonfish.url(), &driver, 9, road, "");
        let levels = on(&erp, &BASES, |d| d.read(&wanted())).unwrap();
        holds_the_contract(&levels);
        assert_eq!(levels.road, "api (the first road failed)");
    }
}

#[test]
fn both_roads_agree_on_the_same_stock() {
    for driver in drivers() {
        let rig = Rig::start();
        let sandbox = service();
        let road = "stock_source = \"both\"";
        let erp = config(&sandbox.dragonfish.url(), &driver, rig.relay, road, "");
        let levels = on(&erp, &BASES, |d| d.read(&wanted())).unwrap();
        holds_the_contract(&levels);
        assert_eq!(levels.road, "api and sql");
        assert!(levels.doubts.is_empty(), "{:?}", levels.doubts);
    }
}

/// The stock of the first test, as the suite asks for it.
fn of_dragonfish(roads: [&'static str; 2]) -> Expected {
    let levels = [
        (
            "A B-N01-42",
            [
                ("WOO", "-2"),
                ("CENTRO", "3.5"),
                ("LA PLATA", "123456789012.45"),
            ],
        ),
        (
            "ÑANDÚ-N01-42",
            [("WOO", "0"), ("CENTRO", "0"), ("LA PLATA", "7")],
        ),
    ];
    Expected {
        references: vec![("a b-n01-42", "A B-N01-42"), ("A B-N01-42", "A B-N01-42")],
        bad_references: vec!["A-B", "A--42"],
        levels: levels
            .into_iter()
            .map(|(text, cells)| (code(text), known(&cells)))
            .collect(),
        absent: code("NOBODY-N01-1"),
        roads,
    }
}

/// A branch's stock, whether it is sold without limit, and packagings with their factors.
type Level<'a> = (&'a str, &'a str, bool, &'a [(&'a str, &'a str)]);

/// A part of the rig's small WinThor: packagings that share a stock, twenty digits, fractions, a shortage.
fn of_winthor() -> Expected {
    let packed = |cells: &[Level<'_>], product: &str| {
        let level = |(branch, stock, unlimited, packs): &Level<'_>| {
            let packaging = |(auxiliary, factor): &(&str, &str)| Packaging {
                code: code(&format!("{auxiliary}-{product}")),
                factor: factor.parse().unwrap(),
            };
            let level = PackedLevel {
                product: code(product),
                stock: stock.parse().unwrap(),
                packagings: packs.iter().map(packaging).collect(),
                unlimited: *unlimited,
            };
            (base(branch), Box::new(level))
        };
        VariantLevels::Packed(cells.iter().map(level).collect())
    };
    let hundred = packed(
        &[
            (
                "1",
                "100",
                false,
                &[
                    ("7890000000017", "1"),
                    ("7890000000024", "6"),
                    ("7890000000031", "12"),
                ],
            ),
            (
                "2",
                "10.75",
                false,
                &[("7890000000017", "1"), ("7890000000048", "2.5")],
            ),
        ],
        "100",
    );
    let twelve = packed(
        &[("1", "100", true, &[("98765432109876543210", "12")])],
        "200",
    );
    let short = packed(
        &[("1", "-7", false, &[("300000", "1"), ("300006", "6")])],
        "300",
    );
    Expected {
        references: vec![
            ("7890000000017-100", "7890000000017-100"),
            (" 07890000000017-0100", "7890000000017-100"),
            ("98765432109876543210-200", "98765432109876543210-200"),
        ],
        bad_references: vec!["100", "A-100", "1-2-3"],
        levels: BTreeMap::from([
            (code("7890000000017-100"), hundred.clone()),
            (code("7890000000031-100"), hundred.clone()),
            (code("7890000000048-100"), hundred),
            (code("98765432109876543210-200"), twelve),
            (code("300006-300"), short),
        ]),
        absent: code("12345-100"),
        roads: ["sql", "sql bulk"],
    }
}

/// The double's small shop, read from both branches.
fn of_winthor_services() -> Expected {
    use winthor_services::{PACKS, TWELVE, packed};
    let hundred = packed("100", &PACKS, &[("1", "100"), ("2", "10.75")]);
    Expected {
        references: vec![
            ("11-100", "11-100"),
            (" 011-0100", "11-100"),
            ("98765432109876543210-200", "98765432109876543210-200"),
        ],
        bad_references: vec!["100", "A-100", "1-2-3"],
        levels: BTreeMap::from([
            (code("11-100"), hundred.clone()),
            (code("33-100"), hundred),
            // The service keeps back what makes no whole box: of 100 it tells 96.
            (
                code("98765432109876543210-200"),
                packed("200", &TWELVE, &[("1", "96"), ("2", "0")]),
            ),
            // It divides no shortage.
            (
                code("3001-300"),
                packed("300", &[("3001", "1")], &[("1", "0"), ("2", "2.5")]),
            ),
        ]),
        absent: code("12345-100"),
        roads: ["api", "api bulk"],
    }
}

#[test]
fn one_suite_holds_for_every_erp_and_every_road() {
    let sandbox = service();
    let erp = config(&sandbox.dragonfish.url(), "unused", 1, "", "");
    let expected = of_dragonfish(["api", "api bulk"]);
    on(&erp, &BASES, |dragonfish| {
        erp_suite::holds(dragonfish, &expected);
    });
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config(NOBODY, &driver, rig.relay, SQL, "");
        let expected = of_dragonfish(["sql", "sql bulk"]);
        on(&erp, &BASES, |dragonfish| {
            erp_suite::holds(dragonfish, &expected);
        });
    }
    // A page that ends within a product, and one that holds everything.
    let double = winthor_services::small();
    for (page_size, auth) in [(2, "bearer"), (2, "cookie"), (1000, "bearer")] {
        let keys = format!("page_size = {page_size}\nauth = \"{auth}\"");
        winthor_services::on(&double.winthor.url(), &keys, &["1", "2"], |winthor| {
            erp_suite::holds(winthor, &of_winthor_services());
        });
    }
    assert_eq!(double.violations(), Vec::<String>::new());
    for server in winthor_rig::servers() {
        let shop = winthor_rig::Shop::default();
        winthor_rig::at(server, "", &shop, |sql| {
            erp_suite::holds(sql, &of_winthor());
        });
    }
}

//! Stock by product and branch: packagings, percentages, formulas, codes, owners, and what changed.

use std::collections::BTreeMap;

use stockbridge::adapters::winthor::code::SkuCode;
use stockbridge::adapters::winthor::sql::Filters;
use stockbridge::domain::ids::{BaseCode, ErpCode};
use stockbridge::domain::ports::{Changes, CheckOutcome, Checks, StockSource};
use stockbridge::domain::stock::{StockLevels, VariantLevels};

use crate::winthor_rig::{Engine, Shop, at, server, servers};

fn code(text: &str) -> ErpCode {
    ErpCode::parse(text).unwrap()
}

fn branch(text: &str) -> BaseCode {
    BaseCode::parse(text).unwrap()
}

/// One packaged level, as a line: branch, stock, packagings, `∞` for without limit.
fn lines(levels: &StockLevels, of: &str) -> Vec<String> {
    match levels.variants.get(&code(of)) {
        Some(VariantLevels::Packed(bases)) => bases
            .iter()
            .map(|(base, level)| {
                let packs = level.packagings.iter();
                let packs: Vec<_> = packs.map(|p| format!("{}:{}", p.code, p.factor)).collect();
                let limit = if level.unlimited { " ∞" } else { "" };
                format!(
                    "{base} {}={} [{}]{limit}",
                    level.product,
                    level.stock,
                    packs.join(" ")
                )
            })
            .collect(),
        other => vec![format!("{other:?}")],
    }
}

fn read(shop: &Shop, more: &str, codes: &[&str]) -> Vec<(Engine, StockLevels)> {
    let codes: Vec<_> = codes.iter().map(|text| code(text)).collect();
    let read = |server| at(server, more, shop, |sql| sql.read(&codes).unwrap());
    servers()
        .into_iter()
        .map(|server| (server.engine, read(server)))
        .collect()
}

#[test]
fn packagings_that_are_none_and_products_that_are_gone_are_not_there() {
    let asked = [
        "600000-600",
        "600001-600",
        "600002-600",
        "400000-400",
        "500000-500",
        "700000-700",
    ];
    for (engine, levels) in read(&Shop::default(), "", &asked) {
        let six = ["1 600=60.12345678 [600000-600:1 600004-600:3]"];
        assert_eq!(lines(&levels, "600000-600"), six, "{engine:?}");
        for gone in &asked[1..] {
            assert_eq!(
                levels.variants[&code(gone)],
                VariantLevels::Absent,
                "{engine:?} {gone}"
            );
        }
    }
    let active = "packagings_active = true\npackagings_for_ecommerce = true\n";
    for (engine, levels) in read(
        &Shop::default(),
        active,
        &["600000-600", "7890000000017-100"],
    ) {
        assert_eq!(
            lines(&levels, "600000-600"),
            ["1 600=60.12345678 [600000-600:1]"],
            "{engine:?}"
        );
        let hundred = lines(&levels, "7890000000017-100");
        assert!(
            hundred[0].ends_with("[7890000000017-100:1 7890000000024-100:6]"),
            "{hundred:?}"
        );
    }
}

#[test]
fn the_main_packaging_comes_first_and_a_branch_lists_what_it_has() {
    let asked = ["800001-800", "7890000000031-100"];
    for (engine, levels) in read(&Shop::default(), "", &asked) {
        let eight = ["1 800=25 [800009-800:1 800001-800:1 800016-800:6]"];
        assert_eq!(lines(&levels, "800001-800"), eight, "{engine:?}");
        let dozen = [
            "1 100=100 [7890000000017-100:1 7890000000024-100:6 7890000000031-100:12]",
            "2 100=10.75 [7890000000017-100:1 7890000000048-100:2.5]",
        ];
        assert_eq!(lines(&levels, "7890000000031-100"), dozen, "{engine:?}");
    }
}

#[test]
fn a_percentage_is_exact_and_makes_no_shortage_smaller() {
    let more = "ecommerce_percent = { \"1\" = \"33.33\" }\n";
    let asked = ["7890000000017-100", "300000-300"];
    for (engine, levels) in read(&Shop::default(), more, &asked) {
        let hundred = lines(&levels, "7890000000017-100");
        assert!(
            hundred[0].starts_with("1 100=33.33 ["),
            "{engine:?} {hundred:?}"
        );
        assert!(
            hundred[1].starts_with("2 100=10.75 ["),
            "{engine:?} {hundred:?}"
        );
        assert!(
            lines(&levels, "300000-300")[0].starts_with("1 300=-7 ["),
            "{engine:?}"
        );
    }
}

#[test]
fn the_figure_is_the_configured_one() {
    for (which, figure) in [
        ("package", "100"),
        ("formula-a", "100"),
        ("formula-b", "93"),
    ] {
        let more = format!("available = \"{which}\"\n");
        for (engine, levels) in read(&Shop::default(), &more, &["7890000000017-100"]) {
            let found = lines(&levels, "7890000000017-100");
            assert!(
                found[0].starts_with(&format!("1 100={figure} [")),
                "{engine:?} {which}: {found:?}"
            );
        }
    }
    for server in servers() {
        // The rig's package knows no other letter; a refusal is no reason to take a formula.
        let read = at(
            server,
            "package_letter = \"C\"\n",
            &Shop::default(),
            |sql| sql.read(&[code("7890000000017-100")]),
        );
        assert!(read.is_err(), "{:?}", server.engine);
    }
}

#[test]
fn an_owner_is_put_before_every_table_and_the_package() {
    for (engine, levels) in read(&Shop::default(), "owner = \"winthor\"\n", &["300000-300"]) {
        let short = ["1 300=-7 [300000-300:1 300006-300:6]"];
        assert_eq!(lines(&levels, "300000-300"), short, "{engine:?}");
    }
}

#[test]
fn without_packaging_sales_a_product_is_sold_in_its_smallest_packaging() {
    let whole = Shop {
        packaging_sales: false,
        ..Shop::default()
    };
    let twelve = "98765432109876543210-200";
    for (engine, levels) in read(&whole, "", &[twelve, "7890000000017-100"]) {
        assert_eq!(
            lines(&levels, twelve),
            [format!("1 200=100 [{twelve}:12] ∞")],
            "{engine:?}"
        );
        let hundred = [
            "1 100=100 [7890000000017-100:1]",
            "2 100=10.75 [7890000000017-100:1]",
        ];
        assert_eq!(lines(&levels, "7890000000017-100"), hundred, "{engine:?}");
    }
}

#[test]
fn products_and_bar_codes_are_codes_too() {
    let product = Shop {
        sku_code: SkuCode::LastPart,
        ..Shop::default()
    };
    for (engine, levels) in read(&product, "", &["100", "900", "12345"]) {
        assert_eq!(
            lines(&levels, "100"),
            ["1 100=100 [100:1]", "2 100=10.75 [100:1]"],
            "{engine:?}"
        );
        assert_eq!(lines(&levels, "900"), ["1 900=9 [900:1]"], "{engine:?}");
        assert_eq!(levels.variants[&code("12345")], VariantLevels::Absent);
    }
    let bar = Shop {
        sku_code: SkuCode::BarCode,
        ..Shop::default()
    };
    let twenty = "98765432109876543210";
    for (engine, levels) in read(&bar, "", &["7890000000024", twenty, "1"]) {
        let six = lines(&levels, "7890000000024");
        assert_eq!(
            six[0], "1 100=100 [7890000000017:1 7890000000024:6 7890000000031:12]",
            "{engine:?}"
        );
        assert_eq!(
            lines(&levels, twenty),
            [format!("1 200=100 [{twenty}:12] ∞")],
            "{engine:?}"
        );
        assert_eq!(levels.variants[&code("1")], VariantLevels::Absent);
    }
}

#[test]
fn a_branch_that_is_spelled_otherwise_is_missing_and_proves_no_absence() {
    let shop = Shop {
        branches: vec!["1", "01"],
        ..Shop::default()
    };
    for (engine, levels) in read(&shop, "", &["7890000000017-100", "999-999"]) {
        assert!(
            levels.missing[&branch("01")].contains("no branch 01"),
            "{engine:?}"
        );
        assert_eq!(lines(&levels, "7890000000017-100").len(), 1);
        assert!(
            !levels.variants.contains_key(&code("999-999")),
            "{engine:?}"
        );
    }
}

#[test]
fn changes_come_by_the_rows_own_clock_and_go_on_from_there() {
    let shop = Shop {
        branches: vec!["1"],
        ..Shop::default()
    };
    for server in servers() {
        let engine = server.engine;
        at(server, "changes_overlap = \"5m\"\n", &shop, |sql| {
            let ask = |mark| sql.changed_since(mark).unwrap().unwrap();
            let first = ask(None);
            assert_eq!(first.codes, []);
            // 2021-08-04 10:00:00, less five minutes.
            assert_eq!(first.watermark, 1_628_070_900_000, "{engine:?}");
            let again = ask(Some(first.watermark));
            let twelve = code("98765432109876543210-200");
            assert_eq!(
                again,
                Changes {
                    codes: vec![twelve.clone()],
                    ..first.clone()
                },
                "{engine:?}"
            );
            // 2021-08-03 16:56:42 is there, a second later it is not.
            let since = |mark| ask(Some(mark)).codes.len();
            assert_eq!(
                (since(1_628_009_802_000), since(1_628_009_803_000)),
                (4, 1),
                "{engine:?}"
            );
            // In the year 2100 nothing has changed, and the watermark does not go back.
            let late = 4_102_444_800_000;
            assert_eq!(
                ask(Some(late)),
                Changes {
                    codes: Vec::new(),
                    watermark: late
                }
            );
        });
        let off = at(server, "changes = false\n", &shop, |sql| {
            sql.changed_since(None)
        });
        assert_eq!(off, Ok(None));
        let session = at(server, "changes_clock = \"session\"\n", &shop, |sql| {
            sql.changed_since(None)
        });
        assert!(
            session.unwrap().unwrap().watermark > 1_628_070_900_000,
            "{engine:?}"
        );
    }
}

#[test]
fn a_date_from_the_far_future_is_not_where_the_next_reading_begins() {
    let Some(server) = server(Engine::Postgres) else {
        return;
    };
    // Branch 3 is nobody else's.
    server.owner("UPDATE pcest SET dthoraultaltdisp = TIMESTAMP '2099-01-01 00:00:00' WHERE codfilial = '3';");
    let shop = Shop {
        branches: vec!["3"],
        ..Shop::default()
    };
    let marked = at(server, "", &shop, |sql| {
        sql.changed_since(None).unwrap().unwrap()
    });
    assert!(
        marked.watermark < 0,
        "no row with a date that is believed: {marked:?}"
    );
    server.owner("UPDATE pcest SET dthoraultaltdisp = TIMESTAMP '2021-08-03 16:56:41' WHERE codfilial = '3';");
}

#[test]
fn doctor_says_which_figure_the_package_is_and_what_it_cannot_ask() {
    let shop = Shop {
        branches: vec!["1", "2", "9"],
        ..Shop::default()
    };
    for server in servers() {
        let outcomes = |more: &str| -> BTreeMap<String, Vec<(CheckOutcome, String)>> {
            let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for check in at(server, more, &shop, |sql| sql.checks()) {
                found
                    .entry(check.name)
                    .or_default()
                    .push((check.outcome, check.detail));
            }
            found
        };
        let found = outcomes("");
        let branches: Vec<_> = found["erp.sql"]
            .iter()
            .map(|(outcome, _)| *outcome)
            .collect();
        assert_eq!(
            branches,
            [CheckOutcome::Ok, CheckOutcome::Ok, CheckOutcome::Fail]
        );
        let (outcome, told) = &found["erp.sql.available"][0];
        assert_eq!(*outcome, CheckOutcome::Ok, "{told}");
        assert!(
            told.contains("2 with pending units") && told.contains("A in 10 and with B in 8"),
            "{told}"
        );
        assert_eq!(found["erp.sql.orders"][0].0, CheckOutcome::Ok);
        let (outcome, told) = &found["erp.sql.statements"][0];
        assert_eq!(
            (*outcome, told.as_str()),
            (CheckOutcome::Ok, "6 statements run")
        );
        let b = outcomes("available = \"formula-b\"\n");
        assert_eq!(b["erp.sql.available"][0].0, CheckOutcome::Warn);
        let none = outcomes("function = \"pkg_estoque.nobody\"\norder_column = \"nobody\"\n");
        assert_eq!(none["erp.sql.available"][0].0, CheckOutcome::Fail);
        assert_eq!(none["erp.sql.orders"][0].0, CheckOutcome::Fail);
        // The two that ask the package.
        let (outcome, told) = &none["erp.sql.statements"][0];
        assert_eq!(*outcome, CheckOutcome::Fail);
        assert!(
            told.contains("stock: ") && told.contains("page: "),
            "{told}"
        );
        assert!(!told.contains("packagings: "), "{told}");
    }
}

/// Twenty thousand products: the bulk reading is one stream, changes come in lists that fit, groups stay small.
#[test]
fn a_large_branch_is_read_whole() {
    let Some(server) = server(Engine::Postgres) else {
        return;
    };
    server.owner(
        "INSERT INTO pcfilial (codigo, razaosocial) VALUES ('7', 'GRANDE');
         INSERT INTO pcprodut (codprod, codauxiliar, enviaecommerce)
             SELECT n, 70000000 + n, 'S' FROM generate_series(10001, 30000) n;
         INSERT INTO pcest (codfilial, codprod, qtestger, dthoraultaltdisp)
             SELECT '7', n, n / 8.0, TIMESTAMP '2022-01-01 00:00:00' FROM generate_series(10001, 30000) n;
         INSERT INTO pcembalagem (codauxiliar, codfilial, codprod, qtunit)
             SELECT 70000000 + n, '7', n, 1 FROM generate_series(10001, 30000) n
             UNION ALL SELECT 80000000 + n, '7', n, 12 FROM generate_series(10001, 30000) n;
         ANALYZE;",
    );
    let shop = Shop {
        branches: vec!["7"],
        ..Shop::default()
    };
    at(
        server,
        "total_timeout = \"2m\"\nstatement_timeout = \"60s\"\n",
        &shop,
        |sql| {
            let told = std::cell::Cell::new(0);
            let all = sql.read_all(&|rows| told.set(rows)).unwrap();
            assert_eq!((all.variants.len(), told.get()), (40_000, 60_000));
            let last = ["7 30000=3750 [70030000-30000:1 80030000-30000:12]"];
            assert_eq!(lines(&all, "80030000-30000"), last);
            let codes: Vec<_> = all.variants.keys().cloned().collect();
            let groups = sql.groups(&codes);
            assert_eq!(groups.len(), 100);
            let some = sql.read(&codes[..5_000]).unwrap();
            assert!(
                codes[..5_000]
                    .iter()
                    .all(|code| some.variants[code] == all.variants[code])
            );
            let changed = sql.changed_since(Some(1_640_995_200_000)).unwrap().unwrap();
            assert_eq!(changed.codes.len(), 40_000);
        },
    );
}

/// The parameters of the services hold for the tables too, else two roads would give two figures.
#[test]
fn the_services_filters_hold_for_the_tables() {
    let config = "url = \"http://127.0.0.1\"\ncall_origin = \"WSH\"\ncategory = 11\nresale = false\nmerchandise_types = \"L, PA\"";
    let filters = Filters::of(&toml::from_str(config).unwrap());
    let all = |filters: Filters| {
        let shop = Shop {
            branches: vec!["1"],
            sku_code: SkuCode::LastPart,
            filters,
            ..Shop::default()
        };
        let found = servers().into_iter().map(move |server| {
            let all = at(server, "", &shop, |sql| sql.read_all(&|_| {}).unwrap());
            let codes: Vec<_> = all.variants.keys().map(ErpCode::to_string).collect();
            codes.join(" ")
        });
        found.collect::<Vec<_>>()
    };
    for (filters, wanted) in [
        (Filters::default(), "100 200 300 400 600 800 900"),
        (filters, "300 400 600 800"),
        (
            Filters {
                web: true,
                resale: Some(true),
                ..Filters::default()
            },
            "100",
        ),
        (
            Filters {
                subcategory: Some(22),
                section: Some(31),
                department: Some(41),
                provider: Some(52),
                ..Filters::default()
            },
            "200",
        ),
    ] {
        for found in all(filters.clone()) {
            assert_eq!(found, wanted, "{filters:?}");
        }
    }
}

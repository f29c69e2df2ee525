//! The whole program with stock by SQL: a shop whose ERP is read through an ODBC driver, run as cron would run it.

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
#[path = "support/shop.rs"]
mod shop;
#[path = "support/tds.rs"]
mod tds;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use shop::Shop;
use stockbridge::exit::Exit;
use stockbridge::sandbox::catalogue::base;
use stockbridge::sandbox::faults::{Fault, When};
use tds::{PASSWORD, Rig, drivers};

/// A shop whose stock is read by this road, and the server behind it with the same stock.
fn open(driver: &str, keys: &str) -> (Shop, Rig) {
    let mut rig = Rig::with(&["--empty"]);
    let sql = format!(
        "sql = {{ driver = \"{driver}\", server = \"127.0.0.1,{}\", user = \"reader\", password = {{ file = \"sql\" }}, \
         trust_server_certificate = true, connect_timeout = \"5s\", statement_timeout = \"5s\" }}",
        rig.relay
    );
    let shop = Shop::with(
        5,
        &format!("[erp.dragonfish]\n{keys}\n{sql}\nstock_timeout = \"20s\"\n"),
    );
    let path = shop.path("sql");
    fs::write(&path, PASSWORD).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    rig.mirror(&shop.sandbox, shop.folder.path());
    (shop, rig)
}

/// Runs the program as cron does: without any environment, not even a language.
fn bare(shop: &Shop, args: &[&str]) -> Output {
    let config = shop.path("stockbridge.toml");
    Command::new(env!("CARGO_BIN_EXE_stockbridge"))
        .args(args)
        .arg("--config")
        .arg(config)
        .env_clear()
        .current_dir("/")
        .output()
        .unwrap()
}

#[test]
fn numbers_are_right_by_sql_and_a_shop_s_sale_shows_in_the_next_run() {
    for driver in drivers() {
        let (shop, mut rig) = open(&driver, "stock_source = \"sql\"");
        shop.cycles(2);
        shop.assert_right();
        let order = shop.sell(0, 2);
        for _ in 0..3 {
            rig.mirror(&shop.sandbox, shop.folder.path());
            shop.cycles(1);
        }
        shop.assert_right();
        assert_eq!(shop.movements(&order), (1, 0));
        // No order tells of this one, and the full comparison is an hour away: the row's stamp does.
        let (_, variant) = shop.goods(3);
        let sale = |erp: &mut stockbridge::sandbox::dragonfish::model::DragonfishModel| {
            erp.shop_sale(&base("CENTRO"), &variant, 1);
        };
        shop.sandbox.dragonfish.with(sale);
        rig.mirror(&shop.sandbox, shop.folder.path());
        assert_eq!(shop.wrong_numbers().len(), 1);
        shop.cycles(1);
        shop.assert_right();
    }
}

#[test]
fn two_figures_hold_the_number_and_a_person_is_told_once() {
    for driver in drivers() {
        let (shop, mut rig) = open(&driver, "stock_source = \"both\"");
        shop.cycles(2);
        shop.assert_right();
        rig.run(
            "CENTRO",
            "UPDATE {}.COMB SET COCANT = COCANT + 50, FMODIFW = current_date, HMODIFW = '23:59:59'",
        );
        shop.cycles(2);
        // Every number stayed as it was, which is what the service still says.
        shop.assert_right();
        let mails = shop.mails();
        assert_eq!(mails.len(), 1, "{mails:?}");
        assert!(mails[0].contains("dos cifras"), "{}", mails[0]);
        let stock = bare(&shop, &["stock", &shop.goods(0).1.reference()]);
        let told = String::from_utf8(stock.stdout).unwrap();
        assert!(told.contains("the service says"), "{told}");
        rig.mirror(&shop.sandbox, shop.folder.path());
        shop.cycles(1);
        shop.assert_right();
    }
}

#[test]
fn the_service_answers_while_the_server_is_down() {
    for driver in drivers() {
        let (shop, mut rig) = open(&driver, "stock_source = \"sql-then-api\"");
        rig.order("reset");
        shop.cycles(2);
        shop.assert_right();
        let told = bare(&shop, &["explain", &shop.goods(0).1.reference()]);
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains("the first road failed"), "{told}");
        // And the other way round: the tables answer while the service does not.
        rig.order("pass");
        let (shop, _rig) = open(&driver, "stock_source = \"api-then-sql\"");
        for n in 1..=60 {
            shop.sandbox
                .faults
                .on("read stock", n, When::Before, Fault::Reset);
        }
        shop.cycles(2);
        shop.assert_right();
    }
}

#[test]
fn without_any_environment_accents_and_blanks_come_through() {
    for driver in drivers() {
        let (shop, mut rig) = open(&driver, "stock_source = \"sql\"");
        rig.run("CENTRO", "INSERT INTO {}.COMB (COART, COCOL, TALLE, COCANT) VALUES ('ÑANDÚ 1', 'N01', '42', 7.00)");
        rig.run(
            "CENTRO",
            "INSERT INTO {}.EQUI VALUES ('7790001000012', 'ÑANDÚ 1', 'N01', '42', 1)",
        );
        rig.run(
            "WOO",
            "INSERT INTO {}.EQUI VALUES ('7790001000012', 'ÑANDÚ 1', 'N01', '42', 1)",
        );
        for what in ["ÑANDÚ 1-N01-42", "7790001000012"] {
            let output = bare(&shop, &["stock", what]);
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.contains("ÑANDÚ 1-N01-42"), "{driver} {what}: {told}");
            assert!(
                told.contains("CENTRO") && told.contains("7790001000012"),
                "{told}"
            );
            let figure = told.lines().find(|line| line.contains("total")).unwrap();
            assert!(figure.trim_end().ends_with(" 7"), "{told}");
        }
    }
}

#[test]
fn a_statement_of_one_s_own_is_checked_before_anything_runs() {
    let statements = "statements = { stock_many = \"own.sql\" }";
    let shop = Shop::with(
        1,
        &format!(
            "[erp.dragonfish]\nstock_source = \"sql\"\nsql = {{ server = \"127.0.0.1,9\", {statements} }}"
        ),
    );
    let check = || {
        let output = bare(&shop, &["config", "check"]);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let config = i32::from(Exit::Config.code());
    let (code, told) = check();
    assert!(
        code == Some(config) && told.contains("statements.stock_many"),
        "{told}"
    );
    fs::write(shop.path("own.sql"), "DELETE FROM ZooLogic.COMB").unwrap();
    let (code, told) = check();
    assert!(
        code == Some(config) && told.contains("must begin with SELECT"),
        "{told}"
    );
    let plan = fs::read(tds::root().join("sql/dragonfish/stock_plan.sql")).unwrap();
    fs::write(shop.path("own.sql"), plan).unwrap();
    assert_eq!(check().0, Some(0));
}

#[test]
fn show_tells_of_sales_documents_when_asked() {
    for driver in drivers() {
        let (shop, mut rig) = open(&driver, "stock_source = \"sql\"");
        shop.cycles(1);
        let order = shop.sell(0, 1);
        shop.cycles(1);
        let show = || {
            let output = bare(&shop, &["show", order.as_str(), "--erp"]);
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(show().contains("No sales document"), "{}", show());
        rig.run(
            "CENTRO",
            &format!("INSERT INTO {{}}.COMPROBANTEV VALUES (11, 'VTEX {order}')"),
        );
        assert!(show().contains("base CENTRO: 1 remito"), "{}", show());
    }
}

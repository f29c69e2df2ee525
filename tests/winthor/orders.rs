//! The store's orders, as the ERP holds them.

use stockbridge::domain::ids::OrderId;
use stockbridge::domain::ports::OrderBook;

use crate::winthor_rig::{Shop, at, servers};

#[test]
fn an_order_is_held_with_its_base_units_and_reserved_by_its_position() {
    let asked: Vec<_> = (1..=9)
        .map(|n| OrderId::parse(&format!("150000000000{n}-01")).unwrap())
        .collect();
    for server in servers() {
        let held = at(server, "", &Shop::default(), |sql| {
            sql.held(&asked).unwrap()
        });
        let told: Vec<String> = held
            .iter()
            .map(|(order, held)| {
                let lines = held.lines.iter();
                let lines: Vec<_> = lines.map(|(p, b, u)| format!("{p}@{b}={u}")).collect();
                let state = if held.reserved { "reserved" } else { "waiting" };
                format!("{order} {} {state} {}", held.number, lines.join(" "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "1500000000001-01 9001 reserved 100@1=13.5 200@2=12",
                "1500000000002-01 9002 waiting 100@1=6",
                "1500000000004-01 9004 reserved 300@2=1",
                "1500000000005-01 9005, 9006 waiting 100@1=6 100@2=6",
                "1500000000008-01 9008 reserved 100@1=3",
            ],
            "{:?}",
            server.engine
        );
    }
}

#[test]
fn another_column_or_another_statement_finds_what_the_first_does_not() {
    let asked = [OrderId::parse("V-7").unwrap()];
    for server in servers() {
        let held = |more: &str| {
            at(server, more, &Shop::default(), |sql| {
                sql.held(&asked).unwrap()
            })
        };
        assert!(held("").is_empty());
        assert_eq!(
            held("order_column = \"numpedcli\"\n")[&asked[0]].number,
            "9007"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.sql");
        let text = "-- ours\nSELECT CAST(c.numpedcli AS VARCHAR(150)), c.numped, CAST(c.posicao AS VARCHAR(2)), \
                    CAST(c.codfilial AS VARCHAR(2)), i.codprod, i.qt FROM /*o*/pcpedc c, /*o*/pcpedi i \
                    WHERE i.numped = c.numped AND c.numpedcli IN (/*each*/ CAST(/*=order*/? AS VARCHAR(15)) /*,*/)";
        std::fs::write(&file, text).unwrap();
        let more = format!("statements = {{ orders = \"{}\" }}\n", file.display());
        assert_eq!(held(&more)[&asked[0]].number, "9007");
    }
}

#[test]
fn thousands_of_orders_are_asked_for_in_lists_that_fit() {
    let asked: Vec<_> = (0..2_500)
        .map(|n| OrderId::parse(&format!("16{n:011}-01")).unwrap())
        .chain([OrderId::parse("1500000000001-01").unwrap()])
        .collect();
    for server in servers() {
        let held = at(server, "", &Shop::default(), |sql| {
            sql.held(&asked).unwrap()
        });
        assert_eq!(held.len(), 1, "{:?}", server.engine);
    }
}

//! Stock levels as the adapter reads them: which base counts, what is absent and what is only silent.

use std::collections::BTreeMap;

use stockbridge::domain::ports::{PortError, PortResult, StockSource};
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::VariantLevels;

use crate::erp_wire::{Reply, Still, Wire, json};
use crate::{TOKEN, base, code, list, on};

const STOCK: &str = r#"{"Articulo":"A-B","Color":"N01","Talle":"42","Stock":[{"BaseDeDatos":"WOO","Stock":-2},
    {"BaseDeDatos":"centro ","Stock":"3.50"},{"BaseDeDatos":"OUTLET","Stock":90}]}"#;

fn read(replies: Vec<Reply>) -> PortResult<VariantLevels> {
    let wire = Wire::start(replies);
    let levels = on(&Still::default(), &wire.url(), "", TOKEN, |erp| {
        erp.read(&[code("A-B-N01-42")])
    })?;
    Ok(levels.variants[&code("A-B-N01-42")].clone())
}

#[test]
fn e14_stock_counts_in_counted_bases_only_and_a_base_that_is_silent_is_missing() {
    let wire = Wire::start(vec![list(1, &[STOCK])]);
    let levels = on(&Still::default(), &wire.url(), "", TOKEN, |erp| {
        erp.read(&[code("A-B-N01-42")])
    })
    .unwrap();
    let cells = BTreeMap::from([
        (base("WOO"), Qty::whole(-2)),
        (base("CENTRO"), Qty::parse("3.5").unwrap()),
    ]);
    assert_eq!(
        levels.variants[&code("A-B-N01-42")],
        VariantLevels::Known(cells)
    );
    assert!(levels.missing.contains_key(&base("NORTE")) && levels.missing.len() == 1);
    assert_eq!(
        wire.lines(),
        [
            "GET /api.Dragonfish/ConsultaStockYPreciosEntreLocales/?query=A-B&exacto=true&stockcero=true&preciocero=true&limit=200&page=1"
        ]
    );
    let comma = STOCK.replace("3.50", "3,50");
    assert!(matches!(
        read(vec![list(1, &[&comma])]),
        Ok(VariantLevels::Unreadable(_))
    ));
}

#[test]
fn e15_absent_needs_a_complete_answer() {
    let other = STOCK.replace("\"42\"", "\"43\"");
    assert_eq!(
        read(vec![list(1, &[&other])]).unwrap(),
        VariantLevels::Absent
    );
    assert_eq!(
        read(vec![json("404 Not Found", "")]).unwrap(),
        VariantLevels::Absent
    );
    let cut = read(vec![list(2, &[&other]), json("404 Not Found", "")]);
    assert!(matches!(cut, Err(PortError::Transient { .. })), "{cut:?}");
    let pages = |of: fn(u32) -> u32| {
        let row = |page| other.replacen('{', &format!("{{\"Lista\":{},", of(page)), 1);
        (0..60)
            .map(|page| json("200 OK", &format!("[{}]", row(page))))
            .collect()
    };
    for (endless, reason) in [
        (pages(|page| page), "50 pages"),
        (pages(|_| 1), "page 2 repeats"),
    ] {
        assert!(
            matches!(read(endless), Ok(VariantLevels::Unreadable(why)) if why.contains(reason))
        );
    }
}

#[test]
fn e16_a_row_per_price_list_counts_once_or_makes_the_variant_unreadable() {
    assert!(matches!(
        read(vec![list(2, &[STOCK, STOCK])]),
        Ok(VariantLevels::Known(_))
    ));
    let other = STOCK.replace("-2", "-3");
    assert!(matches!(
        read(vec![list(2, &[STOCK, &other])]),
        Ok(VariantLevels::Unreadable(_))
    ));
}

#[test]
fn the_bulk_reading_goes_base_by_base_with_the_depot_first() {
    let row = |stock: &str| {
        format!(r#"{{"Articulo":"A-B","Color":"N01","Talle":"42","Stock":{stock},"Disponible":1}}"#)
    };
    let refused = json("400 Bad", "");
    let wire = Wire::start(vec![
        list(1, &[&row("-2")]),
        refused,
        list(2, &[&row("\"4\"")]),
        list(2, &[&row("4")]),
    ]);
    let levels = on(&Still::default(), &wire.url(), "", TOKEN, |erp| {
        erp.read_all(&|_| {})
    })
    .unwrap();
    let cells = BTreeMap::from([
        (base("WOO"), Qty::whole(-2)),
        (base("NORTE"), Qty::whole(4)),
    ]);
    assert_eq!(
        levels.variants[&code("A-B-N01-42")],
        VariantLevels::Known(cells)
    );
    assert!(
        levels.missing[&base("CENTRO")].contains("400"),
        "{:?}",
        levels.missing
    );
    let bases: Vec<_> = wire
        .seen()
        .iter()
        .map(|seen| seen.header("basededatos").unwrap().to_owned())
        .collect();
    assert_eq!(bases, ["WOO", "CENTRO", "NORTE", "NORTE"]);
    assert!(wire.lines()[0].contains("/ConsultaStockYPrecios/?query=&exacto=false&stockcero=true&preciocero=true&limit=200&page=1"));
}

#[test]
fn an_empty_base_is_missing_and_denied_access_stops_at_once() {
    let row = r#"{"Articulo":"A","Color":"N","Talle":"1","Stock":1}"#;
    let wire = Wire::start(vec![
        list(1, &[row]),
        json("404 Not Found", ""),
        list(1, &[row]),
    ]);
    let levels = on(&Still::default(), &wire.url(), "", TOKEN, |erp| {
        erp.read_all(&|_| {})
    })
    .unwrap();
    assert!(levels.missing[&base("CENTRO")].contains("no variant"));
    let wire = Wire::start(vec![json("403 No", "")]);
    let denied = on(&Still::default(), &wire.url(), "", TOKEN, |erp| {
        erp.read_all(&|_| {})
    });
    assert!(matches!(denied, Err(PortError::Denied { .. })));
    assert_eq!(wire.lines().len(), 1);
}

#[test]
fn the_available_figure_is_read_from_each_base_alike() {
    let row = |free: &str| {
        format!(r#"{{"Articulo":"A-B","Color":"N01","Talle":"42","Stock":9,"Disponible":{free}}}"#)
    };
    let wire = Wire::start(vec![
        list(1, &[&row("1")]),
        json("404 Not Found", ""),
        list(1, &[&row("2")]),
    ]);
    let levels = on(
        &Still::default(),
        &wire.url(),
        "stock_field = \"available\"",
        TOKEN,
        |erp| erp.read(&[code("A-B-N01-42")]),
    )
    .unwrap();
    let cells = BTreeMap::from([(base("WOO"), Qty::whole(1)), (base("NORTE"), Qty::whole(2))]);
    assert_eq!(
        levels.variants[&code("A-B-N01-42")],
        VariantLevels::Known(cells)
    );
    assert!(levels.missing.contains_key(&base("CENTRO")));
}

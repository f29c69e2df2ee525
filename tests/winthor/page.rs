//! Pages of the stock interface, read from the tables.

use stockbridge::domain::available::{
    AvailablePage, AvailableQuery, AvailableStock, CallOrigin, LocalTime, OrderKey, product_part,
};
use stockbridge::domain::ids::BaseCode;
use stockbridge::domain::ports::PortError;

use crate::winthor_rig::{Shop, at, servers};

fn query() -> AvailableQuery {
    let branches = ["1", "2"].map(|text| BaseCode::parse(text).unwrap());
    AvailableQuery::of(branches.to_vec(), 100)
}

/// Asks every database; they must agree.
fn ask(more: &str, query: &AvailableQuery) -> Option<AvailablePage> {
    let pages: Vec<_> = servers()
        .into_iter()
        .map(|server| {
            let page = at(server, more, &Shop::default(), |sql| sql.page(query));
            (server.engine, page.unwrap())
        })
        .collect();
    for (engine, page) in &pages {
        assert_eq!(*page, pages[0].1, "{engine:?}");
    }
    pages.into_iter().next().map(|(_, page)| page)
}

fn ids(page: &AvailablePage) -> Vec<String> {
    let rows = page.rows.iter();
    rows.map(|row| format!("{}@{}={}", row.product_id, row.branch, row.quantity))
        .collect()
}

fn found(query: &AvailableQuery) -> Option<Vec<String>> {
    ask("", query).map(|page| ids(&page))
}

#[test]
fn undivided_stock_is_one_row_for_each_branch_and_product_by_last_change() {
    let Some(page) = ask("", &query()) else {
        return;
    };
    assert!(!page.has_next);
    assert_eq!(
        ids(&page),
        [
            "0-900@1=9",
            "800009-800@1=25",
            "300000-300@1=0",
            "600000-600@1=60.12345678",
            "7890000000017-100@2=10.75",
            "7890000000017-100@1=100",
            "98765432109876543210-200@1=100",
        ]
    );
    let row = page.rows.last().unwrap();
    assert_eq!(row.created.to_string(), "2019-06-01T00:00:00");
    assert_eq!(row.changed.to_string(), "2021-08-04T10:00:00");
    assert_eq!(
        (row.unlimited, row.unit_multiplier.to_string()),
        (true, "12".into())
    );
    assert_eq!(row.branch_name, "LOJA CENTRO");
    let bare = &page.rows[0];
    assert_eq!(
        (bare.created, bare.changed),
        (LocalTime::NONE, LocalTime::NONE)
    );
    let south = &page.rows[4];
    assert_eq!(south.branch_name, "DEPÓSITO SÃO JOÃO");
    assert_eq!(page.rows[5].created.to_string(), "2020-01-07T00:00:00");
}

#[test]
fn divided_stock_is_one_row_for_each_packaging_and_keeps_the_rule() {
    let asked = AvailableQuery {
        packaging_sales: true,
        ..query()
    };
    let Some(page) = ask("", &asked) else { return };
    assert_eq!(
        ids(&page),
        [
            "900000-900@1=9",
            // Of two single packs the product's own gets the rest.
            "800001-800@1=3",
            "800009-800@1=4",
            "800016-800@1=18",
            "300000-300@1=0",
            "300006-300@1=0",
            "600000-600@1=15.12345678",
            "600004-600@1=45",
            "7890000000017-100@2=3.25",
            "7890000000048-100@2=7.5",
            "7890000000017-100@1=10",
            "7890000000024-100@1=30",
            "7890000000031-100@1=60",
            // Four units have no home.
            "98765432109876543210-200@1=96",
        ]
    );
    let half = "ecommerce_percent = { \"1\" = \"50\" }\n";
    let page = ask(
        half,
        &AvailableQuery {
            product: Some("100".into()),
            ..asked
        },
    )
    .unwrap();
    let divided = [
        "7890000000017-100@2=3.25",
        "7890000000048-100@2=7.5",
        "7890000000017-100@1=14",
        "7890000000024-100@1=12",
        "7890000000031-100@1=24",
    ];
    assert_eq!(ids(&page), divided);
}

#[test]
fn every_filter_is_applied_and_absent_ones_are_not() {
    let one = BaseCode::parse("1").unwrap();
    let base = || AvailableQuery {
        branches: vec![one.clone()],
        ..query()
    };
    let products = |query: AvailableQuery| {
        let mut rows = found(&query)?;
        rows.sort();
        let part = |row: &String| product_part(row.split('@').next()?);
        Some(rows.iter().filter_map(part).collect::<Vec<_>>().join(" "))
    };
    let Some(all) = products(base()) else { return };
    assert_eq!(all, "900 300 600 100 800 200");
    for (asked, wanted) in [
        (
            AvailableQuery {
                origin: CallOrigin::Hub,
                ..base()
            },
            "900 300 400 600 100 800 200",
        ),
        (
            AvailableQuery {
                category: Some(12),
                ..base()
            },
            "200",
        ),
        (
            AvailableQuery {
                subcategory: Some(22),
                ..base()
            },
            "300 200",
        ),
        (
            AvailableQuery {
                section: Some(33),
                ..base()
            },
            "900",
        ),
        (
            AvailableQuery {
                department: Some(42),
                ..base()
            },
            "300",
        ),
        (
            AvailableQuery {
                provider: Some(52),
                ..base()
            },
            "200",
        ),
        (
            AvailableQuery {
                product: product_part("0-300"),
                ..base()
            },
            "300",
        ),
        (
            AvailableQuery {
                product: product_part("300"),
                ..base()
            },
            "300",
        ),
        (
            AvailableQuery {
                resale: Some(true),
                ..base()
            },
            "100",
        ),
        (
            AvailableQuery {
                resale: Some(false),
                ..base()
            },
            "900 300 600 800 200",
        ),
        (
            AvailableQuery {
                types: vec!["KT".into(), "PA".into()],
                ..base()
            },
            "300 200",
        ),
        (
            AvailableQuery {
                types: vec!["XX".into()],
                ..base()
            },
            "",
        ),
        (
            AvailableQuery {
                since: LocalTime::parse("2021-08-03T16:56:42"),
                ..base()
            },
            "100 200",
        ),
        (
            AvailableQuery {
                since: LocalTime::parse("2021-08-03T16:56:43"),
                ..base()
            },
            "200",
        ),
        (
            AvailableQuery {
                category: Some(11),
                resale: Some(false),
                types: vec!["PA".into()],
                ..base()
            },
            "300",
        ),
    ] {
        assert_eq!(products(asked.clone()).unwrap(), wanted, "{asked:?}");
    }
}

#[test]
fn pages_follow_each_other_without_a_hole_or_a_row_twice_in_every_order() {
    let keys = [
        OrderKey::LastChange,
        OrderKey::CreateDate,
        OrderKey::Product,
        OrderKey::Branch,
    ];
    for key in keys {
        for descending in [false, true] {
            let asked = AvailableQuery {
                order: vec![(key, descending)],
                ..query()
            };
            let Some(all) = found(&asked) else { return };
            assert_eq!(all.len(), 7);
            for size in [1, 3, 7] {
                let mut rows = Vec::new();
                for page in 1.. {
                    let page = ask(
                        "",
                        &AvailableQuery {
                            page,
                            page_size: size,
                            ..asked.clone()
                        },
                    )
                    .unwrap();
                    rows.extend(ids(&page));
                    if !page.has_next {
                        break;
                    }
                }
                assert_eq!(rows, all, "{key:?} {descending} by {size}");
            }
        }
    }
    let beyond = ask("", &AvailableQuery { page: 9, ..query() }).unwrap();
    assert_eq!(beyond, AvailablePage::default());
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for server in servers() {
        at(server, "", &Shop::default(), |sql| {
            for asked in [
                AvailableQuery {
                    branches: Vec::new(),
                    ..query()
                },
                AvailableQuery { page: 0, ..query() },
                AvailableQuery {
                    page_size: 0,
                    ..query()
                },
                AvailableQuery {
                    page_size: 10_001,
                    ..query()
                },
            ] {
                let refused = sql.page(&asked);
                assert!(
                    matches!(refused, Err(PortError::Rejected { .. })),
                    "{refused:?}"
                );
            }
        });
    }
}

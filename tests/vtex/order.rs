//! The order document: what is read, what parks, what is left out.

use serde_json::json as value;

use stockbridge::domain::order::OrderStage;

use crate::bench::{Bench, changed, golden, moment, reference, rejected, warehouse};
use crate::wire::{json, with};

#[test]
fn an_order_is_reduced_to_the_fields_in_use() {
    let order = changed(|_| {});
    assert_eq!(order.stage, OrderStage::Ready);
    assert!(order.complete && !order.workflow_in_error && !order.has_package);
    assert_eq!(order.problems, Vec::<String>::new());
    assert_eq!(order.reservations, ["00-1234567890123-01"]);
    assert_eq!(
        order.delivery_date,
        Some(moment("2026-03-09T10:13:40.102Z"))
    );
    assert_eq!(order.pickup_point, None);
    let [line] = order.lines.as_slice() else {
        panic!("{:?}", order.lines)
    };
    assert_eq!(
        (line.sku.as_str(), line.warehouse.as_str(), line.units),
        ("25", "1_1", 2)
    );
    assert_eq!(line.reference, Some(reference("REM-NEG-42")));
    assert_eq!(line.name.as_deref(), Some("Remera lisa"));
    assert!(!line.kit);
}

#[test]
fn v9_an_answer_about_another_order_is_rejected() {
    for id in [value!("9-01"), value!(null), value!("")] {
        let mut order = golden();
        order["orderId"] = id;
        let bench = Bench::answering(json("200 OK", &order.to_string()));
        rejected(bench.order());
    }
}

#[test]
fn v10_unknown_null_and_empty_statuses_are_recorded() {
    for (status, kept) in [
        (value!(null), ""),
        (value!(""), ""),
        (value!("on-the-moon"), "on-the-moon"),
    ] {
        let order = changed(|order| order["status"] = status);
        assert_eq!(
            (order.stage, order.status.as_str()),
            (OrderStage::Unknown, kept)
        );
    }
}

#[test]
fn v11_an_order_without_items_has_a_problem() {
    for items in [value!([]), value!(null)] {
        let order = changed(|order| order["items"] = items);
        assert_eq!(order.problems, ["the order has no items"]);
    }
}

#[test]
fn v12_fractional_quantity_parks() {
    for bad in [
        "0",
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "\"2\"",
        "2147483648",
        "10001",
        "null",
    ] {
        let order = changed(|order| {
            order["items"][0]["quantity"] = serde_json::from_str(bad).unwrap();
        });
        assert!(order.lines.is_empty(), "{bad}");
        assert_eq!(order.problems.len(), 1, "{bad}");
        assert!(order.problems[0].contains("whole number from 1 to 10000"));
    }
    let body = golden()
        .to_string()
        .replace("\"quantity\":2,\"refId\"", "\"quantity\":NaN,\"refId\"");
    assert!(body.contains("NaN"));
    rejected(Bench::answering(json("200 OK", &body)).order());
}

#[test]
fn v13_a_unit_multiplier_other_than_one_parks() {
    for (multiplier, fine) in [
        ("1", true),
        ("1.000", true),
        ("null", true),
        ("0.5", false),
        ("5", false),
        ("\"1\"", false),
    ] {
        let order = changed(|order| {
            order["items"][0]["unitMultiplier"] = serde_json::from_str(multiplier).unwrap();
        });
        assert_eq!(order.problems.is_empty(), fine, "{multiplier}");
        assert_eq!(order.lines.len(), usize::from(fine), "{multiplier}");
    }
}

#[test]
fn v14_equal_lines_are_kept_for_the_caller_to_add_up() {
    let order = changed(|order| {
        let item = order["items"][0].clone();
        order["items"].as_array_mut().unwrap().push(item);
        let mut place = order["shippingData"]["logisticsInfo"][0].clone();
        place["itemIndex"] = value!(1);
        order["shippingData"]["logisticsInfo"]
            .as_array_mut()
            .unwrap()
            .push(place);
    });
    assert_eq!(order.lines.len(), 2);
    assert_eq!(order.reservations.len(), 1, "one reservation, named once");
}

#[test]
fn v15_a_reference_is_kept_as_it_stands_or_not_at_all() {
    for (written, kept) in [
        (value!("rem-neg-42 "), Some("rem-neg-42 ")),
        (value!("A--T"), Some("A--T")),
        (value!("Ñandú#B"), Some("Ñandú#B")),
        (value!(""), None),
        (value!(null), None),
        (value!("a\nb"), None),
    ] {
        let order = changed(|order| order["itemMetadata"]["Items"][1]["RefId"] = written);
        assert_eq!(order.lines[0].reference, kept.map(reference));
        assert!(order.problems.is_empty());
    }
    let order = changed(|order| order["itemMetadata"] = value!(null));
    assert_eq!(
        order.lines[0].reference, None,
        "the product's refId is no SKU reference"
    );
}

#[test]
fn v16_sku_ids_are_text_and_never_pushed_with_a_leading_zero() {
    let order = changed(|order| {
        order["items"][0]["id"] = value!("025");
    });
    assert_eq!(order.lines[0].sku.as_str(), "025");
    assert_eq!(order.lines[0].reference, None, "25 is another SKU");
    let bench = Bench::answering(with("204 No Content", &[], b""));
    rejected(bench.push_of("025", 1));
    rejected(bench.push_of("99999999999", 1));
    assert!(bench.wire.seen().is_empty());
}

#[test]
fn v17_a_line_with_components_is_a_kit_and_services_are_none() {
    let order = changed(|order| order["items"][0]["components"] = value!([{"id": "7"}]));
    assert!(order.lines[0].kit);
    let order = changed(|order| order["items"][0]["components"] = value!(null));
    assert!(!order.lines[0].kit);
}

#[test]
fn v18_lines_of_other_sellers_are_counted_and_left_out() {
    let order = changed(|order| {
        let mut item = order["items"][0].clone();
        item["seller"] = value!("partner");
        item["lockId"] = value!("00-other");
        order["items"].as_array_mut().unwrap().insert(0, item);
        order["shippingData"]["logisticsInfo"][0]["itemIndex"] = value!(1);
    });
    assert_eq!((order.foreign_lines, order.lines.len()), (1, 1));
    assert_eq!(order.reservations, ["00-1234567890123-01"]);
    let mut order = golden();
    order["items"][0]["seller"] = value!("tienda");
    let bench = Bench::answering(json("200 OK", &order.to_string())).set("seller = \"tienda\"");
    assert_eq!(bench.order().unwrap().unwrap().lines.len(), 1);
}

#[test]
fn v21_odd_dates_are_read_or_left_out() {
    for (written, read) in [
        (
            "2026-03-01T20:46:11.7010747+00:00",
            Some("2026-03-01T20:46:11.701Z"),
        ),
        ("2099-01-01T00:00:00Z", Some("2099-01-01T00:00:00Z")),
        ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
        ("2026-03-01T20:46:11", None),
        ("yesterday", None),
    ] {
        let order = changed(|order| order["lastChange"] = value!(written));
        assert_eq!(order.last_change, read.map(moment), "{written}");
    }
    assert_eq!(
        changed(|order| order["lastChange"] = value!(null)).last_change,
        None
    );
}

#[test]
fn v32_masked_customer_data_blocks_nothing() {
    let order = changed(|order| {
        order["clientProfileData"] = value!({"email": "***", "document": null, "phone": {"x": 1}});
        order["shippingData"]["address"] = value!("masked");
    });
    assert_eq!(order.lines.len(), 1);
}

#[test]
fn v33_hostile_names_are_cut_and_stripped() {
    let name = format!("\u{202e}<b>=HYPERLINK(1)\r\n{}", "x".repeat(10_000));
    let order = changed(|order| order["items"][0]["name"] = value!(name));
    let kept = order.lines[0].name.clone().unwrap();
    assert!(kept.starts_with("<b>=HYPERLINK(1) xxx"), "{kept}");
    assert_eq!(kept.chars().count(), 201);
}

#[test]
fn v34_warehouse_ids_differ_by_case_and_missing_ones_park() {
    let order = changed(|order| {
        order["shippingData"]["logisticsInfo"][0]["deliveryIds"][0]["warehouseId"] = value!("TEST");
    });
    assert_ne!(order.lines[0].warehouse, warehouse("test"));
    for places in [value!([]), value!(null)] {
        let order = changed(|order| {
            order["shippingData"]["logisticsInfo"][0]["deliveryIds"] = places;
        });
        assert_eq!(order.problems, ["line 1: SKU 25 has no warehouse"]);
    }
    let order = changed(|order| order["shippingData"] = value!(null));
    assert_eq!(order.problems.len(), 1);
}

#[test]
fn v37_incomplete_and_stuck_orders_are_marked() {
    assert!(!changed(|order| order["isCompleted"] = value!(false)).complete);
    assert!(changed(|order| order["isCompleted"] = value!(null)).complete);
    assert!(changed(|order| order["workflowIsInError"] = value!(true)).workflow_in_error);
}

#[test]
fn an_item_spread_over_warehouses_becomes_several_lines() {
    let spread = |quantities: [i64; 2]| {
        changed(|order| {
            order["items"][0]["quantity"] = value!(5);
            order["shippingData"]["logisticsInfo"][0]["deliveryIds"] = value!([
                {"warehouseId": "1_1", "quantity": quantities[0]},
                {"warehouseId": "1_2", "quantity": quantities[1]}
            ]);
        })
    };
    let order = spread([2, 3]);
    let parts: Vec<_> = order
        .lines
        .iter()
        .map(|l| (l.warehouse.as_str(), l.units))
        .collect();
    assert_eq!(parts, [("1_1", 2), ("1_2", 3)]);
    let order = spread([2, 2]);
    assert_eq!(
        order.problems,
        ["line 1: SKU 25: 5 units ordered, 4 spread over warehouses"]
    );
    assert!(order.lines.is_empty());
}

#[test]
fn packages_and_pick_up_points_are_seen() {
    let order = changed(|order| {
        order["packageAttachment"]["packages"] = value!([{"invoiceNumber": "1"}]);
        let place = &mut order["shippingData"]["logisticsInfo"][0];
        place["deliveryChannel"] = value!("pickup-in-point");
        place["pickupStoreInfo"] = value!({"friendlyName": "Centro", "address": {"street": "x"}});
        place["pickupPointId"] = value!("1_centro");
    });
    assert!(order.has_package);
    assert_eq!(order.pickup_point.as_deref(), Some("Centro"));
    let order = changed(|order| {
        order["shippingData"]["logisticsInfo"][0]["deliveryChannel"] = value!("pickup-in-point");
        order["shippingData"]["logisticsInfo"][0]["pickupPointId"] = value!("1_centro");
    });
    assert_eq!(order.pickup_point.as_deref(), Some("1_centro"));
}

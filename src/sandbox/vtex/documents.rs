//! The documents the store shows, in the shapes of its contracts.

use serde_json::{Value, json};

use crate::domain::time::Moment;
use crate::sandbox::catalogue::Product;
use crate::sandbox::vtex::model::{Hold, Line, Order, VtexModel};

/// Words that stand in a customer's fields of every order: none of them may ever leave this document.
pub const PERSONAL: [&str; 5] = [
    "Zulema Canaria",
    "zulema.canaria@example.com",
    "Calle Canario 1234",
    "20-33444555-9",
    "+5491155667788",
];

/// Writes an instant as orders do, with seven fractional digits.
pub fn instant(at: Moment) -> String {
    let text = at.to_string();
    let (whole, fraction) = text.trim_end_matches('Z').split_once('.').map_or_else(
        || (text.trim_end_matches('Z').to_owned(), String::new()),
        |(whole, fraction)| (whole.to_owned(), fraction.to_owned()),
    );
    format!("{whole}.{fraction:0<7}+00:00")
}

/// Writes an order.
pub fn order(store: &VtexModel, order: &Order) -> Value {
    let lines: Vec<&Line> = order.lines.iter().filter(|line| line.units > 0).collect();
    let items: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| item(store, order, at, line))
        .collect();
    let metadata: Vec<Value> = lines
        .iter()
        .filter_map(|line| metadata(store, line))
        .collect();
    let logistics: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| logistics(at, line, order.created.plus_ms(5 * 86_400_000)))
        .collect();
    let package = json!({"invoiceNumber": "1", "items": [], "type": "Output"});
    json!({
        "orderId": order.id.as_str(),
        "sequence": "500001",
        "marketplaceOrderId": "",
        "sellerOrderId": format!("00-{}", order.id),
        "origin": "Marketplace",
        "status": order.status,
        "statusDescription": "obsolete",
        "workflowIsInError": false,
        "isCompleted": order.complete,
        "creationDate": instant(order.created),
        "lastChange": instant(order.last_change),
        "authorizedDate": order.authorized.map(instant),
        "value": 100_000,
        "items": items,
        "itemMetadata": {"Items": metadata},
        "clientProfileData": {
            "firstName": PERSONAL[0], "lastName": PERSONAL[0], "email": PERSONAL[1], "document": PERSONAL[3],
            "phone": PERSONAL[4], "corporateDocument": PERSONAL[3], "stateInscription": PERSONAL[3],
        },
        "shippingData": {
            "address": {"street": PERSONAL[2], "receiverName": PERSONAL[0], "complement": PERSONAL[2]},
            "logisticsInfo": logistics,
        },
        "packageAttachment": {"packages": if order.package { vec![package] } else { vec![] }},
        "changesAttachment": null,
        "cancelReason": null,
    })
}

fn lock_id(order: &Order, at: usize) -> String {
    format!("00-{}-{at}", order.id)
}

fn item(store: &VtexModel, order: &Order, at: usize, line: &Line) -> Value {
    let part = store
        .kits
        .get(&line.sku)
        .map(|(part, units)| json!({"id": part.as_str(), "quantity": units}));
    json!({
        "uniqueId": format!("U{at}"),
        "id": line.sku.as_str(),
        "productId": "9",
        "ean": null,
        "lockId": lock_id(order, at),
        "quantity": line.units,
        "seller": "1",
        "name": "a product",
        "refId": "PRODUCT-REFERENCE",
        "price": 5000,
        "sellerSku": line.sku.as_str(),
        "components": part.into_iter().collect::<Vec<_>>(),
        "bundleItems": [],
        "measurementUnit": "un",
        "unitMultiplier": 1.0,
        "isGift": false,
    })
}

fn metadata(store: &VtexModel, line: &Line) -> Option<Value> {
    let product = store
        .products
        .iter()
        .find(|product| product.sku == line.sku)?;
    Some(json!({
        "Id": product.sku.as_str(),
        "Seller": "1",
        "Name": product.name,
        "SkuName": product.name,
        "RefId": product.variant.reference(),
        "ProductId": "9",
    }))
}

fn logistics(at: usize, line: &Line, promised: Moment) -> Value {
    json!({
        "itemIndex": at,
        "selectedSla": "Normal",
        "lockTTL": "10d",
        "price": 0,
        "deliveryIds": [{
            "courierId": "c1", "courierName": "c", "dockId": "d1", "quantity": line.units,
            "warehouseId": line.warehouse.as_str(),
        }],
        "shippingEstimateDate": instant(promised),
        "pickupPointId": null,
        "pickupStoreInfo": {"isPickupStore": false, "friendlyName": null},
    })
}

/// Writes a reservation of an order, found by the id its item shows.
pub fn reservation(store: &VtexModel, lock: &str) -> Option<Value> {
    let (order, line) = store.orders.values().find_map(|order| {
        let lines = order.lines.iter().filter(|line| line.units > 0);
        let (_, line) = lines
            .enumerate()
            .find(|(at, _)| lock_id(order, *at) == lock)?;
        Some((order, line))
    })?;
    let never = "0001-01-01T00:00:00";
    let (status, acknowledged) = match line.hold {
        Hold::Authorized => (1, never.to_owned()),
        Hold::Confirmed => (2, never.to_owned()),
        Hold::Acknowledged(at) => (2, instant(at)),
        Hold::Cleared => (2, instant(order.last_change)),
        Hold::Gone => (4, never.to_owned()),
    };
    Some(json!({
        "LockId": lock,
        "SalesChannel": "1",
        "ReservationDateUtc": instant(order.created),
        "MaximumConfirmationDateUtc": instant(order.created),
        "ConfirmedDateUtc": instant(order.created),
        "Status": status,
        "DateUtcAcknowledgedOnBalanceSystem": acknowledged,
        "IsSucess": true,
        "Errors": [],
        "SlaRequest": [],
    }))
}

/// Writes one row of the order list.
pub fn listed(order: &Order) -> Value {
    json!({
        "orderId": order.id.as_str(), "creationDate": instant(order.created), "clientName": PERSONAL[0], "items": null,
        "totalValue": 100_000, "paymentNames": "x", "status": order.status, "statusDescription": "obsolete",
        "marketPlaceOrderId": null, "sequence": "500001", "salesChannel": "1", "affiliateId": "", "origin": "Marketplace",
        "workflowInErrorState": false, "workflowInRetry": false, "lastMessageUnread": null,
        "ShippingEstimatedDate": null, "ShippingEstimatedDateMax": null, "ShippingEstimatedDateMin": null,
        "orderIsComplete": order.complete, "listId": null, "listType": null,
        "authorizedDate": order.authorized.map(instant), "callCenterOperatorName": null,
        "totalItems": order.lines.len(), "currencyCode": "ARS",
    })
}

/// Writes the figures that stand beside every list; nobody reads them.
pub fn statistics() -> Value {
    let figures = |facets: Value| {
        json!({
            "Count": 0, "Max": 0, "Mean": 0, "Min": 0, "Missing": 0, "StdDev": 0, "Sum": 0, "SumOfSquares": 0,
            "Facets": facets,
        })
    };
    let none = || figures(json!(""));
    let facets = json!({"origin": {"Fulfillment": none(), "Marketplace": none()}, "currencyCode": {"BRL": none()}});
    json!({"stats": {"totalValue": figures(facets.clone()), "totalItems": figures(facets)}})
}

/// Writes a SKU of the catalogue.
pub fn sku(product: &Product) -> Value {
    let id: i64 = product.sku.as_str().parse().unwrap_or(0);
    let reference = product.variant.reference();
    let known = json!({
        "Id": id, "ProductId": 9, "NameComplete": product.name, "SkuName": product.name, "ProductName": product.name,
        "IsActive": true, "IsKit": false, "KitItems": [], "MeasurementUnit": "un", "UnitMultiplier": 1.0,
        "AlternateIds": {"RefId": reference}, "AlternateIdValues": [reference],
    });
    let unused = json!({
        "ProductDescription": "", "IsTransported": true, "IsInventoried": true, "IsGiftCardRecharge": false,
        "ImageUrl": "", "DetailUrl": "", "CSCIdentification": null, "BrandId": "1", "BrandName": "x",
        "Dimension": dimension(), "RealDimension": dimension(), "ManufacturerCode": "", "Services": [], "Categories": [],
        "Attachments": [], "Collections": [], "SkuSellers": [], "SalesChannels": [], "Images": [],
        "SkuSpecifications": [], "ProductSpecifications": [], "ProductClustersIds": "", "ProductCategoryIds": "",
        "ProductGlobalCategoryId": null, "ProductCategories": {}, "CommercialConditionId": 1, "RewardValue": 0.0,
        "EstimatedDateArrival": null, "InformationSource": null, "ModalType": null,
    });
    let (Value::Object(mut all), Value::Object(rest)) = (known, unused) else {
        return Value::Null;
    };
    all.extend(rest);
    Value::Object(all)
}

fn dimension() -> Value {
    json!({
        "cubicweight": 1.0, "height": 1.0, "length": 1.0, "weight": 1.0, "width": 1.0,
        "realCubicWeight": 1.0, "realHeight": 1.0, "realLength": 1.0, "realWeight": 1.0, "realWidth": 1.0,
    })
}

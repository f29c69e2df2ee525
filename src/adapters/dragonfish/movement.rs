//! Movements: the body of a booking, the field rules behind it, and reading a movement back.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::adapters::dragonfish::code::{Variant, split};
use crate::adapters::dragonfish::dates::{readable, row_created, row_day};
use crate::adapters::dragonfish::session::{Get, Session};
use crate::adapters::dragonfish::wire::{Page, page, quantity, text, whole};
use crate::adapters::http::calls::classify_write;
use crate::adapters::http::client::Answer;
use crate::adapters::http::json::parse_json;
use crate::adapters::http::text::one_line;
use crate::config::sections::DragonfishConfig;
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::movement::{Direction, FoundMovement, Movement};
use crate::domain::ports::{Listing, Permit, PortError, PortResult, Search};
use crate::domain::qty::Qty;

/// The entity's path.
const ENTITY: &str = "Movimientodestock";
/// Rows a page of a search.
const SEARCH_PAGE: usize = 200;
/// The most pages of a search.
const SEARCH_PAGES: u32 = 20;

/// Longest base code and `OrigenDestino` (`ORIGDEST char(8)`).
const ORIGIN_MAX: usize = 8;
/// Longest `Motivo` (`MOTIVO char(3)`).
const MOTIVE_MAX: usize = 3;
/// Longest `vendedor` (`VENDEDOR char(10)`).
const SELLER_MAX: usize = 10;
/// Longest `Remito` (`REMITO char(15)`).
const REFERENCE_MAX: usize = 15;
/// The most lines of one movement.
const LINES_MAX: usize = 9999;
/// The largest `Cantidad` (`CANTI numeric(10,2)`).
const UNITS_MAX: u32 = 99_999_999;

/// The body of a booking: what the vendor's own connector sends, and our key in both text fields.
///
/// `Fecha`, `Numero` and `Codigo` are left to the service; `CompAfec` and `InformacionAdicional` it never reads.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Body<'b> {
    origen_destino: &'b str,
    tipo: u8,
    observacion: String,
    remito: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    motivo: Option<&'b str>,
    #[serde(rename = "vendedor", skip_serializing_if = "Option::is_none")]
    seller: Option<&'b str>,
    movimiento_detalle: Vec<BodyLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BodyLine {
    articulo: String,
    color: String,
    talle: String,
    cantidad: u32,
}

/// Checks every field of a movement against the service's limits and builds its body.
pub(super) fn body<'b>(
    config: &'b DragonfishConfig,
    movement: &'b Movement,
) -> Result<Body<'b>, String> {
    fits("origin (OrigenDestino)", &config.origin, ORIGIN_MAX)?;
    fits("base", movement.base.as_str(), ORIGIN_MAX)?;
    fits("key (Remito)", movement.key.as_str(), REFERENCE_MAX)?;
    if let Some(motive) = &config.motive {
        fits("motive (Motivo)", motive, MOTIVE_MAX)?;
    }
    if let Some(seller) = &config.seller {
        fits("seller (vendedor)", seller, SELLER_MAX)?;
    }
    let n_lines = movement.lines.len();
    if n_lines == 0 || n_lines > LINES_MAX {
        return Err(format!(
            "a movement has 1 to {LINES_MAX} lines, this one {n_lines}"
        ));
    }
    let mut lines = Vec::with_capacity(n_lines);
    for (code, units) in &movement.lines {
        if !(1..=UNITS_MAX).contains(units) {
            return Err(format!(
                "quantity {units} of {code} is not within 1 to {UNITS_MAX}"
            ));
        }
        let Variant {
            article,
            color,
            size,
        } = split(code)?;
        lines.push(BodyLine {
            articulo: article,
            color,
            talle: size,
            cantidad: *units,
        });
    }
    let mut note = movement.marker();
    if let Some(more) = &config.note {
        note = format!("{note} {more}");
    }
    if let Some(c) = note.chars().find(|c| !matches!(c, ' '..='~')) {
        return Err(format!(
            "note (Observacion) holds {c:?}; only ASCII survives the ERP"
        ));
    }
    Ok(Body {
        origen_destino: &config.origin,
        tipo: match movement.operation.direction {
            Direction::In => 1,
            Direction::Out => 2,
        },
        observacion: note,
        remito: movement.key.as_str(),
        motivo: config.motive.as_deref(),
        seller: config.seller.as_deref(),
        movimiento_detalle: lines,
    })
}

fn fits(what: &str, value: &str, max: usize) -> Result<(), String> {
    let length = value.chars().count();
    if length == 0 || length > max {
        return Err(format!(
            "{what} {value:?} has {length} characters, it must have 1 to {max}"
        ));
    }
    Ok(())
}

/// Books a movement: one request, never repeated here.
pub(super) fn book(
    session: &Session<'_>,
    config: &DragonfishConfig,
    movement: &Movement,
    permit: &Permit<'_>,
) -> PortResult<FoundMovement> {
    // Nothing was sent yet, and for this call only `Transient` says so.
    let body =
        body(config, movement).map_err(|why| PortError::transient(format!("not sent: {why}")))?;
    let about = movement.order.to_string();
    let answer = session.post(
        "book movement",
        about,
        ENTITY,
        &movement.base,
        &body,
        permit,
    )?;
    booked(session, movement, &answer)
}

/// Sorts the answer to a booking; what is not clearly a movement or a refusal leaves the outcome open.
fn booked(
    session: &Session<'_>,
    movement: &Movement,
    answer: &Answer,
) -> PortResult<FoundMovement> {
    let title = format!("book movement {}", movement.order);
    if !matches!(answer.status, 200 | 201) {
        let reason = format!("{title}: {}", session.explain(answer));
        return Err(classify_write(answer, reason));
    }
    let unclear =
        |why: String| PortError::uncertain(format!("{title}: {} but {why}", answer.status));
    let row: Value = parse_json(answer).map_err(|err| unclear(err.to_string()))?;
    let found = found(&row, session.offset_min()).map_err(unclear)?;
    if found.number.is_none() {
        return Err(unclear("the answer holds no number".to_owned()));
    }
    if answer.status == 200 {
        log::warn!(
            "order.id":% = movement.order;
            "order {}: the ERP answered a booking with 200 instead of 201", movement.order
        );
    }
    Ok(found)
}

/// Searches the movements of a base, by a text or a day.
pub(super) fn find(
    session: &Session<'_>,
    config: &DragonfishConfig,
    base: &BaseCode,
    search: &Search,
) -> PortResult<Listing> {
    let (filter, wanted) = match search {
        Search::Text(text) => ("query", text.as_str()),
        Search::Day(day) => ("Fecha", day.as_str()),
    };
    let mut rows = Rows::new(session.offset_min());
    for number in 1..=SEARCH_PAGES {
        let get = Get {
            name: "search movements",
            about: format!("{wanted} in base {base}"),
            path: ENTITY,
            query: vec![
                (filter, wanted.to_owned()),
                ("limit", SEARCH_PAGE.to_string()),
                ("page", number.to_string()),
                // Without a stable order new rows land anywhere, and a page may skip one.
                ("sort", "Numero".to_owned()),
            ],
            base: Some(base),
            timeout: config.read_timeout.duration(),
        };
        let listed = match session.get(&get) {
            Ok(Some(body)) => page(body),
            Ok(None) if number == 1 => return Ok(Listing::Complete(Vec::new())),
            Ok(None) => Ok(Page::default()),
            // The service answered, and its answer is of no use.
            Err(PortError::Rejected { reason }) => return Ok(Listing::Inconclusive(reason)),
            Err(
                err @ (PortError::Transient { .. }
                | PortError::Uncertain { .. }
                | PortError::Denied { .. }),
            ) => {
                return Err(err);
            }
        };
        match listed.and_then(|listed| rows.add(listed, base)) {
            Ok(true) => return Ok(Listing::Complete(rows.rows)),
            Ok(false) => {}
            Err(why) => {
                return Ok(Listing::Inconclusive(format!(
                    "search {wanted} in base {base}: {why}"
                )));
            }
        }
    }
    Ok(Listing::Inconclusive(format!(
        "search {wanted} in base {base}: more than {SEARCH_PAGES} pages"
    )))
}

/// The rows of a search so far.
#[derive(Debug)]
struct Rows {
    rows: Vec<FoundMovement>,
    total: Option<u64>,
    offset_min: i64,
}

impl Rows {
    fn new(offset_min: i64) -> Self {
        Self {
            rows: Vec::new(),
            total: None,
            offset_min,
        }
    }

    /// Adds a page; true when the listing is proved complete, an error when it cannot be any more.
    fn add(&mut self, listed: Page, base: &BaseCode) -> Result<bool, String> {
        let total = listed
            .total
            .ok_or("the page does not say how many rows there are")?;
        if self
            .total
            .replace(total)
            .is_some_and(|before| before != total)
        {
            return Err("the number of rows changed between pages".to_owned());
        }
        let empty = listed.rows.is_empty();
        for row in &listed.rows {
            let found = found(row, self.offset_min)?;
            if !readable(row.get("Fecha")) {
                return Err(format!("movement {} has an unreadable date", found.id));
            }
            if let Some(named) = found.base.as_ref().filter(|named| *named != base) {
                return Err(format!(
                    "movement {} stands in base {named}: another base answered",
                    found.id
                ));
            }
            if self.rows.iter().any(|row| row.id == found.id) {
                return Err(format!("movement {} is listed twice", found.id));
            }
            self.rows.push(found);
        }
        let n_rows = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        if n_rows > total || (empty && n_rows < total) {
            return Err(format!("{n_rows} rows came of {total}"));
        }
        Ok(n_rows == total)
    }
}

/// Reads a movement as the service shows it; without an internal id it is none.
fn found(row: &Value, offset_min: i64) -> Result<FoundMovement, String> {
    let id = text(row, "Codigo")?.trim().to_owned();
    if id.is_empty() {
        return Err("a movement has no Codigo".to_owned());
    }
    let direction = match whole(row.get("Tipo")) {
        Some(1) => Some(Direction::In),
        Some(2) => Some(Direction::Out),
        Some(_) | None => None,
    };
    let base = match row.get("InformacionAdicional") {
        Some(more) => text(more, "BaseDeDatosAltaFW")?,
        None => String::new(),
    };
    let base = match base.trim() {
        "" => None,
        named => Some(BaseCode::parse(named).map_err(|err| err.to_string())?),
    };
    Ok(FoundMovement {
        id: one_line(&id, 60),
        number: whole(row.get("Numero"))
            .filter(|n| *n > 0)
            .map(|n| n.to_string()),
        direction,
        base,
        note: text(row, "Observacion")?,
        reference: text(row, "Remito")?,
        lines: lines(row),
        day: row_day(row.get("Fecha"), offset_min),
        created: row_created(row, offset_min),
    })
}

/// Adds up a movement's lines; `None` when one cannot be read.
fn lines(row: &Value) -> Option<BTreeMap<ErpCode, Qty>> {
    let mut sums: BTreeMap<ErpCode, Qty> = BTreeMap::new();
    for line in row.get("MovimientoDetalle")?.as_array()? {
        let part = |member| text(line, member).ok();
        let variant = Variant::new(&part("Articulo")?, &part("Color")?, &part("Talle")?).ok()?;
        let sum = sums.entry(variant.code().ok()?).or_default();
        *sum = *sum + quantity(line.get("Cantidad")).ok()?;
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::sections::ErpConfig;
    use crate::domain::ids::OrderId;
    use crate::domain::movement::{MovementKey, Operation};

    fn config(extra: &str) -> DragonfishConfig {
        let text = format!(
            "depot = \"WOO\"\n[dragonfish]\nurl = \"http://localhost:1/api.Dragonfish\"\nclient_id = \"WEB\"\n\
             token = {{ env = \"T\" }}\norigin = \"WOO\"\n{extra}"
        );
        toml::from_str::<ErpConfig>(&text)
            .unwrap()
            .dragonfish
            .unwrap()
    }

    fn movement(operation: &str, lines: &[(&str, u32)]) -> Movement {
        let base = BaseCode::parse("WOO").unwrap();
        let order = OrderId::parse("1234567890123-01").unwrap();
        let operation = Operation::parse(operation).unwrap();
        Movement {
            key: MovementKey::derive("tienda", &base, &order, operation),
            lines: lines
                .iter()
                .map(|(c, u)| (ErpCode::parse(c).unwrap(), *u))
                .collect(),
            order,
            operation,
            base,
        }
    }

    #[test]
    fn the_body_is_the_vendors_minimal_one_with_our_key() {
        let config = config("motive = \"API\"\nseller = \"WEB\"\nnote = \"VENTA_VTEX\"");
        let movement = movement("S1", &[("A-B-N01-42", 2)]);
        let body = serde_json::to_value(body(&config, &movement).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "OrigenDestino": "WOO", "Tipo": 2, "Motivo": "API", "vendedor": "WEB",
                "Observacion": "VTEX 1234567890123-01 #S1 V1BKFRX6CDHMYHQ. VENTA_VTEX",
                "Remito": "V1BKFRX6CDHMYHQ",
                "MovimientoDetalle": [{"Articulo": "A-B", "Color": "N01", "Talle": "42", "Cantidad": 2}],
            })
        );
    }

    #[test]
    fn a_reversal_goes_in_and_unset_codes_are_left_out() {
        let config = config("");
        let movement = movement("C1", &[("A-N-1", 1)]);
        let body = serde_json::to_value(body(&config, &movement).unwrap()).unwrap();
        assert_eq!(body["Tipo"], 1);
        assert!(
            body.get("Motivo").is_none()
                && body.get("vendedor").is_none()
                && body.get("Fecha").is_none()
        );
    }

    #[test]
    fn field_limits_are_checked_before_anything_is_sent() {
        let good = movement("S1", &[("A-N-1", 1)]);
        for (extra, why) in [
            ("motive = \"VENTA\"", "motive (Motivo) \"VENTA\" has 5"),
            ("seller = \"TOOLONGSELLER\"", "seller (vendedor)"),
            ("note = \"venta ñ\"", "only ASCII"),
        ] {
            let err = body(&config(extra), &good).unwrap_err();
            assert!(err.contains(why), "{err}");
        }
        for lines in [
            &[][..],
            &[("A-N-1", 0)],
            &[("A-N-1", 100_000_000)],
            &[("ABCDEFGHIJKLMNOP-N-1", 1)],
        ] {
            assert!(
                body(&config(""), &movement("S1", lines)).is_err(),
                "{lines:?}"
            );
        }
        let far = Movement {
            base: BaseCode::parse("TOOLONGBASE").unwrap(),
            ..good
        };
        assert!(body(&config(""), &far).unwrap_err().contains("base"));
    }

    #[test]
    fn lines_of_one_variant_add_up_and_an_unreadable_one_hides_all() {
        let detail = json!([
            {"Articulo": "a ", "Color": "n", "Talle": "1", "Cantidad": "1.00"},
            {"Articulo": "A", "Color": "N", "Talle": 1, "Cantidad": 2.0},
        ]);
        let row = json!({"Codigo": "X", "Numero": "7", "Tipo": "2", "MovimientoDetalle": detail});
        let found = found(&row, -180).unwrap();
        assert_eq!(
            found.lines.unwrap()[&ErpCode::parse("A-N-1").unwrap()],
            Qty::whole(3)
        );
        assert_eq!(
            (found.number.as_deref(), found.direction),
            (Some("7"), Some(Direction::Out))
        );
        assert_eq!(
            lines(&json!({"MovimientoDetalle": [{"Articulo": "A", "Cantidad": 1}]})),
            None
        );
        assert_eq!(lines(&json!({"MovimientoDetalle": null})), None);
    }

    #[test]
    fn e9_a_listing_that_does_not_add_up_is_no_proof() {
        let base = BaseCode::parse("WOO").unwrap();
        let row = |id: &str| json!({"Codigo": id, "InformacionAdicional": {"BaseDeDatosAltaFW": "WOO     "}});
        let page = |total, rows: &[Value]| Page {
            rows: rows.to_vec(),
            total,
        };
        let mut search = Rows::new(-180);
        assert_eq!(search.add(page(Some(2), &[row("A")]), &base), Ok(false));
        assert_eq!(search.add(page(Some(2), &[row("B")]), &base), Ok(true));
        for pages in [
            vec![page(Some(2), &[row("A")]), page(Some(2), &[])],
            vec![page(Some(2), &[row("A")]), page(Some(3), &[row("B")])],
            vec![page(Some(2), &[row("A"), row("A")])],
            vec![page(Some(1), &[row("A"), row("B")])],
            vec![page(None, &[row("A")])],
            vec![page(Some(1), &[json!({"Numero": 1})])],
        ] {
            let mut search = Rows::new(-180);
            let last = pages
                .into_iter()
                .map(|page| search.add(page, &base))
                .last()
                .unwrap();
            assert!(last.is_err(), "{last:?}");
        }
    }

    #[test]
    fn e13_and_e17_an_odd_date_or_another_base_proves_nothing() {
        let base = BaseCode::parse("NORTE").unwrap();
        let other = json!({"Codigo": "A", "InformacionAdicional": {"BaseDeDatosAltaFW": "WOO"}});
        let dated = json!({"Codigo": "A", "Fecha": "/Date(x)/"});
        for row in [other, dated] {
            let page = Page {
                rows: vec![row],
                total: Some(1),
            };
            assert!(Rows::new(-180).add(page, &base).is_err());
        }
    }
}

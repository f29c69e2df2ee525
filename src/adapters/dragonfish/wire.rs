//! Careful reading of Dragonfish's JSON: numbers come as text, lists as bare arrays, members may be missing.

use serde_json::Value;

use crate::domain::qty::Qty;

/// One page of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The rows.
    pub(super) rows: Vec<Value>,
    /// How many rows the whole list has, where the answer says so.
    pub(super) total: Option<u64>,
}

/// Reads a page: `{TotalRegistros, Resultados}`, or the rows alone. `Siguiente` is not read: it may name a host that
/// is not the configured one.
pub(super) fn page(body: Value) -> Result<Page, String> {
    let mut members = match body {
        Value::Array(rows) => return Ok(Page { rows, total: None }),
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err("the answer is no list".to_owned());
        }
    };
    let total = match members.get("TotalRegistros") {
        None | Some(Value::Null) => None,
        given => Some(whole(given).ok_or("TotalRegistros is no number")?),
    };
    match members.remove("Resultados") {
        Some(Value::Array(rows)) => Ok(Page { rows, total }),
        None | Some(Value::Null) if total == Some(0) => Ok(Page::default()),
        None | Some(_) => Err("the answer has no Resultados".to_owned()),
    }
}

/// Reads a text member; a number counts as text, null and absence as empty.
pub(super) fn text(row: &Value, member: &str) -> Result<String, String> {
    match row.get(member) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Err(format!("{member} is no text"))
        }
    }
}

/// Reads a quantity; a decimal comma, null and absence are refused.
pub(super) fn quantity(value: Option<&Value>) -> Result<Qty, String> {
    match value {
        Some(Value::Number(number)) => {
            Qty::parse(&number.to_string()).map_err(|err| err.to_string())
        }
        Some(Value::String(text)) => Qty::parse(text).map_err(|err| err.to_string()),
        None | Some(Value::Null) => Err("there is no figure".to_owned()),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Err("the figure is no number".to_owned())
        }
    }
}

/// Reads a whole number that is not negative, written as number or text.
pub(super) fn whole(value: Option<&Value>) -> Option<u64> {
    let quantity = quantity(value).ok().filter(|qty| qty.is_whole())?;
    u64::try_from(quantity.floor_units()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn e23_lists_come_as_objects_or_bare_arrays_and_numbers_as_text() {
        let listed = page(json(
            r#"{"TotalRegistros":"2","Resultados":[1,2],"Siguiente":"http://x/"}"#,
        ));
        let listed = listed.unwrap();
        assert_eq!((listed.rows.len(), listed.total), (2, Some(2)));
        assert_eq!(page(json("[1]")).unwrap().total, None);
        assert!(
            page(json(r#"{"TotalRegistros":0}"#))
                .unwrap()
                .rows
                .is_empty()
        );
        for bad in [
            "3",
            r#"{"Message":"x"}"#,
            r#"{"TotalRegistros":-1,"Resultados":[]}"#,
        ] {
            assert!(page(json(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn e14_a_figure_is_a_plain_decimal_or_nothing() {
        for (text, qty) in [
            ("3", "3"),
            ("-2.50", "-2.5"),
            (r#""3.00""#, "3"),
            ("1e1", "10"),
        ] {
            assert_eq!(
                quantity(Some(&json(text))).unwrap().to_string(),
                qty,
                "{text}"
            );
        }
        for bad in [r#""3,00""#, r#""SIN STOCK""#, "null", "true", "[]", r#""""#] {
            assert!(quantity(Some(&json(bad))).is_err(), "{bad}");
        }
        assert_eq!(whole(Some(&json(r#""7""#))), Some(7));
        assert_eq!(whole(Some(&json("7.5"))), None);
    }
}

//! What the installation remembers: stock per base and variant, movements, who has logged in, and what truly happened.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use crate::domain::ids::BaseCode;
use crate::domain::time::Moment;
use crate::sandbox::catalogue::{BLOCKED, DEPOT, Product, SHOPS, Variant, base};

/// One movement.
#[derive(Debug, Clone)]
pub struct Movement {
    /// The internal id, random like a GUID.
    pub code: String,
    /// The number people know.
    pub number: i64,
    /// The base whose stock it changed.
    pub base: BaseCode,
    /// 1 in, 2 out.
    pub kind: i64,
    /// The counterpart.
    pub origin: String,
    /// The motive.
    pub motive: String,
    /// The seller.
    pub seller: String,
    /// The short reference.
    pub reference: String,
    /// The note.
    pub note: String,
    /// The lines.
    pub lines: Vec<(Variant, Decimal)>,
    /// When it was entered.
    pub at: Moment,
    /// Annulled: undone, and still listed.
    pub annulled: bool,
}

/// A movement as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// 1 in, 2 out.
    pub kind: i64,
    /// The counterpart.
    pub origin: String,
    /// The motive.
    pub motive: String,
    /// The seller.
    pub seller: String,
    /// The short reference.
    pub reference: String,
    /// The note.
    pub note: String,
    /// The lines.
    pub lines: Vec<(Variant, Decimal)>,
}

/// How the installation behaves where its makers leave a choice, and how badly.
#[derive(Debug, Clone)]
pub struct Habits {
    /// Autenticar is needed (version 15 and later).
    pub must_log_in: bool,
    /// Answers begin with a byte order mark.
    pub byte_order_mark: bool,
    /// Rows are repeated, once per price list.
    pub repeat_rows: bool,
    /// Listings of movements show none entered after this instant; for tests of lag.
    pub blind_after: Option<Moment>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            must_log_in: true,
            byte_order_mark: true,
            repeat_rows: true,
            blind_after: None,
        }
    }
}

/// An installation.
#[derive(Debug, Clone, Default)]
pub struct DragonfishModel {
    /// Stock per base and variant.
    pub stock: BTreeMap<BaseCode, BTreeMap<Variant, Decimal>>,
    /// Bases that do not answer.
    pub offline: BTreeSet<BaseCode>,
    /// Every movement ever entered, in order.
    pub movements: Vec<Movement>,
    /// Motives that exist.
    pub motives: BTreeSet<String>,
    /// Sellers that exist.
    pub sellers: BTreeSet<String>,
    /// Counterparts that exist.
    pub origins: BTreeSet<String>,
    /// Whether the client has logged in since the service started.
    pub logged_in: bool,
    /// How it behaves.
    pub habits: Habits,
    /// Breaches of its rules.
    pub violations: Vec<String>,
    /// Units that shops sold without the store knowing.
    pub shop_sales: u64,
    chance: Option<fastrand::Rng>,
}

impl DragonfishModel {
    /// Opens an installation with these goods.
    pub fn new(products: &[Product]) -> Self {
        let mut erp = Self {
            chance: Some(fastrand::Rng::with_seed(7)),
            ..Self::default()
        };
        for code in SHOPS.iter().chain(&BLOCKED).chain(&[DEPOT]) {
            erp.stock.insert(base(code), BTreeMap::new());
            erp.origins.insert((*code).to_owned());
        }
        for product in products {
            for (base, units) in &product.stock {
                erp.stock
                    .entry(base.clone())
                    .or_default()
                    .insert(product.variant.clone(), *units);
            }
        }
        erp.motives.insert("API".into());
        erp.sellers.insert("API".into());
        erp
    }

    /// Returns the stock of a variant in a base.
    pub fn stock_of(&self, base: &BaseCode, variant: &Variant) -> Decimal {
        self.stock
            .get(base)
            .and_then(|stock| stock.get(variant))
            .copied()
            .unwrap_or_default()
    }

    /// Returns the stock of every base as lines of base, article, colour, size and quantity, with tabs between them: what
    /// the installation's own tables would hold.
    pub fn table(&self) -> String {
        let mut lines = String::new();
        for (base, stock) in &self.stock {
            for (variant, qty) in stock {
                let Variant {
                    article,
                    color,
                    size,
                } = variant;
                lines.push_str(&format!("{base}\t{article}\t{color}\t{size}\t{qty}\n"));
            }
        }
        lines
    }

    fn shift(&mut self, base: &BaseCode, variant: &Variant, by: Decimal) {
        *self
            .stock
            .entry(base.clone())
            .or_default()
            .entry(variant.clone())
            .or_default() += by;
    }

    /// Restarts the service: everybody must log in again.
    pub fn restart(&mut self) {
        self.logged_in = false;
    }

    /// A sale over the counter: the stock falls, no movement is entered.
    pub fn shop_sale(&mut self, base: &BaseCode, variant: &Variant, units: u32) {
        self.shift(base, variant, -Decimal::from(units));
        self.shop_sales += u64::from(units);
    }

    /// A person makes the remito: the goods leave the shop and enter the depot, with a movement that names the order.
    pub fn make_remito(
        &mut self,
        shop: &BaseCode,
        variant: &Variant,
        units: u32,
        order: &str,
        now: Moment,
    ) {
        self.shift(shop, variant, -Decimal::from(units));
        let draft = Draft {
            kind: 1,
            origin: shop.to_string(),
            reference: "R".into(),
            note: format!("remito manual pedido {order}"),
            lines: vec![(variant.clone(), Decimal::from(units))],
            ..Draft::default()
        };
        self.enter(&base(DEPOT), draft, now);
    }

    /// Checks a movement as the product does; the sentence is what it would answer.
    pub fn refuse(&self, base: &BaseCode, draft: &Draft) -> Option<String> {
        let long = |name: &str, text: &str, most: usize| {
            (text.chars().count() > most).then(|| {
                format!("La longitud del valor del atributo {name} es mayor a la permitida")
            })
        };
        let unknown = |what: &str, code: &str, known: &BTreeSet<String>| {
            (!code.is_empty() && !known.contains(code))
                .then(|| format!("El dato buscado {code} de la entidad {what} no existe"))
        };
        if !self.stock.contains_key(base) {
            return Some(format!("La base de datos {base} no existe"));
        }
        if draft.lines.is_empty() {
            return Some("Debe cargar el campo MovimientoDetalle".into());
        }
        if draft.origin.is_empty() {
            return Some("Debe cargar el campo OrigenDestino".into());
        }
        let missing = draft
            .lines
            .iter()
            .find(|(variant, _)| !self.stock.values().any(|s| s.contains_key(variant)));
        long("Remito", &draft.reference, 15)
            .or_else(|| long("Motivo", &draft.motive, 3))
            .or_else(|| long("OrigenDestino", &draft.origin, 8))
            .or_else(|| unknown("MOTIVO", &draft.motive, &self.motives))
            .or_else(|| unknown("VENDEDOR", &draft.seller, &self.sellers))
            .or_else(|| unknown("ORIGENDEDATOS", &draft.origin, &self.origins))
            .or_else(|| {
                missing.map(|(v, _)| {
                    format!(
                        "El dato buscado {} de la entidad ARTICULO no existe",
                        v.article
                    )
                })
            })
            .or_else(|| {
                draft
                    .lines
                    .iter()
                    .any(|(_, n)| *n <= Decimal::ZERO)
                    .then(|| "Debe cargar el campo Cantidad".into())
            })
    }

    /// Enters a movement and changes the stock of its base.
    pub fn enter(&mut self, base: &BaseCode, draft: Draft, now: Moment) -> Movement {
        let sign = if draft.kind == 2 {
            -Decimal::ONE
        } else {
            Decimal::ONE
        };
        for (variant, units) in &draft.lines {
            self.shift(base, variant, sign * *units);
        }
        let chance = self
            .chance
            .get_or_insert_with(|| fastrand::Rng::with_seed(7));
        let movement = Movement {
            code: format!("{:032X}", chance.u128(..)),
            number: i64::try_from(self.movements.len()).unwrap_or(i64::MAX) + 1,
            base: base.clone(),
            kind: draft.kind,
            origin: draft.origin,
            motive: draft.motive,
            seller: draft.seller,
            reference: draft.reference,
            note: draft.note,
            lines: draft.lines,
            at: now,
            annulled: false,
        };
        self.movements.push(movement.clone());
        movement
    }

    /// Annuls a movement: its effect is undone, its row stays.
    pub fn annul(&mut self, code: &str) {
        let Some(movement) = self
            .movements
            .iter_mut()
            .find(|m| m.code == code && !m.annulled)
        else {
            return;
        };
        movement.annulled = true;
        let movement = movement.clone();
        let sign = if movement.kind == 2 {
            Decimal::ONE
        } else {
            -Decimal::ONE
        };
        for (variant, units) in &movement.lines {
            self.shift(&movement.base, variant, sign * *units);
        }
    }

    /// Lists the movements of a base that contain a text, as a LIKE over the text columns.
    pub fn search(&self, base: &BaseCode, text: &str) -> Vec<&Movement> {
        let text = text.to_uppercase();
        let hit = |movement: &&Movement| {
            let columns = [
                &movement.origin,
                &movement.motive,
                &movement.seller,
                &movement.reference,
                &movement.note,
            ];
            movement.base == *base
                && self.habits.blind_after.is_none_or(|at| movement.at <= at)
                && columns
                    .iter()
                    .any(|column| column.to_uppercase().contains(&text))
        };
        self.movements.iter().filter(hit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::catalogue::products;

    #[test]
    fn movements_change_the_stock_of_their_base_and_annulling_undoes_it() {
        let goods = products(1);
        let mut erp = DragonfishModel::new(&goods);
        let (depot, variant) = (base(DEPOT), goods[0].variant.clone());
        let draft = Draft {
            kind: 2,
            origin: "WOO".into(),
            lines: vec![(variant.clone(), Decimal::from(2))],
            ..Draft::default()
        };
        assert_eq!(erp.refuse(&depot, &draft), None);
        let movement = erp.enter(&depot, draft, Moment(0));
        assert_eq!(erp.stock_of(&depot, &variant), Decimal::from(-2));
        erp.annul(&movement.code);
        assert_eq!(erp.stock_of(&depot, &variant), Decimal::ZERO);
        assert_eq!(erp.search(&depot, "woo").len(), 1);
    }

    #[test]
    fn what_does_not_exist_or_fit_is_refused() {
        let goods = products(1);
        let erp = DragonfishModel::new(&goods);
        let good = Draft {
            kind: 2,
            origin: "WOO".into(),
            lines: vec![(goods[0].variant.clone(), Decimal::ONE)],
            ..Draft::default()
        };
        for bad in [
            Draft {
                reference: "1234567890123-01".into(),
                ..good.clone()
            },
            Draft {
                motive: "XXX".into(),
                ..good.clone()
            },
            Draft {
                origin: "NADA".into(),
                ..good.clone()
            },
            Draft {
                lines: vec![],
                ..good.clone()
            },
        ] {
            assert!(erp.refuse(&base(DEPOT), &bad).is_some(), "{bad:?}");
        }
    }
}

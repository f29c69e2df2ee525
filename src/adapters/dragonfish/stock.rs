//! Reading stock: all bases at once for one article, or one base after another for everything.
//!
//! What a base does not say is missing, never zero; what contradicts itself is unreadable, never a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::adapters::dragonfish::code::{Variant, split};
use crate::adapters::dragonfish::session::{Get, Session};
use crate::adapters::dragonfish::wire::{Page, page, quantity, text};
use crate::config::sections::{StockField, UnlistedBase};
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::ports::{PortError, PortResult};
use crate::domain::qty::Qty;
use crate::domain::stock::{StockLevels, VariantLevels};

/// The most pages one article may have.
const ARTICLE_PAGES: u32 = 50;
/// The most pages one base may have.
const BASE_PAGES: u32 = 2000;
/// The largest page that is asked for.
const LARGEST_PAGE: u32 = 1000;

/// The query over all bases of the installation.
const ALL_BASES: &str = "ConsultaStockYPreciosEntreLocales";
/// The query of one base.
const ONE_BASE: &str = "ConsultaStockYPrecios";

/// How stock is read, from the configuration.
#[derive(Debug, Clone)]
pub(super) struct StockRules {
    /// The bases that count, the virtual depot first.
    pub(super) bases: Vec<BaseCode>,
    /// Which figure is stock where one base is read.
    pub(super) field: StockField,
    /// Whether sizes are compared without leading zeros.
    pub(super) sizes_ignore_zeros: bool,
    /// What a base means that a variant's row does not list.
    pub(super) unlisted: UnlistedBase,
    /// Rows a page.
    pub(super) page_size: u32,
    /// Time for one query.
    pub(super) timeout: Duration,
}

/// Reads variants in the bases that count.
pub(super) fn read(
    session: &Session<'_>,
    rules: &StockRules,
    groups: &[Vec<ErpCode>],
) -> PortResult<StockLevels> {
    let mut levels = StockLevels {
        road: "api".into(),
        ..StockLevels::default()
    };
    for codes in groups {
        match read_article(session, rules, codes) {
            Ok(article) => {
                levels.variants.extend(article.variants);
                levels.missing.extend(article.missing);
            }
            Err(PortError::Rejected { reason }) => {
                let unreadable = VariantLevels::Unreadable(reason);
                levels
                    .variants
                    .extend(codes.iter().map(|code| (code.clone(), unreadable.clone())));
            }
            Err(
                err @ (PortError::Transient { .. }
                | PortError::Uncertain { .. }
                | PortError::Denied { .. }),
            ) => {
                return Err(err);
            }
        }
    }
    Ok(levels)
}

/// Reads every variant of every base that counts, base by base, the virtual depot first.
pub(super) fn read_all(
    session: &Session<'_>,
    rules: &StockRules,
    progress: &dyn Fn(u64),
) -> PortResult<StockLevels> {
    let mut sheet = Sheet::new(rules, None);
    read_bases(session, rules, "", &mut sheet, progress)?;
    Ok(sheet.levels("api bulk"))
}

fn read_article(
    session: &Session<'_>,
    rules: &StockRules,
    codes: &[ErpCode],
) -> PortResult<StockLevels> {
    let mut wanted = Vec::new();
    for code in codes {
        wanted.push((code.clone(), split(code).map_err(PortError::rejected)?));
    }
    let Some((_, first)) = wanted.first() else {
        return Ok(StockLevels::default());
    };
    let article = first.article.clone();
    let mut sheet = Sheet::new(rules, Some(wanted));
    match rules.field {
        StockField::Stock => {
            let query = Query {
                path: ALL_BASES,
                article: &article,
                base: None,
                page_cap: ARTICLE_PAGES,
            };
            query.run(session, rules, &mut |n, rows| {
                sheet.add_page(n, &rows, None)
            })?;
        }
        // The query over all bases does not show this figure, and mixing two would make the number jump.
        StockField::Available => read_bases(session, rules, &article, &mut sheet, &|_| {})?,
    }
    Ok(sheet.levels("api"))
}

/// Reads one base after another; one that fails is missing. Fails itself only when access is denied or all bases fail.
fn read_bases(
    session: &Session<'_>,
    rules: &StockRules,
    article: &str,
    sheet: &mut Sheet<'_>,
    progress: &dyn Fn(u64),
) -> PortResult<()> {
    let mut n_rows = 0_u64;
    let mut last = None;
    for base in &rules.bases {
        sheet.next_listing();
        let query = Query {
            path: ONE_BASE,
            article,
            base: Some(base),
            page_cap: if article.is_empty() {
                BASE_PAGES
            } else {
                ARTICLE_PAGES
            },
        };
        // Half a base is none: its rows join the sheet only once its listing has ended well.
        let mut pages = Vec::new();
        let result = query.run(session, rules, &mut |n, rows| {
            n_rows = n_rows.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            progress(n_rows);
            pages.push((n, rows));
            Ok(())
        });
        match result.and_then(|()| {
            pages
                .iter()
                .try_for_each(|(n, rows)| sheet.add_page(*n, rows, Some(base)))
        }) {
            // A base without a single article is more likely the wrong base than an empty shop.
            Ok(()) if pages.is_empty() && article.is_empty() => {
                sheet
                    .missing
                    .insert(base.clone(), "it lists no variant at all".into());
            }
            Ok(()) => {}
            Err(err @ PortError::Denied { .. }) => return Err(err),
            Err(err) => {
                sheet.missing.insert(base.clone(), err.to_string());
                last = Some(err);
            }
        }
    }
    match last {
        Some(err) if sheet.missing.len() == rules.bases.len() => Err(err),
        Some(_) | None => Ok(()),
    }
}

/// One listing of stock.
struct Query<'q> {
    path: &'q str,
    article: &'q str,
    base: Option<&'q BaseCode>,
    page_cap: u32,
}

impl Query<'_> {
    /// Reads all pages, or fails: a part of a listing proves nothing.
    ///
    /// The next page is asked for by number; `Siguiente` is never followed.
    fn run(
        &self,
        session: &Session<'_>,
        rules: &StockRules,
        take: &mut dyn FnMut(u32, Vec<Value>) -> PortResult<()>,
    ) -> PortResult<()> {
        let mut n_rows = 0_u64;
        let mut total = None;
        let mut before = Vec::new();
        for number in 1..=self.page_cap {
            let body = session.get(&self.get(rules, number))?;
            let listed = match body {
                Some(body) => page(body).map_err(|why| self.unusable(&why))?,
                None => Page::default(),
            };
            total = listed.total.or(total);
            if listed.rows.is_empty() {
                return match total {
                    Some(total) if n_rows < total => Err(PortError::transient(format!(
                        "{}: the listing ended after {n_rows} of {total} rows",
                        self.title()
                    ))),
                    Some(_) | None => Ok(()),
                };
            }
            if listed.rows == before {
                return Err(self.unusable(&format!("page {number} repeats the one before")));
            }
            n_rows = n_rows.saturating_add(u64::try_from(listed.rows.len()).unwrap_or(u64::MAX));
            before.clone_from(&listed.rows);
            take(number, listed.rows)?;
            if total.is_some_and(|total| n_rows >= total) {
                return Ok(());
            }
        }
        Err(self.unusable(&format!("more than {} pages", self.page_cap)))
    }

    fn get<'g>(&'g self, rules: &StockRules, number: u32) -> Get<'g> {
        let mut query = vec![
            ("query", self.article.to_owned()),
            // Unsent, each of these has an unknown default; without prices asked for, unpriced articles vanish.
            ("exacto", (!self.article.is_empty()).to_string()),
            ("stockcero", "true".to_owned()),
            ("preciocero", "true".to_owned()),
            ("limit", rules.page_size.clamp(1, LARGEST_PAGE).to_string()),
            ("page", number.to_string()),
        ];
        if self.article.is_empty() {
            query.push(("sort", "Articulo".to_owned()));
        }
        Get {
            name: "read stock",
            about: self.title(),
            path: self.path,
            query,
            base: self.base,
            timeout: rules.timeout,
        }
    }

    fn title(&self) -> String {
        match (self.article, self.base) {
            ("", Some(base)) => format!("of base {base}"),
            (article, Some(base)) => format!("of {article} in base {base}"),
            (article, None) => format!("of {article}"),
        }
    }

    fn unusable(&self, why: &str) -> PortError {
        PortError::rejected(format!("read stock {}: {why}", self.title()))
    }
}

/// What the rows said about one variant.
#[derive(Debug, Default)]
struct Line {
    bases: BTreeMap<BaseCode, Qty>,
    broken: Option<String>,
}

impl Line {
    fn add(&mut self, base: &BaseCode, qty: Qty) {
        // The same combination comes once per price list: the same figure counts once.
        match self.bases.insert(base.clone(), qty) {
            Some(before) if before != qty => {
                self.broken = Some(format!("base {base} shows both {before} and {qty}"));
            }
            Some(_) | None => {}
        }
    }
}

/// Gathers rows into stock levels.
struct Sheet<'r> {
    rules: &'r StockRules,
    /// What was asked for; `None` for everything.
    wanted: Option<Vec<(ErpCode, Variant)>>,
    lines: BTreeMap<ErpCode, Line>,
    /// Bases that some row of the answer lists.
    seen: BTreeSet<BaseCode>,
    missing: BTreeMap<BaseCode, String>,
    /// On which page of the present listing a variant stood.
    pages: BTreeMap<Variant, u32>,
    /// Whether a variant came again on another page: then another one may have been skipped.
    shifted: bool,
}

impl<'r> Sheet<'r> {
    fn new(rules: &'r StockRules, wanted: Option<Vec<(ErpCode, Variant)>>) -> Self {
        Self {
            rules,
            wanted,
            lines: BTreeMap::new(),
            seen: BTreeSet::new(),
            missing: BTreeMap::new(),
            pages: BTreeMap::new(),
            shifted: false,
        }
    }

    fn add_page(&mut self, number: u32, rows: &[Value], base: Option<&BaseCode>) -> PortResult<()> {
        for row in rows {
            // A row that does not even name an article is of another making: absence in it would mean nothing.
            let article = text(row, "Articulo").unwrap_or_default();
            if article.trim().is_empty() {
                return Err(PortError::rejected("read stock: a row without Articulo"));
            }
            let cells = self.cells(row, base);
            if let Ok(cells) = &cells {
                self.seen.extend(cells.iter().map(|(base, _)| base.clone()));
            }
            let color = text(row, "Color").unwrap_or_default();
            let size = text(row, "Talle").unwrap_or_default();
            // An article without colours or sizes has no reference of three parts, so nobody asks for it.
            let Ok(variant) = Variant::new(&article, &color, &size) else {
                continue;
            };
            if self
                .pages
                .insert(variant.clone(), number)
                .is_some_and(|before| before != number)
            {
                self.shifted = true;
            }
            for code in self.codes_of(&variant) {
                let line = self.lines.entry(code).or_default();
                match &cells {
                    Ok(cells) => cells.iter().for_each(|(base, qty)| line.add(base, *qty)),
                    Err(why) => line.broken = Some(why.clone()),
                }
            }
        }
        Ok(())
    }

    /// Forgets where the rows of the last listing stood.
    fn next_listing(&mut self) {
        self.pages.clear();
    }

    /// Returns the codes under which a row counts: exact matches only, since the service also finds substrings.
    fn codes_of(&self, variant: &Variant) -> Vec<ErpCode> {
        let ignore_zeros = self.rules.sizes_ignore_zeros;
        match &self.wanted {
            Some(wanted) => wanted
                .iter()
                .filter(|(_, asked)| asked.same(variant, ignore_zeros))
                .map(|(code, _)| code.clone())
                .collect(),
            None if ignore_zeros => variant
                .spellings()
                .iter()
                .filter_map(|v| v.code().ok())
                .collect(),
            None => variant.code().ok().into_iter().collect(),
        }
    }

    /// Reads a row's figures for the bases that count; the others are not even looked at.
    fn cells(&self, row: &Value, asked: Option<&BaseCode>) -> Result<Vec<(BaseCode, Qty)>, String> {
        let member = match (self.rules.field, asked) {
            (StockField::Available, Some(_)) => "Disponible",
            (StockField::Stock, _) | (StockField::Available, None) => "Stock",
        };
        let row_base = base_of(row)?;
        if let (Some(asked), Some(named)) = (asked, &row_base)
            && asked != named
        {
            return Err(format!("base {named} answered instead of {asked}"));
        }
        let Some(Value::Array(entries)) = row.get(member) else {
            let base = asked
                .cloned()
                .or(row_base)
                .ok_or("one figure that names no base")?;
            let qty = quantity(row.get(member))
                .map_err(|why| format!("{member} in base {base}: {why}"))?;
            return Ok(vec![(base, qty)]);
        };
        let mut cells = Vec::new();
        for entry in entries {
            let base = base_of(entry)?.ok_or("a figure that names no base")?;
            let counts = asked.is_none_or(|asked| *asked == base);
            if counts && self.rules.bases.contains(&base) {
                let qty = quantity(entry.get(member))
                    .map_err(|why| format!("{member} in base {base}: {why}"))?;
                cells.push((base, qty));
            }
        }
        Ok(cells)
    }

    fn levels(mut self, road: &str) -> StockLevels {
        let mut variants = BTreeMap::new();
        for (code, line) in std::mem::take(&mut self.lines) {
            variants.insert(code, self.level(line));
        }
        let complete = self.missing.is_empty() && !self.shifted;
        for (code, _) in self.wanted.iter().flatten().filter(|_| complete) {
            variants
                .entry(code.clone())
                .or_insert(VariantLevels::Absent);
        }
        if variants
            .values()
            .any(|level| matches!(level, VariantLevels::Known(_)))
        {
            for base in self
                .rules
                .bases
                .iter()
                .filter(|base| !self.seen.contains(base))
            {
                let unlisted = || "no row of the answer lists it".to_owned();
                self.missing.entry(base.clone()).or_insert_with(unlisted);
            }
        }
        StockLevels {
            variants,
            missing: self.missing,
            doubts: BTreeMap::new(),
            road: road.to_owned(),
        }
    }

    /// Decides what the bases mean that a variant's rows do not list.
    ///
    /// Even a base that was read to its end is missing for a variant it lacks: that a listing "with zero stock" holds
    /// every combination is `Unverified:`, and a wrong zero switches a product off.
    fn level(&self, line: Line) -> VariantLevels {
        if let Some(why) = line.broken {
            return VariantLevels::Unreadable(why);
        }
        let mut bases = line.bases;
        match self.rules.unlisted {
            UnlistedBase::Missing => {}
            UnlistedBase::ZeroIfSeen => {
                for base in self
                    .rules
                    .bases
                    .iter()
                    .filter(|base| self.seen.contains(base))
                {
                    bases.entry(base.clone()).or_insert(Qty::ZERO);
                }
            }
        }
        bases.retain(|base, _| self.rules.bases.contains(base) && !self.missing.contains_key(base));
        VariantLevels::Known(bases)
    }
}

/// Reads which base a row or an entry names.
fn base_of(row: &Value) -> Result<Option<BaseCode>, String> {
    let named = text(row, "BaseDeDatos")?;
    if named.trim().is_empty() {
        return Ok(None);
    }
    BaseCode::parse(&named)
        .map(Some)
        .map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseCode {
        BaseCode::parse(text).unwrap()
    }

    fn code(text: &str) -> ErpCode {
        ErpCode::parse(text).unwrap()
    }

    fn rules() -> StockRules {
        StockRules {
            bases: ["WOO", "CENTRO"].map(base).to_vec(),
            field: StockField::Stock,
            sizes_ignore_zeros: false,
            unlisted: UnlistedBase::Missing,
            page_size: 200,
            timeout: Duration::from_secs(1),
        }
    }

    /// Reads one answer of the query over all bases, asking for these codes.
    fn levels(rules: &StockRules, codes: &[&str], rows: &str) -> StockLevels {
        let wanted = codes
            .iter()
            .map(|c| (code(c), split(&code(c)).unwrap()))
            .collect();
        let mut sheet = Sheet::new(rules, Some(wanted));
        let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
        sheet.add_page(1, &rows, None).unwrap();
        sheet.levels("api")
    }

    fn known(cells: &[(&str, &str)]) -> VariantLevels {
        VariantLevels::Known(
            cells
                .iter()
                .map(|(b, q)| (base(b), Qty::parse(q).unwrap()))
                .collect(),
        )
    }

    #[test]
    fn e14_negative_counts_and_lower_case_and_padding_are_mapped() {
        let rows = r#"[{"Articulo":"art1 ","Color":"n01","Talle":"42 ","Stock":[
            {"BaseDeDatos":"centro  ","Stock":"3.00"},{"BaseDeDatos":"WOO","Stock":-2},{"BaseDeDatos":"OUTLET","Stock":null}]}]"#;
        let found = levels(&rules(), &["ART1-N01-42"], rows);
        assert_eq!(
            found.variants[&code("ART1-N01-42")],
            known(&[("CENTRO", "3"), ("WOO", "-2")])
        );
        assert!(found.missing.is_empty());
    }

    #[test]
    fn e14_what_is_no_figure_makes_the_variant_unreadable() {
        for stock in [r#""SIN STOCK""#, r#""3,00""#, "null"] {
            let rows = format!(
                r#"[{{"Articulo":"A","Color":"N","Talle":"1","Stock":[{{"BaseDeDatos":"WOO","Stock":{stock}}}]}}]"#
            );
            let found = levels(&rules(), &["A-N-1"], &rows);
            assert!(
                matches!(found.variants[&code("A-N-1")], VariantLevels::Unreadable(_)),
                "{stock}"
            );
        }
    }

    #[test]
    fn e14_a_base_that_is_not_listed_is_missing_unless_configured_and_seen() {
        let rows = r#"[{"Articulo":"A","Color":"N","Talle":"1","Stock":[{"BaseDeDatos":"WOO","Stock":1}]},
            {"Articulo":"A","Color":"N","Talle":"2","Stock":[{"BaseDeDatos":"WOO","Stock":1},{"BaseDeDatos":"CENTRO","Stock":1}]}]"#;
        let found = levels(&rules(), &["A-N-1"], rows);
        assert_eq!(found.variants[&code("A-N-1")], known(&[("WOO", "1")]));
        let zero = StockRules {
            unlisted: UnlistedBase::ZeroIfSeen,
            ..rules()
        };
        let found = levels(&zero, &["A-N-1"], rows);
        assert_eq!(
            found.variants[&code("A-N-1")],
            known(&[("WOO", "1"), ("CENTRO", "0")])
        );
        let alone = &rows[..rows.find("},\n").unwrap() + 1];
        let found = levels(&zero, &["A-N-1"], &format!("{alone}]"));
        assert_eq!(found.variants[&code("A-N-1")], known(&[("WOO", "1")]));
        assert!(found.missing.contains_key(&base("CENTRO")));
    }

    #[test]
    fn e15_absent_and_zero_differ_and_substring_matches_are_not_ours() {
        let rows = r#"[{"Articulo":"A1","Color":"N","Talle":"1","Stock":[{"BaseDeDatos":"WOO","Stock":9}]},
            {"Articulo":"A","Color":"N","Talle":"2","Stock":[{"BaseDeDatos":"WOO","Stock":0},{"BaseDeDatos":"CENTRO","Stock":0}]}]"#;
        let found = levels(&rules(), &["A-N-1", "A-N-2"], rows);
        assert_eq!(found.variants[&code("A-N-1")], VariantLevels::Absent);
        assert_eq!(
            found.variants[&code("A-N-2")],
            known(&[("WOO", "0"), ("CENTRO", "0")])
        );
    }

    #[test]
    fn e16_repeats_count_once_and_contradictions_not_at_all() {
        let row = |stock: u32| {
            format!(
                r#"{{"Articulo":"A","Color":"N","Talle":"1","Stock":[{{"BaseDeDatos":"WOO","Stock":{stock}}}]}}"#
            )
        };
        let same = levels(&rules(), &["A-N-1"], &format!("[{},{}]", row(3), row(3)));
        assert_eq!(same.variants[&code("A-N-1")], known(&[("WOO", "3")]));
        let other = levels(&rules(), &["A-N-1"], &format!("[{},{}]", row(3), row(4)));
        assert!(matches!(
            other.variants[&code("A-N-1")],
            VariantLevels::Unreadable(_)
        ));
    }

    #[test]
    fn e23_one_figure_counts_only_where_its_base_is_known() {
        let bare = r#"[{"Articulo":"A","Color":"N","Talle":"1","Stock":"3"}]"#;
        let found = levels(&rules(), &["A-N-1"], bare);
        assert!(matches!(
            found.variants[&code("A-N-1")],
            VariantLevels::Unreadable(_)
        ));
        let named = r#"[{"Articulo":"A","Color":"N","Talle":"1","BaseDeDatos":"WOO","Stock":"3"}]"#;
        let found = levels(&rules(), &["A-N-1"], named);
        assert_eq!(found.variants[&code("A-N-1")], known(&[("WOO", "3")]));
    }

    #[test]
    fn a_shifted_listing_proves_no_absence_and_a_foreign_row_nothing() {
        let row: Vec<Value> =
            serde_json::from_str(r#"[{"Articulo":"A","Color":"N","Talle":"2","Stock":[]}]"#)
                .unwrap();
        let rules = rules();
        let wanted = vec![(code("A-N-1"), split(&code("A-N-1")).unwrap())];
        let mut sheet = Sheet::new(&rules, Some(wanted));
        sheet.add_page(1, &row, None).unwrap();
        sheet.add_page(2, &row, None).unwrap();
        assert!(sheet.levels("api").variants.is_empty());
        let mut sheet = Sheet::new(&rules, None);
        assert!(
            sheet
                .add_page(1, &[serde_json::json!({"codigo": 1})], None)
                .is_err()
        );
    }

    #[test]
    fn sizes_ignore_zeros_only_where_configured() {
        let rows = r#"[{"Articulo":"A","Color":"N","Talle":"03","Stock":[{"BaseDeDatos":"WOO","Stock":1}]}]"#;
        let strict = levels(&rules(), &["A-N-3"], rows);
        assert_eq!(strict.variants[&code("A-N-3")], VariantLevels::Absent);
        let lax = StockRules {
            sizes_ignore_zeros: true,
            ..rules()
        };
        assert_eq!(
            levels(&lax, &["A-N-3"], rows).variants[&code("A-N-3")],
            known(&[("WOO", "1")])
        );
    }
}

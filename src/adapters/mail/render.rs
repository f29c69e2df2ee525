//! Turns a notice into a subject, a text and an HTML page.
//!
//! Rendering is pure. What a template can see is `Vars`, and nothing in it is a secret or a customer's.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::Offset;

use super::MailError;
use super::clean::{LONGEST_NAME, LONGEST_SENTENCE, clean};
use super::samples;
use super::templates::Texts;
use super::vars::{Column, Fact, Item, OrderLine, Repeated, Vars, attribute_names};
use crate::config::sections::{Language, NotifyConfig};
use crate::domain::ids::OrderId;
use crate::domain::notice::{Notice, NoticeBody, NoticeKind, OrderPart};
use crate::domain::time::Moment;

/// The most goods, alerts, bases or figures listed in one notice.
pub(super) const MOST_LINES: usize = 200;
/// The most bytes of a notice, text and HTML together.
const MOST_BYTES: usize = 200_000;

/// A notice as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject: one line, at most 200 characters.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML page.
    pub html: String,
    /// Its pictures for a scanner, by the names under which the page may show them (`cid:…`), and what each says.
    pub codes: Vec<(String, String)>,
}

/// The name under which a page shows the order's code; one of several orders adds its number.
const CODE_ID: &str = "order-code";

impl Rendered {
    /// Returns a notice as programs read it: every field, and the texts that people would read.
    pub fn for_programs(&self, notice: &Notice) -> serde_json::Value {
        serde_json::json!({
            "version": 1,
            "key": notice.key,
            "kind": notice.kind.as_str(),
            "written": notice.written.to_string(),
            "maybe_duplicate": notice.maybe_duplicate,
            "title": self.subject,
            "text": self.text,
            "notice": notice.body,
        })
    }
}

/// Everything needed to write notices in one language.
#[derive(Debug)]
pub struct Templates {
    texts: Texts,
    language: Language,
    offset: Offset,
    account: String,
}

impl Templates {
    /// Loads the templates compiled in, and those that the configured folder replaces.
    ///
    /// # Errors
    ///
    /// [`MailError`] when a file of the folder cannot be used; see [`Templates::check`] for what only shows in use.
    pub fn load(config: &NotifyConfig, account: &str) -> Result<Self, MailError> {
        Self::of_channel("mail", config, account)
    }

    /// Loads the templates of one channel: those that its own part of the folder replaces, then the folder's.
    ///
    /// # Errors
    ///
    /// As [`Templates::load`].
    pub fn of_channel(
        channel: &str,
        config: &NotifyConfig,
        account: &str,
    ) -> Result<Self, MailError> {
        let offset = parse_offset(&config.utc_offset).ok_or_else(|| MailError::Config {
            key: "notify.utc_offset",
            reason: format!("{:?} is not an offset like -03:00", config.utc_offset),
        })?;
        Ok(Self {
            texts: Texts::load(config.language, config.templates.as_deref(), channel)?,
            language: config.language,
            offset,
            account: clean(account, LONGEST_NAME),
        })
    }

    /// Renders every kind with sample contents, so that a broken template is found now and not at three in the morning.
    ///
    /// # Errors
    ///
    /// [`MailError::Template`] naming the first template that cannot be rendered.
    pub fn check(&self) -> Result<(), MailError> {
        for notice in samples::notices() {
            self.render(&notice)?;
        }
        Ok(())
    }

    /// Renders a notice; a long one is cut to what a mail can carry and says where the full list is.
    ///
    /// # Errors
    ///
    /// [`MailError::Template`] when a template of the operator's fails on this notice.
    pub fn render(&self, notice: &Notice) -> Result<Rendered, MailError> {
        let mut lines = MOST_LINES;
        loop {
            let rendered = self.render_lines(notice, lines)?;
            if rendered.text.len() + rendered.html.len() <= MOST_BYTES || lines == 0 {
                return Ok(rendered);
            }
            lines /= 2;
        }
    }

    /// Renders a template of the configuration on a notice; in one whose name ends in `.json` every value is JSON.
    ///
    /// # Errors
    ///
    /// [`MailError::Template`] naming it.
    pub fn phrase(&self, name: &str, source: &str, notice: &Notice) -> Result<String, MailError> {
        let mut vars = self.vars(notice, MOST_LINES);
        vars.lead = self.texts.of_kind(notice.kind, "lead", &vars)?;
        vars.next = self.texts.of_kind(notice.kind, "next", &vars)?;
        if notice.maybe_duplicate {
            vars.duplicate = self.texts.duplicate(&vars)?;
        }
        self.texts.phrase(name, source, &vars)
    }

    /// Returns the mark of a possible duplicate, as it stands before a subject.
    pub fn duplicate_mark(&self) -> &str {
        &self.texts.table.duplicate_mark
    }

    fn render_lines(&self, notice: &Notice, lines: usize) -> Result<Rendered, MailError> {
        let kind = notice.kind;
        let mut vars = self.vars(notice, lines);
        if notice.maybe_duplicate {
            vars.duplicate = self.texts.duplicate(&vars)?;
        }
        if vars.more > 0 {
            vars.more_lines = self.texts.more(&vars)?;
        }
        vars.lead = self.texts.of_kind(kind, "lead", &vars)?;
        vars.next = self.texts.of_kind(kind, "next", &vars)?;
        let subject = self.texts.of_kind(kind, "subject", &vars)?;
        let mark = if notice.maybe_duplicate {
            self.texts.table.duplicate_mark.as_str()
        } else {
            ""
        };
        let subject = format!("[{}] {mark}{subject}", self.account);
        let single = vars.code.then(|| (CODE_ID.to_owned(), vars.order.clone()));
        let several = vars
            .orders
            .iter()
            .map(|part| (part.code.clone(), part.order.clone()));
        Ok(Rendered {
            codes: single.into_iter().chain(several).collect(),
            subject: clean(&subject, LONGEST_NAME),
            text: self.texts.layout(kind, "txt", &vars)?,
            html: self.texts.layout(kind, "html", &vars)?,
        })
    }

    fn vars(&self, notice: &Notice, lines: usize) -> Vars<'_> {
        let body = &notice.body;
        let name = |text: &str| clean(text, LONGEST_NAME);
        let hidden = body.items.len().saturating_sub(lines);
        let hidden = hidden + body.repeats.len().saturating_sub(lines);
        let columns = attribute_names(&body.items);
        Vars {
            language: match self.language {
                Language::Es => "es",
                Language::Pt => "pt",
                Language::En => "en",
            },
            label: &self.texts.table.label,
            account: &self.account,
            kind: notice.kind.as_str(),
            key: name(&notice.key),
            written: self.instant(notice.written),
            title: self.title(notice.kind),
            order: body
                .order
                .as_ref()
                .map(|o| name(o.as_str()))
                .unwrap_or_default(),
            sku: body
                .sku
                .as_ref()
                .map(|s| name(s.as_str()))
                .unwrap_or_default(),
            base: body
                .base
                .as_ref()
                .map(|b| name(b.as_str()))
                .unwrap_or_default(),
            depot: body
                .depot
                .as_ref()
                .map(|d| name(d.as_str()))
                .unwrap_or_default(),
            movement: body.movement.as_deref().map(name).unwrap_or_default(),
            delivery_date: body
                .delivery_date
                .map(|at| self.instant(at))
                .unwrap_or_default(),
            pickup_point: body.pickup_point.as_deref().map(name).unwrap_or_default(),
            code: body.order.is_some() && shows_code(notice.kind),
            reason: sentence(body.reason.as_deref()),
            action: sentence(body.action.as_deref()),
            facts: self.facts(body),
            orders: self.orders(body),
            columns: columns.iter().map(|name| self.column(name)).collect(),
            items: body
                .items
                .iter()
                .take(lines)
                .map(|item| Item::new(item, &columns))
                .collect(),
            repeats: self.repeats(body, lines),
            more: hidden,
            duplicate: String::new(),
            more_lines: String::new(),
            lead: String::new(),
            next: String::new(),
        }
    }

    /// Returns what is known besides the goods, each with its label.
    fn facts(&self, body: &NoticeBody) -> Vec<Fact> {
        let table = &self.texts.table;
        let known = [
            ("order", body.order.as_ref().map(ToString::to_string)),
            ("sku", body.sku.as_ref().map(ToString::to_string)),
            ("base", body.base.as_ref().map(ToString::to_string)),
            ("depot", body.depot.as_ref().map(ToString::to_string)),
            ("movement", body.movement.clone()),
            (
                "delivery_date",
                body.delivery_date.map(|at| self.instant(at)),
            ),
            ("pickup_point", body.pickup_point.clone()),
            ("reason", body.reason.clone()),
        ];
        let known = known.into_iter().filter_map(|(name, value)| {
            let longest = if name == "reason" {
                LONGEST_SENTENCE
            } else {
                LONGEST_NAME
            };
            value.map(|value| Fact::new(&table.label, name, &value, longest))
        });
        let figures = body.figures.iter().take(MOST_LINES);
        let figures =
            figures.map(|(name, value)| Fact::new(&table.figure, name, value, LONGEST_NAME));
        known.chain(figures).collect()
    }

    /// Returns the orders of a message that tells of several, each with what is known of it.
    fn orders(&self, body: &NoticeBody) -> Vec<OrderLine> {
        let parts = body.orders.iter().take(MOST_LINES).enumerate();
        let line = |(n, part): (usize, &OrderPart)| {
            let known = [
                ("movement", part.movement.clone()),
                (
                    "delivery_date",
                    part.delivery_date.map(|at| self.instant(at)),
                ),
                ("pickup_point", part.pickup_point.clone()),
            ];
            let fact = |(name, value): (&str, Option<String>)| {
                value.map(|value| Fact::new(&self.texts.table.label, name, &value, LONGEST_NAME))
            };
            OrderLine {
                key: clean(&part.key, LONGEST_NAME),
                order: clean(
                    part.order.as_ref().map_or("", OrderId::as_str),
                    LONGEST_NAME,
                ),
                code: format!("{CODE_ID}-{}", n + 1),
                facts: known.into_iter().filter_map(fact).collect(),
            }
        };
        parts.map(line).collect()
    }

    fn column(&self, name: &str) -> Column {
        let name = clean(name, LONGEST_NAME);
        Column {
            label: self.texts.table.label.get(&name).unwrap_or(&name).clone(),
            name,
        }
    }

    fn repeats(&self, body: &NoticeBody, lines: usize) -> Vec<Repeated<'_>> {
        let repeats = body.repeats.iter().take(lines);
        repeats
            .map(|repeat| Repeated {
                title: self.title(repeat.kind),
                subject: clean(&repeat.subject, LONGEST_NAME),
                times: repeat.times,
            })
            .collect()
    }

    fn title(&self, kind: NoticeKind) -> &str {
        self.texts
            .table
            .notice
            .get(&kind)
            .map_or(kind.as_str(), |phrases| phrases.title.as_str())
    }

    /// Writes an instant in the configured zone and the language's form.
    fn instant(&self, at: Moment) -> String {
        let local = Timestamp::from_millisecond(at.0).map(|t| self.offset.to_datetime(t));
        match local.and_then(|local| strtime::format(&self.texts.table.date, local)) {
            Ok(text) => clean(&text, LONGEST_NAME),
            Err(_) => at.to_string(),
        }
    }
}

/// Tells whether goods are picked by a notice, so that somebody may scan its order.
fn shows_code(kind: NoticeKind) -> bool {
    matches!(
        kind,
        NoticeKind::Remito | NoticeKind::RemitoChanged | NoticeKind::RemitoWithdrawn
    )
}

fn sentence(text: Option<&str>) -> String {
    clean(text.unwrap_or_default(), LONGEST_SENTENCE)
}

/// Parses `-03:00`.
fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number = |text: &str| match text.len() {
        2 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<i32>().ok(),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::mail::tests::config;
    use crate::domain::ids::{BaseCode, SkuId};
    use std::collections::BTreeMap;

    use crate::domain::notice::{Attribute, NoticeItem, Pick, Repeat};

    fn templates(language: &str) -> Templates {
        let config = config(&format!("language = {language:?}"));
        Templates::load(&config, "tienda").unwrap()
    }

    fn notice(kind: NoticeKind, body: NoticeBody) -> Notice {
        Notice {
            key: format!("{}.1234567890123-01.1", kind.as_str()),
            channel: "mail".into(),
            kind,
            body,
            written: Moment::parse("2026-02-03T17:05:09Z").unwrap(),
            maybe_duplicate: false,
        }
    }

    fn base(code: &str) -> BaseCode {
        BaseCode::parse(code).unwrap()
    }

    fn goods(reference: &str, name: &str) -> NoticeItem {
        let pick = |code: &str, stock: &str, take| Pick {
            base: base(code),
            stock: stock.into(),
            take,
        };
        NoticeItem {
            reference: reference.into(),
            name: Some(name.into()),
            order: None,
            attributes: vec![],
            units: 3,
            picks: vec![pick("CENTRO", "2", 2), pick("NORTE", "0", 0)],
            short: 1,
        }
    }

    fn remito() -> Notice {
        let body = NoticeBody {
            order: Some(OrderId::parse("1234567890123-01").unwrap()),
            items: vec![goods("REM01-AZUL-M", "Remera azul M")],
            depot: Some(base("WOO")),
            movement: Some("4711".into()),
            delivery_date: Moment::parse("2026-02-05T15:00:00Z"),
            pickup_point: Some("Local Centro".into()),
            ..NoticeBody::default()
        };
        notice(NoticeKind::Remito, body)
    }

    #[test]
    fn the_remito_notice_is_what_a_shop_can_act_on() {
        let rendered = templates("es").render(&remito()).unwrap();
        assert_eq!(
            rendered.subject,
            "[tienda] Hacer remito del pedido 1234567890123-01 a WOO"
        );
        let expected = "\
Hay que traer mercadería de los locales para el pedido 1234567890123-01 de la tienda web.

Pedido: 1234567890123-01
Enviar al depósito: WOO
Movimiento en el ERP: 4711
Entrega prometida: 05/02/2026 12:00
Retira en: Local Centro

Artículos:
- 3 x REM01-AZUL-M (Remera azul M)
    CENTRO: stock 2 -> tomar 2
    NORTE: stock 0
    FALTAN 1

Qué hacer: Separe las unidades indicadas, haga el remito en el ERP hacia WOO y envíe la mercadería.

-- 
Aviso remito.1234567890123-01.1, tienda, 03/02/2026 14:05";
        assert_eq!(rendered.text, expected);
        let row =
            "<td align=\"right\">3</td><td style=\"word-break: break-word\">REM01-AZUL-M</td>";
        assert!(rendered.html.contains(row), "{}", rendered.html);
        assert!(
            rendered
                .html
                .contains("<strong>tomar 2 de CENTRO</strong> (stock 2)")
        );
        assert!(rendered.html.contains("FALTAN 1"));
    }

    #[test]
    fn a_shop_gets_one_list_of_several_orders_with_colour_and_size() {
        let part = |order: &str, size: &str| {
            let mut body = remito().body;
            body.order = OrderId::parse(order).ok();
            let value = |name: &str, value: &str| Attribute {
                name: name.into(),
                value: value.into(),
            };
            body.items[0].attributes = vec![value("color", "AZUL"), value("size", size)];
            (
                format!("remito.{order}"),
                body.only(&base("CENTRO")).unwrap(),
            )
        };
        let parts = vec![part("1-01", "M"), part("2-01", "L")];
        let joined = notice(NoticeKind::Remito, NoticeBody::joined(parts));
        let rendered = templates("es").render(&joined).unwrap();
        assert_eq!(rendered.subject, "[tienda] Hacer remito de 2 pedidos a WOO");
        let expected = "\
Hay que traer mercadería de los locales para 2 pedidos de la tienda web.

Local: CENTRO
Enviar al depósito: WOO

Pedidos:
- 1-01 (Movimiento en el ERP: 4711; Entrega prometida: 05/02/2026 12:00; Retira en: Local Centro)
- 2-01 (Movimiento en el ERP: 4711; Entrega prometida: 05/02/2026 12:00; Retira en: Local Centro)

Artículos:
- 2 x REM01-AZUL-M (Remera azul M) [Color: AZUL, Talle: M] Pedido 1-01
    CENTRO: stock 2 -> tomar 2
- 2 x REM01-AZUL-M (Remera azul M) [Color: AZUL, Talle: L] Pedido 2-01
    CENTRO: stock 2 -> tomar 2

Qué hacer:";
        assert!(rendered.text.starts_with(expected), "{}", rendered.text);
        for part in [
            "<th>Color</th><th>Talle</th>",
            ">AZUL</td>",
            ">L</td>",
            ">2-01</td>",
            "cid:order-code-2",
        ] {
            assert!(rendered.html.contains(part), "{part}: {}", rendered.html);
        }
        let codes = [("order-code-1", "1-01"), ("order-code-2", "2-01")];
        assert_eq!(
            rendered.codes,
            codes.map(|(id, order)| (id.to_owned(), order.to_owned()))
        );
    }

    #[test]
    fn a_possible_duplicate_says_so_first_in_every_language() {
        let mut again = remito();
        again.maybe_duplicate = true;
        for (language, mark, line) in [
            (
                "es",
                "[tienda] [posible duplicado] ",
                "Posible duplicado del aviso remito.",
            ),
            (
                "pt",
                "[tienda] [possível duplicado] ",
                "Possível duplicado do aviso remito.",
            ),
            (
                "en",
                "[tienda] [possible duplicate] ",
                "Possible duplicate of notice remito.",
            ),
        ] {
            let rendered = templates(language).render(&again).unwrap();
            assert!(rendered.subject.starts_with(mark), "{}", rendered.subject);
            assert!(rendered.text.starts_with(line), "{}", rendered.text);
            assert!(rendered.html.contains(line), "{}", rendered.html);
        }
    }

    #[test]
    fn an_oversold_notice_shows_its_figures_in_portuguese() {
        let body = NoticeBody {
            sku: Some(SkuId::parse("1001").unwrap()),
            reason: Some("available is -2".into()),
            action: Some("stockbridge explain 1001".into()),
            figures: BTreeMap::from([
                ("published".into(), "5".into()),
                ("lots".into(), "7".into()),
            ]),
            ..NoticeBody::default()
        };
        let rendered = templates("pt")
            .render(&notice(NoticeKind::Oversold, body))
            .unwrap();
        assert_eq!(
            rendered.subject,
            "[tienda] A loja vendeu mais do que existe: SKU 1001"
        );
        let expected = "\
A loja prometeu mais unidades do que existem.

SKU: 1001
Motivo: available is -2
lots: 7
Publicado na loja: 5

O que fazer: Revise os pedidos abertos deste item e consiga as unidades ou cancele a venda.
    stockbridge explain 1001

-- 
Aviso oversold.1234567890123-01.1, tienda, 03/02/2026 14:05";
        assert_eq!(rendered.text, expected);
    }

    #[test]
    fn a_digest_counts_what_came_again_in_english() {
        let body = NoticeBody {
            repeats: vec![Repeat {
                kind: NoticeKind::Parked,
                subject: "order 1234567890123-01".into(),
                times: 12,
            }],
            ..NoticeBody::default()
        };
        let rendered = templates("en")
            .render(&notice(NoticeKind::Digest, body))
            .unwrap();
        assert_eq!(rendered.subject, "[tienda] Digest: alerts that came again");
        let expected = "\
These alerts came again; each was sent once and then only counted.

Repeated alerts:
- A person is needed: order 1234567890123-01 (12 times)

What to do: Look at those that are still open: stockbridge status

-- 
Notice digest.1234567890123-01.1, tienda, 2026-02-03 14:05";
        assert_eq!(rendered.text, expected);
    }

    #[test]
    fn every_kind_renders_in_every_language() {
        for language in ["es", "pt", "en"] {
            let templates = templates(language);
            templates.check().unwrap();
            for kind in NoticeKind::ALL {
                let rendered = templates
                    .render(&notice(kind, NoticeBody::default()))
                    .unwrap();
                let (text, html) = (rendered.text, rendered.html);
                assert!(!text.contains("{{") && !text.contains("none"), "{text}");
                assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
            }
        }
    }

    #[test]
    fn v33_t2_t5_a_hostile_order_stays_data() {
        let mut hostile = remito();
        hostile.body.items = vec![
            goods("=HYPERLINK(\"http://x\")", "<script>alert(1)</script>"),
            goods("\u{202e}odiro", &format!("\u{1f455}{}", "x".repeat(10_000))),
        ];
        hostile.body.pickup_point = Some("Local\r\nBcc: persona@tienda.example".into());
        hostile.body.reason = Some("<img src=x onerror=alert(1)>".into());
        for language in ["es", "pt", "en"] {
            let rendered = templates(language).render(&hostile).unwrap();
            for forbidden in ["<script", "<img src=x", "\u{202e}"] {
                assert!(!rendered.html.contains(forbidden), "{}", rendered.html);
            }
            assert!(rendered.html.contains("&lt;script&gt;"));
            assert!(rendered.text.contains("=HYPERLINK(\"http://x\")"));
            assert!(
                rendered.text.contains(": Local  Bcc: persona@"),
                "{}",
                rendered.text
            );
            let cut = format!("\u{1f455}{}…", "x".repeat(198));
            assert!(rendered.text.contains(&cut), "{}", rendered.text);
            assert!(rendered.text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }

    #[test]
    fn t5_a_subject_is_one_line_of_at_most_200_characters() {
        let config = config("");
        let templates = Templates::load(&config, &"\u{202e}a\n".repeat(300)).unwrap();
        let subject = templates.render(&remito()).unwrap().subject;
        assert_eq!(subject.chars().count(), 200);
        assert!(subject.ends_with('…'));
        assert!(!subject.contains(['\n', '\u{202e}']));
    }

    #[test]
    fn t7_a_huge_order_is_summarised() {
        let mut huge = remito();
        huge.body.items = vec![goods("REM01-AZUL-M", "Remera azul M"); 500];
        let rendered = templates("es").render(&huge).unwrap();
        assert_eq!(rendered.text.matches("- 3 x REM01").count(), 200);
        let more = "… y 300 líneas más. Lista completa: stockbridge show 1234567890123-01";
        assert!(rendered.text.contains(more), "{}", rendered.text);
        assert!(rendered.html.contains("300 líneas más"));

        let mut wide = goods(&"&".repeat(200), &"\"".repeat(200));
        wide.picks = vec![wide.picks[0].clone(); 1000];
        huge.body.items = vec![wide; 500];
        let rendered = templates("es").render(&huge).unwrap();
        assert!(rendered.text.len() + rendered.html.len() <= MOST_BYTES);
        assert!(rendered.text.contains("stockbridge show 1234567890123-01"));
    }

    #[test]
    fn t8_the_variables_are_the_notice_and_nothing_else() {
        let templates = templates("en");
        let notice = remito();
        let vars = serde_json::to_value(templates.vars(&notice, 200)).unwrap();
        let names: Vec<_> = vars
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected = "account action base code columns delivery_date depot duplicate facts items key kind label \
                        language lead more more_lines movement next order orders pickup_point reason repeats sku \
                        title written";
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn offsets_are_hours_and_minutes() {
        assert_eq!(parse_offset("-03:00"), Offset::from_seconds(-10_800).ok());
        assert_eq!(parse_offset("+05:30"), Offset::from_seconds(19_800).ok());
        for bad in [
            "", "3", "-3:00", "-03:60", "Z", "-03:000", "+1a:00", "15:00",
        ] {
            assert_eq!(parse_offset(bad), None, "{bad}");
        }
    }
}

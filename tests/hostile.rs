//! Every template in three languages with what a hostile order may hold, also as snapshots in `tests/snapshots`; written
//! anew with `STOCKBRIDGE_SNAPSHOTS=write cargo test --test hostile`, and then read before they are kept.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::collections::BTreeMap;

use mail_parser::{MessageParser, MimeHeaders};
use stockbridge::adapters::mail::Mail;
use stockbridge::adapters::mail::render::Templates;
use stockbridge::config::sections::NotifyConfig;
use stockbridge::domain::ids::{BaseCode, OrderId};
use stockbridge::domain::notice::{
    Attribute, Notice, NoticeBody, NoticeItem, NoticeKind, Pick, Repeat,
};
use stockbridge::domain::ports::Notifier;
use stockbridge::domain::time::Moment;

fn config(language: &str, folder: &str) -> NotifyConfig {
    let text = format!(
        "language = {language:?}\n[mail]\ntransport = \"file\"\nfolder = {folder:?}\n\
         from = \"stock@tienda.example\"\nto = [\"ventas@tienda.example\"]"
    );
    toml::from_str(&text).unwrap()
}

const SCRIPT: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>";

fn hostile(kind: NoticeKind) -> Notice {
    let texts = [
        SCRIPT.to_owned(),
        "\u{202e}gnp.exe\u{2066}\u{200b}".to_owned(),
        "x".repeat(10_000),
        "\u{1f455}\u{1f1e6}\u{1f1f7} ñandú".to_owned(),
        "=HYPERLINK(\"http://evil.example\")".to_owned(),
        "a\r\nBcc: otro@evil.example\r\n\r\nbody\0".to_owned(),
        "{{ 7 * 7 }}{% for x in y %}".to_owned(),
    ];
    let item = |text: &String| NoticeItem {
        reference: text.clone(),
        name: Some(text.clone()),
        order: None,
        attributes: vec![],
        units: i64::MAX,
        picks: vec![Pick {
            base: BaseCode::parse("CENTRO").unwrap(),
            stock: text.clone(),
            take: i64::MIN,
        }],
        short: 1,
    };
    let repeat = |text: &String| Repeat {
        kind: NoticeKind::Oversold,
        subject: text.clone(),
        times: 1,
    };
    Notice {
        key: format!("{}.1", kind.as_str()),
        channel: "mail".into(),
        kind,
        body: NoticeBody {
            order: OrderId::parse("1234567890123-01").ok(),
            reason: Some(texts.join(" ")),
            action: Some(texts[5].clone()),
            items: texts.iter().map(item).collect(),
            movement: Some(texts[5].clone()),
            pickup_point: Some(texts[0].clone()),
            figures: texts
                .iter()
                .map(|t| (t.clone(), t.clone()))
                .collect::<BTreeMap<_, _>>(),
            repeats: texts.iter().map(repeat).collect(),
            ..NoticeBody::default()
        },
        written: Moment(1_767_225_600_000),
        maybe_duplicate: true,
    }
}

#[test]
fn v33_no_text_of_an_order_is_more_than_text_in_any_template() {
    for language in ["es", "pt", "en"] {
        let templates = Templates::load(&config(language, "unused"), "tienda").unwrap();
        for kind in NoticeKind::ALL {
            let said = format!("{language} {}", kind.as_str());
            let rendered = templates.render(&hostile(kind)).unwrap();
            assert!(!rendered.subject.contains(['\r', '\n', '\0']), "{said}");
            assert!(rendered.subject.chars().count() <= 200, "{said}");
            assert!(
                rendered.text.len() + rendered.html.len() <= 200_000,
                "{said}"
            );
            for tag in ["<script", "<img src=x", "onerror=alert(1)>"] {
                assert!(!rendered.html.contains(tag), "{said}: {tag}");
            }
            assert!(
                rendered.html.contains("&lt;script&gt;"),
                "{said}: shown as text"
            );
            for all in [&rendered.subject, &rendered.text, &rendered.html] {
                let invisible = ['\u{202e}', '\u{2066}', '\u{200b}', '\0', '\r'];
                assert!(!all.contains(invisible), "{said}");
                assert!(
                    !all.contains(&"x".repeat(1001)),
                    "{said}: a long name is cut"
                );
            }
            assert!(
                !rendered.text.lines().any(|line| line.starts_with("Bcc:")),
                "{said}"
            );
            assert!(
                rendered.text.contains("{{ 7 * 7 }}"),
                "{said}: no template in a template"
            );
        }
    }
}

#[test]
fn t3_a_hostile_order_adds_no_header_and_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("es", folder.path().to_str().unwrap());
    Mail::new(&config, None, "tienda")
        .unwrap()
        .send(&hostile(NoticeKind::Remito))
        .unwrap();
    let bytes = std::fs::read(folder.path().join("remito.1.eml")).unwrap();
    let mail = MessageParser::default().parse(&bytes).unwrap();
    assert!(mail.bcc().is_none());
    assert_eq!(mail.to().unwrap().iter().count(), 1);
    let html = mail.body_html(0).unwrap();
    assert!(html.contains("cid:order-code"));
    // The picture that the page names, and no other part.
    let [picture] = mail
        .attachments()
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .unwrap();
    assert_eq!(picture.content_id(), Some("order-code"));
    assert_eq!(&picture.contents()[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(mail.text_body_count(), 1);
}

/// A small notice whose every text is hostile in its own way; what a kind has no use for stays empty, as in real ones.
fn small(kind: NoticeKind) -> Notice {
    let base = |code: &str| BaseCode::parse(code).unwrap();
    let goods = |reference: &str, name: &str| NoticeItem {
        reference: reference.into(),
        name: Some(name.into()),
        order: None,
        attributes: [
            ("color", "<b>N01</b>"),
            ("size", "\u{202e}24"),
            ("=cmd", "+1"),
        ]
        .map(|(name, value)| Attribute {
            name: name.into(),
            value: value.into(),
        })
        .into(),
        units: 3,
        picks: vec![Pick {
            base: base("CENTRO"),
            stock: "2".into(),
            take: 2,
        }],
        short: 1,
    };
    let long = format!("\u{1f455}{}", "x".repeat(10_000));
    let goods = || {
        vec![
            goods("<script>alert(1)</script>", "<img src=x onerror=alert(1)>"),
            goods(
                "\u{202e}gnp.exe\u{2066}\u{200b}",
                "\u{1f1e6}\u{1f1f7} ñandú & \"co\"",
            ),
            goods("=HYPERLINK(\"http://evil.example\")", &long),
            goods(
                "a\r\nBcc: otro@evil.example\0",
                "{{ 7 * 7 }}{% for x in y %}",
            ),
        ]
    };
    let order = || OrderId::parse("1234567890123-01").ok();
    let mut body = NoticeBody::default();
    match kind {
        NoticeKind::Remito
        | NoticeKind::RemitoChanged
        | NoticeKind::RemitoWithdrawn
        | NoticeKind::Shortage
        | NoticeKind::CanceledAfterBooking => {
            body.order = order();
            body.items = goods();
            body.depot = Some(base("WOO"));
            body.movement = Some("<i>4711</i>\r\nX: y".into());
            body.pickup_point = Some("Local\u{2028}Centro<br>".into());
        }
        NoticeKind::Parked | NoticeKind::FeedMissing | NoticeKind::StuckReservation => {
            body.order = order();
            body.reason = Some(format!("{SCRIPT} \u{202e}gnp {{{{ 7 * 7 }}}}\r\nBcc: x"));
            body.action = Some("stockbridge show <x>\r\n".into());
        }
        NoticeKind::Oversold
        | NoticeKind::Brake
        | NoticeKind::AnotherWriter
        | NoticeKind::Vanished
        | NoticeKind::TwoFigures => {
            body.sku = stockbridge::domain::ids::SkuId::parse("1001").ok();
            body.reason = Some("=cmd|' /C calc'!A0".into());
            body.figures = [("published", "<5>"), ("<figure>", "\u{200b}7")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        }
        NoticeKind::Digest => {
            body.repeats = vec![Repeat {
                kind: NoticeKind::Oversold,
                subject: format!("SKU {SCRIPT}\u{202e}"),
                times: 3,
            }];
        }
    }
    Notice {
        key: format!("{}.1", kind.as_str()),
        channel: "mail".into(),
        kind,
        body,
        written: Moment(1_767_225_600_000),
        maybe_duplicate: matches!(kind, NoticeKind::RemitoChanged),
    }
}

/// The remito notice of several orders, as one shop gets it.
fn list() -> Notice {
    let single = small(NoticeKind::Remito);
    let parts = ["1234567890123-01", "1234567890124-01"].map(|order| {
        let body = NoticeBody {
            order: OrderId::parse(order).ok(),
            ..single.body.clone()
        };
        let own = body.only(&BaseCode::parse("CENTRO").unwrap());
        (format!("remito.{order}"), own.unwrap())
    });
    Notice {
        key: "remito.1.and-1.0".into(),
        body: NoticeBody::joined(parts.into()),
        ..single
    }
}

#[test]
fn every_template_is_as_it_was_last_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let write = std::env::var("STOCKBRIDGE_SNAPSHOTS").is_ok_and(|what| what == "write");
    let mut wanted = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for language in ["es", "pt", "en"] {
        let templates = Templates::load(&config(language, "unused"), "tienda").unwrap();
        let kinds = NoticeKind::ALL.map(|kind| (kind.as_str().to_owned(), small(kind)));
        for (name, notice) in kinds.into_iter().chain([("remito-list".into(), list())]) {
            let rendered = templates.render(&notice).unwrap();
            let text = format!(
                "SUBJECT\n{}\n\nTEXT\n{}\n\nHTML\n{}\n",
                rendered.subject, rendered.text, rendered.html
            );
            let file = format!("{language}.{name}.txt");
            let path = folder.join(&file);
            if write {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
                wrong.push(file.clone());
            }
            wanted.insert(file);
        }
    }
    assert!(
        wrong.is_empty(),
        "not as kept: {wrong:?}; read the difference after STOCKBRIDGE_SNAPSHOTS=write"
    );
    let kept = std::fs::read_dir(&folder).unwrap();
    let kept = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(kept.collect::<std::collections::BTreeSet<_>>(), wanted);
}

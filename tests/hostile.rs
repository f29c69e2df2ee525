//! Every template in three languages with what a hostile order may hold.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::collections::BTreeMap;

use mail_parser::{MessageParser, MimeHeaders};
use stockbridge::adapters::mail::Mail;
use stockbridge::adapters::mail::render::Templates;
use stockbridge::config::sections::NotifyConfig;
use stockbridge::domain::ids::{BaseCode, OrderId};
use stockbridge::domain::notice::{Notice, NoticeBody, NoticeItem, NoticeKind, Pick, Repeat};
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

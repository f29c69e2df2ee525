//! Notices by e-mail, as a mail server and a mail reader see them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/parts.rs"]
mod parts;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use mail_parser::{Message, MessageParser, MimeHeaders};
use secrecy::SecretString;
use stockbridge::adapters::mail::Mail;
use stockbridge::config::sections::NotifyConfig;
use stockbridge::domain::ids::{BaseCode, OrderId};
use stockbridge::domain::notice::{Notice, NoticeBody, NoticeItem, NoticeKind, Pick};
use stockbridge::domain::ports::{CheckOutcome, Checks, Notifier, PortError, PortResult};
use stockbridge::domain::time::Moment;

fn config(mail: &str) -> NotifyConfig {
    let text = format!("[mail]\nfrom = \"Stock <stock@tienda.example>\"\n{mail}");
    toml::from_str(&text).unwrap()
}

fn remito(key: &str) -> Notice {
    Notice {
        key: key.into(),
        channel: "mail".into(),
        kind: NoticeKind::Remito,
        body: NoticeBody {
            order: Some(OrderId::parse("1234567890123-01").unwrap()),
            depot: Some(BaseCode::parse("WOO").unwrap()),
            items: vec![NoticeItem {
                reference: "REM01-AZUL-M".into(),
                name: Some("Remera ñandú \u{1f455}".into()),
                order: None,
                attributes: vec![],
                units: 2,
                picks: vec![Pick {
                    base: BaseCode::parse("CENTRO").unwrap(),
                    stock: "5".into(),
                    take: 2,
                }],
                short: 0,
            }],
            figures: BTreeMap::new(),
            ..NoticeBody::default()
        },
        written: Moment::parse("2026-02-03T17:05:09Z").unwrap(),
        maybe_duplicate: false,
    }
}

// --- the folder ---

fn folder_mail(folder: &Path) -> Mail {
    let config = config(&format!(
        "transport = \"file\"\nfolder = {folder:?}\nto = [\"ventas@tienda.example\", \"Deposito <woo@tienda.example>\"]"
    ));
    Mail::new(&config, None, "tienda").unwrap()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn parse(bytes: &[u8]) -> Message<'_> {
    MessageParser::default().parse(bytes).unwrap()
}

#[test]
fn a_mail_file_is_read_back_as_written() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("mails");
    folder_mail(&folder).send(&remito("remito.1-01.1")).unwrap();

    let path = folder.join("remito.1-01.1.eml");
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let bytes = read(&path);
    assert!(
        bytes.is_ascii(),
        "a mail must pass servers without 8BITMIME"
    );
    let mail = parse(&bytes);
    assert_eq!(
        mail.message_id(),
        Some("remito.1-01.1.1770138309000@tienda.tienda.example")
    );
    assert_eq!(
        mail.subject(),
        Some("[tienda] Hacer remito del pedido 1234567890123-01 a WOO")
    );
    assert_eq!(mail.date().unwrap().to_rfc3339(), "2026-02-03T17:05:09Z");
    assert_eq!(
        mail.header_raw("Auto-Submitted").map(str::trim),
        Some("auto-generated")
    );
    let addresses = |field: Option<&mail_parser::Address<'_>>| -> Vec<String> {
        let list = field.unwrap().iter();
        list.map(|a| a.address().unwrap().to_owned()).collect()
    };
    assert_eq!(addresses(mail.from()), ["stock@tienda.example"]);
    assert_eq!(
        addresses(mail.to()),
        ["ventas@tienda.example", "woo@tienda.example"]
    );
    assert!(mail.content_type().unwrap().c_subtype.as_deref() == Some("alternative"));
    let text = mail.body_text(0).unwrap();
    assert!(
        text.contains("- 2 x REM01-AZUL-M (Remera ñandú \u{1f455})"),
        "{text}"
    );
    assert!(text.contains("CENTRO: stock 5 -> tomar 2"), "{text}");
    assert!(
        mail.body_html(0)
            .unwrap()
            .contains("Remera ñandú \u{1f455}")
    );
}

#[test]
fn the_same_notice_twice_leaves_one_file() {
    let root = tempfile::tempdir().unwrap();
    let mail = folder_mail(root.path());
    let path = root.path().join("remito.1-01.1.eml");
    mail.send(&remito("remito.1-01.1")).unwrap();
    let first = read(&path);
    let mut again = remito("remito.1-01.1");
    again.maybe_duplicate = true;
    mail.send(&again).unwrap();

    let names: Vec<_> = std::fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["remito.1-01.1.eml"]);
    let bytes = read(&path);
    let mail = parse(&bytes);
    assert_eq!(mail.message_id(), parse(&first).message_id());
    assert!(mail.subject().unwrap().contains("[posible duplicado]"));
    let text = mail.body_text(0).unwrap();
    assert!(text.starts_with("Posible duplicado del aviso remito.1-01.1"));
}

#[test]
fn t3_no_value_can_add_a_header() {
    let root = tempfile::tempdir().unwrap();
    let mail = folder_mail(root.path());
    let mut notice = remito("remito.1-01.1");
    notice.body.reason = Some("x\r\nBcc: otra@tienda.example\r\n\r\nbody".into());
    notice.body.depot = BaseCode::parse("WOO\u{2028}Bcc: otra").ok();
    mail.send(&notice).unwrap();
    let bytes = read(&root.path().join("remito.1-01.1.eml"));
    assert!(parse(&bytes).bcc().is_none());
    assert!(!String::from_utf8_lossy(&bytes).contains("\nBcc"));

    let bad = mail.send(&remito("a\r\nBcc: x@y"));
    assert!(matches!(bad, Err(PortError::Rejected { .. })), "{bad:?}");
    let bad = mail.send(&remito("../../etc/x"));
    assert!(matches!(bad, Err(PortError::Rejected { .. })), "{bad:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_a_transient_failure() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("mails");
    std::fs::write(&file, "not a folder").unwrap();
    let failed = folder_mail(&file).send(&remito("remito.1-01.1"));
    assert!(
        matches!(failed, Err(PortError::Transient { .. })),
        "{failed:?}"
    );
}

// --- a real server ---

struct Server {
    _child: Child,
    folder: tempfile::TempDir,
    starttls: u16,
    tls: u16,
    plain: u16,
}

/// Starts the server once for all tests; it ends when this process closes its input.
fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let python = parts::mail_python().filter(|_| parts::command_exists("openssl"))?;
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(python)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/support/smtp_server.py"
            ))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let ports: Vec<u16> = line
            .split(' ')
            .skip(1)
            .map(|port| port.trim().parse().unwrap())
            .collect();
        let [starttls, tls, plain] = ports[..] else {
            panic!("the mail server said {line:?}");
        };
        Some(Server {
            _child: child,
            folder,
            starttls,
            tls,
            plain,
        })
    });
    let available = parts::part("aiosmtpd in target/py and openssl", server.is_some());
    server.as_ref().filter(|_| available)
}

impl Server {
    fn mail(&self, security: &str, to: &str, password: &str) -> Mail {
        let port = match security {
            "starttls" => self.starttls,
            "tls" => self.tls,
            _ => self.plain,
        };
        let authority = self.folder.path().join("ca.pem");
        let config = config(&format!(
            "host = \"localhost\"\nport = {port}\nsecurity = {security:?}\nuser = \"stock\"\ntimeout = \"10s\"\n\
             ca_file = {authority:?}\nto = [{to}]"
        ));
        Mail::new(&config, Some(SecretString::from(password)), "tienda").unwrap()
    }

    /// Logs in with an access token in place of a password.
    fn mail_by_token(&self, token: &str) -> Mail {
        let (port, authority) = (self.starttls, self.folder.path().join("ca.pem"));
        let config = config(&format!(
            "host = \"localhost\"\nport = {port}\nuser = \"stock\"\nauth = \"xoauth2\"\ntimeout = \"10s\"\n\
             ca_file = {authority:?}\nto = [{VENTAS}]"
        ));
        Mail::new(&config, Some(SecretString::from(token)), "tienda").unwrap()
    }

    fn send(&self, to: &str, key: &str) -> PortResult<()> {
        self.mail("starttls", to, "correct horse")
            .send(&remito(key))
    }

    fn received(&self, key: &str) -> bool {
        self.folder.path().join(format!("{key}.eml")).exists()
    }
}

const VENTAS: &str = "\"ventas@tienda.example\"";

#[test]
fn a_mail_arrives_with_an_access_token_and_not_with_a_wrong_one() {
    let Some(server) = server() else { return };
    let good = server
        .mail_by_token("ya29.good")
        .send(&remito("remito.token.1"));
    assert_eq!(good, Ok(()));
    assert!(server.received("remito.token.1"));
    let bad = server
        .mail_by_token("ya29.bad")
        .send(&remito("remito.token.2"));
    assert!(matches!(bad, Err(PortError::Denied { .. })), "{bad:?}");
    assert!(!server.received("remito.token.2"));
}

#[test]
fn a_mail_arrives_by_starttls_by_tls_and_plainly_on_this_machine() {
    let Some(server) = server() else { return };
    for security in ["starttls", "tls", "none"] {
        let key = format!("remito.{security}.1");
        let mail = server.mail(security, VENTAS, "correct horse");
        mail.send(&remito(&key)).unwrap();
        let bytes = read(&server.folder.path().join(format!("{key}.eml")));
        let text = parse(&bytes).body_text(0).unwrap().into_owned();
        assert!(
            text.contains("Remera ñandú \u{1f455}"),
            "{security}: {text}"
        );
    }
}

#[test]
fn a_wrong_password_is_denied_and_not_shown() {
    let Some(server) = server() else { return };
    let mail = server.mail("starttls", VENTAS, "battery staple");
    let Err(PortError::Denied { reason }) = mail.send(&remito("remito.denied.1")) else {
        panic!("a wrong password must be denied");
    };
    assert!(reason.contains("535"), "{reason}");
    assert!(!reason.contains("battery"), "{reason}");
    let checks = mail.checks();
    let login = checks.iter().find(|c| c.name == "mail.login").unwrap();
    assert_eq!(login.outcome, CheckOutcome::Fail);
    assert!(login.hint.as_ref().unwrap().contains("password"));
}

#[test]
fn the_log_in_check_sends_nothing() {
    let Some(server) = server() else { return };
    let checks = server.mail("tls", VENTAS, "correct horse").checks();
    let outcomes: Vec<_> = checks
        .iter()
        .map(|c| (c.name.as_str(), &c.outcome))
        .collect();
    let ok = &CheckOutcome::Ok;
    assert_eq!(outcomes, [("mail.templates", ok), ("mail.login", ok)]);
    assert!(checks[1].detail.starts_with("logged in at localhost:"));
}

#[test]
fn refusals_are_told_apart() {
    let Some(server) = server() else { return };
    let kind = |to: &str| match server.send(to, "remito.refused.1") {
        Ok(()) => "sent".to_owned(),
        Err(PortError::Transient { .. }) => "transient".to_owned(),
        Err(PortError::Uncertain { .. }) => "uncertain".to_owned(),
        Err(PortError::Rejected { reason }) => format!("rejected {reason}"),
        Err(PortError::Denied { .. }) => "denied".to_owned(),
    };
    let rejected = kind("\"rcpt550@tienda.example\"");
    assert!(rejected.starts_with("rejected every recipient refused by mail server localhost:"));
    assert!(
        rejected.contains("550") && !rejected.contains("rcpt550@"),
        "{rejected}"
    );
    assert_eq!(kind("\"rcpt451@tienda.example\""), "transient");
    assert!(kind("\"data550@tienda.example\"").starts_with("rejected content refused by"));
    assert_eq!(kind("\"data451@tienda.example\""), "transient");
    assert_eq!(kind("\"data530@tienda.example\""), "denied");
    let mixed = "\"rcpt550@tienda.example\", \"rcpt451@tienda.example\"";
    assert_eq!(kind(mixed), "transient");
    assert!(!server.received("remito.refused.1"));
}

#[test]
fn one_dead_mailbox_does_not_keep_the_others_waiting() {
    let Some(server) = server() else { return };
    let to = format!("\"rcpt550@tienda.example\", {VENTAS}");
    server.send(&to, "remito.partly.1").unwrap();
    assert!(server.received("remito.partly.1"));
}

#[test]
fn v30_a_certificate_nobody_vouches_for_is_refused() {
    let Some(server) = server() else { return };
    for (security, port) in [("starttls", server.starttls), ("tls", server.tls)] {
        let config = config(&format!(
            "host = \"localhost\"\nport = {port}\nsecurity = {security:?}\nto = [{VENTAS}]"
        ));
        let sent = Mail::new(&config, None, "tienda")
            .unwrap()
            .send(&remito("remito.untrusted.1"));
        let Err(PortError::Transient { reason, .. }) = sent else {
            panic!("{security}: an unknown certificate must not be accepted: {sent:?}");
        };
        assert!(reason.contains("certificate"), "{reason}");
    }
    assert!(!server.received("remito.untrusted.1"));
}

#[test]
fn starttls_is_never_left_out() {
    let Some(server) = server() else { return };
    let config = config(&format!(
        "host = \"localhost\"\nport = {}\nto = [{VENTAS}]",
        server.plain
    ));
    let sent = Mail::new(&config, None, "tienda")
        .unwrap()
        .send(&remito("remito.strip.1"));
    let Err(PortError::Transient { reason, .. }) = sent else {
        panic!("a server without STARTTLS must get no mail: {sent:?}");
    };
    assert!(reason.contains("offers no STARTTLS"), "{reason}");
}

// --- a server that misbehaves, one connection ---

/// What the scripted server does instead of its next answer.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Cut,
    Stall,
    Say(&'static str),
}

/// Serves one connection correctly up to the command (or `.` for the end of the content), where it does its fault.
fn scripted(at: &'static str, fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || serve(&listener.accept().unwrap().0, at, fault));
    port
}

fn serve(mut stream: &TcpStream, at: &str, fault: Fault) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut line = "CONNECT".to_owned();
    let mut in_content = false;
    loop {
        let command = line.split(' ').next().unwrap_or_default().to_owned();
        if !in_content || command == "." {
            let answer = match (command == at, fault) {
                (true, Fault::Cut) => return,
                // The client's limit ends this; reading on waits for it to hang up.
                (true, Fault::Stall) => return lines.for_each(drop),
                (true, Fault::Say(answer)) => answer,
                (false, _) if command == "CONNECT" => "220 ready",
                (false, _) if command == "DATA" => "354 go on",
                (false, _) => "250 fine",
            };
            in_content = command == "DATA" && answer.starts_with('3');
            let _ = stream.write_all(format!("{answer}\r\n").as_bytes());
        }
        match lines.next() {
            Some(next) => line = next,
            None => return,
        }
    }
}

fn outcome(at: &'static str, fault: Fault) -> PortResult<()> {
    let config = config(&format!(
        "host = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\ntimeout = \"200ms\"\nto = [{VENTAS}]",
        scripted(at, fault)
    ));
    Mail::new(&config, None, "tienda")
        .unwrap()
        .send(&remito("remito.1-01.1"))
}

#[test]
fn before_the_final_dot_every_break_is_certainly_not_delivered() {
    for at in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"] {
        for fault in [
            Fault::Cut,
            Fault::Stall,
            Fault::Say("421 closing"),
            Fault::Say("nonsense"),
        ] {
            let got = outcome(at, fault);
            assert!(
                matches!(got, Err(PortError::Transient { .. })),
                "{at}: {got:?}"
            );
        }
    }
    let stalled = outcome("MAIL", Fault::Stall).unwrap_err().to_string();
    assert!(stalled.contains("no answer within 200 ms"), "{stalled}");
}

#[test]
fn after_the_final_dot_only_the_servers_word_counts() {
    for fault in [
        Fault::Cut,
        Fault::Stall,
        Fault::Say("nonsense"),
        Fault::Say("354 go on"),
    ] {
        let got = outcome(".", fault);
        assert!(matches!(got, Err(PortError::Uncertain { .. })), "{got:?}");
    }
    assert_eq!(outcome(".", Fault::Say("250 kept")), Ok(()));
    let refused = outcome(".", Fault::Say("554 looks like spam"));
    assert!(
        matches!(refused, Err(PortError::Rejected { .. })),
        "{refused:?}"
    );
    let later = outcome(".", Fault::Say("451 disk full"));
    assert!(
        matches!(later, Err(PortError::Transient { .. })),
        "{later:?}"
    );
}

#[test]
fn a_server_that_wants_a_log_in_first_denies() {
    for at in ["MAIL", "DATA"] {
        let got = outcome(at, Fault::Say("530 5.7.0 authentication required"));
        assert!(
            matches!(got, Err(PortError::Denied { .. })),
            "{at}: {got:?}"
        );
    }
}

#[test]
fn a_closed_port_is_a_transient_failure() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = config(&format!(
        "host = \"127.0.0.1\"\nport = {closed}\nsecurity = \"none\"\nto = [{VENTAS}]"
    ));
    let sent = Mail::new(&config, None, "tienda")
        .unwrap()
        .send(&remito("remito.1-01.1"));
    assert!(matches!(sent, Err(PortError::Transient { .. })), "{sent:?}");
}

//! Channels and routes: each notice by its own channel, none held up by another, and what the other side sees.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/shop.rs"]
mod shop;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use serde_json::{Value, json};
use shop::Shop;
use stockbridge::domain::notice::{NoticeBody, NoticeKind};
use stockbridge::domain::time::Moment;
use stockbridge::exit::Exit;
use stockbridge::sandbox::http::{Mischief, Reply, Request, Server};
use stockbridge::store::outbox::Target;
use stockbridge::store::{Identity, OpenOptions, Store};

/// One POST that the other side took in, whatever it answered.
#[derive(Clone)]
struct Post {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Post {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The other side of a channel: keeps what it takes in, and answers what the test wants.
struct Peer {
    server: Server,
    taken: Arc<Mutex<Vec<Post>>>,
}

impl Peer {
    /// `answer` says what the n-th request gets, and whether it is taken in.
    fn start(answer: impl Fn(usize) -> (Reply, bool) + Send + Sync + 'static) -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        let asked = Mutex::new(0_usize);
        let server = Server::start(Arc::new(move |request: &Request| {
            let mut asked = asked.lock().unwrap();
            let (reply, takes) = answer(*asked);
            *asked += 1;
            if takes {
                kept.lock().unwrap().push(Post {
                    path: request.path.clone(),
                    headers: request.headers.clone(),
                    body: request.body.clone(),
                });
            }
            reply
        }))
        .unwrap();
        Self { server, taken }
    }

    fn good() -> Self {
        Self::start(|_| (Reply::empty(200), true))
    }

    fn taken(&self) -> Vec<Post> {
        self.taken.lock().unwrap().clone()
    }
}

fn add(shop: &Shop, lines: &str) {
    let path = shop.path("stockbridge.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{lines}\n")).unwrap();
}

fn secret(shop: &Shop, name: &str, value: &str) {
    let path = shop.path(name);
    fs::write(&path, value).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn hook(peer: &Peer, name: &str, more: &str) -> String {
    let url = peer.server.url();
    format!("[[channel]]\nname = {name:?}\n[channel.webhook]\nurl = \"{url}/in\"\n{more}")
}

/// An order that takes goods from the shops, reserved.
fn reserved(shop: &Shop) {
    shop.sell(0, 2);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
}

#[test]
fn a_webhook_is_signed_over_timestamp_and_body() {
    let shop = Shop::open(2);
    let peer = Peer::good();
    secret(&shop, "signing", "a key for signatures");
    add(
        &shop,
        &hook(&peer, "hook", "signing_key = { file = \"signing\" }"),
    );
    reserved(&shop);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    assert_eq!(shop.mails().len(), 1);
    let [post] = peer.taken().try_into().ok().unwrap();
    assert_eq!(post.path, "/in");
    let body = post.json();
    assert_eq!(body["kind"], "remito");
    assert_eq!(body["maybe_duplicate"], false);
    assert!(body["notice"]["items"][0]["picks"][0]["base"].is_string());

    // An independent tool makes the same signature.
    let mut signed = post.headers["x-stockbridge-timestamp"].clone().into_bytes();
    signed.push(b'.');
    signed.extend(&post.body);
    fs::write(shop.path("signed"), signed).unwrap();
    let out = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "a key for signatures"])
        .arg(shop.path("signed"))
        .output()
        .unwrap();
    let out = String::from_utf8(out.stdout).unwrap();
    let expected = out.split_whitespace().last().unwrap();
    assert_eq!(
        post.headers["x-stockbridge-signature"],
        format!("v1={expected}")
    );
}

#[test]
fn every_preset_says_what_the_other_side_reads() {
    let shop = Shop::open(2);
    let peer = Peer::good();
    let presets = [
        ("slack", ""),
        ("teams", ""),
        ("telegram", "to = \"-100\""),
        ("ntfy", "to = \"stock\""),
    ];
    for (preset, more) in presets {
        let more = format!("preset = {preset:?}\n{more}\n");
        add(&shop, &hook(&peer, preset, &more));
    }
    let body = "body = '{\"order\": {{ order }}, \"n\": {{ items | length }}, \"t\": {{ lead }}}'";
    add(&shop, &hook(&peer, "own", body));
    assert_eq!(shop.run(&["config", "check"]), Exit::Done);
    let sent = |channel: &str| {
        let args = ["notify", "--test", "remito", "--channel", channel];
        assert_eq!(shop.run(&args), Exit::Done, "{channel}");
        peer.taken().pop().unwrap().json()
    };
    assert!(
        sent("slack")["text"]
            .as_str()
            .unwrap()
            .contains("1234567890123-01")
    );
    let card = &sent("teams")["attachments"][0]["content"]["body"][0]["inlines"][0]["text"];
    assert!(card.as_str().unwrap().contains("Hacer remito"), "{card}");
    let telegram = sent("telegram");
    assert_eq!(telegram["chat_id"], "-100");
    assert!(telegram.get("parse_mode").is_none(), "nothing is markup");
    let ntfy = sent("ntfy");
    assert_eq!(ntfy["topic"], "stock");
    assert!(ntfy["message"].as_str().unwrap().contains("CENTRO"));
    let own = sent("own");
    assert_eq!(own["order"], "1234567890123-01");
    assert_eq!(own["n"], 2);
    assert_eq!(shop.mails().len(), 0, "a test goes to its channel only");
    let before = peer.taken().len();
    let dry = [
        "notify",
        "--test",
        "remito",
        "--channel",
        "own",
        "--dry-run",
    ];
    assert_eq!(shop.run(&dry), Exit::Done);
    assert_eq!(peer.taken().len(), before);
}

#[test]
fn t1_a_wrong_template_of_a_channel_is_found_by_the_check() {
    for (more, says) in [
        ("body = '{\"a\": {{ ordr }}}'", Exit::Config),
        ("body = '{\"a\": '", Exit::Config),
        ("body = '{\"a\": {{ app_token }}}'", Exit::Config),
        ("body = '{\"a\": {{ order }}}'", Exit::Done),
    ] {
        let shop = Shop::open(1);
        add(&shop, &hook(&Peer::good(), "hook", more));
        assert_eq!(shop.run(&["config", "check"]), says, "{more}");
    }
}

#[test]
fn channels_and_routes_that_lead_nowhere_are_refused() {
    let hook = "[[channel]]\nname = \"hook\"\n[channel.webhook]\nurl = \"http://127.0.0.1:9/in\"\n";
    let shops = "[[route]]\nchannels = [\"mail\"]\nbases = [\"CENTRO\"]\n\
                 kinds = [\"remito\", \"remito-changed\", \"remito-withdrawn\"]\n";
    let all = "[[route]]\nchannels = [\"mail\"]\n";
    for (lines, ends) in [
        (format!("{hook}{all}"), Exit::Done),
        (format!("{all}{shops}"), Exit::Done),
        (format!("{hook}{hook}"), Exit::Config),
        (hook.replace("hook", "mail"), Exit::Config),
        (hook.replace("127.0.0.1", "example.com"), Exit::Config),
        (hook.replace("/in", "/in?x=1"), Exit::Done),
        (
            hook.replace(
                "[channel.webhook]",
                "batch = true\n[channel.webhook]\npreset = \"slack\"",
            ),
            Exit::Config,
        ),
        (
            hook.replace("[channel.webhook]", "batch = true\n[channel.webhook]"),
            Exit::Done,
        ),
        (
            hook.replace("127.0.0.1", "127.0.0.1.example.com"),
            Exit::Config,
        ),
        (
            hook.replace("[channel.webhook]\nurl", "[channel.webhook]\nto"),
            Exit::Config,
        ),
        (all.replace("mail", "nobody"), Exit::Config),
        (shops.to_owned(), Exit::Config),
        (
            format!("{all}{}", shops.replace(", \"remito-withdrawn\"", "")),
            Exit::Config,
        ),
        (format!("{all}escalate_after = \"1h\"\n"), Exit::Config),
    ] {
        let shop = Shop::open(1);
        add(&shop, &lines);
        assert_eq!(shop.run(&["config", "check"]), ends, "{lines}");
    }
}

#[test]
fn a_channel_that_is_down_holds_up_no_other() {
    let shop = Shop::open(2);
    let peer = Peer::start(|_| (Reply::empty(503), false));
    add(&shop, &hook(&peer, "hook", ""));
    reserved(&shop);
    assert_eq!(shop.run(&["notify"]), Exit::Partial);
    assert_eq!(shop.mails().len(), 1, "the mail went");
    shop.run(&["notify"]);
    shop.run(&["notify"]);
    assert_eq!(
        shop.run(&["notify"]),
        Exit::Person,
        "given up after two resends"
    );
    assert_eq!(shop.mails().len(), 1);
}

const WHATSAPP: &str = r#"
to = "+5491112345678"
phone_number_id = "42"
token = { file = "wa" }
[channel.whatsapp.template.default]
name = "aviso"
language = "es_AR"
parameters = ["{{ title }}", "{{ reason }}"]
[channel.whatsapp.template.remito]
name = "remito"
language = "es_AR"
parameters = ["{{ order }}", "{% for i in items %}{{ i.units }} x {{ i.reference }}\n{% endfor %}", "{{ pickup_point }}"]
"#;

fn whatsapp(shop: &Shop, peer: &Peer) {
    secret(shop, "wa", "EAAGtoken");
    let url = peer.server.url();
    add(
        shop,
        &format!(
            "[[channel]]\nname = \"wa\"\n[channel.whatsapp]\napi_url = \"{url}/v23.0\"{WHATSAPP}"
        ),
    );
}

#[test]
fn whatsapp_gets_its_template_with_parameters_in_order() {
    let shop = Shop::open(2);
    let accepted = json!({ "messages": [{ "id": "wamid.1" }] });
    let peer = Peer::start(move |_| (Reply::json(200, &accepted), true));
    whatsapp(&shop, &peer);
    assert_eq!(shop.run(&["config", "check"]), Exit::Done);
    reserved(&shop);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    let [post] = peer.taken().try_into().ok().unwrap();
    assert_eq!(post.path, "/v23.0/42/messages");
    assert_eq!(post.headers["authorization"], "Bearer EAAGtoken");
    let body = post.json();
    assert_eq!(body["to"], "5491112345678");
    assert_eq!(body["type"], "template");
    assert_eq!(body["template"]["name"], "remito");
    assert_eq!(body["template"]["language"]["code"], "es_AR");
    let parameters = body["template"]["components"][0]["parameters"]
        .as_array()
        .unwrap();
    let texts: Vec<_> = parameters
        .iter()
        .map(|p| p["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts.len(), 3);
    assert!(texts[0].ends_with("-01"), "{texts:?}");
    assert!(texts[1].starts_with("2 x "), "{texts:?}");
    assert_eq!(texts[2], "-", "T6: never empty");
    assert!(texts.iter().all(|text| !text.contains(['\n', '\t'])));
}

#[test]
fn whatsapp_without_a_clear_answer_waits_for_a_person_and_is_never_repeated() {
    for reply in [Reply::empty(500), Reply::text(200, "<html>"), cut()] {
        let shop = Shop::open(2);
        let reply = Mutex::new(Some(reply));
        let peer = Peer::start(move |_| {
            let reply = reply.lock().unwrap().take();
            (reply.unwrap_or_else(|| Reply::empty(500)), true)
        });
        whatsapp(&shop, &peer);
        reserved(&shop);
        assert_eq!(shop.run(&["notify"]), Exit::Partial);
        assert_eq!(shop.run(&["notify"]), Exit::Person);
        assert_eq!(shop.run(&["notify"]), Exit::Person);
        assert_eq!(peer.taken().len(), 1);
        assert_eq!(shop.mails().len(), 1);
    }
}

fn cut() -> Reply {
    Reply {
        mischief: Mischief::Reset,
        ..Reply::empty(200)
    }
}

#[test]
fn a_shop_is_told_of_its_own_lines_only() {
    let shop = Shop::open(2);
    let peer = Peer::good();
    let kinds = "kinds = [\"remito\", \"remito-changed\", \"remito-withdrawn\"]";
    add(
        &shop,
        &format!(
            "{}\n[[route]]\nchannels = [\"mail\"]\n\
             [[route]]\n{kinds}\nchannels = [\"hook\"]\nbases = [\"CENTRO\", \"NORTE\", \"SUR\"]",
            hook(&peer, "hook", "")
        ),
    );
    // More than one shop alone can give.
    shop.sell(0, 6);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    assert_eq!(shop.mails().len(), 1);
    let posts = peer.taken();
    assert!(!posts.is_empty());
    let mut units = 0;
    let mut told = Vec::new();
    for post in &posts {
        let body = post.json();
        let [item] = body["notice"]["items"]
            .as_array()
            .unwrap()
            .clone()
            .try_into()
            .ok()
            .unwrap();
        let [pick] = item["picks"]
            .as_array()
            .unwrap()
            .clone()
            .try_into()
            .ok()
            .unwrap();
        assert_eq!(item["units"], pick["take"]);
        units += item["units"].as_i64().unwrap();
        told.push(pick["base"].as_str().unwrap().to_owned());
    }
    let before = told.len();
    told.dedup();
    assert_eq!(told.len(), before, "each shop once");
    assert!(units <= 6);
}

#[test]
fn a_shop_that_was_asked_for_goods_learns_that_the_order_was_canceled() {
    let shop = Shop::open(2);
    let peer = Peer::good();
    let kinds = "kinds = [\"remito\", \"remito-changed\", \"remito-withdrawn\"]";
    add(
        &shop,
        &format!(
            "{}\n[[route]]\nchannels = [\"mail\"]\n\
             [[route]]\n{kinds}\nchannels = [\"hook\"]\nbases = [\"CENTRO\", \"NORTE\", \"SUR\"]",
            hook(&peer, "hook", "")
        ),
    );
    let order = shop.sell(0, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    shop.run(&["notify"]);
    let asked = peer.taken();
    assert_eq!(asked.len(), 1);
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.cancel(&order, now));
    shop.cycles(2);
    let told = peer.taken();
    assert_eq!(told.len(), 2);
    let last = told[1].json();
    assert_eq!(last["kind"], "remito-withdrawn");
    let base = |post: &Value| post["notice"]["items"][0]["picks"][0]["base"].clone();
    assert_eq!(base(&last), base(&asked[0].json()));
}

#[test]
fn a_command_gets_the_notice_and_its_code_decides() {
    for (code, ends) in [
        (0, Exit::Done),
        (75, Exit::Unreachable),
        (77, Exit::Denied),
        (1, Exit::Person),
    ] {
        let shop = Shop::open(1);
        let script = format!("cat >\"$0.json\"; env >\"$0.env\"; exit {code}");
        let program = shop.path("tell");
        // Read by a shell and not run itself: a child of another test may hold it open for writing for an instant.
        fs::write(&program, script).unwrap();
        add(
            &shop,
            &format!(
                "[[channel]]\nname = \"tell\"\n[channel.command]\nargv = [\"/bin/sh\", {program:?}]"
            ),
        );
        let args = ["notify", "--test", "parked", "--channel", "tell"];
        assert_eq!(shop.run(&args), ends, "{code}");
        let json: Value =
            serde_json::from_slice(&fs::read(shop.path("tell.json")).unwrap()).unwrap();
        assert_eq!(json["kind"], "parked");
        let env = fs::read_to_string(shop.path("tell.env")).unwrap();
        assert!(!env.contains("HOME=") && !env.contains("CARGO"), "{env}");
    }
}

#[test]
fn a_command_that_does_not_end_is_killed_with_what_it_started_and_its_notice_is_unknown() {
    let shop = Shop::open(1);
    let program = shop.path("tell");
    let script = "sleep 60 &\necho $! >\"$0.pid\"\nwait\n";
    fs::write(&program, script).unwrap();
    add(
        &shop,
        &format!(
            "[[channel]]\nname = \"tell\"\n[channel.command]\nargv = [\"/bin/sh\", {program:?}]\ntimeout = \"1s\""
        ),
    );
    let args = ["notify", "--test", "parked", "--channel", "tell"];
    assert_eq!(shop.run(&args), Exit::Person);
    let pid = fs::read_to_string(shop.path("tell.pid")).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    // A killed process may stay as a zombie where nobody collects orphans.
    let runs = || fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
    let until = Instant::now() + Duration::from_secs(5);
    while runs() {
        assert!(Instant::now() < until, "the grandchild still runs");
        std::thread::yield_now();
    }
}

fn store(path: &Path) -> Store {
    Store::open(&OpenOptions {
        path: path.to_owned(),
        wal: true,
        identity: Identity {
            account: "tienda".into(),
            erp: "dragonfish WOO".into(),
        },
        instance_id: "test".into(),
        machine: None,
        now: Moment(1),
    })
    .unwrap()
}

#[test]
fn a_thousand_notices_all_arrive_and_only_marked_ones_twice() {
    // Thousands of durable commits: in memory where that is possible, since the disk is not what is tested.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let state = folder.path().join("state.sqlite");
    let shop = Shop::with(
        1,
        &format!("[notify]\nmax_resends = 10\n[store]\npath = {state:?}"),
    );
    // A chance that is the same in every run: xorshift.
    let seed = Mutex::new(0x9e37_79b9_7f4a_7c15_u64);
    let peer = Peer::start(move |_| {
        let mut seed = seed.lock().unwrap();
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        match *seed % 10 {
            0 => (Reply::empty(503), false),
            1 => (Reply::empty(500), true),
            2 => (cut(), true),
            3 => (Reply::empty(429), false),
            _ => (Reply::empty(200), true),
        }
    });
    add(&shop, &hook(&peer, "hook", ""));
    shop.run(&["status"]);
    let target = Target {
        channel: "hook".into(),
        base: None,
    };
    store(&state)
        .write(|tx| {
            for n in 0..1000 {
                let (kind, subject) = (NoticeKind::Remito, format!("{n}"));
                let body = NoticeBody::default();
                tx.notify(
                    kind,
                    &subject,
                    &body,
                    std::slice::from_ref(&target),
                    Moment(1),
                    0,
                    false,
                )?;
            }
            Ok(())
        })
        .unwrap();
    let ended = (0..400).any(|_| shop.run(&["notify"]) == Exit::Done);
    assert!(ended, "notices are still waiting");
    assert!(store(&state).outbox_counts().unwrap().is_empty());
    let mut arrived: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for post in peer.taken() {
        let body = post.json();
        let key = body["key"].as_str().unwrap().to_owned();
        let marked = body["maybe_duplicate"].as_bool().unwrap();
        arrived.entry(key).or_default().push(marked);
    }
    assert_eq!(arrived.len(), 1000);
    let twice = arrived.values().filter(|copies| copies.len() > 1).count();
    assert!(twice > 50, "chance made only {twice} copies");
    for (key, copies) in arrived {
        let unmarked = copies.iter().filter(|marked| !**marked).count();
        assert!(unmarked <= 1, "{key} came {unmarked} times without a mark");
    }
}

#[test]
fn an_order_that_stays_parked_is_told_to_the_next_people_once() {
    let shop = Shop::open(1);
    let peer = Peer::good();
    add(
        &shop,
        &format!(
            "{}\n[[route]]\nchannels = [\"mail\"]\nescalate_after = \"1m\"\nescalate_to = [\"boss\"]",
            hook(&peer, "boss", "")
        ),
    );
    shop.run(&["status"]);
    let order = shop.sell(0, 1);
    shop.run(&["poll"]);
    // Written long ago, by the program's own clock.
    let mail = Target {
        channel: "mail".into(),
        base: None,
    };
    let body = NoticeBody {
        order: Some(order.clone()),
        ..NoticeBody::default()
    };
    let told = |kind| {
        store(&shop.path("state.sqlite"))
            .write(|tx| {
                tx.notify(
                    kind,
                    order.as_str(),
                    &body,
                    std::slice::from_ref(&mail),
                    Moment(1),
                    0,
                    false,
                )
            })
            .unwrap();
    };
    told(NoticeKind::Parked);
    shop.run(&["notify"]);
    assert_eq!(peer.taken().len(), 0, "the order is not parked");
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let sql = "UPDATE orders SET parked_at = 1, parked_reason = 'test'";
    assert_eq!(file.execute(sql, []).unwrap(), 1);
    shop.run(&["notify"]);
    shop.run(&["notify"]);
    let posts = peer.taken();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].json()["kind"], "parked");
}

#[test]
fn an_alert_that_comes_again_is_counted_for_each_channel_and_its_digest_goes_where_it_was_told() {
    let shop = Shop::open(1);
    let (hook, boss) = (Peer::good(), Peer::good());
    let routes = "[[route]]\nchannels = [\"mail\"]\nkinds = [\"digest\", \"parked\"]\n\
                  [[route]]\nchannels = [\"hook\"]\nkinds = [\"digest\"]\n\
                  [[route]]\nchannels = [\"boss\"]\n";
    let others = NoticeKind::ALL.iter().map(|kind| kind.as_str());
    let others: Vec<_> = others.filter(|kind| *kind != "digest").collect();
    let routes = format!("{routes}kinds = {others:?}");
    add(
        &shop,
        &format!(
            "{}\n{}\n{routes}",
            self::hook(&hook, "hook", ""),
            self::hook(&boss, "boss", "")
        ),
    );
    assert_eq!(shop.run(&["config", "check"]), Exit::Done);
    shop.run(&["notify"]);
    let target = |channel: &str| Target {
        channel: channel.into(),
        base: None,
    };
    let (mail, boss_target) = (target("mail"), target("boss"));
    let day = 24 * 3_600_000;
    let tell = |subject: &str, targets: &[Target], at: i64| {
        let body = NoticeBody::default();
        let kind = NoticeKind::Parked;
        store(&shop.path("state.sqlite"))
            .write(|tx| tx.notify(kind, subject, &body, targets, Moment(at), day, false))
            .unwrap();
    };
    // First by mail alone: the boss has not been told of it when it comes again, and is now.
    tell("one", std::slice::from_ref(&mail), 1);
    tell("one", &[mail.clone(), boss_target.clone()], 2);
    tell("one", &[mail, boss_target.clone()], 3);
    tell("two", std::slice::from_ref(&boss_target), 4);
    tell("two", std::slice::from_ref(&boss_target), 5);
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let sql = "SELECT subject || ' ' || channel || ' ' || repeats FROM outbox WHERE kind = 'parked' ORDER BY 1";
    let rows: Vec<String> = file
        .prepare(sql)
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows, ["one boss 1", "one mail 2", "two boss 1"]);
    // The period of the digest is over.
    let sql = "UPDATE marks SET value = 0 WHERE name = 'digest'";
    assert_eq!(file.execute(sql, []).unwrap(), 1);
    assert_eq!(shop.run(&["notify"]), Exit::Done);
    let told = |peer: &Peer| {
        let posts = peer.taken();
        let digest = posts.iter().find(|post| post.json()["kind"] == "digest");
        let repeats = digest.map(|post| post.json()["notice"]["repeats"].clone());
        let repeats = repeats.unwrap_or_default();
        let line = |r: &Value| format!("{} {}", r["subject"].as_str().unwrap(), r["times"]);
        let mut lines: Vec<_> = repeats.as_array().into_iter().flatten().map(line).collect();
        lines.sort();
        lines
    };
    // The hook was told of neither; of the boss's, who gets no digest, it hears.
    assert_eq!(told(&hook), ["one 1", "two 1"]);
    assert_eq!(told(&boss), Vec::<String>::new());
    let mails = shop.mails();
    let digest = mails.iter().find(|mail| mail.contains("Resumen"));
    let digest = MessageParser::default()
        .parse(digest.unwrap().as_bytes())
        .unwrap()
        .body_text(0)
        .unwrap()
        .into_owned();
    assert!(
        digest.contains("one (2 veces)") && digest.contains("two (1 veces)"),
        "{digest}"
    );
}

/// What must never be seen outside: planted secrets, found again in nothing that the program writes.
#[test]
fn i13_planted_secrets_stand_in_no_output_at_any_level() {
    let canaries = [
        "CANARYtoken0123456789",
        "CANARYsign0123456789",
        "CANARYurl0123456789",
    ];
    for status in [200, 400, 500] {
        let shop = Shop::open(1);
        // It sends everything back, as some do.
        let echo = format!(
            "{{\"error\":{{\"code\":1,\"message\":\"{}\"}}}}",
            canaries.join(" ")
        );
        let peer = Peer::start(move |_| (Reply::text(status, &echo), true));

        secret(&shop, "wa", canaries[0]);
        secret(&shop, "sign", canaries[1]);
        let url = format!("{}/{}", peer.server.url(), canaries[2]);
        secret(&shop, "url", &url);
        let api = peer.server.url();
        add(
            &shop,
            &format!(
                "[[channel]]\nname = \"wa\"\n[channel.whatsapp]\napi_url = \"{api}\"{WHATSAPP}\n\
                 [[channel]]\nname = \"hook\"\n[channel.webhook]\nsecret_url = {{ file = \"url\" }}\n\
                 signing_key = {{ file = \"sign\" }}\n"
            ),
        );
        shop.sell(0, 1);
        for args in [
            &["run", "-vv"][..],
            &["notify", "--force", "-vv", "--log-format", "json"],
            &["status"],
            &["doctor", "-vv"],
            &["backup", "save.sqlite"],
            &["notify", "--test", "remito", "--channel", "wa", "-vv"],
            &["notify", "--test", "remito", "--channel", "hook", "-vv"],
            &[
                "notify",
                "--test",
                "remito",
                "--channel",
                "hook",
                "-vv",
                "--json",
            ],
            &["config", "show"],
            &["config", "check", "-vv"],
        ] {
            let out = Command::new(env!("CARGO_BIN_EXE_stockbridge"))
                .args(args)
                .arg("--config")
                .arg(shop.path("stockbridge.toml"))
                .current_dir(shop.folder.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let all = [out.stdout, out.stderr].concat();
            let all = String::from_utf8_lossy(&all);
            for canary in canaries {
                assert!(!all.contains(canary), "{args:?} at {status}: {all}");
            }
        }
        assert!(peer.taken().len() >= 3);
        let saved = fs::read(shop.path("save.sqlite")).unwrap();
        // The refusal was kept, without what was sent back in it.
        let refused = String::from_utf8_lossy(&saved).contains("code 1: ***");
        assert!(refused || status != 400, "nothing was refused");
        for name in ["state.sqlite", "state.sqlite-wal", "save.sqlite"] {
            let kept = fs::read(shop.path(name)).unwrap_or_default();
            let kept = String::from_utf8_lossy(&kept);
            for canary in canaries {
                assert!(!kept.contains(canary), "{name} at {status}");
            }
        }
    }
}

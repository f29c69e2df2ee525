//! Configuration: what is refused, in which words, and where each value came from.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use secrecy::ExposeSecret;
use stockbridge::config::EXAMPLE;
use stockbridge::config::load::{Layer, LoadOptions, Loaded, full_example, load};
use stockbridge::config::secret::{SecretContext, SecretSource};
use stockbridge::config::show::{show, table};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let folder = Folder::new();
    let file = folder.write("stockbridge.toml", text);
    let options = LoadOptions {
        file: Some(file),
        env: env(variables),
        ..LoadOptions::default()
    };
    load(&options).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// The example with one line replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    EXAMPLE.replacen(from, to, 1)
}

fn refused(text: &str) -> String {
    load_text(text, &[])
        .map(|_| ())
        .expect_err("must be refused")
}

#[test]
fn the_example_is_sound_and_names_every_key() {
    let loaded = load_text(EXAMPLE, &[]).unwrap();
    for shown in show(&loaded) {
        let name = shown.key.rsplit('.').next().unwrap();
        assert!(
            EXAMPLE.contains(name),
            "{} is not in the example",
            shown.key
        );
    }
    // What stands behind "#" is the default, so that switching it on changes nothing.
    let full = load_text(&full_example(), &[]).unwrap();
    let values = |loaded: &Loaded| {
        show(loaded)
            .into_iter()
            .map(|s| (s.key, s.value))
            .collect::<BTreeMap<_, _>>()
    };
    let (plain, full) = (values(&loaded), values(&full));
    assert!(full.len() > plain.len());
    for (key, value) in plain.iter().filter(|(key, _)| *key != "warehouse") {
        assert_eq!(full.get(key), Some(value), "{key}");
    }
}

#[test]
fn the_winthor_example_is_sound_and_names_every_key_of_its_erp() {
    let text = include_str!("../examples/stockbridge-winthor.toml");
    let loaded = load_text(text, &[]).unwrap();
    let erp = show(&loaded)
        .into_iter()
        .filter(|shown| shown.key.starts_with("erp.winthor."));
    let mut keys = 0;
    for shown in erp {
        let name = shown.key.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{name} = ")), "{}", shown.key);
        keys += 1;
    }
    assert!(keys > 40, "{keys} keys");
    let winthor = loaded.config.erp.winthor.unwrap();
    let other = [("STOCKBRIDGE__ERP__WINTHOR__PAGE_SIZE", "50")];
    let other = load_text(text, &other).unwrap().config.erp.winthor.unwrap();
    assert_eq!(other.page_size, 50);
    let defaults: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once(" = "))
        .collect();
    let value = |name: &str| {
        let found = defaults.iter().filter(|(key, _)| *key == name);
        found.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    assert_eq!(value("page_size"), [winthor.page_size.to_string()]);
    assert_eq!(value("login_path"), [format!("{:?}", winthor.login_path)]);
    assert_eq!(value("path"), [format!("{:?}", winthor.orders.path)]);
    let sql = winthor.sql.unwrap();
    assert_eq!(value("order_column"), [format!("{:?}", sql.order_column)]);
    assert_eq!(value("driver"), [format!("{:?}", sql.driver)]);
}

#[test]
fn mistakes_in_the_winthor_section_name_the_key_and_what_to_do() {
    let text = include_str!("../examples/stockbridge-winthor.toml");
    for (from, to, says) in [
        (
            "url = \"https://winthor.example.com:8181\"",
            "url = \"http://winthor.example.com:8181\"",
            "erp.winthor.url: is plain http: the password's hash would travel unprotected; hint: set erp.winthor.allow_plain_http_for",
        ),
        (
            "#sku_code = \"product-id\"",
            "sku_code = \"last-part\"",
            "erp.winthor.sku_code: last-part does not tell packagings apart; hint: use product-id or bar-code",
        ),
        (
            "#merchandise_types = \"\"",
            "merchandise_types = \"PA,,KIT\"",
            "erp.winthor.merchandise_types: \"PA,,KIT\" is no list of types",
        ),
        (
            "#page_size = 1000",
            "page_size = 0",
            "erp.winthor.page_size: 0 is not between 1 and 5000",
        ),
        (
            "bases = [\"1\"]",
            "bases = [\"1\", \"2\"]",
            "warehouse.bases: of 1_1 must name exactly one branch",
        ),
        (
            "user = \"INTEGRACAO\"",
            "#",
            "erp.winthor.user: and password must be given",
        ),
        (
            "\n[erp.winthor]\n",
            "\n[erp]\nreverse_on_cancel = true\n[erp.winthor]\n",
            "erp.reverse_on_cancel: does nothing with WinThor",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let wrong = refused(&text.replacen(from, to, 1));
        assert!(wrong.contains(says), "{says}\n{wrong}");
    }
    let neither = refused(&text.replace("[erp.winthor", "[erp.wintor"));
    assert!(neither.contains("did you mean winthor?"), "{neither}");
    let both = format!(
        "{text}\n[erp]\ndepot = \"WOO\"\n[erp.dragonfish]\nurl = \"https://erp\"\nclient_id = \"A\"\ntoken = {{ env = \"T\" }}\norigin = \"WOO\"\n"
    );
    let both = refused(&both);
    assert!(
        both.contains("erp: has both sections, erp.dragonfish and erp.winthor"),
        "{both}"
    );
}

#[test]
fn c1_missing_empty_and_unreadable_files_are_named() {
    let options = LoadOptions {
        file: Some("/nowhere/x.toml".into()),
        ..LoadOptions::default()
    };
    assert!(
        load(&options).unwrap_err()[0]
            .to_string()
            .contains("/nowhere/x.toml")
    );
    assert!(refused("").contains("is empty"));
    let folder = Folder::new();
    let file = folder.write("stockbridge.toml", b"[store]\npath = \"\xff\"\n");
    let errors = load(&LoadOptions {
        file: Some(file),
        ..LoadOptions::default()
    })
    .unwrap_err();
    assert!(
        errors[0].to_string().contains(":2: is not UTF-8"),
        "{}",
        errors[0]
    );
    load_text(&EXAMPLE.replace('\n', "\r\n"), &[]).unwrap();
}

#[test]
fn c2_unknown_duplicate_and_mistyped_keys_name_line_and_meaning() {
    let unknown = refused(&changed("account = \"tienda\"", "acount = \"tienda\""));
    assert!(
        unknown.contains("vtex.acount: unknown key; hint: did you mean account?"),
        "{unknown}"
    );
    let line = EXAMPLE
        .lines()
        .position(|l| l == "account = \"tienda\"")
        .unwrap()
        + 1;
    assert!(
        unknown.contains(&format!("stockbridge.toml:{line}:")),
        "{unknown}"
    );
    let twice = refused(&changed(
        "account = \"tienda\"",
        "account = \"tienda\"\naccount = \"otra\"",
    ));
    assert!(twice.contains("duplicate key"), "{twice}");
    let mistyped = refused(&changed("#workers = 8", "workers = \"many\""));
    assert!(mistyped.contains("vtex.workers"), "{mistyped}");
    let span = refused(&changed("#total_timeout = \"30s\"", "total_timeout = 30"));
    assert!(span.contains("vtex.total_timeout"), "{span}");
}

#[test]
fn a_file_that_is_too_large_is_refused_and_not_cut() {
    let filled = |bytes: usize| format!("{EXAMPLE}{}\n", "#".repeat(bytes - EXAMPLE.len() - 1));
    load_text(&filled(1024 * 1024), &[]).unwrap();
    assert!(refused(&filled(1024 * 1024 + 1)).contains("more than 1 MiB"));
    let folder = Folder::new();
    let options = |bytes: usize| LoadOptions {
        file: Some(folder.write("stockbridge.toml", EXAMPLE)),
        env_file: Some(folder.write(".env", "#".repeat(bytes))),
        ..LoadOptions::default()
    };
    load(&options(1024 * 1024)).unwrap();
    let errors = load(&options(1024 * 1024 + 1)).unwrap_err();
    let shown = errors[0].to_string();
    assert!(
        shown.contains(".env") && shown.contains("more than 1 MiB"),
        "{shown}"
    );
}

#[test]
fn a_mistake_names_the_line_of_its_own_block() {
    let good = "[[warehouse]]\nid = \"2_2\"\nbases = [\"ESTE\"]\nmovement_base = \"ESTE\"\nremito = true\n";
    let with_second = |first: &str| {
        let text = changed("[[warehouse]]\n", first);
        text.replacen("[safety_stock]", &format!("{good}\n[safety_stock]"), 1)
    };
    load_text(&with_second("[[warehouse]]\n"), &[]).unwrap();
    for (wrong, key) in [
        ("movement_base = \"MELI\"", "warehouse.movement_base"),
        ("safety_stock = \"-1\"", "warehouse.safety_stock"),
        ("remito = 3", "warehouse.remito"),
        ("remit = true", "warehouse.remit"),
    ] {
        let text = with_second(&format!("[[warehouse]]\n{wrong}\n"));
        let reason = refused(&text);
        let line = text.lines().position(|l| l == wrong).unwrap() + 1;
        let place = format!("toml:{line}: {key}: ");
        assert!(
            reason.lines().next().unwrap().contains(&place),
            "{wrong}: {reason}"
        );
    }
    // What is missing in the second block does not stand in the first one's line.
    let text = with_second("[[warehouse]]\n").replace("bases = [\"ESTE\"]\n", "");
    let header = text.lines().position(|l| l == "id = \"2_2\"").unwrap();
    let reason = refused(&text);
    assert!(
        reason.contains(&format!("toml:{header}: warehouse.bases: is missing")),
        "{reason}"
    );
}

#[test]
fn c4_a_secret_in_the_file_is_refused_without_repeating_it() {
    let text = changed(
        "app_token = { file = \"/etc/stockbridge/vtex-token\" }",
        "app_token = \"HUSH-HUSH-123\"",
    );
    let reason = refused(&text);
    assert!(reason.contains("app_token"), "{reason}");
    assert!(!reason.contains("HUSH"), "{reason}");
}

#[test]
fn c5_addresses_of_the_store_must_be_its_own_and_encrypted() {
    for bad in [
        "http://tienda.vtexcommercestable.com.br",
        "https://user:pass@tienda.vtexcommercestable.com.br",
        "https://tienda.vtexcommercestable.com.br/?x=1",
        "https://tienda.vtexcommercestable.com.br#x",
        "https://otra.vtexcommercestable.com.br",
        "ftp://tienda.vtexcommercestable.com.br",
        "http://[::1].example.com",
        "http://[::1",
        "http://[::1]80",
        "http://localhost:80:80",
        "http://localhost:+80",
        "http://127.0.0.1:x.example.com",
    ] {
        let text = changed(
            "#base_url = \"https://tienda.vtexcommercestable.com.br\"",
            &format!("base_url = \"{bad}\""),
        );
        assert!(refused(&text).contains("vtex.base_url"), "{bad}");
    }
    for local in ["http://[::1]", "http://[::1]:80", "http://localhost:80"] {
        let text = changed(
            "#base_url = \"https://tienda.vtexcommercestable.com.br\"",
            &format!("base_url = \"{local}\""),
        );
        load_text(&text, &[]).unwrap();
    }
}

#[test]
fn c6_plain_http_to_the_erp_needs_its_host_named() {
    let reason = refused(&changed(
        "allow_plain_http_for = \"erp.local\"",
        "allow_plain_http_for = \"other\"",
    ));
    assert!(
        reason.contains("erp.dragonfish.url") && reason.contains("erp.local"),
        "{reason}"
    );
    let warnings = load_text(EXAMPLE, &[]).unwrap().warnings;
    assert!(
        warnings.iter().any(|w| w.contains("erp.local")),
        "{warnings:?}"
    );
}

#[test]
fn c7_waiting_times_have_bounds_that_open_on_loopback_only() {
    for (from, to) in [
        ("#gap = \"5s\"", "gap = \"0s\""),
        ("#movement_limit = \"120s\"", "movement_limit = \"700s\""),
        ("#movement_settle = \"300s\"", "movement_settle = \"70s\""),
        ("#stock_timeout = \"180s\"", "stock_timeout = \"11m\""),
        ("#workers = 8", "workers = 33"),
        ("#handling_limit = \"30s\"", "handling_limit = \"10s\""),
    ] {
        let reason = refused(&changed(from, to));
        assert!(reason.contains(to.split(' ').next().unwrap()), "{reason}");
    }
    let local = changed(
        "#base_url = \"https://tienda.vtexcommercestable.com.br\"",
        "base_url = \"http://127.0.0.1:1\"",
    )
    .replace("http://erp.local:8008", "http://localhost:8008")
    .replace("smtp.example.com", "127.0.0.1")
    .replace("#gap = \"5s\"", "gap = \"1ms\"");
    load_text(&local, &[]).unwrap();
}

#[test]
fn c8_recipients_are_addresses() {
    for bad in [
        "[]",
        "[\"nobody\"]",
        "[\"a@example.com\\nBcc: b@example.com\"]",
    ] {
        let reason = refused(&changed(
            "to = [\"shop@example.com\"]",
            &format!("to = {bad}"),
        ));
        assert!(reason.contains("notify.mail.to"), "{reason}");
    }
    let many = format!("to = [{}]", vec!["\"a@example.com\""; 51].join(", "));
    assert!(refused(&changed("to = [\"shop@example.com\"]", &many)).contains("1 to 50"));
}

#[test]
fn c9_an_account_goes_only_with_the_depot_it_is_paired_with() {
    load_text(
        &changed("#pairs = []", "pairs = [\"tienda=WOO\", \"prueba=TEST\"]"),
        &[],
    )
    .unwrap();
    let reason = refused(&changed(
        "#pairs = []",
        "pairs = [\"tienda=OTRO\", \"prueba=WOO\"]",
    ));
    assert!(reason.contains("erp.pairs"), "{reason}");
}

#[test]
fn c15_nothing_is_forgotten_before_14_days() {
    for bad in ["0d", "13d", "4000d"] {
        let reason = refused(&changed(
            "#settled_after = \"30d\"",
            &format!("settled_after = \"{bad}\""),
        ));
        assert!(reason.contains("gc.settled_after"), "{reason}");
    }
}

#[test]
fn a_base_feeds_one_warehouse_only() {
    let second = "\n[[warehouse]]\nid = \"1_2\"\nbases = [\"SUR\"]\nmovement_base = \"SUR\"\n";
    let text = changed("[safety_stock]", &format!("{second}\n[safety_stock]"));
    assert!(refused(&text).contains("SUR feeds both 1_1 and 1_2"));
    let both_in_depot = second
        .replace("movement_base = \"SUR\"\n", "")
        .replace("SUR", "ESTE");
    let text = changed(
        "[safety_stock]",
        &format!("{both_in_depot}\n[safety_stock]"),
    );
    assert!(refused(&text).contains("WOO feeds both"));
    let blocked = changed(
        "blocked_bases = [\"MELI\", \"ADMIN\"]",
        "blocked_bases = [\"SUR\"]",
    );
    assert!(refused(&blocked).contains("SUR of 1_1 is blocked"));
}

#[test]
fn the_environment_wins_over_the_file_and_says_so() {
    let variables = [
        ("STOCKBRIDGE__VTEX__WORKERS", "3"),
        ("STOCKBRIDGE__ERP__DRAGONFISH__ORIGIN", "CENTRAL"),
    ];
    let loaded = load_text(EXAMPLE, &variables).unwrap();
    assert_eq!(loaded.config.vtex.workers, 3);
    assert_eq!(loaded.config.erp.dragonfish.unwrap().origin, "CENTRAL");
    assert_eq!(
        loaded.layers["vtex.workers"],
        Layer::Env("STOCKBRIDGE__VTEX__WORKERS".into())
    );
    let wrong = load_text(EXAMPLE, &[("STOCKBRIDGE__VTEX__WORKERS", "99")]).unwrap_err();
    assert!(
        wrong.contains("STOCKBRIDGE__VTEX__WORKERS: vtex.workers"),
        "{wrong}"
    );
    assert!(
        load_text(EXAMPLE, &[("STOCKBRIDGE__VTEX__NOPE", "1")])
            .unwrap_err()
            .contains("unknown key")
    );
    assert!(
        load_text(EXAMPLE, &[("STOCKBRIDGE__WAREHOUSE", "1")]).is_err(),
        "arrays are not overridden"
    );
    for name in [
        "STOCKBRIDGE__SAFETY_STOCK__ART1",
        "STOCKBRIDGE__SAFETY_STOCK",
    ] {
        let reason = load_text(EXAMPLE, &[(name, "2")]).unwrap_err();
        assert!(
            reason.contains(name) && reason.contains("in the configuration file only"),
            "{reason}"
        );
    }
}

#[test]
fn an_environment_file_must_be_private_and_gives_secrets_too() {
    let folder = Folder::new();
    let file = folder.write(
        "stockbridge.toml",
        changed(
            "{ file = \"/etc/stockbridge/vtex-key\" }",
            "{ env = \"KEY\" }",
        ),
    );
    let dot_env = folder.write(
        ".env",
        "# comment\nexport KEY=\"a b\"\nSTOCKBRIDGE__VTEX__WORKERS=2\n",
    );
    let options = LoadOptions {
        file: Some(file),
        env_file: Some(dot_env.clone()),
        ..LoadOptions::default()
    };
    let loaded = load(&options).unwrap();
    assert_eq!(
        (loaded.config.vtex.workers, loaded.env["KEY"].as_str()),
        (2, "a b")
    );
    fs::set_permissions(&dot_env, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(
        load(&options).unwrap_err()[0]
            .to_string()
            .contains("can be read by others")
    );
}

#[test]
fn show_names_the_layer_and_never_a_secret() {
    let loaded = load_text(EXAMPLE, &[("KEY", "HUSH")]).unwrap();
    let text = table(&show(&loaded));
    assert!(
        text.contains("vtex.app_key.file") && !text.contains("HUSH"),
        "{text}"
    );
    let workers = text
        .lines()
        .find(|line| line.starts_with("vtex.workers"))
        .unwrap();
    assert!(workers.ends_with("default"), "{workers}");
}

/// The example with stock by SQL and these keys in its section.
fn by_sql(road: &str, keys: &str) -> String {
    let sql = format!("[erp.dragonfish.sql]\nserver = \"erp.local,1433\"\n{keys}\n\n[[warehouse]]");
    EXAMPLE
        .replacen("#stock_source = \"api\"", road, 1)
        .replacen("[[warehouse]]", &sql, 1)
}

#[test]
fn stock_by_sql_is_checked_key_by_key() {
    let both = "stock_source = \"both\"\non_disagreement = \"sql\"";
    let loaded = load_text(&by_sql(both, ""), &[]).unwrap();
    let sql = loaded.config.erp.dragonfish.unwrap().sql.unwrap();
    assert_eq!(sql.left_out, ["ZOOLOGICMASTER", "ADNIMPLANT"]);
    assert!(sql.changes && sql.changes_overlap.ms() == 600_000);
    let own = "statements = { stock_many = \"own.sql\" }";
    let loaded = load_text(&by_sql(both, own), &[]).unwrap();
    let sql = loaded.config.erp.dragonfish.unwrap().sql.unwrap();
    let path = sql.statements.values().next().unwrap();
    assert_eq!(
        path,
        &loaded.folder.join("own.sql"),
        "a path counts from the file's folder"
    );
    for (road, keys, told) in [
        ("stock_source = \"neither\"", "", "unknown variant"),
        (both, "changes_overlap = \"25h\"", "must be at most 24h"),
        (
            both,
            "statements = { stock_some = \"x.sql\" }",
            "unknown variant",
        ),
        (both, "movement_witness = \"often\"", "unknown variant"),
        (
            "stock_source = \"both\"\nstock_field = \"available\"",
            "",
            "must not give two figures",
        ),
    ] {
        let reason = load_text(&by_sql(road, keys), &[]).unwrap_err();
        assert!(reason.contains(told), "{road} {keys}: {reason}");
    }
}

fn resolve(source: &SecretSource, folder: &Folder) -> Result<String, String> {
    let env = env(&[("NAME", "from the environment"), ("PATH", "/usr/bin:/bin")]);
    let context = SecretContext {
        env: &env,
        folder: folder.0.path(),
        credentials_dir: Some(folder.0.path()),
    };
    source
        .resolve(&context)
        .map(|secret| secret.expose_secret().to_owned())
}

#[test]
fn secrets_come_from_four_places() {
    let folder = Folder::new();
    folder.write("token", "abc\n");
    let command = ["printf", "from a command"].map(String::from).to_vec();
    for (source, value) in [
        (SecretSource::Env("NAME".into()), "from the environment"),
        (SecretSource::File("token".into()), "abc"),
        (SecretSource::Credential("token".into()), "abc"),
        (SecretSource::Command(command), "from a command"),
    ] {
        assert_eq!(resolve(&source, &folder).unwrap(), value);
    }
}

#[test]
fn c3_secret_files_that_others_can_reach_are_refused() {
    let folder = Folder::new();
    let path = folder.write("token", "HUSH");
    let source = SecretSource::File("token".into());
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(resolve(&source, &folder).unwrap_err().contains("chmod 600"));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&path, folder.0.path().join("link")).unwrap();
    assert!(
        resolve(&SecretSource::File("link".into()), &folder)
            .unwrap_err()
            .contains("symbolic link")
    );
    fs::set_permissions(folder.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(
        resolve(&source, &folder)
            .unwrap_err()
            .contains("can be changed by others")
    );
}

#[test]
fn c11_what_is_no_secret_is_refused_without_showing_it() {
    let folder = Folder::new();
    let huge = "x".repeat(70_000);
    for bad in ["", "\n", "HUSH\nHUSH", "HU\0SH", "\u{feff}HUSH", &huge] {
        folder.write("token", bad);
        let reason = resolve(&SecretSource::File("token".into()), &folder).unwrap_err();
        assert!(!reason.contains("HUSH") && reason.len() < 300, "{reason}");
    }
    folder.write("token", b"\xff\xfe");
    assert!(resolve(&SecretSource::File("token".into()), &folder).is_err());
}

#[test]
fn commands_that_fail_give_no_secret() {
    let folder = Folder::new();
    for argv in [vec!["false"], vec!["true"], vec!["/nowhere/at-all"], vec![]] {
        let argv = argv.into_iter().map(String::from).collect();
        assert!(resolve(&SecretSource::Command(argv), &folder).is_err());
    }
    assert!(resolve(&SecretSource::Credential("../token".into()), &folder).is_err());
    assert!(
        resolve(&SecretSource::Env("NOT_THERE".into()), &folder)
            .unwrap_err()
            .contains("NOT_THERE")
    );
}

#[test]
fn the_door_is_checked_key_by_key() {
    let hook = |from: &str, to: &str| {
        let full = full_example();
        assert!(full.contains(from), "{from}");
        refused(&full.replacen(from, to, 1))
    };
    for (from, to, says) in [
        (
            "listen = \"127.0.0.1:8790\"",
            "listen = \"localhost\"",
            "serve.listen: \"localhost\" is not an address with a port; hint: write it like 127.0.0.1:8790",
        ),
        (
            "url = \"https://stock.example.com/webhook/vtex\"",
            "url = \"http://stock.example.com/webhook/vtex\"",
            "serve.hook.url: must begin with https://",
        ),
        (
            "url = \"https://stock.example.com/webhook/vtex\"",
            "url = \"https://stock.example.com/\"",
            "serve.hook.url: must end with /webhook/vtex",
        ),
        (
            "header = \"key\"",
            "header = \"X Hook:\"",
            "serve.hook.header: \"X Hook:\" is not the name of a header",
        ),
        (
            "answer_timeout = \"3s\"",
            "answer_timeout = \"6s\"",
            "serve.answer_timeout: 6s is not between 1s and 4s",
        ),
        (
            "connections = 512",
            "connections = 1",
            "serve.connections: 1 is not between 8 and 10000",
        ),
        (
            "refresh = \"60s\"\n",
            "refresh = \"20m\"\n",
            "serve.stock_api.max_age: is shorter than serve.stock_api.refresh",
        ),
        (
            "max_age = \"10m\"",
            "max_age = \"2d\"",
            "serve.stock_api.max_age: 2d is not between 1s and ",
        ),
        (
            "largest_page = 2000",
            "largest_page = 0",
            "serve.stock_api.largest_page: 0 is not between 1 and 10000",
        ),
        (
            "user = \"PANEL\"",
            "user = \"\"",
            "serve.stock_api.user: goes together with serve.stock_api.password; hint: set both",
        ),
        (
            "utc_offset = \"-03:00\"\n\n# Waiting times",
            "utc_offset = \"3\"\n\n# Waiting times",
            "serve.stock_api.utc_offset: is not an offset; hint: write it like -03:00",
        ),
        (
            "previous_token = { file",
            "earlier_token = { file",
            "did you mean previous_token?",
        ),
    ] {
        let err = hook(from, to);
        assert!(err.contains(says), "{says}: {err}");
    }
    let open = changed("#listen = \"127.0.0.1:8790\"", "listen = \"0.0.0.0:8790\"");
    let warnings = load_text(&open, &[]).unwrap().warnings.join("\n");
    assert!(
        warnings.contains("open to other machines and unprotected"),
        "{warnings}"
    );
    let over = load_text(EXAMPLE, &[("STOCKBRIDGE__SERVE__RUN_STAGES", "true")]).unwrap();
    assert!(over.config.serve.run_stages);
}

#[test]
fn c5_a_channel_speaks_in_clear_to_this_machine_only() {
    let with = |channel: &str| {
        let text = changed(
            "[gc]",
            &format!("[[channel]]\nname = \"c\"\n{channel}\n[gc]"),
        );
        load_text(&text, &[]).map_or_else(|err| err.to_string(), |_| String::new())
    };
    let hook = |url: &str| with(&format!("[channel.webhook]\nurl = {url:?}"));
    let whatsapp = |url: &str| {
        with(&format!(
            "[channel.whatsapp]\nphone_number_id = \"1\"\nto = \"5491112345678\"\napi_url = {url:?}\n\
             token = {{ env = \"X\" }}\n[channel.whatsapp.template.default]\nname = \"a\"\nlanguage = \"es\""
        ))
    };
    for (bad, why) in [
        ("http://hooks.example.com/in", "must begin with https://"),
        (
            "http://127.0.0.1.example.com/in",
            "must begin with https://",
        ),
        (
            "http://localhost.example.com/in",
            "must begin with https://",
        ),
        ("http://127.0.0.1@example.com/in", "must hold no user"),
        ("http://localhost:9@example.com/in", "must hold no user"),
        ("http://localhost:+9/in", "nothing but a port"),
    ] {
        for reason in [hook(bad), whatsapp(bad)] {
            assert!(reason.contains(why), "{bad}: {reason}");
        }
    }
    for good in [
        "https://hooks.example.com/in",
        "http://localhost/in",
        "http://[::1]:9/in",
    ] {
        assert_eq!((hook(good), whatsapp(good)), Default::default(), "{good}");
    }
    // What stands behind the question mark is no host; one address of WhatsApp has no query.
    for queried in [
        "http://127.0.0.1:9/in?x=1",
        "http://127.0.0.1/?@example.com",
    ] {
        assert_eq!(hook(queried), "", "{queried}");
        assert!(
            whatsapp(queried).contains("must hold no user, query"),
            "{queried}"
        );
    }
}

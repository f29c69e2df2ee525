//! The texts themselves: one reading each, nothing that Oracle 11.2 or PostgreSQL refuses, in every form they can take.

use std::path::Path;
use std::process::Command;

use stockbridge::adapters::winthor::sql_text::{Slots, Statement, available, package, text};
use stockbridge::config::winthor_sql::{WinthorSqlConfig, WinthorStatement};

use crate::parts::part;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A statement with all its conditions, and with none; with each figure.
fn forms(statement: WinthorStatement) -> Vec<String> {
    let mut forms = Vec::new();
    for figure in ["package", "formula-a", "formula-b"] {
        for full in [false, true] {
            let config: WinthorSqlConfig =
                toml::from_str(&format!("dbq = \"X\"\navailable = \"{figure}\"")).unwrap();
            let mut slots = Slots::default()
                .fragment("available", available(&config))
                .fragment("package", package(&config))
                .fragment("order_column", "NUMPEDMKTPLACE")
                .fragment("order", "t.lastchange DESC, t.codfilial, t.codprod");
            for name in ["branch", "letter", "after", "upto", "order", "bar_code"] {
                slots = slots.values(name, ["1", "2"].map(String::from));
            }
            slots = slots.instant("until", "2026-01-31 00:00:00".into());
            if full || statement == WinthorStatement::Changed {
                slots = slots.instant("since", "2026-01-31 00:00:00".into());
            }
            if full {
                for name in [
                    "product",
                    "category",
                    "subcategory",
                    "section",
                    "department",
                    "provider",
                    "type",
                ] {
                    slots = slots.values(name, ["1", "2"].map(String::from));
                }
            }
            for name in [
                "web",
                "resale",
                "not_resale",
                "packagings_for_ecommerce",
                "packagings_active",
            ] {
                slots = slots.switch(name, full);
            }
            let parsed = Statement::parse(statement, text(statement)).unwrap();
            let owner = if full { "WINTHOR" } else { "" };
            forms.push(parsed.render(owner, &slots).unwrap().0);
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// Words, and signs one by one; what stands in quotes is one word.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if c == '\'' {
            rest[1..].find('\'').unwrap() + 2
        } else if c.is_alphanumeric() || c == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            found.push(rest[..length].to_uppercase());
        }
        rest = &rest[length..];
    }
    found
}

/// What one of the databases refuses, or reads otherwise.
fn refusals(text: &str) -> Vec<String> {
    let words = words(text);
    let mut found = Vec::new();
    let forbidden = [
        "OFFSET",
        "FETCH",
        "LIMIT",
        "TOP",
        "ILIKE",
        "NVL",
        "NVL2",
        "DECODE",
        "SYSDATE",
        "SYSTIMESTAMP",
        "ROWNUM",
        "ROWID",
        "DUAL",
        "TRUNC",
        "TO_CHAR",
        "TO_DATE",
        "TO_TIMESTAMP",
        "TO_NUMBER",
        "VARCHAR2",
        "NUMBER",
        "MINUS",
        "EXCEPT",
        "BOOLEAN",
        "TRUE",
        "FALSE",
        "NULLS",
        "FILTER",
        "LATERAL",
        "USING",
        "ISNULL",
        "IFNULL",
        "GREATEST",
        "LISTAGG",
        "STRING_AGG",
        "RECURSIVE",
        "TEXT",
        "NUMERIC",
    ];
    for (at, word) in words.iter().enumerate() {
        let (before, after) = (
            at.checked_sub(1).map(|at| words[at].as_str()),
            words.get(at + 1),
        );
        if forbidden.contains(&word.as_str()) || word == ";" || word == "\"" || word == "{" {
            found.push(word.clone());
        }
        if word.len() > 30 && !word.starts_with('\'') {
            found.push(format!("{word} is longer than 30"));
        }
        // AS stands in casts only: Oracle refuses it before a table's alias.
        let type_follows =
            after.is_some_and(|w| matches!(w.as_str(), "VARCHAR" | "DECIMAL" | "TIMESTAMP"));
        if word == "AS" && !type_follows {
            found.push(format!("AS {after:?}"));
        }
        if word == "VARCHAR" && after.is_none_or(|w| w != "(") {
            found.push("VARCHAR without a length".into());
        }
        if word == "|" && before == Some("|") {
            found.push("|| and NULL".into());
        }
        // Number columns are never compared with numbers written out, nor text columns with numbers.
        if word == "?" && before == Some("=") {
            found.push("a value compared without its type".into());
        }
        if word == "SELECT" && after.is_some_and(|w| w == "*") {
            found.push("SELECT *".into());
        }
    }
    // An inline view without an alias: `) WHERE`, `) JOIN` right after a subquery in FROM is refused by PostgreSQL.
    let mut open = Vec::new();
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "(" => open.push(
                at.checked_sub(1)
                    .is_some_and(|at| matches!(words[at].as_str(), "FROM" | "JOIN")),
            ),
            ")" if open.pop() == Some(true) => {
                let alias = words
                    .get(at + 1)
                    .is_some_and(|w| w.len() == 1 && w.chars().all(char::is_alphabetic));
                if !alias {
                    found.push("an inline view without an alias".into());
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn no_form_of_a_statement_holds_what_one_of_the_databases_refuses() {
    let folder = std::fs::read_dir(root().join("sql/winthor")).unwrap();
    let mut files: Vec<_> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut named: Vec<_> = WinthorStatement::ALL
        .iter()
        .map(|name| format!("{name}.sql"))
        .collect();
    named.sort();
    assert_eq!(
        files, named,
        "each text of the folder is a statement of that name"
    );
    for statement in WinthorStatement::ALL {
        for form in forms(statement) {
            let found = refusals(&form);
            assert!(found.is_empty(), "{statement}: {found:?} in {form}");
        }
    }
}

#[test]
fn the_check_itself_finds_what_it_is_for() {
    for bad in [
        "SELECT a FROM t OFFSET 5 ROWS",
        "SELECT a FROM t FETCH FIRST 5 ROWS ONLY",
        "SELECT a FROM t LIMIT 5",
        "SELECT a FROM t AS x",
        "SELECT a AS b FROM t",
        "SELECT a FROM t;",
        "SELECT NVL(a, 0) FROM t",
        "SELECT SYSDATE FROM DUAL",
        "SELECT CAST(a AS NUMERIC) FROM t",
        "SELECT CAST(a AS VARCHAR) FROM t",
        "SELECT a || b FROM t",
        "SELECT a FROM (SELECT b FROM t) WHERE a = 1",
        "SELECT a FROM t WHERE a = ?",
        "SELECT * FROM t",
        "SELECT a_name_that_is_longer_than_thirty FROM t",
    ] {
        assert!(!refusals(bad).is_empty(), "{bad}");
    }
    assert_eq!(
        refusals("SELECT x.a FROM (SELECT b FROM t) x WHERE x.a >= /*timestamp*/?"),
        [] as [String; 0]
    );
}

#[test]
fn oracle_s_grammar_takes_every_form() {
    let python = root().join("target/py/bin/python3");
    let script = "import sys, sqlglot\n\
                  for text in sys.stdin.read().split('\\0'):\n\
                  \x20   trees = sqlglot.parse(text, read='oracle')\n\
                  \x20   assert len(trees) == 1 and isinstance(trees[0], (sqlglot.exp.Select, sqlglot.exp.Union)), text\n\
                  \x20   print(len(text))\n";
    let try_it = |texts: &[String]| {
        use std::io::Write;
        let mut child = Command::new(&python)
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let input = texts.join("\0");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let installed = python.exists() && try_it(&["SELECT 1 FROM dual".to_owned()]).status.success();
    if !part("sqlglot", installed) {
        return;
    }
    // Also as they stand in the folder, with their marks.
    let mut texts: Vec<String> = WinthorStatement::ALL
        .iter()
        .map(|name| text(*name).to_owned())
        .collect();
    texts.extend(WinthorStatement::ALL.into_iter().flat_map(forms));
    let done = try_it(&texts);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    let n_parsed = String::from_utf8_lossy(&done.stdout).lines().count();
    assert_eq!(n_parsed, texts.len());
    for bad in [
        "SELEC a FROM t",
        "SELECT a FROM t WHERE",
        "SELECT a FROM t; DELETE FROM t",
    ] {
        assert!(!try_it(&[bad.to_owned()]).status.success(), "{bad}");
    }
}

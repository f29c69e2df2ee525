//! The bad-input cases of the design, by number: each is the name of a test, or its part does not exist.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many cases each letter has; numbers are never reused.
const CASES: [(char, u32); 6] = [
    ('v', 38),
    ('e', 24),
    ('c', 17),
    ('s', 14),
    ('t', 8),
    ('w', 10),
];

/// The cases whose part does not exist: letter, first and last number, part.
const WITHOUT_PART: [(char, u32, u32, &str); 1] = [('t', 4, 4, "CSV attachments")];

/// The numbers a name begins with: `s2_s3_foreign` and `e11_and_e12_longer` have two.
fn numbers(name: &str) -> BTreeSet<String> {
    let is_number = |part: &str| {
        let mut chars = part.chars();
        let letter = chars.next();
        CASES.iter().any(|(known, _)| letter == Some(*known))
            && !chars.as_str().is_empty()
            && chars.as_str().bytes().all(|b| b.is_ascii_digit())
    };
    name.split('_')
        .take_while(|part| is_number(part) || *part == "and")
        .filter(|part| is_number(part))
        .map(str::to_owned)
        .collect()
}

/// The names of the test functions in a source text.
fn tests_in(text: &str) -> Vec<&str> {
    let mut marked = false;
    let mut names = Vec::new();
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if marked {
                names.extend(rest.split(['(', '<']).next());
            }
            marked = false;
        } else if line.starts_with("#[ignore") {
            // What does not run proves nothing.
            marked = false;
        }
    }
    names
}

/// Adds the cases that the tests below a folder are named after.
fn collect(folder: &Path, found: &mut BTreeMap<String, Vec<String>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            for name in tests_in(&fs::read_to_string(&path).unwrap()) {
                for number in numbers(name) {
                    found.entry(number).or_default().push(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_case_is_a_test_or_has_no_part() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut found);
    }
    let without: BTreeMap<String, &str> = WITHOUT_PART
        .into_iter()
        .flat_map(|(letter, first, last, part)| {
            (first..=last).map(move |number| (format!("{letter}{number}"), part))
        })
        .collect();
    let cases: BTreeSet<String> = CASES
        .into_iter()
        .flat_map(|(letter, last)| (1..=last).map(move |number| format!("{letter}{number}")))
        .collect();
    assert_eq!(cases.len(), 111, "the design has 111 cases");
    let missing: Vec<&String> = cases
        .iter()
        .filter(|case| !found.contains_key(*case) && !without.contains_key(*case))
        .collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}");
    let unknown: Vec<_> = found
        .iter()
        .filter(|(case, _)| !cases.contains(*case))
        .collect();
    assert!(unknown.is_empty(), "no such case: {unknown:?}");
    let built: Vec<_> = without
        .iter()
        .filter(|(case, _)| found.contains_key(*case))
        .collect();
    assert!(built.is_empty(), "tested, so their part exists: {built:?}");
}

#[test]
fn a_name_counts_for_each_number_it_begins_with() {
    let of = |name| numbers(name).into_iter().collect::<Vec<_>>();
    assert_eq!(of("v12_fractional_quantity_parks"), ["v12"]);
    assert_eq!(of("s2_s3_foreign_files"), ["s2", "s3"]);
    assert_eq!(of("e11_and_e12_a_longer_id"), ["e11", "e12"]);
    assert!(of("a_peer_like_v30").is_empty());
    assert!(of("two_and_v3").is_empty());
    let text = "#[test]\nfn v1_a() {}\nfn v2_helper() {}\n#[test]\n#[ignore]\nfn v3_b() {}\n";
    assert_eq!(tests_in(text), ["v1_a"]);
}

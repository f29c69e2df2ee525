//! The simulator within the tests: histories that once failed, the broken guards at a seed that catches them, and the
//! same seed twice. The thousands are played by `examples/simulate.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/sim/mod.rs"]
mod sim;

use std::collections::BTreeSet;

use sim::history::play;
use sim::mutants::Mutant;

/// A death is an unwinding, not a failure to be shown.
fn hush() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<sim::world::Death>() {
            shown(info);
        }
    }));
}

/// The lines of a list, without its comments, as words.
fn entries(text: &'static str) -> Vec<Vec<&'static str>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_whitespace().collect())
        .filter(|words: &Vec<_>| !words.is_empty())
        .collect()
}

#[test]
fn histories_that_once_failed_hold() {
    hush();
    let seeds = entries(include_str!("support/sim/regressions.txt"));
    assert!(seeds.len() > 20, "the list was cut");
    for words in seeds {
        let seed: u64 = words[0].parse().unwrap();
        let outcome = play(seed, Mutant::None, true, false);
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}: {:?}",
            outcome.violations
        );
    }
}

#[test]
fn every_broken_guard_is_caught_at_its_seed_or_covered_by_another() {
    hush();
    let mut caught = BTreeSet::new();
    for words in entries(include_str!("support/sim/killers.txt")) {
        let [name, guards, seed] = words[..] else {
            panic!("{words:?}: a mutant, on or off, a seed");
        };
        let mutant = Mutant::parse(name).unwrap();
        let outcome = play(seed.parse().unwrap(), mutant, guards == "on", false);
        assert!(
            outcome.caught(),
            "nobody notices {name} at seed {seed} with the other guards {guards}"
        );
        assert!(
            !mutant.replaces() || outcome.replaced > 0,
            "{name} broke nothing"
        );
        caught.insert(mutant.name());
    }
    for mutant in Mutant::ALL.iter().filter(|m| **m != Mutant::None) {
        let covered = mutant.covered().is_some();
        assert!(
            caught.contains(mutant.name()) || covered,
            "no seed catches {}",
            mutant.name()
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    hush();
    for seed in 0..10 {
        let hash = || play(seed, Mutant::None, true, false).hash;
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}

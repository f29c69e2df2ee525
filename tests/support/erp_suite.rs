//! What every source of stock must answer alike, whatever the ERP, the road and the driver.

use std::cell::Cell;
use std::collections::BTreeMap;

use stockbridge::domain::ids::{ErpCode, SkuRef};
use stockbridge::domain::ports::StockSource;
use stockbridge::domain::stock::VariantLevels;

/// A small shop, as the source should see it.
pub struct Expected {
    /// References of the store with the code of each.
    pub references: Vec<(&'static str, &'static str)>,
    /// References that can be no code.
    pub bad_references: Vec<&'static str>,
    /// What each known code's stock is.
    pub levels: BTreeMap<ErpCode, VariantLevels>,
    /// A code that nobody has.
    pub absent: ErpCode,
    /// How a reading of some, and of all, says it was made.
    pub roads: [&'static str; 2],
}

/// Asks a source everything that the port promises.
pub fn holds(source: &dyn StockSource, shop: &Expected) {
    names(source, shop);
    some(source, shop);
    all(source, shop);
    changes(source, shop);
}

fn names(source: &dyn StockSource, shop: &Expected) {
    for (reference, wanted) in &shop.references {
        let code = source.code(&SkuRef::parse(reference).unwrap()).unwrap();
        assert_eq!(code.as_str(), *wanted, "{reference}");
        let again = source.code(&SkuRef::parse(code.as_str()).unwrap());
        assert_eq!(again, Ok(code), "a code is its own reference");
    }
    for reference in &shop.bad_references {
        let why = source.code(&SkuRef::parse(reference).unwrap()).unwrap_err();
        assert!(why.contains(reference), "{reference} is not named: {why}");
    }
    let mut codes: Vec<_> = shop.levels.keys().cloned().collect();
    let mut grouped: Vec<_> = source.groups(&codes).into_iter().flatten().collect();
    grouped.sort();
    codes.sort();
    assert_eq!(grouped, codes, "each code is in one group, once");
}

fn some(source: &dyn StockSource, shop: &Expected) {
    let mut asked: Vec<_> = shop.levels.keys().cloned().collect();
    asked.push(shop.absent.clone());
    let mut wanted = shop.levels.clone();
    wanted.insert(shop.absent.clone(), VariantLevels::Absent);
    let read = source.read(&asked).unwrap();
    assert_eq!(read.variants, wanted);
    assert!(read.missing.is_empty(), "{:?}", read.missing);
    assert_eq!(read.road, shop.roads[0]);
    asked.extend(asked.clone());
    assert_eq!(source.read(&asked).unwrap(), read, "asked twice, the same");
    let mut by_group = BTreeMap::new();
    for group in source.groups(&asked) {
        by_group.extend(source.read(&group).unwrap().variants);
    }
    assert_eq!(by_group, wanted, "group by group, the same");
    let nothing = source.read(&[]).unwrap();
    assert!(nothing.variants.is_empty());
}

fn all(source: &dyn StockSource, shop: &Expected) {
    let told = Cell::new(0);
    let read = source
        .read_all(&|n_rows| {
            assert!(n_rows >= told.get(), "progress goes forward");
            told.set(n_rows);
        })
        .unwrap();
    assert!(told.get() > 0);
    assert_eq!(read.road, shop.roads[1]);
    for (code, level) in &shop.levels {
        assert_eq!(read.variants.get(code), Some(level), "{code}");
    }
    assert!(!read.variants.contains_key(&shop.absent));
    let absent = read
        .variants
        .values()
        .find(|level| **level == VariantLevels::Absent);
    assert_eq!(absent, None, "what was found is there");
}

fn changes(source: &dyn StockSource, shop: &Expected) {
    let Some(first) = source.changed_since(None).unwrap() else {
        return;
    };
    assert_eq!(first.codes, [], "without a watermark nothing is named");
    let mut watermark = first.watermark;
    for _ in 0..2 {
        let next = source.changed_since(Some(watermark)).unwrap().unwrap();
        assert!(next.watermark >= watermark, "a watermark never goes back");
        watermark = next.watermark;
    }
    // From 1900, where ERPs put what has no date, every known variant has changed.
    let ever = source.changed_since(Some(-2_208_988_800_000));
    let ever = ever.unwrap().unwrap();
    for code in shop.levels.keys() {
        assert!(ever.codes.contains(code), "{code} of {:?}", ever.codes);
    }
}

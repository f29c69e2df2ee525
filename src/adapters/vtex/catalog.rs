//! The catalogue: SKU ids by reference, a SKU's kind, a kit's parts.
//!
//! Source: Catalog API.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::adapters::http::calls::Verdict;
use crate::adapters::http::json::parse_json;
use crate::adapters::http::text::one_line;
use crate::adapters::vtex::Vtex;
use crate::adapters::vtex::order::unit_is_one;
use crate::adapters::vtex::wire::{encode, integer, text};
use crate::domain::ids::{SkuId, SkuRef};
use crate::domain::ports::{PortResult, SkuInfo};

/// References in one question; no maximum is documented.
const REFS_AT_ONCE: usize = 100;
/// SKU ids on one page: the documented maximum.
const IDS_A_PAGE: u32 = 1_000;
/// More units of one part than any real kit has.
const MAX_PER_KIT: i64 = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSku {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    name_complete: Value,
    #[serde(default)]
    sku_name: Value,
    #[serde(default)]
    is_kit: Value,
    #[serde(default)]
    unit_multiplier: Value,
    alternate_ids: Option<WireAlternates>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAlternates {
    #[serde(default)]
    ref_id: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WirePart {
    #[serde(default)]
    stock_keeping_unit_id: Value,
    #[serde(default)]
    stock_keeping_unit_parent: Value,
    #[serde(default)]
    quantity: Value,
}

/// The pairs of a JSON object in their order, so that a key that stands twice is seen.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

impl Vtex<'_> {
    pub(super) fn find_skus(&self, refs: &[SkuRef]) -> PortResult<BTreeMap<SkuRef, SkuId>> {
        const NAME: &str = "resolve references";
        const PATH: &str = "/api/catalog_system/pub/sku/stockkeepingunitidsbyrefids";
        // A reference that stands twice in the question is answered with a 500.
        let distinct: Vec<&SkuRef> = refs.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = BTreeMap::new();
        for chunk in distinct.chunks(REFS_AT_ONCE) {
            let asked: Vec<&str> = chunk.iter().map(|r| r.as_str()).collect();
            let body = json!(asked);
            let request = self.request(NAME, "", Method::POST, PATH, Some(&body))?;
            let Some(Pairs(pairs)) = self.calls.read_json(&request)? else {
                continue;
            };
            let mut seen = BTreeSet::new();
            for (reference, id) in pairs {
                let Some(asked) = chunk.iter().find(|r| r.as_str() == reference) else {
                    continue;
                };
                if !seen.insert(reference) {
                    let reason = format!("reference {asked} stands twice in the answer");
                    return Err(self.unusable(NAME, "", &reason));
                }
                if let Some(id) = text(&id).and_then(|id| SkuId::parse(&id).ok()) {
                    found.insert((*asked).clone(), id);
                }
            }
        }
        Ok(found)
    }

    pub(super) fn read_sku(&self, id: &SkuId) -> PortResult<Option<SkuInfo>> {
        const NAME: &str = "read SKU";
        let path = format!(
            "/api/catalog_system/pvt/sku/stockkeepingunitbyid/{}",
            encode(id.as_str())
        );
        let Some(wire) = self.find::<WireSku>(NAME, id.as_str(), &path)? else {
            return Ok(None);
        };
        if text(&wire.id).as_deref() != Some(id.as_str()) {
            return Err(self.unusable(NAME, id.as_str(), "the answer is about another SKU"));
        }
        let name = [&wire.name_complete, &wire.sku_name]
            .into_iter()
            .filter_map(text)
            .map(|name| one_line(&name, 200))
            .find(|name| !name.is_empty());
        Ok(Some(SkuInfo {
            reference: wire
                .alternate_ids
                .and_then(|ids| text(&ids.ref_id))
                .and_then(|reference| SkuRef::parse(&reference).ok()),
            kit: wire.is_kit == Value::Bool(true),
            unit_is_one: unit_is_one(&wire.unit_multiplier),
            name,
        }))
    }

    pub(super) fn read_kit_parts(&self, id: &SkuId) -> PortResult<Vec<(SkuId, u32)>> {
        let path = format!(
            "/api/catalog/pvt/stockkeepingunitkit?parentSkuId={}",
            encode(id.as_str())
        );
        let request = self.request("read kit", id.as_str(), Method::GET, &path, None)?;
        let parts: Vec<WirePart> = self.calls.read(&request, |answer| {
            let now = self.calls.env().clock.now();
            match Verdict::of_status(answer, now) {
                Some(verdict) => verdict,
                None if answer.status == 404 => Verdict::Take(Vec::new()),
                // The contract types one object, where several parts need a list.
                None if answer.body.trim_ascii_start().starts_with(b"{") => {
                    Verdict::of_json(parse_json(answer).map(|part| vec![part]))
                }
                None => Verdict::of_json(
                    parse_json(answer).map(Option::<Vec<WirePart>>::unwrap_or_default),
                ),
            }
        })?;
        // One part that cannot be read leaves the whole kit unknown: half a kit would be a wrong sum.
        let known: Option<Vec<_>> = parts.iter().map(|part| kit_part(part, id)).collect();
        Ok(known.unwrap_or_default())
    }

    pub(super) fn read_sku_ids(&self, page: u32) -> PortResult<Vec<SkuId>> {
        self.sku_ids_page(page, IDS_A_PAGE)
    }

    /// Reads one page of SKU ids of a given size.
    pub(super) fn sku_ids_page(&self, page: u32, size: u32) -> PortResult<Vec<SkuId>> {
        let path =
            format!("/api/catalog_system/pvt/sku/stockkeepingunitids?page={page}&pagesize={size}");
        let ids: Vec<Value> = self.get_list("list SKUs", &format!("page {page}"), &path)?;
        Ok(ids
            .iter()
            .filter_map(text)
            .filter_map(|id| SkuId::parse(&id).ok())
            .collect())
    }

    /// Reads a list; `null` and 404 are an empty one.
    fn get_list<T: DeserializeOwned>(
        &self,
        name: &'static str,
        about: &str,
        path: &str,
    ) -> PortResult<Vec<T>> {
        let found: Option<Option<Vec<T>>> = self.find(name, about, path)?;
        Ok(found.flatten().unwrap_or_default())
    }
}

fn kit_part(part: &WirePart, kit: &SkuId) -> Option<(SkuId, u32)> {
    let about_kit = text(&part.stock_keeping_unit_parent).is_none_or(|id| id == kit.as_str());
    let id = SkuId::parse(&text(&part.stock_keeping_unit_id)?).ok()?;
    let quantity = integer(&part.quantity).filter(|n| (1..=MAX_PER_KIT).contains(n))?;
    let quantity = u32::try_from(quantity).ok()?;
    about_kit.then_some((id, quantity))
}

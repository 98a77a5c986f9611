//! The ten demo auctions.

use crate::units;
use gavel_rules::{
    amount::Amount,
    auction::{AuctionRules, Extension, ExtensionMode, GuestAccess, IncrementTable},
    time::{Millis, Timestamp},
};

/// How many demo auctions there are; their ids are 1 to this.
pub(super) const COUNT: usize = LOTS.len();

/// A leading bid this near the close resets the time left to this.
const SOFT_CLOSE: Millis = Millis::new(20_000);
/// How often a close may move.
const EXTENSIONS_MAX: u32 = 50;
/// How long a closed demo auction shows its result before it opens again.
const REOPEN_AFTER: Millis = Millis::new(15_000);

struct Lot {
    title: &'static str,
    opening: &'static str,
    increments: &'static [&'static str],
    reserve: Option<&'static str>,
    minutes: u64,
}

const fn lot(
    title: &'static str,
    opening: &'static str,
    increments: &'static [&'static str],
    minutes: u64,
) -> Lot {
    Lot { title, opening, increments, reserve: None, minutes }
}

const FLAT: &[&str] = &["1.00"];
const FINE: &[&str] = &["0.50"];
const BANDS: &[&str] = &["1.00", "50:2.50", "100:5.00", "500:10.00", "1000:25.00"];

const LOTS: [Lot; 10] = [
    lot("Brass ship's clock, 1920s", "40.00", BANDS, 3),
    lot("Box of forty jazz records", "15.00", FLAT, 4),
    Lot {
        reserve: Some("350.00"),
        ..lot("Oak writing desk with green leather top", "120.00", BANDS, 5)
    },
    lot("Folding camera in its case", "25.00", FLAT, 6),
    lot("Hand-thrown stoneware vase", "8.00", FINE, 7),
    lot("Racing bicycle, steel frame", "90.00", BANDS, 8),
    lot("Map of the Baltic coast, engraved", "60.00", BANDS, 9),
    lot("Six enamelled coffee cups", "5.00", FINE, 10),
    lot("Telescope on a wooden tripod", "200.00", BANDS, 11),
    lot("Surprise crate from the attic", "1.00", FLAT, 12),
];

/// The ids and rules of the demo auctions, open from `now_ms` on.
pub(super) fn all(now_ms: u64) -> Result<Vec<(String, AuctionRules)>, String> {
    (1..).zip(&LOTS).map(|(id, lot): (u32, _)| Ok((id.to_string(), lot.rules(now_ms)?))).collect()
}

// === impl Lot ===

impl Lot {
    fn rules(&self, now_ms: u64) -> Result<AuctionRules, String> {
        let bands = self.increments.iter().map(|text| units::band(text));
        let increments = IncrementTable::new(bands.collect::<Result<_, _>>()?);
        let reserve: Option<Amount> = self.reserve.map(units::amount).transpose()?;
        let rules = AuctionRules {
            title: self.title.to_owned(),
            currency: "EUR".to_owned(),
            opening_price: units::amount(self.opening)?,
            increments: increments.map_err(|error| error.to_string())?,
            reserve,
            opens_at: Timestamp::new(now_ms),
            closes_at: Timestamp::new(now_ms + self.minutes * 60_000),
            extension: Some(Extension {
                mode: ExtensionMode::ResetTo,
                window: SOFT_CLOSE,
                by: SOFT_CLOSE,
                extensions_max: EXTENSIONS_MAX,
            }),
            guests: GuestAccess::Bid,
            seller: None,
            reopen_after: Some(REOPEN_AFTER),
            outage_credit: None,
        };
        rules.check().map_err(|error| error.to_string())?;
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_auctions_are_sound_and_close_one_after_another() {
        let rooms = all(1_700_000_000_000).unwrap();
        assert_eq!(rooms.len(), COUNT);
        assert!(rooms.is_sorted_by_key(|(_, rules)| rules.closes_at));
        assert_eq!(rooms.iter().filter(|(_, rules)| rules.reserve.is_some()).count(), 1);
        assert_eq!(rooms.first().map(|(id, _)| id.as_str()), Some("1"));
        assert_eq!(rooms.last().map(|(id, _)| id.as_str()), Some("10"));
    }
}

//! The rules of an auction.

use super::{ConvertError, amount, known, parse, unknown};
use crate::common::v1 as wire;
use gavel_rules::{
    auction::{
        AuctionRules, Band, Extension, ExtensionMode, GuestAccess, IncrementTable, OutageCredit,
    },
    time::{Millis, Timestamp},
};

impl TryFrom<wire::AuctionRules> for AuctionRules {
    type Error = ConvertError;

    fn try_from(from: wire::AuctionRules) -> Result<Self, ConvertError> {
        let bands = from
            .increments
            .into_iter()
            .map(Band::try_from)
            .collect::<Result<_, _>>()
            .map_err(|error| error.within("increments"))?;
        let rules = Self {
            title: from.title,
            currency: from.currency,
            opening_price: amount("opening_price", from.opening_price)?,
            increments: IncrementTable::new(bands)?,
            reserve: from.reserve.map(|minor| amount("reserve", minor)).transpose()?,
            opens_at: Timestamp::new(from.opens_at),
            closes_at: Timestamp::new(from.closes_at),
            extension: from
                .extension
                .map(Extension::try_from)
                .transpose()
                .map_err(|error| error.within("extension"))?,
            guests: guests(from.guests)?,
            seller: from.seller.map(|id| parse("seller", &id)).transpose()?,
            reopen_after: from.reopen_after_ms.map(Millis::new),
            outage_credit: from.outage_credit.map(Into::into),
        };
        rules.check()?;
        Ok(rules)
    }
}

impl From<AuctionRules> for wire::AuctionRules {
    fn from(rules: AuctionRules) -> Self {
        Self {
            increments: rules.increments.bands().iter().copied().map(Into::into).collect(),
            title: rules.title,
            currency: rules.currency,
            opening_price: rules.opening_price.minor(),
            reserve: rules.reserve.map(|reserve| reserve.minor()),
            opens_at: rules.opens_at.as_millis(),
            closes_at: rules.closes_at.as_millis(),
            extension: rules.extension.map(Into::into),
            guests: wire::GuestAccess::from(rules.guests).into(),
            seller: rules.seller.map(|id| id.to_string()),
            reopen_after_ms: rules.reopen_after.map(Millis::get),
            outage_credit: rules.outage_credit.map(Into::into),
        }
    }
}

impl TryFrom<wire::IncrementBand> for Band {
    type Error = ConvertError;

    fn try_from(from: wire::IncrementBand) -> Result<Self, ConvertError> {
        Ok(Self { from: amount("from", from.from)?, step: amount("step", from.step)? })
    }
}

impl From<Band> for wire::IncrementBand {
    fn from(band: Band) -> Self {
        Self { from: band.from.minor(), step: band.step.minor() }
    }
}

impl TryFrom<wire::Extension> for Extension {
    type Error = ConvertError;

    fn try_from(from: wire::Extension) -> Result<Self, ConvertError> {
        let mode = match known("mode", from.mode)? {
            wire::ExtensionMode::Unspecified => return Err(unknown("mode", from.mode)),
            wire::ExtensionMode::Add => ExtensionMode::Add,
            wire::ExtensionMode::ResetTo => ExtensionMode::ResetTo,
        };
        Ok(Self {
            mode,
            window: Millis::new(from.window_ms),
            by: Millis::new(from.by_ms),
            extensions_max: from.extensions_max,
        })
    }
}

impl From<Extension> for wire::Extension {
    fn from(extension: Extension) -> Self {
        let mode = match extension.mode {
            ExtensionMode::Add => wire::ExtensionMode::Add,
            ExtensionMode::ResetTo => wire::ExtensionMode::ResetTo,
        };
        Self {
            mode: mode.into(),
            window_ms: extension.window.get(),
            by_ms: extension.by.get(),
            extensions_max: extension.extensions_max,
        }
    }
}

impl From<wire::OutageCredit> for OutageCredit {
    fn from(from: wire::OutageCredit) -> Self {
        Self { from: Millis::new(from.from_ms), total_max: Millis::new(from.total_max_ms) }
    }
}

impl From<OutageCredit> for wire::OutageCredit {
    fn from(credit: OutageCredit) -> Self {
        Self { from_ms: credit.from.get(), total_max_ms: credit.total_max.get() }
    }
}

impl From<GuestAccess> for wire::GuestAccess {
    fn from(guests: GuestAccess) -> Self {
        match guests {
            GuestAccess::None => Self::None,
            GuestAccess::View => Self::View,
            GuestAccess::Bid => Self::Bid,
        }
    }
}

/// What guests may do; a sender that does not say lets them look.
pub(super) fn guests(value: i32) -> Result<GuestAccess, ConvertError> {
    Ok(match known("guests", value)? {
        wire::GuestAccess::None => GuestAccess::None,
        wire::GuestAccess::Unspecified | wire::GuestAccess::View => GuestAccess::View,
        wire::GuestAccess::Bid => GuestAccess::Bid,
    })
}

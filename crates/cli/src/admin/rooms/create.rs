//! The rules of a new auction, from flags.

use crate::{failure::Failure, units};
use gavel_rules::{
    amount::Amount,
    auction::{
        AuctionRules, Band, Extension, ExtensionMode, GuestAccess, IncrementTable, OutageCredit,
    },
    id::UserId,
    time::{Millis, Timestamp},
};

/// How the auction of a new room runs.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// The room's id: 1 to 64 of A-Z a-z 0-9 _ -
    #[arg(value_parser = room_id)]
    id: String,
    /// What is sold, for people.
    #[arg(long)]
    title: Option<String>,
    /// ISO 4217 code of the currency.
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// The least that the first bid must offer, such as 10.00.
    #[arg(long, value_parser = units::amount)]
    opening_price: Amount,
    /// The least step, or FROM:STEP for a price band; may be repeated.
    #[arg(long, default_value = "1.00", value_name = "[FROM:]STEP", value_parser = units::band)]
    increment: Vec<Band>,
    /// Hidden price below which it is not sold.
    #[arg(long, value_parser = units::amount)]
    reserve: Option<Amount>,
    /// Open this long from now, such as 30s.
    #[arg(long, default_value = "0s", value_parser = units::duration)]
    opens_in: Millis,
    /// Close this long from now, such as 5m.
    #[arg(long, value_parser = units::duration)]
    closes_in: Millis,
    /// Soft close: a leading bid this near the close moves it.
    #[arg(long, value_parser = units::duration)]
    extend_within: Option<Millis>,
    /// By how much it moves; as long as --extend-within unless told.
    #[arg(long, requires = "extend_within", value_parser = units::duration)]
    extend_by: Option<Millis>,
    /// Whether that is added to the close or counted from the bid.
    #[arg(long, value_enum, default_value = "reset-to")]
    extend_mode: Mode,
    /// How often the close may move.
    #[arg(long, default_value_t = 20)]
    extensions_max: u32,
    /// What sockets without a token may do.
    #[arg(long, value_enum, default_value = "view")]
    guests: Guests,
    /// The user who may not bid here.
    #[arg(long)]
    seller: Option<UserId>,
    /// Open again this long after each close, for demonstrations.
    #[arg(long, value_parser = units::duration)]
    reopen_after: Option<Millis>,
    /// Give time back in which nobody could bid: the close moves by each
    /// outage, by this much at most in all.
    #[arg(long, value_name = "TOTAL_MAX", value_parser = units::duration)]
    credit_outages: Option<Millis>,
    /// Shorter outages are not given back; at least 2s.
    #[arg(long, default_value = "2s", value_name = "FROM", value_parser = units::duration)]
    credit_outages_from: Millis,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Guests {
    /// Nothing.
    None,
    /// Look.
    View,
    /// Look and bid.
    Bid,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Mode {
    /// Added to the closing time.
    Add,
    /// Counted from the bid.
    ResetTo,
}

// === impl CreateArgs ===

impl CreateArgs {
    /// The room's id and its auction's rules, as of `now_ms`.
    pub(crate) fn rules(self, now_ms: u64) -> Result<(String, AuctionRules), Failure> {
        let usage =
            |flag: &str, error: &dyn std::fmt::Display| Failure::Usage(format!("{flag}: {error}"));
        let at = |delay: Millis| Timestamp::new(now_ms.saturating_add(delay.get()));
        let increments = IncrementTable::new(self.increment)
            .map_err(|error| usage("--increment", &error.message))?;
        let rules = AuctionRules {
            title: self.title.unwrap_or_else(|| format!("Room {}", self.id)),
            currency: self.currency,
            opening_price: self.opening_price,
            increments,
            reserve: self.reserve,
            opens_at: at(self.opens_in),
            closes_at: at(self.closes_in),
            extension: self.extend_within.map(|window| Extension {
                mode: match self.extend_mode {
                    Mode::Add => ExtensionMode::Add,
                    Mode::ResetTo => ExtensionMode::ResetTo,
                },
                window,
                by: self.extend_by.unwrap_or(window),
                extensions_max: self.extensions_max,
            }),
            guests: match self.guests {
                Guests::None => GuestAccess::None,
                Guests::View => GuestAccess::View,
                Guests::Bid => GuestAccess::Bid,
            },
            seller: self.seller,
            reopen_after: self.reopen_after,
            outage_credit: self
                .credit_outages
                .map(|total_max| OutageCredit { from: self.credit_outages_from, total_max }),
        };
        rules.check().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok((self.id, rules))
    }
}

fn room_id(text: &str) -> Result<String, String> {
    let id: Result<gavel_rules::id::RoomId, _> = text.parse();
    id.map(|id| id.to_string()).map_err(|error| error.to_string())
}

//! The lists of docs/protocol.md.

use super::table::{Table, code};
use gavel_data_plane::{
    close::CloseCode,
    codec::json::{ErrorCode, meaning_of},
};
use gavel_rules::RejectReason;

/// Why a bid is rejected.
pub(super) fn reasons() -> String {
    let mut table = Table::new(["`reason`", "Meaning"]);
    for reason in RejectReason::ALL {
        if let Some(meaning) = meaning_of(reason) {
            table.row([code(reason.as_str()), meaning.to_owned()]);
        }
    }
    table.end()
}

/// Why a message is refused.
pub(super) fn errors() -> String {
    let mut table = Table::new(["`code`", "Meaning"]);
    for error in ErrorCode::ALL {
        table.row([code(error.as_str()), error.meaning().to_owned()]);
    }
    table.end()
}

/// Why a socket is closed.
pub(super) fn close_codes() -> String {
    let mut table = Table::new(["Code", "Reason", "When", "Come back?"]);
    for close in CloseCode::ALL {
        let [reason, when, next] = [close.reason(), close.when(), close.next()].map(str::to_owned);
        table.row([close.code().to_string(), reason, when, next]);
    }
    table.end()
}

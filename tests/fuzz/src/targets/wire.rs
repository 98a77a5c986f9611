//! What our processes tell each other: protobuf, then `TryFrom`.

use gavel_proto::{
    common::v1 as common,
    convert::{
        AssignedRoom, ChangedOwner, HeldRoom, MovedRoom, PreparedRoom, RelayedAnswer, RelayedBid,
        RoomSnapshot, RoomUpdate,
    },
    fleet::v1 as fleet,
    relay::v1 as relay,
};
use gavel_rules::auction::{AuctionRules, Verdict, View};
use prost::Message;
use std::fmt::Debug;

const KINDS: &[fn(&[u8]) -> bool] = &[
    both_ways::<relay::PlaceBid, RelayedBid>,
    both_ways::<relay::BidAnswer, RelayedAnswer>,
    both_ways::<relay::Snapshot, RoomSnapshot>,
    both_ways::<relay::Update, RoomUpdate>,
    both_ways::<relay::OwnerChanged, ChangedOwner>,
    both_ways::<fleet::Assignment, AssignedRoom>,
    both_ways::<fleet::Prepare, PreparedRoom>,
    both_ways::<fleet::MoveStep, MovedRoom>,
    both_ways::<fleet::HeldRoom, HeldRoom>,
    both_ways::<common::AuctionRules, AuctionRules>,
    both_ways::<common::Verdict, Verdict>,
    both_ways::<common::View, View>,
    decodes::<relay::AttachRequest>,
    decodes::<relay::AttachResponse>,
    decodes::<fleet::SessionRequest>,
    decodes::<fleet::SessionResponse>,
];

/// A message of the kind that the first byte names; one that converts reads back the same.
pub(crate) fn messages(bytes: &[u8]) -> bool {
    let Some((kind, message)) = bytes.split_first() else { return false };
    KINDS.get(usize::from(*kind) % KINDS.len()).is_some_and(|run| run(message))
}

fn both_ways<W, D>(bytes: &[u8]) -> bool
where
    W: Message + Default + From<D>,
    D: TryFrom<W, Error: Debug> + Clone + PartialEq + Debug,
{
    let Ok(Ok(value)) = W::decode(bytes).map(D::try_from) else { return false };
    let sent = W::from(value.clone()).encode_to_vec();
    let received = D::try_from(W::decode(sent.as_slice()).expect("we wrote it"));
    assert_eq!(received.expect("we meant it"), value);
    true
}

fn decodes<W: Message + Default + PartialEq>(bytes: &[u8]) -> bool {
    let Ok(message) = W::decode(bytes) else { return false };
    assert!(W::decode(message.encode_to_vec().as_slice()) == Ok(message), "it reads back");
    true
}

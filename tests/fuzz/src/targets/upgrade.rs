//! The opening handshake, and who it says is there.

use super::choice_and_text;
use gavel_data_plane::{
    auth::{GuestToken, KEYS_MAX, KeySet, Verifier},
    codec::handshake,
};
use gavel_rules::{
    id::{RoomId, UserId},
    time::Timestamp,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::Value;

const SECRET: &[u8] = b"a secret of thirty-two characters";
/// Public keys, and tokens that were signed with them, behind a byte that chooses.
const KEYS: &[u8] = include_bytes!("../../corpus/keys/set");
const SIGNED: [&str; 2] =
    [include_str!("../../corpus/tokens/es256"), include_str!("../../corpus/tokens/eddsa")];
const NOW: Timestamp = Timestamp::new(1_800_000_000_000);

/// Lines of a request; what is taken is well formed, and shows no token.
pub(crate) fn handshake(bytes: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    let upgrade = match handshake::check(&headers, &Method::GET, Version::HTTP_11) {
        Ok(upgrade) => upgrade,
        Err(error) => {
            assert!(error.status().is_client_error());
            return false;
        }
    };
    assert_eq!(handshake::accept_key(&upgrade.key).len(), 28);
    let distinct: std::collections::BTreeSet<_> = upgrade.protocols.iter().collect();
    assert!(distinct.len() == upgrade.protocols.len() && distinct.len() <= 16);
    let Ok(selection) = handshake::select_protocol(&upgrade.protocols) else { return false };
    assert_eq!(selection.protocol.is_none(), upgrade.protocols.is_empty());
    let shown = format!("{upgrade:?} {selection:?}");
    for token in [selection.bearer, selection.guest].into_iter().flatten() {
        assert!(token.len() < 16 || !shown.contains(token), "a token is shown");
    }
    let guest = selection.guest.and_then(|token| token.parse::<GuestToken>().ok());
    assert_eq!(guest.map(GuestToken::secret).as_deref(), guest.and(selection.guest));
    true
}

/// A token as it comes, which nobody signed, or claims that somebody who has the key signed.
pub(crate) fn tokens(bytes: &[u8]) -> bool {
    let Some((choice, text)) = choice_and_text(bytes) else { return false };
    let verifier = Verifier::new(SECRET);
    if choice.is_multiple_of(2) {
        verifier.believe(KeySet::read(KEYS).expect("good keys"));
        let taken = verifier.verify(text, NOW).is_ok();
        let signed = SIGNED.iter().any(|signed| signed.get(1..) == Some(text));
        assert_eq!(taken, signed, "nobody signed it, or somebody did");
        return taken;
    }
    let Ok(claims) = serde_json::from_str::<Value>(text) else { return false };
    let key = EncodingKey::from_secret(SECRET);
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("JSON is signed");
    let Ok(identity) = verifier.verify(&token, NOW) else { return false };
    let user = claims["sub"].as_str().and_then(|sub| sub.parse::<UserId>().ok());
    assert_eq!(user.as_ref(), Some(&identity.user), "{claims}");
    assert!(claims.get("exp").is_some(), "{claims}");
    assert!(!identity.is_guest());
    for room in ["a", "b"] {
        let named = [&claims["grants"][room], &claims["grants"]["*"]];
        let granted = |what| {
            let lists = named.iter().filter_map(|grants| grants.as_array());
            lists.flatten().any(|grant| grant == what)
        };
        let id: RoomId = room.parse().expect("an id");
        assert_eq!(identity.may_bid(&id), granted("bid"), "{claims}");
        assert_eq!(identity.may_conduct(&id), granted("auctioneer"), "{claims}");
        let views = ["bid", "view", "auctioneer"].into_iter().any(granted);
        assert_eq!(identity.may_view(&id), views, "{claims}");
    }
    Verifier::new(b"another secret of this very length")
        .verify(&token, NOW)
        .expect_err("another key");
    true
}

/// A set of keys as somebody may publish it; what is taken holds nothing that signs.
pub(crate) fn key_sets(bytes: &[u8]) -> bool {
    let Ok(set) = KeySet::read(bytes) else { return false };
    assert!((1..=KEYS_MAX).contains(&set.len()));
    let read: Value = serde_json::from_slice(bytes).expect("a set is JSON");
    let keys = read["keys"].as_array().expect("a set has keys");
    for key in keys {
        assert!(key["kty"] != "oct" && ["d", "k", "p", "q"].iter().all(|part| key[part].is_null()));
    }
    let verifier = Verifier::new(SECRET);
    verifier.believe(set);
    let claims = serde_json::json!({"sub": "u1", "exp": 4_000_000_000_u64});
    for kid in keys.iter().map(|key| key["kid"].as_str().map(str::to_owned)) {
        let header = Header { kid, ..Header::default() };
        let key = EncodingKey::from_secret(bytes);
        let forged = jsonwebtoken::encode(&header, &claims, &key).expect("JSON is signed");
        verifier.verify(&forged, NOW).expect_err("a public key is no secret");
    }
    true
}

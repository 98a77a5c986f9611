//! A follower's word for who called it, when it passes a call on to the
//! leader. It counts for as much as the secret that both read in their store:
//! who does not share the store cannot give it.

use super::{caller::Caller, status::CallError};
use crate::store::ClusterStore;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

/// Who called, as JSON in Base64.
const CALLER: &str = "gavel-caller";
/// The proof that a replica said so, of this call.
const PROOF: &str = "gavel-caller-proof";

/// Puts the word for a caller into the headers of a call.
pub(super) async fn give(
    store: &dyn ClusterStore,
    path: &str,
    caller: &Caller,
    headers: &mut HeaderMap,
) -> Result<(), CallError> {
    let told = serde_json::to_vec(caller).map(|json| STANDARD.encode(json));
    let told = told.map_err(|error| CallError::Unavailable(error.to_string()))?;
    let proof = STANDARD.encode(mac(store, path, &told).await?.finalize().into_bytes());
    for (name, value) in [(CALLER, told), (PROOF, proof)] {
        let value = HeaderValue::try_from(value)
            .map_err(|error| CallError::Unavailable(error.to_string()))?;
        headers.insert(name, value);
    }
    Ok(())
}

/// The caller that a replica gives its word for; none where nobody does.
pub(super) async fn taken(
    store: &dyn ClusterStore,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Caller>, CallError> {
    let Some(told) = headers.get(CALLER) else { return Ok(None) };
    let forged = || CallError::Forbidden("only another replica says who called it".to_owned());
    let proof = headers.get(PROOF).and_then(|proof| STANDARD.decode(proof).ok());
    let proof = proof.ok_or_else(forged)?;
    let told = told.to_str().map_err(|_| forged())?;
    mac(store, path, told).await?.verify_slice(&proof).map_err(|_| forged())?;
    let caller = STANDARD.decode(told).ok().and_then(|json| serde_json::from_slice(&json).ok());
    caller.map(Some).ok_or_else(forged)
}

/// The secret is read for each call: the store may be another one than before.
async fn mac(store: &dyn ClusterStore, path: &str, told: &str) -> Result<Hmac<Sha256>, CallError> {
    let drawn = STANDARD.encode(rand::random::<[u8; 32]>());
    let secret = store.shared_secret(&drawn).await?;
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.map_err(|error| CallError::Unavailable(error.to_string()))?;
    mac.update(path.as_bytes());
    mac.update(b" ");
    mac.update(told.as_bytes());
    Ok(mac)
}

//! Who calls, as far as that was shown.

use super::status::CallError;
use gavel_runtime::tls::Role;
use serde::{Deserialize, Serialize};
use tonic::Request;

/// Who calls; each request has it as an extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Caller {
    /// Where the call came from.
    pub(crate) peer: String,
    /// Who administers, if somebody does.
    pub(crate) operator: Option<Operator>,
    /// The nodes that the certificate names; none where nobody is asked for one.
    pub(crate) nodes: Option<Vec<String>>,
}

/// Somebody who administers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operator {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) proof: Proof,
}

/// How it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Proof {
    /// By a bearer token.
    Token,
    /// By a client's certificate.
    Certificate,
    /// By coming from this machine, where nothing else is asked for.
    Nearness,
}

// === impl Caller ===

impl Caller {
    /// Who a request comes from.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, CallError> {
        let nobody = || CallError::Forbidden("nobody asked who calls".to_owned());
        request.extensions().get().cloned().ok_or_else(nobody)
    }

    /// Refuses whoever speaks for a node that is another one.
    pub(crate) fn must_be_node(&self, id: &str) -> Result<(), CallError> {
        let Some(named) = &self.nodes else { return Ok(()) };
        if named.iter().any(|node| node == id) {
            return Ok(());
        }
        tracing::warn!(node.id = id, peer = self.peer, "a node has another one's certificate");
        Err(CallError::Forbidden(format!("the certificate is not that of node {id}")))
    }
}

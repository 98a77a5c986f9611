//! Who a certificate says that it is.
//!
//! ```text
//! gavel:node:<id>               a node, and no other
//! gavel:operator:<role>:<name>  somebody who may do what the role may
//! ```

use crate::config::Form;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

const NODE: &str = "gavel:node:";
const OPERATOR: &str = "gavel:operator:";

/// What the holder of a certificate is called in it, among its URIs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    nodes: Vec<String>,
    operators: Vec<(Role, String)>,
}

/// What an operator may do: each may what those before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at everything.
    Viewer,
    /// Steers rooms and nodes as well.
    Operator,
    /// Changes what holds for everybody as well.
    Admin,
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of viewer, operator, admin")]
pub struct RoleError(String);

// === impl Names ===

impl Names {
    /// The names in a certificate that was found to be good.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        match webpki::EndEntityCert::try_from(certificate) {
            Ok(read) => read.valid_uri_names().collect(),
            Err(_) => Self::default(),
        }
    }

    /// Whether the holder is this node.
    #[must_use]
    pub fn is_node(&self, id: &str) -> bool {
        self.nodes.iter().any(|node| node == id)
    }

    /// The nodes that the holder is; seldom more than one.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The operator that the holder is, with the role.
    #[must_use]
    pub fn operator(&self) -> Option<(Role, &str)> {
        self.operators.first().map(|(role, name)| (*role, name.as_str()))
    }

    /// The URI of a node.
    #[must_use]
    pub fn uri_of_node(id: &str) -> String {
        format!("{NODE}{id}")
    }

    /// The URI of an operator.
    #[must_use]
    pub fn uri_of_operator(role: Role, name: &str) -> String {
        format!("{OPERATOR}{role}:{name}")
    }
}

impl<'a> FromIterator<&'a str> for Names {
    fn from_iter<T: IntoIterator<Item = &'a str>>(uris: T) -> Self {
        let mut names = Self::default();
        for uri in uris {
            let operator = uri.strip_prefix(OPERATOR).and_then(|rest| rest.split_once(':'));
            if let Some(id) = uri.strip_prefix(NODE) {
                names.nodes.push(id.to_owned());
            } else if let Some((role, name)) = operator
                && let Ok(role) = role.parse()
                && Form::Id.fits(name)
            {
                names.operators.push((role, name.to_owned()));
            }
        }
        names
    }
}

// === impl Role ===

impl Role {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| RoleError(text.to_owned()))
    }
}

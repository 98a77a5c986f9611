//! Limits and flags, as operators read and replace them.

use super::{Services, audited::Change, status::CallError};
use crate::{
    flags, limits,
    store::{Document, DocumentName, Put},
};
use gavel_flags::Context;
use gavel_proto::{
    admin::v1::{
        self as wire, flag_service_server::FlagService, limit_service_server::LimitService,
    },
    limits::check,
};
use gavel_rules::order::Version;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

impl Services {
    /// Stores a document that has been checked, and sends it to the nodes.
    pub(crate) async fn put(
        &self,
        name: DocumentName,
        edited_from: u64,
        body: String,
    ) -> Result<Version, CallError> {
        let expected = (edited_from > 0).then(|| Version::new(edited_from));
        let (term, _) = self.leading()?;
        let put = self.store.put_document(term, name, expected, &body).await;
        match self.changed(put)? {
            Put::Done(version) => {
                self.documents.changed(name, Document { version, body });
                Ok(version)
            }
            Put::Conflict(current) => Err(CallError::Outdated { current: current.get() }),
        }
    }
}

/// A document as the audit log tells of it.
fn told(document: &Document) -> Value {
    let body: Value = serde_json::from_str(&document.body).unwrap_or_default();
    json!({ "version": document.version.get(), "body": body })
}

#[tonic::async_trait]
impl LimitService for Services {
    #[tracing::instrument(name = "limits.get", skip_all)]
    async fn get_limits(
        &self,
        _: Request<wire::GetLimitsRequest>,
    ) -> Result<Response<wire::GetLimitsResponse>, Status> {
        let document = self.documents.newest().limits;
        let limits = limits::from_json(&document.body)
            .map_err(|error| CallError::Unavailable(error.to_string()))?;
        let (limits, version) = (Some(limits), document.version.get());
        Ok(Response::new(wire::GetLimitsResponse { limits, version }))
    }

    #[tracing::instrument(name = "limits.update", skip_all)]
    async fn update_limits(
        &self,
        request: Request<wire::UpdateLimitsRequest>,
    ) -> Result<Response<wire::UpdateLimitsResponse>, Status> {
        let change = Change::of(&request);
        change.old(told(&self.documents.newest().limits));
        let wire::UpdateLimitsRequest { limits, version } = request.into_inner();
        let limits = limits.ok_or_else(|| CallError::invalid("limits", "is missing"))?;
        check(&limits).map_err(|error| CallError::invalid(error.field, error.message))?;
        let body = limits::to_json(&limits);
        let version = self.put(DocumentName::Limits, version, body.clone()).await?;
        change.new_is(told(&Document { version, body }));
        let limits = Some(limits);
        Ok(Response::new(wire::UpdateLimitsResponse { limits, version: version.get() }))
    }
}

#[tonic::async_trait]
impl FlagService for Services {
    #[tracing::instrument(name = "flags.get", skip_all)]
    async fn get_flags(
        &self,
        _: Request<wire::GetFlagsRequest>,
    ) -> Result<Response<wire::GetFlagsResponse>, Status> {
        let Document { version, body: document } = self.documents.newest().flags;
        Ok(Response::new(wire::GetFlagsResponse { document, version: version.get() }))
    }

    #[tracing::instrument(name = "flags.update", skip_all)]
    async fn update_flags(
        &self,
        request: Request<wire::UpdateFlagsRequest>,
    ) -> Result<Response<wire::UpdateFlagsResponse>, Status> {
        let change = Change::of(&request);
        change.old(told(&self.documents.newest().flags));
        let wire::UpdateFlagsRequest { document, version } = request.into_inner();
        flags::check(&document).map_err(|error| CallError::invalid("document", error))?;
        let version = self.put(DocumentName::Flags, version, document.clone()).await?;
        change.new_is(told(&Document { version, body: document }));
        Ok(Response::new(wire::UpdateFlagsResponse { version: version.get() }))
    }

    #[tracing::instrument(name = "flags.explain", skip_all)]
    async fn explain_flag(
        &self,
        request: Request<wire::ExplainFlagRequest>,
    ) -> Result<Response<wire::ExplainFlagResponse>, Status> {
        let wire::ExplainFlagRequest { key, context } = request.into_inner();
        let context = serde_json::from_str(&context).ok().as_ref().and_then(Context::from_json);
        let context = context.ok_or_else(|| {
            CallError::invalid("context", "must be a JSON object, and its targetingKey text")
        })?;
        let (version, flags) =
            self.documents.flags().map_err(|error| CallError::Unavailable(error.to_string()))?;
        Ok(Response::new(flags::explain(&flags, version, &key, &context)))
    }
}

//! Which control plane is asked, and how its refusals are told.

use crate::{failure::Failure, trust::Trust};
use gavel_runtime::{grpc, tls::Tls};
use std::time::Duration;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the control plane is, and how to read its answers.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The control plane's gRPC endpoint.
    #[arg(long, global = true, env = "GAVEL_ENDPOINT", default_value = "http://127.0.0.1:7001")]
    endpoint: String,
    /// The admin token, where the control plane has one.
    #[arg(long, global = true, env = "GAVEL_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    trust: Trust,
    /// Print JSON for machines instead of tables for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A connection that shows the admin token with each request.
pub(crate) type Connection = InterceptedService<Channel, Credentials>;

/// What each request carries.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    bearer: Option<MetadataValue<Ascii>>,
}

// === impl Target ===

impl Target {
    /// A connection to the control plane; nothing is sent yet.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let channel = grpc::channel(&self.endpoint, &self.tls()?)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let bearer =
            self.token().map(|token| format!("Bearer {token}").parse()).transpose().map_err(
                |_| Failure::Usage("--token holds characters a header cannot".to_owned()),
            )?;
        Ok(InterceptedService::new(channel, Credentials { bearer }))
    }

    /// Whose certificates are believed.
    pub(crate) fn tls(&self) -> Result<Tls, Failure> {
        self.trust.open()
    }

    /// The token, where one is given.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref().filter(|token| !token.is_empty())
    }

    /// Waits for one answer, and tells a refusal in the operator's words.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.explain(&status)),
            Err(_) => Err(Failure::Unavailable(format!(
                "the control plane at {} did not answer within {} s",
                self.endpoint,
                ANSWER_TIMEOUT.as_secs()
            ))),
        }
    }

    /// The next of a stream of answers; none at its end.
    pub(crate) fn next<T>(&self, next: Result<Option<T>, Status>) -> Result<Option<T>, Failure> {
        next.map_err(|status| self.explain(&status))
    }

    fn explain(&self, status: &Status) -> Failure {
        let at = &self.endpoint;
        // Without a source it is the control plane itself that answered.
        let unreachable = std::error::Error::source(status).is_some();
        let code = status.code();
        if unreachable && matches!(code, Code::Unavailable | Code::Unknown) {
            let why = root_of(status).map(|why| format!(": {why}")).unwrap_or_default();
            return Failure::Unavailable(format!("cannot reach the control plane at {at}{why}"));
        }
        if code == Code::Unauthenticated {
            return Failure::Refused(format!(
                "the control plane at {at} wants another token: give --token or GAVEL_ADMIN_TOKEN"
            ));
        }
        if code == Code::Unimplemented {
            return Failure::Refused(format!("{at} does not serve this; is it Gavel's gRPC port?"));
        }
        let message = Some(status.message()).filter(|message| !message.is_empty());
        let message = message.unwrap_or(code.description()).to_owned();
        if matches!(code, Code::Unavailable | Code::DeadlineExceeded) {
            Failure::Unavailable(message)
        } else {
            Failure::Refused(message)
        }
    }
}

/// What is at the bottom of a failure, such as a certificate that is not good.
fn root_of(status: &Status) -> Option<String> {
    let first = std::error::Error::source(status)?;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes.last().map(ToString::to_string)
}

// === impl Credentials ===

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

/// An answer that lacks what it exists for.
pub(crate) fn present<T>(what: &str, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::Refused(format!("the control plane sent no {what}")))
}

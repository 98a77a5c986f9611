//! Logs for people and traces for tools.
//!
//! Logs go to standard error as text, or as JSON with `GAVEL_LOG_FORMAT=json`,
//! filtered by `RUST_LOG` (default `info`). Traces leave over OTLP only where
//! an endpoint is configured, so a laptop and a test send nothing anywhere.
//! The SDK reads the other `OTEL_*` variables by itself.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

mod context;
mod environment;

pub use context::{
    TRACEPARENT_BYTES_MAX, child_of_one, inject, inject_from, link_all, parent_of, unsampled,
};
pub use environment::{VARIABLES, Variable};

/// How long the last spans may take to leave at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps telemetry alive; when dropped, the last spans are sent.
#[must_use = "telemetry ends when the guard is dropped"]
#[derive(Debug)]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs and, where configured, traces for this process.
///
/// `service` is the kind of process and `instance` this run of it. Only the
/// first call in a process takes effect. Call it inside a Tokio runtime, which
/// the exporter's channel needs.
pub fn init(service: &'static str, instance: &str) -> Guard {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let (provider, complaint) = match exporter_wanted().then(|| provider(service, instance)) {
        Some(Ok(provider)) => (Some(provider), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    // Each layer has its own filter: a quieter log must not thin out traces.
    let traces = provider.as_ref().map(|p| {
        tracing_opentelemetry::layer().with_tracer(p.tracer(service)).with_filter(LevelFilter::INFO)
    });
    let installed = Registry::default().with(traces).with(logs().with_filter(filter())).try_init();
    if let (Ok(()), Some(provider)) = (&installed, &provider) {
        global::set_tracer_provider(provider.clone());
    }
    if let Some(error) = complaint {
        tracing::warn!(%error, "traces are off: the exporter could not be set up");
    }
    Guard { provider }
}

/// Whether traces leave this process, by its environment.
fn exporter_wanted() -> bool {
    let disabled =
        environment::DISABLED.value().is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let endpoints = [environment::ENDPOINT, environment::TRACES_ENDPOINT];
    !disabled && endpoints.into_iter().any(|endpoint| endpoint.value().is_some())
}

fn provider(service: &'static str, instance: &str) -> anyhow::Result<SdkTracerProvider> {
    anyhow::ensure!(tokio::runtime::Handle::try_current().is_ok(), "there is no Tokio runtime");
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_timeout(FLUSH_TIMEOUT)
        .build()?;
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.namespace", "gavel"),
        KeyValue::new("service.instance.id", instance.to_owned()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    // An operator who names the service knows better.
    if environment::SERVICE_NAME.value().is_none() {
        resource = resource.with_service_name(service);
    }
    // The sampler stays the SDK's, which OTEL_TRACES_SAMPLER governs.
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

fn logs<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = fmt::layer().with_writer(std::io::stderr);
    let json = environment::LOG_FORMAT.value().is_some_and(|v| v.eq_ignore_ascii_case("json"));
    if json {
        layer.json().flatten_event(true).boxed()
    } else {
        let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
            && environment::NO_COLOR.value().is_none();
        layer.with_ansi(colour).boxed()
    }
}

fn filter() -> EnvFilter {
    environment::LOG_FILTER
        .value()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(environment::DEFAULT_FILTER))
}

// === impl Guard ===

impl Guard {
    /// Sends the last spans without holding up the runtime.
    pub async fn flush(mut self) {
        if let Some(provider) = self.provider.take() {
            let done = tokio::task::spawn_blocking(move || end(&provider));
            if tokio::time::timeout(FLUSH_TIMEOUT, done).await.is_err() {
                tracing::warn!("the last spans were not sent in time");
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(provider) = self.provider.take() else {
            return;
        };
        // Sending needs the runtime, whose worker this may be: another thread
        // does it, and this one waits for a bounded time.
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            end(&provider);
            sender.send(()).ok();
        });
        receiver.recv_timeout(FLUSH_TIMEOUT).ok();
    }
}

fn end(provider: &SdkTracerProvider) {
    if let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
        tracing::warn!(%error, "the last spans were not sent");
    }
}

//! Trace context as one W3C `traceparent` string, which is all that a message
//! between processes carries.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The length of every `traceparent` of version 00; longer ones are ignored.
pub const TRACEPARENT_BYTES_MAX: usize = 55;

const HEADER: &str = "traceparent";

/// The current span as a `traceparent`, if it is traced.
pub fn inject() -> Option<String> {
    inject_from(&Span::current())
}

/// `span` as a `traceparent`, if it is traced.
pub fn inject_from(span: &Span) -> Option<String> {
    format(&span.context())
}

/// Makes `span` a child of the remote span; a bad `traceparent` is ignored.
///
/// The parent must be set before the span is first entered.
pub fn parent_of(span: &Span, traceparent: &str) {
    if let Some(remote) = parse(traceparent) {
        let context = Context::new().with_remote_span_context(remote);
        if let Err(error) = span.set_parent(context) {
            tracing::trace!(%error, "the remote parent was not taken");
        }
    }
}

/// Links `span` to the remote span; a bad `traceparent` is ignored.
pub fn link(span: &Span, traceparent: &str) {
    if let Some(remote) = parse(traceparent) {
        span.add_link(remote);
    }
}

fn format(context: &Context) -> Option<String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers.remove(HEADER)
}

/// Strict about the length, because this comes from clients.
fn parse(traceparent: &str) -> Option<SpanContext> {
    if traceparent.len() != TRACEPARENT_BYTES_MAX || !traceparent.is_ascii() {
        return None;
    }
    let headers = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let remote = context.span().span_context().clone();
    remote.is_valid().then_some(remote)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn bad_strings_are_ignored() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for bad in ["", "00", zeros, &REMOTE.replace('a', "g"), &format!("{REMOTE}-x")] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        let context = Context::new().with_remote_span_context(parse(REMOTE).unwrap());
        assert_eq!(format(&context).as_deref(), Some(REMOTE));
    }

    #[test]
    fn parents_and_links_reach_the_exporter() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let child = tracing::info_span!("room.bid");
            parent_of(&child, REMOTE);
            parent_of(&child, "nonsense");
            let sent = child.in_scope(inject).unwrap();
            assert_eq!(sent.get(3..35), REMOTE.get(3..35), "same trace");
            let fanout = tracing::info_span!("room.fanout");
            link(&fanout, &sent);
            link(&fanout, "nonsense");
        });
        let spans = exporter.get_finished_spans().unwrap();
        let named = |name: &str| spans.iter().find(|s| s.name == name).unwrap();
        assert_eq!(named("room.bid").parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(named("room.fanout").links.len(), 1);
    }

    #[test]
    fn without_a_tracer_there_is_nothing_to_send() {
        assert_eq!(inject(), None);
    }
}

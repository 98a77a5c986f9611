//! Trace context as one W3C `traceparent` string, which is all that a message
//! between processes carries.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceFlags, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
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

/// Makes `span` a child of the remote span; false for a bad `traceparent`, which
/// is ignored.
///
/// The parent must be set before the span is first entered.
pub fn parent_of(span: &Span, traceparent: &str) -> bool {
    let remote = parse(traceparent);
    let good = remote.is_some();
    if let Some(remote) = remote {
        set_parent(span, remote);
    }
    good
}

/// Keeps `span`, and what follows from it, from being sampled, as if a parent
/// had been that was not. A sampler that asks no parent samples it all the same.
pub fn unsampled(span: &Span) {
    let ids = RandomIdGenerator::default();
    let (trace, parent) = (ids.new_trace_id(), ids.new_span_id());
    let remote =
        SpanContext::new(trace, parent, TraceFlags::default(), true, TraceState::default());
    set_parent(span, remote);
}

/// Makes `span`, which several remote spans led to, a child of the first of them
/// that is sampled, or else of the first, and links it to the others.
pub fn child_of_one<'a>(span: &Span, traceparents: impl Iterator<Item = &'a str> + Clone) {
    let parent = traceparents.clone().position(is_sampled).unwrap_or(0);
    for (n, traceparent) in traceparents.enumerate() {
        if n == parent {
            parent_of(span, traceparent);
        } else {
            link(span, traceparent);
        }
    }
}

/// Links `span`, which several remote spans led to, to each of them; if none of
/// them is sampled, it is not either.
pub fn link_all<'a>(span: &Span, traceparents: impl Iterator<Item = &'a str> + Clone) {
    match traceparents.clone().next() {
        Some(first) if !traceparents.clone().any(is_sampled) => {
            parent_of(span, first);
        }
        Some(_) | None => traceparents.for_each(|traceparent| link(span, traceparent)),
    }
}

/// Links `span` to the remote span; a bad `traceparent` is ignored.
fn link(span: &Span, traceparent: &str) {
    if let Some(remote) = parse(traceparent) {
        span.add_link(remote);
    }
}

fn set_parent(span: &Span, remote: SpanContext) {
    let context = Context::new().with_remote_span_context(remote);
    if let Err(error) = span.set_parent(context) {
        tracing::trace!(%error, "the remote parent was not taken");
    }
}

fn is_sampled(traceparent: &str) -> bool {
    parse(traceparent).is_some_and(|remote| remote.is_sampled())
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
            link_all(&fanout, [sent.as_str(), "nonsense"].into_iter());
        });
        let spans = exporter.get_finished_spans().unwrap();
        let named = |name: &str| spans.iter().find(|s| s.name == name).unwrap();
        assert_eq!(named("room.bid").parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(named("room.fanout").links.len(), 1);
    }

    #[test]
    fn what_only_unsampled_spans_led_to_is_not_sampled() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let quiet = || {
                let span = tracing::info_span!("quiet.bid");
                unsampled(&span);
                span.in_scope(inject).unwrap()
            };
            let (one, other) = (quiet(), quiet());
            assert_ne!(one.get(3..35), other.get(3..35), "each is a trace of its own");
            let sampled = [one.as_str(), REMOTE, other.as_str()];
            for (name, led) in [("quiet", &[one.as_str(), other.as_str()][..]), ("loud", &sampled)]
            {
                let append = tracing::info_span!("append", name);
                child_of_one(&append, led.iter().copied());
                append.in_scope(|| ());
                let fanout = tracing::info_span!("fanout", name);
                link_all(&fanout, led.iter().copied());
                fanout.in_scope(|| ());
            }
            link_all(&tracing::info_span!("of no bid"), [].into_iter());
        });
        let spans = exporter.get_finished_spans().unwrap();
        let mut names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
        names.sort_unstable();
        assert_eq!(names, ["append", "fanout", "of no bid"]);
        let append = spans.iter().find(|span| span.name == "append").unwrap();
        assert_eq!(append.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(append.links.len(), 2);
        let fanout = spans.iter().find(|span| span.name == "fanout").unwrap();
        assert_eq!(fanout.links.len(), 3);
    }

    #[test]
    fn without_a_tracer_there_is_nothing_to_send() {
        assert_eq!(inject(), None);
    }
}

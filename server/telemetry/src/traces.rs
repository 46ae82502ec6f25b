//! Traces over OTLP (HTTP, protobuf): the spans of Talksy's own crates, without their events, so
//! that what is exported is what the spans name and nothing that a log line may hold.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::collector::Collector;
use crate::{Options, TelemetryError};

/// The name of the header that W3C Trace Context gives a caller's span.
const TRACEPARENT: &str = "traceparent";

/// The standard variables that name a collector; the first one counts.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Whether spans are exported, so that all else costs one look at this.
static ON: AtomicBool = AtomicBool::new(false);

/// A running exporter.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts exporting where an endpoint is configured.
    pub(crate) fn start(options: &Options<'_>) -> Result<Option<Self>, TelemetryError> {
        let configured = ENDPOINTS
            .iter()
            .find_map(|name| Some((*name, std::env::var(name).ok().filter(|v| !v.is_empty())?)));
        match (options.otlp_endpoint, configured) {
            (None, None) => return Ok(None),
            (None, Some((name, url)))
                if !(url.starts_with("http://") || url.starts_with("https://")) =>
            {
                return Err(TelemetryError::CollectorUrl(name));
            }
            _ => {}
        }
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new()?);
        if let Some(base) = options.otlp_endpoint {
            exporter = exporter.with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/')));
        }
        let resource = Resource::builder()
            .with_service_name(options.service)
            .with_attribute(KeyValue::new("service.version", options.version))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter.build()?)
            .with_resource(resource)
            .build();
        ON.store(true, Ordering::Relaxed);
        Ok(Some(Self(provider)))
    }

    /// What makes spans of the process's own crates into spans of the trace.
    pub(crate) fn layer(&self, service: &'static str) -> Box<dyn Layer<Registry> + Send + Sync> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(service))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target().starts_with("talksy")
            }))
            .boxed()
    }

    pub(crate) fn shutdown(&self) -> OTelSdkResult {
        self.0.shutdown()
    }
}

/// Whether spans are exported.
pub fn is_traced() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The current span as a `traceparent` header, for what goes on elsewhere. `None` where spans are
/// not exported.
pub fn traceparent() -> Option<String> {
    if !is_traced() {
        return None;
    }
    let mut headers = HashMap::new();
    let context = Span::current().context();
    TraceContextPropagator::new().inject_context(&context, &mut headers);
    headers.remove(TRACEPARENT)
}

/// Makes a span that has not been entered yet the child of the one that a `traceparent` header
/// names. Nothing happens where spans are not exported, or the header is malformed.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    let (true, Some(traceparent)) = (is_traced(), traceparent) else {
        return;
    };
    let headers = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    // A span that is not recorded has no parent to set.
    let _ = span.set_parent(parent);
}

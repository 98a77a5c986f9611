//! The variables that telemetry goes by: those of Gavel, and those of other
//! projects that Gavel reads itself.

use crate::config;

/// A variable that is no setting, since it counts before there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is not there or empty.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($constant:ident, $name:literal, $default:expr, $meaning:literal;)+) => {
        $(
            #[doc = $meaning]
            pub(super) const $constant: Variable =
                Variable { name: $name, default: $default, meaning: $meaning };
        )+

        /// Every variable that telemetry reads.
        pub const VARIABLES: &[Variable] = &[$($constant),+];
    };
}

/// The SDK tells about itself at `info`, which interests nobody on a laptop.
pub(super) const DEFAULT_FILTER: &str = "info,opentelemetry=warn";

variables! {
    LOG_FILTER, "RUST_LOG", DEFAULT_FILTER,
        "Which log lines are written, as levels by module. What cannot be read counts as not there.";
    LOG_FORMAT, "GAVEL_LOG_FORMAT", "text",
        "`json` writes each log line as one JSON object.";
    NO_COLOR, "NO_COLOR", "colours on a terminal",
        "Anything keeps colours out of text logs.";
    ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT", "no traces",
        "Where traces go over OTLP/gRPC, such as `http://collector:4317`.";
    TRACES_ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "as above",
        "The same, and wins.";
    DISABLED, "OTEL_SDK_DISABLED", "false",
        "`true` sends no traces in spite of an endpoint.";
    SERVICE_NAME, "OTEL_SERVICE_NAME", "by the process",
        "Names the service in traces instead of `gavel`, `gavel-control-plane`, `gavel-data-plane` or `gavel-dev`.";
}

// === impl Variable ===

impl Variable {
    /// Its value in this process, where there is one.
    pub(super) fn value(self) -> Option<String> {
        config::variable(self.name)
    }
}

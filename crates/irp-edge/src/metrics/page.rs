//! The page, in Prometheus's text format (OpenMetrics).

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};

use super::Counts;
use crate::{certs::Certificates, http::Service, idle::Activity};

/// The media type of the page.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where everything on the page is read from when somebody looks.
#[derive(Debug)]
pub(crate) struct Page {
    /// What was counted.
    pub(crate) counts: Arc<Counts>,
    /// Sessions and requests that are here now.
    pub(crate) activity: Activity,
    /// What is held, and the byte budget.
    pub(crate) service: Service,
    /// When certificates end.
    pub(crate) certificates: Arc<Certificates>,
}

impl Page {
    /// The text.
    pub(super) fn text(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(self)));
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        Ok(page)
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        let counts = &self.counts;
        let seen = self.activity.seen();
        let budget = self.service.budget();
        sheet.counters(
            "irp_requests",
            "Requests that are over, by the class of their status.",
            "class",
            counts.shown_requests(),
        )?;
        sheet.counters(
            "irp_visitor_bytes",
            "Bytes of visitors' connections, inside TLS.",
            "direction",
            counts.shown_bytes(),
        )?;
        sheet.gauge("irp_requests_in_flight", "Requests under way.", u64::from(seen.requests))?;
        sheet.gauge("irp_tunnels", "Tunnels that are connected.", u64::from(seen.sessions))?;
        sheet.counter("irp_holds", "Requests that had to wait for a tunnel.", counts.shown_holds())?;
        sheet.gauge(
            "irp_held_requests",
            "Requests that wait for a tunnel now.",
            wide(self.service.held()),
        )?;
        sheet.gauge(
            "irp_budget_used_bytes",
            "Memory reserved for windows, buffers and held requests.",
            wide(budget.used()),
        )?;
        sheet.gauge("irp_budget_limit_bytes", "Memory that may be reserved.", wide(budget.limit()))?;
        sheet.counters(
            "irp_webhooks_verified",
            "Webhooks whose provider signed them.",
            "provider",
            above_zero(counts.shown_verified()),
        )?;
        sheet.counters(
            "irp_webhook_handshakes",
            "Handshakes of providers that the edge answered.",
            "provider",
            above_zero(counts.shown_handshakes()),
        )?;
        sheet.failures(counts.shown_failures())?;
        sheet.ends(self.certificates.ends())
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A hundred zeros tell nobody anything.
fn above_zero<L>(counts: impl Iterator<Item = (L, u64)>) -> impl Iterator<Item = (L, u64)> {
    counts.filter(|(_, count)| *count > 0)
}

/// What is written on the page, family by family.
struct Sheet<'e>(DescriptorEncoder<'e>);

/// No exemplars are given.
const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], u64>> = None;

impl Sheet<'_> {
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter(&count, NO_EXEMPLAR)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        counts: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        self.family(name, help, counts.into_iter().map(|(value, count)| ([(label, value)], count)))
    }

    fn failures(&mut self, counts: impl Iterator<Item = (&'static str, &'static str, u64)>) -> fmt::Result {
        let counts = counts.filter(|(.., count)| *count > 0);
        let labelled =
            counts.map(|(provider, reason, count)| ([("provider", provider), ("reason", reason)], count));
        self.family(
            "irp_webhook_failures",
            "Requests that were not believed to be their provider's.",
            labelled,
        )
    }

    fn family<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            family.encode_family(&labels)?.encode_counter(&count, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    fn ends(&mut self, certificates: Vec<(String, SystemTime)>) -> fmt::Result {
        let (name, help) =
            ("irp_certificate_ends_seconds", "When a certificate ends, in seconds since 1970.");
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (name, end) in certificates {
            let second = end.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let second = i64::try_from(second).unwrap_or(i64::MAX);
            family.encode_family(&[("name", name.as_str())])?.encode_gauge(&second)?;
        }
        Ok(())
    }
}

//! Metrics: what the edge counts, and the page of them in Prometheus's text format, on a listener of its own.
//!
//! Counting costs an atomic addition and nothing else: no lock, no allocation, on no request. Whatever is more work is
//! done when somebody looks. Labels are words of ours and names of the configuration; nothing that a visitor or a
//! client chooses becomes one, so their number is bounded, and no secret is among them.

mod counts;
mod listener;
mod page;

pub(crate) use counts::{Column, Counts};
pub(crate) use listener::MetricsListener;
pub(crate) use page::Page;

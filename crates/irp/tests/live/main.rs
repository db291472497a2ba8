//! The program as people run it: processes of their own, and other people's programs around them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acme;
mod asleep;
mod beside;
mod browser;
mod completions;
mod connect;
mod edge;
mod ending;
mod exhausted;
mod identity;
mod inbox;
mod ipv6;
mod killed;
mod libraries;
mod machine;
mod metrics;
mod parking;
mod program;
mod proxy;
mod quitting;
mod readme;
mod reload;
mod screen;
mod slack_app;
mod slack_page;
mod sshd;
mod terminal;
mod up;
mod ways;
mod webhook_pages;
mod webhooks;

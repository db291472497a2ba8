//! The public side with real visitors before it and real programs behind it, through a forward.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exchanges;
mod refusals;
mod smuggling;
mod stage;
mod stalls;
mod tunnels;
mod upgrades;

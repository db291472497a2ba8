//! What a launch needs, as pure functions: the settings of a launch, the user-data of both engines, prices.
//!
//! Nothing here reads a file, a clock, the environment or the network: settings come in as text with their
//! sources, and go out as text for the machine. So every decision can be tested in a millisecond.
//!
//! - [`settings`]: each setting parsed and checked, with the place where it came from;
//! - [`values`]: the types of single settings, which can only be built valid;
//! - [`user_data`]: what cloud-init gets, for engine `irp` and engine `caddy`;
//! - [`plan`]: from what is wanted and what exists to steps;
//! - [`program`]: what a program file needs of a machine;
//! - [`ending`]: why a machine is gone;
//! - [`tags`]: by what everything of irp is found in the account;
//! - [`policy`]: what machines and people may do in the account;
//! - [`setup`]: what an account needs once for a public name;
//! - [`price`]: what a machine costs, from a dated table.

pub mod ending;
pub mod plan;
pub mod policy;
pub mod price;
pub mod program;
pub mod settings;
pub mod setup;
pub mod tags;
pub mod user_data;
pub mod values;

//! What a launch needs, as pure functions: the settings of a launch, the user-data of both engines, prices.
//!
//! Nothing here reads a file, a clock, the environment or the network: settings come in as text with their
//! sources, and go out as text for the machine. So every decision can be tested in a millisecond.
//!
//! - [`settings`]: each setting parsed and checked, with the place where it came from;
//! - [`values`]: the types of single settings, which can only be built valid;
//! - [`user_data`]: what cloud-init gets, for engine `irp` and engine `caddy`;
//! - [`price`]: what a machine costs, from a dated table.

pub mod price;
pub mod settings;
pub mod user_data;
pub mod values;

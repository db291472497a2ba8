//! People's keys: SSH ed25519 keys in files, or held by an ssh-agent.

pub mod agent;
pub mod file;
mod ssh_data;

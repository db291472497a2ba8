//! Every way to a machine in AWS, with a machine that is this one: AWS's answers are canned, a stand-in of
//! `session-manager-plugin` carries the bytes, and edge and sshd are real.

mod refusals;
mod shell;
mod ssh;
mod stage;
mod tunnel;
mod up;

//! openssh

//! Whoever can reach a port, and has no account.

//! All integration tests in one binary, a module a promise.

mod cli;
mod deliver;
mod readme;
mod record;
mod replay;
mod rotate;
mod support;

//! All integration tests in one binary, a module a promise.

mod readme;
mod record;
mod replay;

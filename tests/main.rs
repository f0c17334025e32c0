//! All integration tests in one binary, a module a promise.

mod cli;
mod client;
mod corpus;
mod crash;
mod deliver;
mod demo;
mod interop;
mod network;
mod readme;
mod record;
mod refuse;
mod replay;
mod rotate;
mod settings;
mod standin;
mod support;

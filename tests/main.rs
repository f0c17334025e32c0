//! All integration tests in one binary, a module a promise.
#![allow(clippy::disallowed_methods, reason = "a test starts threads and tasks as it likes")]

mod aws;
mod cli;
mod client;
mod config;
mod corpus;
mod crash;
mod deliver;
mod demo;
mod disk;
mod docker;
mod faults;
mod health;
mod interop;
mod logs;
mod network;
mod provision;
mod readme;
mod record;
mod refuse;
mod replay;
mod report;
mod rotate;
mod settings;
mod ship;
mod source;
mod standin;
mod starts;
mod stop;
mod support;
mod trouble;
mod updates;
mod upgrade;
mod watchdog;

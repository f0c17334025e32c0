//! All integration tests in one binary, a module a promise.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "these rules are for the product"
)]

mod archive;
mod attack;
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
mod evidence;
mod faults;
mod health;
mod input;
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
mod threats;
mod tidy;
mod trouble;
mod updates;
mod upgrade;
mod watchdog;

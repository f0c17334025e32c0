//! All integration tests in one binary, a module a promise.

mod aws;
mod cli;
mod client;
mod corpus;
mod crash;
mod deliver;
mod demo;
mod docker;
mod health;
mod interop;
mod logs;
mod network;
mod readme;
mod record;
mod refuse;
mod replay;
mod report;
mod rotate;
mod settings;
mod ship;
mod standin;
mod support;
mod watchdog;

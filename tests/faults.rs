//! Faults of every kind, made on purpose: nothing that was acknowledged is lost, and nothing is there twice.

mod decoders;
mod others;
mod simulation;

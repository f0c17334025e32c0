//! Faults of every kind, made on purpose: nothing that was acknowledged is lost, and nothing is there twice.

mod calls;
mod campaigns;
mod decoders;
mod others;
mod processes;
mod simulation;
mod state;

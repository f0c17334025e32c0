//! The promise under faults.

mod simulation;

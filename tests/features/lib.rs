//! Nothing: see its `Cargo.toml`.

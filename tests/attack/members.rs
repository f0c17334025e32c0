//! A member with a client of its own.

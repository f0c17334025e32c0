//! What a member can do with a client of its own.

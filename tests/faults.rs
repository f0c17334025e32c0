//! What comes from outside may be anything, and whatever can fail does.

mod decoders;

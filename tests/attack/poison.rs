//! Messages that are meant to end the archive of everybody.

//! What to do about an error: one vocabulary for every room.

/// What the caller, and in the end whoever started the program, should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It may go away without anyone doing anything: try again. The process exits with 75.
    Temporary,
    /// Something must be put right first; the error's text says what. The process exits with 78.
    Configuration,
    /// A defect of this program. The process exits with 70.
    Internal,
}

/// What a caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// What failed is away for a while: wait, then do the same again. Nothing is skipped.
    Retry,
    /// Only this one thing cannot be done: keep it, say so, go on with the others.
    Park,
    /// Going on could lose or forge evidence: stop; the remedy is in the error's text.
    Halt,
}

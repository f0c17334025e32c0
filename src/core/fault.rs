//! What to do about an error.

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

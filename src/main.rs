//! retaind
fn main() {}

//! What a stranger can do who reaches the port.

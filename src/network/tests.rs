//! The network against raw frames and MLS clients: what it must do, and what it must refuse.

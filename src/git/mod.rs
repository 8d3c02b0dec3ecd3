//! The Git writer: takes a bad change out of Git, leaf by leaf.

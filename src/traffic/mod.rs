//! One file per router: what a weight means there, as a patch. Pure but for the types.

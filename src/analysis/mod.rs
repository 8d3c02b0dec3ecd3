//! PURE: samples in, evidence and verdict out. No I/O, no clock, no random source, no hash maps.

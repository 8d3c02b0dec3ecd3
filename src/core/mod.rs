//! PURE: what Tidegate decides. No I/O, no clock, no random source, no hash maps.

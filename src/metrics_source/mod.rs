//! Where samples come from: the trait and the Prometheus API behind it.

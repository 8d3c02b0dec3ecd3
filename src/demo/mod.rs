//! What `tidegate demo` adds to `sim`: services, traffic, metrics, a Git remote.

//! The I/O shell: observes the cluster, asks `core` what to do, carries it out.

//! `kubectl tidegate`: one file per command, and the tree view.

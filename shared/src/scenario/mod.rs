//! The one file that says everything about a run.

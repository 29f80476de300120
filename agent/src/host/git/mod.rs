//! What comes from Git.

//! Which move brings the shelf closer to what is wanted.

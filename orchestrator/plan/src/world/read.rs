//! Questions about the world that several deciders ask.
//!
//! This file refuses to change anything.

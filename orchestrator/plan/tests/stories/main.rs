//! Stories of one application, told through a simulated installation in which only what the story says goes wrong.

#[path = "../harness/mod.rs"]
mod harness;

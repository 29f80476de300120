//! Write a Cartridge plugin in a few lines.
//!
//! Implement [`Balancer`], hand it to [`run_balancer`], and the pipes, the frames, the version check and the
//! rules about revisions (S11) and empty sets (S13) are taken care of. This crate refuses to know what a
//! plugin balances, and with what.
//!
//! ```no_run
//! use cartridge_plugin_sdk::{Balancer, run_balancer};
//! use cartridge_protocol::{sample::ClusterReading, topology::Topology};
//!
//! struct Nothing;
//!
//! impl Balancer for Nothing {
//!     type Error = std::convert::Infallible;
//!     fn name(&self) -> &str {
//!         "nothing"
//!     }
//!     async fn set_members(&mut self, _topology: &Topology) -> Result<(), Self::Error> {
//!         Ok(())
//!     }
//!     async fn read(&mut self) -> Result<Vec<ClusterReading>, Self::Error> {
//!         Ok(Vec::new())
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
//!     run_balancer(runtime, Nothing)
//! }
//! ```

mod admission;
mod balancer;
mod line;

pub use admission::{Admission, Refusal, admit};
pub use balancer::{Balancer, run_balancer, serve_balancer, serve_balancer_on};

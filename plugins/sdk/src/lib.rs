//! Write a Cartridge plugin in a few lines.
//!
//! A reader is a function that measures, handed to [`run_reader`]; an artifact source is two, handed to
//! [`run_artifact`]; a balancer implements [`Balancer`] and goes to [`run_balancer`]. The pipes, the frames, the
//! version check and, for balancers, the rules about revisions (S11) and empty sets (S13) are taken care of.
//! Without this crate: docs/plugins.md has the lines. This crate refuses to know what a plugin is about.
//!
//! ```no_run
//! use cartridge_plugin_sdk::{Measurement, run_reader};
//!
//! fn main() -> std::process::ExitCode {
//!     run_reader("queue", || {
//!         let waiting = std::fs::read_dir("/var/spool/app")?.count();
//!         Ok::<_, std::io::Error>(Measurement {
//!             figures: [("waiting".to_owned(), waiting as f64)].into(),
//!             ..Measurement::default()
//!         })
//!     })
//! }
//! ```
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
mod answer;
mod arguments;
mod balancer;
mod line;
mod serve;

pub use admission::{Admission, Refusal, admit};
pub use arguments::arguments;
pub use balancer::{Balancer, run_balancer, serve_balancer, serve_balancer_on};
pub use cartridge_protocol::CommitId;
pub use cartridge_protocol::plugin::{Health, Measurement, Origin};
pub use serve::{run_artifact, run_reader, serve_artifact_on, serve_reader_on};

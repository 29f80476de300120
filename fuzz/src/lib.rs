//! Fuzz targets: one function each, from bytes that anybody may have sent to what must hold whatever they are.
//!
//! Tests replay the kept corpus through them; `make fuzz` looks for more. They refuse to know who calls.

mod files;
mod frames;
mod streams;
mod words;

/// One target: its name, and what is done with an input. It panics where something does not hold.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("launch_parameters", words::launch_parameters),
    ("settings", words::settings),
    ("user_data", words::user_data),
    ("values", words::values),
    ("tree_names", words::tree_names),
    ("batch", frames::batch),
    ("desired", frames::desired),
    ("local_request", frames::local_request),
    ("share", frames::share),
    ("plugin_answer", frames::plugin_answer),
    ("plugin_call", frames::plugin_call),
    ("http_answer", frames::http_answer),
    ("cgroup_files", files::cgroup),
    ("proc_files", files::proc),
    ("stored_files", files::stored),
    ("output", streams::output),
];

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, target)| *target)
}

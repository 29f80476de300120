//! What a reader looks for in one place of a document: the building stones of [`super::drawing`].
//!
//! It refuses to know documents.

/// What is accepted in one place. Numbers may come as texts and texts as numbers or booleans; white space around a text
/// does not count.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// It must be there.
    Needed,
    /// A text of at most so many bytes.
    Text {
        /// Bytes.
        most: usize,
    },
    /// An identifier.
    Id,
    /// A finite number.
    Number {
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// A whole number.
    Whole {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// True or false.
    Flag,
    /// One of these words.
    Word(Vec<String>),
    /// A host name.
    HostName,
    /// A path below `/` that a domain stands for.
    ContextPath,
    /// An IP address.
    Address,
    /// An object with no other fields than these. Those that nothing else looks at are accepted and ignored.
    Object(&'static [&'static str]),
    /// A list of at most so many; one value stands for a list of one.
    List {
        /// Items.
        most: usize,
    },
    /// An object of texts.
    Map {
        /// Texts.
        most: usize,
        /// Bytes of each.
        longest: usize,
    },
    /// No other in its list has the same.
    Unique,
}

/// Paths and what was looked for there, in the order of looking.
pub(super) type Looks = Vec<(String, Look)>;

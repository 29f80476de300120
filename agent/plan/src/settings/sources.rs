//! Everything that was said, strongest first, and which of it counts.
//!
//! Refuses to know what values mean; names of Stratos are translated here, so that nothing else has to know them.

use std::collections::BTreeMap;
use std::fmt;

use cartridge_protocol::launch::is_present;

use super::stratos::{FOR_HOOKS, KNOWN, Meaning, known};
use super::{Fault, OPTIONS, Opt};

/// Everything that was said, strongest first.
#[derive(Default)]
pub struct Sources {
    /// Flags, by key.
    pub flags: BTreeMap<String, String>,
    /// The environment: at most the names of [`environment_names`] and those that begin with `CARTRIDGE_`.
    pub environment: BTreeMap<String, String>,
    /// The file of `--config`.
    pub file: BTreeMap<String, String>,
    /// Launch parameters.
    pub launch: BTreeMap<String, String>,
    /// Parameters from the cloud's user-data.
    pub user_data: BTreeMap<String, String>,
    /// Sources that cannot be read.
    pub faults: Vec<Fault>,
    /// What a person should know of how they were read.
    pub notes: Vec<String>,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The file of `--config`.
    File,
    /// The launch parameters.
    Launch,
    /// The cloud.
    UserData,
    /// The table of options.
    Default,
    /// Nowhere: there is no value.
    Nobody,
}

impl Origin {
    /// One word, for tables and programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Launch => "launch-params",
            Self::UserData => "user-data",
            Self::Default => "default",
            Self::Nobody => "-",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "a flag",
            Self::Environment => "the environment",
            Self::File => "the configuration file",
            Self::Launch => "the launch parameters",
            Self::UserData => "the cloud's user-data",
            Self::Default => "the default",
            Self::Nobody => "nobody",
        })
    }
}

/// A name of Stratos that somebody has set, and what it does here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromStratos {
    /// The name as it was given.
    pub name: &'static str,
    /// Where.
    pub origin: Origin,
    /// `sets CARTRIDGE_ADDRESS`, or `has no effect here: …`.
    pub effect: String,
}

/// A parameter that no option is: hooks are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOn {
    /// Its name; hooks see it as `STRATOS_<name>`.
    pub name: String,
    /// Where its value comes from.
    pub origin: Origin,
}

/// A value that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) value: &'a str,
    pub(super) origin: Origin,
    /// The name of Stratos that it was given by.
    pub(super) by: Option<&'static str>,
    /// Why that name does not have this value, and what it accepts.
    pub(super) refusal: Option<&'a (String, &'static str)>,
}

impl<'a> Found<'a> {
    const fn plain(value: &'a str, origin: Origin) -> Self {
        Self {
            value,
            origin,
            by: None,
            refusal: None,
        }
    }
}

/// Names that are looked for in the environment; those of `FOR_HOOKS` become parameters there too, because a
/// container of Stratos has its launch parameters in its environment.
pub fn environment_names() -> impl Iterator<Item = &'static str> {
    let options = OPTIONS.iter().map(|o| o.key);
    options
        .chain(KNOWN.iter().map(|k| k.name))
        .chain(FOR_HOOKS.iter().copied())
}

/// The sources with the names of Stratos translated.
pub(super) struct Layers<'a> {
    layers: Vec<Layer<'a>>,
    pub(super) stratos: Vec<FromStratos>,
}

/// By the option that they set.
type Translations = BTreeMap<&'static str, Translation>;

struct Translation {
    value: String,
    refusal: Option<(String, &'static str)>,
    by: &'static str,
}

struct Layer<'a> {
    origin: Origin,
    said: &'a BTreeMap<String, String>,
    translated: Translations,
}

impl<'a> Layers<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        let mut all = Self {
            layers: Vec::new(),
            stratos: Vec::new(),
        };
        for (origin, said) in [
            (Origin::Flag, &sources.flags),
            (Origin::Environment, &sources.environment),
            (Origin::File, &sources.file),
            (Origin::Launch, &sources.launch),
            (Origin::UserData, &sources.user_data),
        ] {
            let translated = all.translate(origin, said);
            all.layers.push(Layer {
                origin,
                said,
                translated,
            });
        }
        all
    }

    fn translate(&mut self, origin: Origin, said: &BTreeMap<String, String>) -> Translations {
        let mut translations = Translations::new();
        for (name, value) in said.iter().filter(|(_, value)| is_present(value)) {
            let Some(known) = known(name) else { continue };
            let name = if *name == known.name {
                known.name
            } else {
                known.ini
            };
            let effect = match known.meaning {
                Meaning::Nothing(why) => format!("has no effect here: {why}"),
                Meaning::Tells(other) => format!("is told to hooks as STRATOS_{other}"),
                Meaning::Sets(option, read) => match read(value) {
                    Ok(None) => format!("has no effect here: its value is none that {option} knows"),
                    read => {
                        let (value, refusal) = match read {
                            Ok(translated) => (translated.unwrap_or_default(), None),
                            Err(why) => (value.clone(), Some((why, known.accepts))),
                        };
                        let by = name;
                        translations.insert(option, Translation { value, refusal, by });
                        format!("sets {option}")
                    }
                },
            };
            self.stratos.push(FromStratos { name, origin, effect });
        }
        translations
    }

    /// The strongest value that says something. Within one source an option's own name is stronger.
    pub(super) fn find(&self, option: &Opt) -> Option<Found<'_>> {
        let asked = if option.source {
            &self.layers[..2]
        } else {
            &self.layers
        };
        let found = asked.iter().find_map(|layer| {
            let own = layer.said.get(option.key).filter(|v| is_present(v));
            own.map(|value| Found::plain(value, layer.origin)).or_else(|| {
                let given = layer.translated.get(option.key)?;
                Some(Found {
                    by: Some(given.by),
                    refusal: given.refusal.as_ref(),
                    ..Found::plain(&given.value, layer.origin)
                })
            })
        });
        found.or_else(|| option.default.map(|value| Found::plain(value, Origin::Default)))
    }

    /// The value of the option with this key, as it was given.
    pub(super) fn value(&self, key: &str) -> Option<String> {
        let option = OPTIONS.iter().find(|o| o.key == key)?;
        self.find(option).map(|found| found.value.to_owned())
    }

    /// Everything that hooks may be told and that is no option: the strongest of each name.
    pub(super) fn parameters(&self) -> BTreeMap<String, (String, Origin)> {
        let mut all = BTreeMap::new();
        for layer in self.layers.iter().rev() {
            let told = layer.said.iter().filter(|(name, value)| {
                let from_here = match layer.origin {
                    Origin::Flag => false,
                    Origin::Environment => FOR_HOOKS.contains(&name.as_str()) || known(name).is_some(),
                    _ => true,
                };
                // Names of agent.conf were never told to hooks.
                let is_ours = OPTIONS.iter().any(|o| o.key == name.as_str())
                    || KNOWN.iter().any(|k| k.ini == name.as_str());
                from_here && is_present(value) && !is_ours
            });
            for (name, value) in told {
                if let Some(Meaning::Tells(other)) = known(name).map(|known| &known.meaning) {
                    all.insert((*other).to_owned(), (value.clone(), layer.origin));
                }
                all.insert(name.clone(), (value.clone(), layer.origin));
            }
        }
        all
    }
}

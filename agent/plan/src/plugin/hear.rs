//! What one line of a plugin means, and what can be wrong with it. Refuses to know what is done about it.

use cartridge_protocol::plugin::{
    Answer, Call, Description, Kind, NoCommonVersion, Outcome, Response, UnknownKind, Versions, decode,
};

use crate::text::{cut, one_line};

/// Most bytes kept of what a plugin says about a refusal.
const MAX_REFUSAL_BYTES: usize = 500;

/// What a plugin did that it is ended for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no process.
    #[error("cannot be started: {0}")]
    NotStarted(String),
    /// The process has ended; how.
    #[error("ended ({0})")]
    Ended(String),
    /// It lives, but can say nothing more.
    #[error("closed its output and lives on")]
    ClosedOutput,
    /// It takes no question.
    #[error("does not listen: {0}")]
    Deaf(String),
    /// Its output cannot be read.
    #[error("cannot be heard: {0}")]
    Unheard(String),
    /// No answer in time.
    #[error("does not answer {asked} within {seconds} s")]
    Hangs {
        /// What it was asked.
        asked: &'static str,
        /// How long it had, rounded up.
        seconds: u64,
    },
    /// A line that has no end.
    #[error("babbles: an answer is longer than {0} bytes")]
    TooLong(usize),
    /// A line that is no frame.
    #[error("babbles: {0}")]
    NoFrame(String),
    /// An answer to another question: too late, twice, or out of order.
    #[error("answers question {answered} instead of {asked}")]
    WrongQuestion {
        /// The id in the answer.
        answered: u64,
        /// The id of the question.
        asked: u64,
    },
    /// Something where nothing was asked.
    #[error("speaks without being asked")]
    Unasked,
    /// More on standard error than anybody would read.
    #[error("floods its standard error: more than {kib} KiB in {seconds} s")]
    Floods {
        /// What it may write.
        kib: u64,
        /// In which time.
        seconds: u64,
    },
    /// The answer belongs to another call.
    #[error("gives another answer than {0} asks for")]
    WrongAnswer(&'static str),
    /// It refuses to say who it is.
    #[error("refuses describe: {0}")]
    Undescribed(String),
    /// No version in common.
    #[error(transparent)]
    Version(#[from] NoCommonVersion),
    /// No kind that is known.
    #[error("is of an unknown kind: {0}")]
    UnknownKind(#[from] UnknownKind),
    /// Another kind than its place needs.
    #[error("is a {is}; {wanted}")]
    Kind {
        /// What it is.
        is: Kind,
        /// What to do about it.
        wanted: &'static str,
    },
}

impl Fault {
    /// Whether starting the same program again cannot help.
    pub const fn lasts(&self) -> bool {
        matches!(self, Self::Version(_) | Self::UnknownKind(_) | Self::Kind { .. })
    }
}

/// What a line says in answer to question `asked`. A refusal is shortened to one line.
pub fn hear(line: &[u8], asked: u64) -> Result<Outcome, Fault> {
    let response: Response =
        decode(line).map_err(|error| Fault::NoFrame(one_line(&error.to_string(), MAX_REFUSAL_BYTES)))?;
    if response.id != asked {
        return Err(Fault::WrongQuestion {
            answered: response.id,
            asked,
        });
    }
    Ok(match response.outcome {
        Outcome::Error(why) => Outcome::Error(one_line(&why, MAX_REFUSAL_BYTES)),
        ok @ Outcome::Ok(_) => ok,
    })
}

/// Where a plugin is needed, and hence what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is what its member is there for.
    Balancer,
    /// It was named as the one that brings the files.
    Source,
    /// It lies in the folder of plugins, or has a command among their settings.
    Beside,
    /// A person tries it out.
    Anywhere,
}

impl Place {
    fn accepts(self, kind: Kind) -> Result<(), Fault> {
        let wanted = match (self, kind) {
            (Self::Anywhere, _)
            | (Self::Balancer, Kind::Balancer)
            | (Self::Source, Kind::Artifact)
            | (Self::Beside, Kind::Reader) => return Ok(()),
            (Self::Balancer, _) => "a balancer is needed",
            (Self::Source, _) => "an artifact source is needed",
            (Self::Beside, Kind::Balancer) => "give its command to --balancer",
            (Self::Beside, _) => "name it with --artifact-source to let it bring the application's files",
        };
        Err(Fault::Kind { is: kind, wanted })
    }
}

/// What the answer to a question has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Who it is.
    Description,
    /// A topology of this revision at least is in force.
    Applied(u64),
    /// What a balancer measured, or a reader.
    Reading,
    /// A revision.
    Looked,
    /// A revision is there.
    Fetched,
}

impl Expected {
    /// For this call.
    pub const fn of(call: &Call) -> Self {
        match call {
            Call::Describe(_) => Self::Description,
            Call::SetMembers(topology) => Self::Applied(topology.revision),
            Call::Read => Self::Reading,
            Call::Look(_) => Self::Looked,
            Call::Fetch(_) => Self::Fetched,
        }
    }

    /// Whether a plugin of this kind may answer this call so.
    pub fn admits(self, asked: &'static str, kind: Kind, answer: &Answer) -> Result<(), Fault> {
        let fits = match (self, kind, answer) {
            (Self::Applied(wanted), Kind::Balancer, Answer::Applied { revision }) => *revision >= wanted,
            (Self::Reading, Kind::Balancer, Answer::Read(reading)) => {
                return reading.check().map_err(|error| Fault::NoFrame(error.to_string()));
            }
            (Self::Reading, Kind::Reader, Answer::Measured(_))
            | (Self::Looked, Kind::Artifact, Answer::Looked { .. })
            | (Self::Fetched, Kind::Artifact, Answer::Fetched {}) => true,
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(Fault::WrongAnswer(asked))
        }
    }
}

/// Who answered `describe`, if it can be of use there: its own name, shortened, and its kind.
pub fn described(outcome: Outcome, place: Place) -> Result<(String, Kind), Fault> {
    match outcome {
        Outcome::Ok(Answer::Described(Description { name, versions, kind })) => {
            Versions::OURS.common(versions)?;
            let kind = kind.parse()?;
            place.accepts(kind)?;
            Ok((one_line(cut(&name, 64), 64), kind))
        }
        Outcome::Ok(_) => Err(Fault::WrongAnswer("describe")),
        Outcome::Error(why) => Err(Fault::Undescribed(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_wrong_line_has_a_name() {
        let words = |line: &[u8]| hear(line, 7).unwrap_err().to_string();
        assert!(words(b"hello").starts_with("babbles: "));
        assert!(words(b"\xff\xfe").starts_with("babbles: "));
        assert!(words(br#"{"id":7}"#).contains("neither"));
        assert_eq!(
            words(br#"{"id":6,"error":"x"}"#),
            "answers question 6 instead of 7"
        );
        let Ok(Outcome::Error(why)) = hear(br#"{"id":7,"error":"a\u001b[31m\nb"}"#, 7) else {
            panic!("a refusal is no fault");
        };
        assert_eq!(why, "a [31m b");
    }

    #[test]
    fn only_a_known_kind_in_a_common_version_is_of_use() {
        let said = |text: &str| {
            described(hear(text.as_bytes(), 1).unwrap(), Place::Anywhere)
                .map_err(|f| (f.lasts(), f.to_string()))
        };
        let line = |version: u32, kind: &str| {
            format!(
                r#"{{"id":1,"ok":{{"described":{{"name":"n\u001b","version":{version},"kind":"{kind}"}}}}}}"#
            )
        };
        assert_eq!(said(&line(1, "reader")), Ok(("n ".to_owned(), Kind::Reader)));
        assert_eq!(
            said(&line(9, "reader")),
            Err((true, "speaks version 9; version 1 is needed".to_owned()))
        );
        assert!(
            said(&line(1, "hook"))
                .unwrap_err()
                .1
                .starts_with("is of an unknown kind: \"hook\"")
        );
        assert_eq!(
            said(r#"{"id":1,"error":"no"}"#),
            Err((false, "refuses describe: no".to_owned()))
        );
        assert!(!said(r#"{"id":1,"ok":{"fetched":{}}}"#).unwrap_err().0);
    }

    #[test]
    fn each_place_takes_one_kind_and_says_where_the_others_belong() {
        for place in [Place::Balancer, Place::Source, Place::Beside] {
            let taken: Vec<Kind> = Kind::ALL
                .into_iter()
                .filter(|k| place.accepts(*k).is_ok())
                .collect();
            assert_eq!(taken.len(), 1, "{place:?} takes {taken:?}");
        }
        assert!(
            Kind::ALL
                .into_iter()
                .all(|kind| Place::Anywhere.accepts(kind).is_ok())
        );
        let lost = Place::Beside.accepts(Kind::Artifact).unwrap_err();
        assert!(
            lost.lasts() && lost.to_string().contains("--artifact-source"),
            "{lost}"
        );
    }

    #[test]
    fn an_answer_fits_its_question_or_is_a_fault() {
        let answers = [
            Answer::Applied { revision: 7 },
            Answer::Read(cartridge_protocol::sample::BalancerReading {
                revision: 0,
                clusters: Vec::new(),
            }),
            Answer::Measured(cartridge_protocol::plugin::Measurement::default()),
            Answer::Looked {
                revision: cartridge_protocol::CommitId::new("a".repeat(40)).unwrap(),
            },
            Answer::Fetched {},
        ];
        let expected = [
            Expected::Description,
            Expected::Applied(7),
            Expected::Applied(8),
            Expected::Reading,
            Expected::Looked,
            Expected::Fetched,
        ];
        let mut fitting = Vec::new();
        for (e, expected) in expected.into_iter().enumerate() {
            for kind in Kind::ALL {
                for (a, answer) in answers.iter().enumerate() {
                    if expected.admits("x", kind, answer).is_ok() {
                        fitting.push((e, kind, a));
                    }
                }
            }
        }
        assert_eq!(
            fitting,
            [
                (1, Kind::Balancer, 0),
                (3, Kind::Balancer, 1),
                (3, Kind::Reader, 2),
                (4, Kind::Artifact, 3),
                (5, Kind::Artifact, 4),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..200), asked in any::<u64>()) {
            if let Ok(outcome) = hear(&line, asked) {
                let _ = described(outcome, Place::Beside);
            }
        }
    }
}

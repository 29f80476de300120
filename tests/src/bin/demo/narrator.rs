//! Says what happens, with the seconds since the beginning; in colours only where a person looks on.
//!
//! It refuses to print a control character that came from elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

pub(crate) struct Narrator {
    began: Instant,
    colours: bool,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            began: Instant::now(),
            colours,
        }
    }

    /// What is done now.
    pub(crate) fn step(&self, text: &str) {
        println!();
        self.line("1", text);
    }

    /// What was seen.
    pub(crate) fn fact(&self, text: &str) {
        self.line("32", &format!("  {text}"));
    }

    /// What the journal says.
    pub(crate) fn event(&self, text: &str) {
        self.line("2", &format!("    · {text}"));
    }

    /// What should not be.
    pub(crate) fn fault(&self, text: &str) {
        self.line("31", &format!("NOT AS IT SHOULD BE: {text}"));
    }

    /// Text without a time.
    pub(crate) fn plain(&self, text: &str) {
        println!("{}", clean(text));
    }

    fn line(&self, colour: &str, text: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        let text = clean(text);
        if self.colours {
            println!("\u{1b}[36m{seconds:7.1} s\u{1b}[0m  \u{1b}[{colour}m{text}\u{1b}[0m");
        } else {
            println!("{seconds:7.1} s  {text}");
        }
    }
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

//! Shares values with the application's other cartridges: asked again until they are durable, refused, or time is up.
//!
//! Refuses to know who wants them shared. Sending the same again changes nothing, so a lost answer does no harm.

use std::time::Duration;

use cartridge_protocol::local::Answer;
use cartridge_protocol::values::Share;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{ANSWER, Link, LinkError, bounded};

/// Time between attempts.
const AGAIN: Duration = Duration::from_secs(1);
/// Kept back of the caller's patience, so that the last word still reaches them.
const LAST_WORD: Duration = Duration::from_millis(200);
/// Longest reason that is passed on, in characters.
const MOST_WORDS: usize = 500;

/// What became of one attempt.
enum Attempt {
    Done,
    Refused(String),
    Later(String),
}

impl Link {
    /// Shares `share`; the answer is for who asked.
    pub async fn share(&self, share: &Share, within: Duration) -> Answer {
        let until = Instant::now() + within.saturating_sub(LAST_WORD);
        let mut why = "the orchestrator did not answer in time".to_owned();
        while let Ok(attempt) = timeout_at(until, self.try_to_share(share)).await {
            match attempt {
                Attempt::Done => return Answer::Shared,
                Attempt::Refused(why) => return Answer::Refused(why),
                Attempt::Later(said) => why = said,
            }
            let next = Instant::now() + AGAIN;
            if next >= until {
                break;
            }
            sleep_until(next).await;
        }
        Answer::Refused(why)
    }

    async fn try_to_share(&self, share: &Share) -> Attempt {
        let request = self
            .as_member(self.client.post(format!("{}/values", self.base)))
            .json(share)
            .timeout(ANSWER);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Attempt::Later(LinkError::from(error).to_string()),
        };
        let status = response.status();
        let words = match bounded(response).await {
            Ok(body) => String::from_utf8_lossy(&body).chars().take(MOST_WORDS).collect(),
            Err(error) => return Attempt::Later(error.to_string()),
        };
        match status {
            StatusCode::OK => Attempt::Done,
            StatusCode::NOT_FOUND => {
                Attempt::Refused("this orchestrator knows nothing of shared values".to_owned())
            }
            // Not joined yet, too much lately, or the journal cannot be written now.
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => Attempt::Later(words),
            status if status.is_server_error() => Attempt::Later(words),
            _ => Attempt::Refused(words),
        }
    }
}

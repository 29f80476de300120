//! Keeps one plugin as the plan says: every happening becomes an event, every action is carried out. Decides nothing.

use cartridge_agent_plan::plugin::{
    Action, Change, Event, Expected, Fault, Stage, Upkeep, described, hear, step,
};
use cartridge_protocol::plugin::{Answer, Call, Kind, Outcome, Versions};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::session::{Heard, Session};
use super::{Launch, NoAnswer, Order};
use crate::host::clock::Clock;
use crate::host::logs::Logs;

pub(super) struct Keeper {
    launch: Launch,
    logs: Logs,
    orders: mpsc::Receiver<Order>,
    stop: CancellationToken,
    clock: Clock,
    session: Option<Session>,
    kind: Option<Kind>,
    /// The question that is wanted or under way.
    pending: Option<Pending>,
    /// What the answer to the question under way has to be.
    expected: Expected,
}

struct Pending {
    call: Call,
    reply: oneshot::Sender<Result<Answer, NoAnswer>>,
}

impl Keeper {
    pub(super) fn new(
        launch: Launch,
        logs: Logs,
        orders: mpsc::Receiver<Order>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            launch,
            logs,
            orders,
            stop,
            clock: Clock::start(),
            session: None,
            kind: None,
            pending: None,
            expected: Expected::Description,
        }
    }

    pub(super) async fn keep(mut self, tell: impl AsyncFn(Change)) {
        let mut state = Upkeep::new();
        // Before anybody can ask.
        let mut first = Some(Event::Tick);
        while state.stage != Stage::Over {
            let mut next = match first.take() {
                None => Some(self.happens(&state).await),
                first => first,
            };
            // Starting may fail at once, which is an event in turn.
            while let Some(event) = next.take() {
                let (after, actions) = step(state, event, self.clock.now(), &self.launch.rules);
                state = after;
                for action in actions {
                    next = self.carry_out(action, &tell).await.or(next);
                }
            }
        }
    }

    async fn happens(&mut self, state: &Upkeep) -> Event {
        let due = state.due().map(|at| self.clock.instant(at));
        let asked = state.asked();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Event::Stop,
            heard = listen(self.session.as_mut(), asked.is_some()) => match self.interpret(heard, asked) {
                Ok(event) => event,
                Err(fault) => Event::Failed(fault),
            },
            Some(order) = self.orders.recv(), if state.takes_questions() => {
                let asked = order.call.name();
                self.pending = Some(Pending { call: order.call, reply: order.reply });
                Event::Wanted { asked, within: order.within }
            }
            () = until(due) => Event::Tick,
        }
    }

    fn interpret(&mut self, heard: Heard, asked: Option<&'static str>) -> Result<Event, Fault> {
        let line = match heard {
            Heard::Line(line) => line,
            Heard::Fault(fault) => return Err(fault),
        };
        let (Some(asked), Some(session)) = (asked, &self.session) else {
            return Err(Fault::Unasked);
        };
        let outcome = hear(&line, session.question())?;
        if self.expected == Expected::Description {
            let (name, kind) = described(outcome, self.launch.place)?;
            self.kind = Some(kind);
            return Ok(Event::Described { name, kind });
        }
        let answer = match outcome {
            Outcome::Error(why) => Err(NoAnswer::Refused(why)),
            Outcome::Ok(answer) => {
                let kind = self.kind.ok_or(Fault::WrongAnswer(asked))?;
                self.expected.admits(asked, kind, &answer)?;
                Ok(answer)
            }
        };
        self.reply(answer);
        Ok(Event::Answered)
    }

    fn reply(&mut self, answer: Result<Answer, NoAnswer>) {
        if let Some(pending) = self.pending.take() {
            // Whoever asked may have lost interest.
            let _ = pending.reply.send(answer);
        }
    }

    /// What follows at once, if anything does.
    async fn carry_out(&mut self, action: Action, tell: &impl AsyncFn(Change)) -> Option<Event> {
        match action {
            Action::Start => match Session::start(&self.launch, &self.logs, self.clock) {
                Ok(mut session) => {
                    self.expected = Expected::Description;
                    let asked = session.ask(&Call::Describe(Versions::OURS));
                    self.session = Some(session);
                    asked.err().map(Event::Failed)
                }
                Err(error) => Some(Event::Failed(Fault::NotStarted(error.to_string()))),
            },
            Action::Ask => {
                let (Some(session), Some(pending)) = (&mut self.session, &self.pending) else {
                    return None;
                };
                self.expected = Expected::of(&pending.call);
                session.ask(&pending.call).err().map(Event::Failed)
            }
            Action::Refuse(why) => {
                self.reply(Err(NoAnswer::Absent(why)));
                None
            }
            Action::Kill => {
                if let Some(session) = self.session.take() {
                    session.kill().await;
                }
                None
            }
            Action::End => {
                if let Some(session) = self.session.take() {
                    session.end().await;
                }
                None
            }
            Action::Tell(change) => {
                tell(change).await;
                None
            }
        }
    }
}

/// What a process says; nothing, where there is none.
async fn listen(session: Option<&mut Session>, asked: bool) -> Heard {
    match session {
        Some(session) => session.next(asked).await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

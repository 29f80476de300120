//! Every pair of stage and event, and the stories that matter.

use super::*;

fn rules() -> Rules {
    Rules {
        command: true,
        restart_on_release: true,
        start_within: Millis(600_000),
        trial_within: Millis(10_000),
        end_within: Millis(5_000),
    }
}

fn commit(digit: char) -> CommitId {
    CommitId::new(digit.to_string().repeat(40)).unwrap()
}

fn trial(back: Option<char>) -> Trial {
    Trial {
        to: commit('b'),
        back: back.map(commit),
    }
}

fn stages() -> Vec<Stage> {
    let at = Millis(5_000);
    vec![
        Stage::Joining,
        Stage::Fetching,
        Stage::Greeting { trial: None },
        Stage::Serving { trial: None },
        Stage::Updating {
            trial: trial(Some('a')),
        },
        Stage::Cycling {
            trial: trial(Some('a')),
            kill_at: at,
        },
        Stage::Probing {
            trial: None,
            until: at,
            unwell: 0,
            tries: 0,
        },
        Stage::Returning {
            back: commit('a'),
            reason: "r".into(),
        },
        Stage::Active { failures: 0 },
        Stage::Suspended {
            reason: "r".into(),
            tries: 0,
        },
        Stage::Cleaning {
            term_at: at,
            kill_at: at,
        },
        Stage::Ending { kill_at: at },
        Stage::Stopped,
        Stage::Failed { reason: "r".into() },
    ]
}

fn events() -> Vec<Event> {
    let ended = |hook| Event::HookEnded { hook, fault: None };
    vec![
        Event::Serve { files: true },
        Event::Serve { files: false },
        Event::Stop {
            within: Millis(10_000),
        },
        Event::Fenced,
        Event::Switched {
            to: commit('c'),
            back: Some(commit('b')),
        },
        ended(Hook::InstanceStarted),
        ended(Hook::StartServers),
        ended(Hook::ArtifactUpdated),
        ended(Hook::InstanceActivated),
        ended(Hook::Clean),
        Event::AppEnded {
            how: "exit code 1".into(),
        },
        Event::Probed {
            number: 7,
            outcome: Outcome::Healthy,
        },
        Event::Probed {
            number: 7,
            outcome: Outcome::Silent("refused".into()),
        },
        Event::Probed {
            number: 6,
            outcome: Outcome::Healthy,
        },
        Event::Tick,
    ]
}

fn letter(stage: &Stage) -> char {
    match stage {
        Stage::Joining => 'J',
        Stage::Fetching => 'F',
        Stage::Greeting { .. } => 'G',
        Stage::Serving { .. } => 'S',
        Stage::Updating { .. } => 'U',
        Stage::Cycling { .. } => 'C',
        Stage::Probing { .. } => 'P',
        Stage::Returning { .. } => 'R',
        Stage::Active { .. } => 'A',
        Stage::Suspended { .. } => 'X',
        Stage::Cleaning { .. } => 'K',
        Stage::Ending { .. } => 'E',
        Stage::Stopped => '.',
        Stage::Failed { .. } => '!',
    }
}

fn at(stage: Stage) -> Life {
    Life {
        stage,
        app: App::Running,
        activated: true,
        probe: 7,
        probing: true,
        ..Life::new()
    }
}

/// One row per stage, one column per event, in the order of `stages` and `events`; the time is 5 s, when every
/// deadline above is due.
const TABLE: &str = "
J FG.EJ JJJJJ JJJJJ
F FGKEG FFFFF FFFFF
G GGKEG SGGGG GGGGG
S SSKES SPSSS SSSSS
U UUKEU UUCUU UUUUU
C CCKEC CCCCC PCCCC
P PPKEP PPPPP PA!P!
R RRKEU RRRRR RRRRR
A AAKEU AAAAA XAAAA
X XXKEU XXXXX XAXXX
K KKKEK KKKKE KKKKE
E EEEEE EEEEE .EEEE
. ..... ..... .....
! !!KE! !!!!! !!!!!
";

#[test]
fn every_pair_of_stage_and_event_leads_where_the_table_says() {
    let rows: Vec<&str> = TABLE.trim().lines().collect();
    assert_eq!(rows.len(), stages().len());
    for (stage, row) in stages().into_iter().zip(rows) {
        let cells: Vec<char> = row.chars().skip(1).filter(|c| *c != ' ').collect();
        assert_eq!(
            (row.chars().next(), cells.len()),
            (Some(letter(&stage)), events().len())
        );
        for (event, cell) in events().into_iter().zip(cells) {
            let (life, _) = step(at(stage.clone()), event.clone(), Millis(5_000), &rules());
            assert_eq!(
                letter(&life.stage),
                cell,
                "{stage:?} + {event:?} gave {:?}",
                life.stage
            );
        }
    }
}

#[test]
fn nothing_is_started_once_the_member_ends() {
    for stage in stages() {
        for event in events() {
            let life = at(stage.clone());
            let ended_before = life.ends() || matches!(life.stage, Stage::Failed { .. });
            let (life, actions) = step(life, event.clone(), Millis(5_000), &rules());
            let starts = actions.iter().any(|a| {
                matches!(a, Action::StartApp | Action::Probe(_))
                    || matches!(a, Action::RunHook(hook) if *hook != Hook::Clean)
            });
            assert!(
                !(starts && (ended_before || life.ends())),
                "{stage:?} + {event:?}: {actions:?}"
            );
        }
    }
}

/// Plays events 10 ms apart.
fn play(life: Life, now: &mut Millis, events: impl IntoIterator<Item = Event>) -> (Life, Vec<Action>) {
    let mut all = Vec::new();
    let mut life = life;
    for event in events {
        *now = now.plus(Millis(10));
        let (next, actions) = step(life, event, *now, &rules());
        life = next;
        all.extend(actions);
    }
    (life, all)
}

fn ok(hook: Hook) -> Event {
    Event::HookEnded { hook, fault: None }
}

fn answer(life: &Life, outcome: Outcome) -> Event {
    Event::Probed {
        number: life.probe,
        outcome,
    }
}

fn active(now: &mut Millis) -> Life {
    let begin = [
        Event::Serve { files: false },
        ok(Hook::InstanceStarted),
        ok(Hook::StartServers),
    ];
    let (life, actions) = play(Life::new(), now, begin);
    let hooks = [
        Action::RunHook(Hook::InstanceStarted),
        Action::RunHook(Hook::StartServers),
    ];
    assert_eq!(
        actions,
        [&hooks[..], &[Action::StartApp, Action::Probe(1)]].concat()
    );
    let event = answer(&life, Outcome::Healthy);
    let (life, actions) = play(life, now, [event]);
    assert_eq!(actions, [Action::RunHook(Hook::InstanceActivated)]);
    assert_eq!(life.phase(), Phase::Active);
    life
}

#[test]
fn an_application_that_ends_suspends_the_member_at_once_and_is_started_again() {
    let mut now = Millis::ZERO;
    let life = active(&mut now);
    let (life, actions) = play(
        life,
        &mut now,
        [Event::AppEnded {
            how: "signal 9".into(),
        }],
    );
    assert!(matches!(life.phase(), Phase::Suspended { .. }));
    assert!(actions.contains(&Action::StartApp));
    let event = answer(&life, Outcome::Healthy);
    let (life, _) = play(life, &mut now, [event]);
    assert_eq!((life.phase(), life.restarts), (Phase::Active, 1));
}

#[test]
fn an_application_that_will_not_stay_up_fails_the_member_with_its_history() {
    let mut now = Millis::ZERO;
    let mut life = active(&mut now);
    for n in 0..6 {
        let (next, _) = play(
            life,
            &mut now,
            [Event::AppEnded {
                how: format!("exit code {n}"),
            }],
        );
        life = next;
        if let Some(due) = life.due() {
            now = now.max(due);
        }
        life = play(life, &mut now, [Event::Tick]).0;
    }
    let Phase::Failed { reason } = life.phase() else {
        panic!("{:?}", life.phase())
    };
    assert!(reason.contains("6 times") && reason.contains("exit code 0") && reason.contains("exit code 5"));
}

#[test]
fn an_application_that_ends_now_and_then_is_kept() {
    let mut now = Millis::ZERO;
    let mut life = active(&mut now);
    for _ in 0..50 {
        now = now.plus(Millis(20_000));
        life = play(
            life,
            &mut now,
            [Event::AppEnded {
                how: "exit code 1".into(),
            }],
        )
        .0;
        now = now.plus(Millis(1_000));
        life = play(life, &mut now, [Event::Tick]).0;
        assert_eq!(life.app, App::Running);
    }
    assert_eq!(life.restarts, 50);
}

#[test]
fn three_failed_probes_in_a_row_suspend_and_one_good_one_recovers() {
    let mut now = Millis::ZERO;
    let mut life = active(&mut now);
    for n in 1..=3 {
        now = life.due().unwrap();
        life = play(life, &mut now, [Event::Tick]).0;
        let event = answer(&life, Outcome::Silent("does not answer".into()));
        life = play(life, &mut now, [event]).0;
        assert_eq!(
            matches!(life.phase(), Phase::Suspended { .. }),
            n == 3,
            "after {n}"
        );
    }
    now = life.due().unwrap();
    life = play(life, &mut now, [Event::Tick]).0;
    let event = answer(&life, Outcome::Healthy);
    assert_eq!(play(life, &mut now, [event]).0.phase(), Phase::Active);
}

#[test]
fn a_release_that_answers_badly_is_refused_quickly_and_the_old_one_returns() {
    let mut now = Millis::ZERO;
    let mut life = active(&mut now);
    life.release = Some(commit('a'));
    let switched = Event::Switched {
        to: commit('b'),
        back: Some(commit('a')),
    };
    let ended = Event::AppEnded {
        how: "exit code 0".into(),
    };
    let (mut life, actions) = play(
        life,
        &mut now,
        [switched, ok(Hook::ArtifactUpdated), ended.clone()],
    );
    assert!(actions.contains(&Action::TermApp) && actions.contains(&Action::StartApp));
    assert_eq!(life.restarts, 0, "a restart that was ordered is not counted");
    let begun = now;
    let mut refused = Vec::new();
    while life.returning().is_none() {
        let event = answer(&life, Outcome::Unwell("answers with status 500".into()));
        (life, refused) = play(life, &mut now, [event]);
        now = life.due().unwrap_or(now);
        life = play(life, &mut now, [Event::Tick]).0;
    }
    assert!(now.since(begun) < Millis(1000));
    assert!(
        refused
            .iter()
            .any(|a| matches!(a, Action::Refuse { commit: c, back: Some(b), .. }
        if *c == commit('b') && *b == commit('a')))
    );
    assert_eq!(life.release, Some(commit('a')));
    let back = Event::Switched {
        to: commit('a'),
        back: Some(commit('b')),
    };
    life = play(life, &mut now, [back, ok(Hook::ArtifactUpdated), ended]).0;
    let event = answer(&life, Outcome::Healthy);
    life = play(life, &mut now, [event]).0;
    assert_eq!((life.phase(), life.release), (Phase::Active, Some(commit('a'))));
}

#[test]
fn a_first_release_that_never_answers_fails_the_member_and_names_the_commit() {
    let mut now = Millis::ZERO;
    let begin = [
        Event::Serve { files: true },
        Event::Switched {
            to: commit('b'),
            back: None,
        },
        ok(Hook::InstanceStarted),
        ok(Hook::StartServers),
        ok(Hook::ArtifactUpdated),
    ];
    let (life, _) = play(Life::new(), &mut now, begin);
    assert_eq!(life.phase(), Phase::Starting);
    now = now.plus(rules().start_within);
    let (life, actions) = play(life, &mut now, [Event::Tick]);
    assert!(matches!(life.phase(), Phase::Failed { .. }));
    assert!(
        actions
            .iter()
            .any(|a| matches!(a, Action::Refuse { back: None, .. }))
    );
}

#[test]
fn stopping_runs_the_clean_hook_then_asks_then_kills() {
    let mut now = Millis::ZERO;
    let life = active(&mut now);
    let (life, actions) = play(
        life,
        &mut now,
        [Event::Stop {
            within: Millis(10_000),
        }],
    );
    assert_eq!(actions, [Action::CancelHooks, Action::RunHook(Hook::Clean)]);
    let (life, actions) = play(life, &mut now, [ok(Hook::Clean)]);
    assert_eq!(actions, [Action::TermApp]);
    now = life.due().unwrap();
    let (life, actions) = play(life, &mut now, [Event::Tick]);
    assert_eq!(actions, [Action::KillApp]);
    let (life, _) = play(
        life,
        &mut now,
        [Event::AppEnded {
            how: "signal 9".into(),
        }],
    );
    assert_eq!(life.phase(), Phase::Stopped);
}

//! Every pair of stage and event, and the stories that matter.

use super::*;
use crate::ends::Restart;

pub(super) fn rules() -> Rules {
    Rules {
        command: true,
        prepare: Vec::new(),
        restart_on_release: true,
        restart: RestartRules {
            restart: Restart::Always,
            limit: 5,
            window: Millis(60_000),
        },
        start_within: Millis(600_000),
        trial_within: Millis(10_000),
        end_within: Millis(5_000),
    }
}

fn ended_with(how: How) -> Event {
    let words = vec!["no room".to_owned()];
    Event::AppEnded { how, words }
}

pub(super) fn commit(digit: char) -> CommitId {
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
        Stage::Preparing {
            files: false,
            hook: Hook::VolumeMount,
            until: None,
        },
        Stage::Preparing {
            files: true,
            hook: Hook::CompleteTopology,
            until: Some(at),
        },
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
        ended_with(How::Code(1)),
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
        Event::Topology,
        ended(Hook::VolumeMount),
        Event::HookEnded {
            hook: Hook::VolumeMount,
            fault: Some("no such device".into()),
        },
        ended(Hook::MemberActivated),
        Event::Adopted { to: commit('d') },
    ]
}

fn letter(stage: &Stage) -> char {
    match stage {
        Stage::Joining => 'J',
        Stage::Preparing { until: None, .. } => 'V',
        Stage::Preparing { .. } => 'T',
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
J FG.EJ JJJJJ JJJJJ JJJJJ
V VVKEV VVVVV VVVVV VG!VV
T TTKET TTTTT TTTTF VTTTT
F FGKEG FFFFF FFFFF FFFFF
G GGKEG SGGGG GGGGG GGGGG
S SSKES SPSSS SSSSS SSSSS
U UUKEU UUCUU UUUUU UUUUU
C CCKEC CCCCC PCCCC CCCCC
P PPKEP PPPPP PA!P! PPPPP
R RRKEU RRRRR RRRRR RRRRR
A AAKEU AAAAA XAAAA AAAAA
X XXKEU XXXXX XAXXX XXXXX
K KKKEK KKKKE KKKKE KKKKK
E EEEEE EEEEE .EEEE EEEEE
. ..... ..... ..... .....
! !!KE! !!!!! !!!!! !!!!!
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
fn an_application_that_stays_well_is_asked_more_seldom_until_it_fails_once() {
    let mut life = at(Stage::Active { failures: 0 });
    let mut now = Millis(5_000);
    let mut ask = |outcome: Outcome| {
        let number = life.probe;
        let answered = Event::Probed { number, outcome };
        life = step(std::mem::take(&mut life), answered, now, &rules()).0;
        let due = life.due().unwrap();
        let waited = due.0 - now.0;
        now = due;
        life = step(std::mem::take(&mut life), Event::Tick, now, &rules()).0;
        waited
    };
    let waits: Vec<u64> = (0..12).map(|_| ask(Outcome::Healthy)).collect();
    assert_eq!(waits[..9], [1_000; 9], "{waits:?}");
    assert!(
        waits[9] > 0 && waits[9] <= 5_000,
        "onto the longer beat: {waits:?}"
    );
    assert_eq!(waits[10..], [5_000; 2], "{waits:?}");
    assert_eq!(ask(Outcome::Silent("refused".into())), 1_000);
    assert_eq!(ask(Outcome::Healthy), 1_000);
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
    let (life, actions) = play(life, &mut now, [ended_with(How::Signal(9, "SIGKILL".into()))]);
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
        let (next, _) = play(life, &mut now, [ended_with(How::Code(n))]);
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
    assert!(
        reason.contains("saying \"no room\"") && reason.contains(" ago: "),
        "{reason}"
    );
    assert_eq!(
        life.exit, 5,
        "the agent ends with what its application ended with"
    );
}

#[test]
fn an_application_that_ends_now_and_then_is_kept() {
    let mut now = Millis::ZERO;
    let mut life = active(&mut now);
    for _ in 0..50 {
        now = now.plus(Millis(20_000));
        life = play(life, &mut now, [ended_with(How::Code(1))]).0;
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
    let ended = ended_with(How::Code(0));
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
fn a_release_that_becomes_another_commits_stays_proved_and_nothing_happens() {
    let mut now = Millis::ZERO;
    let mut life = active(&mut now);
    life.release = Some(commit('a'));
    let before = life.clone();
    let (life, actions) = play(life, &mut now, [Event::Adopted { to: commit('b') }]);
    assert_eq!((life.release.clone(), actions), (Some(commit('b')), Vec::new()));
    assert_eq!(
        Life {
            release: before.release.clone(),
            ..life
        },
        before
    );
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
    let (life, _) = play(life, &mut now, [ended_with(How::Signal(9, "SIGKILL".into()))]);
    assert_eq!(life.phase(), Phase::Stopped);
}

#[test]
fn an_application_that_is_not_to_be_started_again_gives_the_member_up_at_its_first_end() {
    for (policy, code) in [(Restart::Never, 4), (Restart::Never, 0), (Restart::OnFailure, 0)] {
        let mut now = Millis::ZERO;
        let life = active(&mut now);
        let mut rules = rules();
        rules.restart.restart = policy;
        let (life, actions) = step(life, ended_with(How::Code(code)), now.plus(Millis(70)), &rules);
        let Phase::Failed { reason } = life.phase() else {
            panic!("{policy:?} {code}: {:?}", life.phase())
        };
        assert!(reason.contains(&format!("exit code {code} after")), "{reason}");
        assert!(!actions.contains(&Action::StartApp) && life.restarts == 0);
        assert_eq!((i32::from(life.exit), life.due()), (code, None));
    }
}

fn preparing() -> Rules {
    Rules {
        prepare: vec![
            Hook::CreateLvsDummyInterface,
            Hook::VolumeMount,
            Hook::CompleteTopology,
        ],
        ..rules()
    }
}

/// Stratos mounts after it has started servers; what they wrote until then is hidden by the mount.
#[test]
fn volumes_are_mounted_before_files_come_and_servers_start() {
    let (life, actions) = step(Life::new(), Event::Serve { files: true }, Millis(0), &preparing());
    assert_eq!(actions, [Action::RunHook(Hook::CreateLvsDummyInterface)]);
    assert!(!life.may_fetch());
    let (life, actions) = step(life, Event::Topology, Millis(0), &preparing());
    assert_eq!((actions, life.may_fetch()), (vec![], false));
    let (life, actions) = step(life, ok(Hook::CreateLvsDummyInterface), Millis(0), &preparing());
    assert_eq!(actions, [Action::RunHook(Hook::VolumeMount)]);
    assert!(!life.may_fetch());
    let (life, actions) = step(life, ok(Hook::VolumeMount), Millis(0), &preparing());
    assert_eq!(actions, [Action::RunHook(Hook::CompleteTopology)]);
    assert!(life.may_fetch() && !life.may_look_around());
    let (life, _) = step(life, ok(Hook::CompleteTopology), Millis(0), &preparing());
    assert_eq!(life.stage, Stage::Fetching);
    assert!(life.may_look_around());
    let (_, again) = step(life, Event::Topology, Millis(0), &preparing());
    assert_eq!(again, [], "the first topology is introduced once");
}

#[test]
fn a_topology_that_does_not_come_holds_up_a_member_for_five_seconds_and_is_introduced_when_it_comes() {
    let rules = Rules {
        prepare: vec![Hook::CompleteTopology],
        ..rules()
    };
    let (life, actions) = step(Life::new(), Event::Serve { files: false }, Millis(0), &rules);
    assert_eq!((actions, life.due()), (vec![], Some(TOPOLOGY_WITHIN)));
    let (life, actions) = step(life, Event::Tick, TOPOLOGY_WITHIN, &rules);
    assert_eq!(actions, [Action::RunHook(Hook::InstanceStarted)]);
    let (life, actions) = step(life, Event::Topology, TOPOLOGY_WITHIN, &rules);
    assert_eq!(actions, [Action::RunHook(Hook::CompleteTopology)]);
    assert_eq!(life.stage, Stage::Greeting { trial: None });
}

#[test]
fn a_volume_that_cannot_be_mounted_fails_the_member_and_an_address_that_cannot_be_set_does_not() {
    let failed = |hook| Event::HookEnded {
        hook,
        fault: Some("ended with exit code 32".into()),
    };
    let (life, _) = step(
        Life::new(),
        Event::Serve { files: false },
        Millis(0),
        &preparing(),
    );
    let (life, actions) = step(
        life,
        failed(Hook::CreateLvsDummyInterface),
        Millis(0),
        &preparing(),
    );
    assert!(actions.contains(&Action::RunHook(Hook::VolumeMount)));
    let (life, _) = step(life, failed(Hook::VolumeMount), Millis(0), &preparing());
    let Phase::Failed { reason } = life.phase() else {
        panic!("{:?}", life.phase())
    };
    assert!(
        reason.contains("volumes") && reason.contains("exit code 32"),
        "{reason}"
    );
}

#[test]
fn a_life_that_stands_still_is_gone_on_with_by_another_agent_and_no_other_is() {
    for stage in stages() {
        let still = matches!(stage, Stage::Active { .. } | Stage::Suspended { .. });
        let mut life = at(stage);
        life.topology = Known::Introduced;
        assert_eq!(life.stands_still(), still, "{:?}", life.stage);
        life.app = App::Due(Millis(9));
        assert!(!life.stands_still(), "its start is due");
    }
    let mut now = Millis::ZERO;
    let mut life = active(&mut now);
    life = play(life, &mut now, [ended_with(How::Code(3))]).0;
    let event = answer(&life, Outcome::Healthy);
    life = play(life, &mut now, [event]).0;
    life.release = Some(commit('a'));
    let text = serde_json::to_string(&life.handed()).unwrap();
    let resumed = Life::resumed(serde_json::from_str(&text).unwrap(), now);
    assert_eq!(resumed.due(), Some(now), "it is probed at once");
    let (resumed, actions) = play(resumed, &mut now, [Event::Tick]);
    assert_eq!(actions, [Action::Probe(1)]);
    let event = answer(&resumed, Outcome::Healthy);
    let (resumed, actions) = play(resumed, &mut now, [event]);
    assert_eq!(actions, [], "no hook runs twice");
    assert_eq!(resumed.handed(), life.handed());
    // And its history still counts.
    let (resumed, _) = play(resumed, &mut now, [ended_with(How::Code(4))]);
    assert_eq!((resumed.restarts, resumed.ends.iter().count()), (1, 2));
    assert!(
        matches!(resumed.app, App::Due(_)),
        "the second end within the window waits"
    );
}

//! The real agent binary reads user-data from imitations of three clouds' metadata services, hostile ones among them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

const CANARY: &str = "canary-token-in-user-data";
const SECRET: &str = "AQAEAHIdToken==";

/// What was asked.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    headers: BTreeMap<String, String>,
}

/// How it is answered.
enum Reaction {
    Say(u16, String),
    Lead(String),
    /// Nothing comes.
    Hang,
    /// A body without an end.
    Endless,
    /// One byte now and then, for ever.
    Slow,
}

use Reaction::{Endless, Hang, Lead, Say, Slow};

struct Cloud {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Cloud {
    fn start(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::serve(listener, react)
    }

    fn serve(listener: TcpListener, react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, react) = (Arc::clone(&asked), Arc::new(react));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, react) = (Arc::clone(&heard), Arc::clone(&react));
                std::thread::spawn(move || answer(stream, &heard, &*react));
            }
        });
        Self { url, asked }
    }

    fn lines(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|a| a.line.clone())
            .collect()
    }
}

fn answer(
    stream: TcpStream,
    heard: &Mutex<Vec<Asked>>,
    react: &(dyn Fn(&Asked) -> Reaction + Sync),
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers = lines.iter().skip(1).filter_map(|l| l.split_once(": "));
    let headers = headers
        .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let line = lines.first()?.strip_suffix(" HTTP/1.1")?.to_owned();
    let asked = Asked { line, headers };
    heard.lock().ok()?.push(asked.clone());
    let mut stream = stream;
    match react(&asked) {
        Say(status, body) => write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .ok(),
        Lead(to) => write!(
            stream,
            "HTTP/1.1 302 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        )
        .ok(),
        // Until the caller goes.
        Hang => reader.read_exact(&mut [0]).ok(),
        Endless => {
            write!(stream, "HTTP/1.1 200 X\r\n\r\n").ok()?;
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            None
        }
        Slow => {
            write!(stream, "HTTP/1.1 200 X\r\n\r\n").ok()?;
            stream.set_read_timeout(Some(Duration::from_millis(50))).ok()?;
            let mut reader = stream.try_clone().ok()?;
            // The read is only the pause between two bytes.
            while stream.write_all(b"x").is_ok() {
                if matches!(reader.read(&mut [0]), Ok(0)) {
                    break;
                }
            }
            None
        }
    }
}

/// As Amazon's does: nothing without a token, no token without its time to live.
fn ec2(data: &str) -> impl Fn(&Asked) -> Reaction + Send + Sync + use<> {
    let data = data.to_owned();
    move |asked| match asked.line.as_str() {
        "PUT /latest/api/token" if asked.headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds") => {
            Say(200, SECRET.to_owned())
        }
        "PUT /latest/api/token" => Say(400, String::new()),
        _ if asked.headers.get("x-aws-ec2-metadata-token").map(String::as_str) != Some(SECRET) => {
            Say(401, String::new())
        }
        "GET /latest/user-data" => Say(200, data.clone()),
        _ => Say(404, String::new()),
    }
}

fn openstack(meta: &str, data: Option<&str>) -> impl Fn(&Asked) -> Reaction + Send + Sync + use<> {
    let (meta, data) = (meta.to_owned(), data.map(str::to_owned));
    move |asked| match (asked.line.as_str(), &data) {
        ("GET /openstack/latest/meta_data.json", _) => Say(200, meta.clone()),
        ("GET /openstack/latest/user_data", Some(data)) => Say(200, data.clone()),
        _ => Say(404, String::new()),
    }
}

fn cloudstack(data: &str) -> impl Fn(&Asked) -> Reaction + Send + Sync + use<> {
    let data = data.to_owned();
    move |asked| match asked.line.as_str() {
        "GET /latest/user-data" => Say(200, data.clone()),
        _ => Say(404, String::new()),
    }
}

struct Checked {
    code: i32,
    json: Value,
    lasted: Duration,
    told: String,
}

impl Checked {
    fn option(&self, name: &str) -> (&str, &str) {
        let options = self.json["options"].as_array().unwrap();
        let row = options.iter().find(|o| o["name"] == name).unwrap();
        (
            row["value"].as_str().unwrap_or_default(),
            row["origin"].as_str().unwrap(),
        )
    }

    /// The one fault.
    fn fault(&self) -> String {
        assert_eq!(self.code, 2, "{}", self.json);
        let faults = self.json["faults"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{faults:?}");
        format!(
            "{} {}",
            faults[0]["name"].as_str().unwrap(),
            faults[0]["problem"].as_str().unwrap()
        )
    }
}

fn check(cloud: &str, server: &str, more: &[&str]) -> Checked {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_cartridge-agent"))
        .args([
            "check",
            "--output",
            "json",
            "--user-data",
            cloud,
            "--user-data-server",
            server,
        ])
        .args(more)
        .env_clear()
        // Were a proxy heeded, nothing would be found.
        .env("http_proxy", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("all_proxy", "http://127.0.0.1:1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {told}"));
    let checked = Checked {
        code: output.status.code().unwrap(),
        json,
        lasted: begun.elapsed(),
        told,
    };
    let shown = format!("{} {}", checked.json, checked.told);
    assert!(!shown.contains(CANARY) && !shown.contains(SECRET), "{shown}");
    checked
}

fn payload() -> String {
    format!(
        "MEMBER_ID=app.web.php.domain-1,CARTRIDGE_INCARNATION=1,CARTRIDGE_LINK=https://o.example:7000,\
         CARTRIDGE_JOIN_TOKEN={CANARY},PORTS=80|443,SERVICE_NAME=php"
    )
}

#[test]
fn ec2_gives_user_data_to_who_has_asked_for_a_token() {
    let cloud = Cloud::start(ec2(&payload()));
    let checked = check("ec2", &cloud.url, &["--ports", "8080"]);
    assert_eq!(checked.code, 0, "{}", checked.json);
    assert_eq!(checked.option("MEMBER_ID"), ("app.web.php.domain-1", "user-data"));
    assert_eq!(checked.option("PORTS"), ("8080", "flag"));
    assert_eq!(checked.option("CARTRIDGE_JOIN_TOKEN"), ("(secret)", "user-data"));
    assert_eq!(cloud.lines(), ["PUT /latest/api/token", "GET /latest/user-data"]);
}

#[test]
fn openstack_gives_pairs_too_and_user_data_is_stronger() {
    let meta = r#"{"uuid":"u","meta":{"PORTS":"1","SERVICE_NAME":"java","ROLE":"web"}}"#;
    let cloud = Cloud::start(openstack(meta, Some(&payload())));
    let checked = check("openstack", &cloud.url, &[]);
    assert_eq!(checked.code, 0, "{}", checked.json);
    assert_eq!(checked.option("PORTS"), ("80|443", "user-data"));
    let told = checked.json["told_to_hooks"].to_string();
    assert!(told.contains("ROLE") && told.contains("SERVICE_NAME"), "{told}");

    let alone = Cloud::start(openstack(r#"{"meta":{"PORTS":"1"}}"#, None));
    let checked = check("openstack", &alone.url, &[]);
    assert_eq!(checked.option("PORTS"), ("1", "user-data"));
    assert!(
        checked.json["notes"].to_string().contains("no user-data"),
        "{}",
        checked.json
    );
}

#[test]
fn cloudstack_gives_user_data_as_it_is() {
    let cloud = Cloud::start(cloudstack(&payload().replace(',', "\n")));
    let checked = check("cloudstack", &cloud.url, &[]);
    assert_eq!(checked.code, 0, "{}", checked.json);
    assert_eq!(checked.option("PORTS"), ("80|443", "user-data"));
}

#[test]
fn auto_finds_out_which_cloud_it_is_and_goes_on_where_there_is_none() {
    let (ec2, stack) = (
        Cloud::start(ec2(&payload())),
        Cloud::start(openstack("{}", Some(&payload()))),
    );
    for cloud in [&ec2, &stack, &Cloud::start(cloudstack(&payload()))] {
        let checked = check("auto", &cloud.url, &[]);
        assert_eq!(checked.code, 0, "{}", checked.json);
        assert_eq!(checked.option("PORTS"), ("80|443", "user-data"));
    }
    assert!(
        stack.lines().iter().all(|line| !line.contains("token")),
        "{:?}",
        stack.lines()
    );

    let nobody = check("auto", "http://127.0.0.1:9", &[]);
    assert!(
        nobody.json["notes"]
            .to_string()
            .contains("no cloud's metadata service"),
        "{}",
        nobody.json
    );
    let hanging = check("auto", &Cloud::start(|_| Hang).url, &[]);
    assert!(
        hanging.json["notes"]
            .to_string()
            .contains("no cloud's metadata service")
    );
    assert!(hanging.lasted < Duration::from_secs(5), "{:?}", hanging.lasted);

    let foreign = check("auto", &Cloud::start(cloudstack("#cloud-config\n")).url, &[]);
    assert!(
        foreign.json["notes"].to_string().contains("#cloud-config"),
        "{}",
        foreign.json
    );
}

#[test]
fn a_network_that_comes_up_late_is_waited_for() {
    // Nobody listens yet at this address.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let late = std::thread::spawn(move || {
        // Begun when the agent has been refused at least once is as good as any later time: it is told by its words.
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Cloud::serve(TcpListener::bind(address).unwrap(), ec2(&payload()))
    });
    let checked = check(
        "ec2",
        &format!("http://{address}"),
        &["--user-data-seconds", "30"],
    );
    assert_eq!(checked.code, 0, "{}", checked.json);
    assert!(
        checked.told.contains("waits for the user-data of ec2"),
        "{}",
        checked.told
    );
    drop(late.join().unwrap());
}

#[test]
fn what_does_not_come_in_time_is_given_up_with_its_reason() {
    for (react, words) in [
        ((|_| Hang) as fn(&Asked) -> Reaction, "hop limit"),
        (
            |asked| {
                if asked.line.starts_with("PUT") {
                    Say(200, SECRET.into())
                } else {
                    Slow
                }
            },
            "no whole answer to GET /latest/user-data",
        ),
        (|_| Say(503, String::new()), "answers 503"),
    ] {
        let cloud = Cloud::start(react);
        let checked = check("ec2", &cloud.url, &["--user-data-seconds", "1"]);
        let fault = checked.fault();
        assert!(
            fault.starts_with("CARTRIDGE_USER_DATA ec2: given up after 1.0 s"),
            "{fault}"
        );
        assert!(fault.contains(words), "{fault}");
        assert!(checked.lasted < Duration::from_secs(4), "{:?}", checked.lasted);
    }
}

#[test]
fn what_will_not_be_better_is_told_at_once() {
    let elsewhere = Cloud::start(ec2(&payload()));
    let to = format!("{}/latest/user-data", elsewhere.url);
    let cases: Vec<(Cloud, &str)> = vec![
        (Cloud::start(move |_| Lead(to.clone())), "leads elsewhere (302)"),
        (Cloud::start(|_| Endless), "longer than 65536 bytes"),
        (
            Cloud::start(cloudstack(&"x".repeat(1 << 20))),
            "longer than 65536 bytes",
        ),
        (
            Cloud::start(cloudstack("#!/bin/sh\necho canary-token-in-user-data\n")),
            "a script (#!)",
        ),
        (
            Cloud::start(cloudstack("Content-Type: multipart/mixed; boundary=x\n")),
            "a MIME message",
        ),
        (
            Cloud::start(cloudstack(r#"{"ignition":{"version":"3.4.0"}}"#)),
            "Ignition",
        ),
        (Cloud::start(cloudstack("A=1\nB=\u{7}")), "line 2, column 3"),
        (Cloud::start(|_| Say(418, String::new())), "answers 418"),
    ];
    for (cloud, words) in cases {
        let checked = check("cloudstack", &cloud.url, &[]);
        assert!(
            checked.fault().contains(words),
            "{} lacks {words}",
            checked.fault()
        );
        assert!(
            checked.lasted < Duration::from_secs(4),
            "{words}: {:?}",
            checked.lasted
        );
    }
    assert!(elsewhere.lines().is_empty(), "{:?}", elsewhere.lines());
    let old = check("ec2", &Cloud::start(|_| Say(404, String::new())).url, &[]);
    assert!(old.fault().contains("version 2"), "{}", old.fault());
    let off = check("ec2", &Cloud::start(|_| Say(403, String::new())).url, &[]);
    assert!(off.fault().contains("switched off"), "{}", off.fault());
}

#[test]
fn compressed_user_data_is_refused_as_what_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 X\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\x1f\x8b\x08\x00",
            );
        }
    });
    assert!(
        check("cloudstack", &url, &[])
            .fault()
            .contains("compressed (gzip)")
    );
}

#[test]
fn nobody_far_away_is_asked_and_nobody_at_all_without_being_told_to() {
    let far = check("ec2", "http://8.8.8.8", &[]);
    let faults = far.json["faults"].to_string();
    assert!(faults.contains("too far away"), "{faults}");
    let cloud = Cloud::start(|_| Say(200, String::new()));
    check("none", &cloud.url, &[]);
    assert!(cloud.lines().is_empty());
}

#[test]
fn a_signal_ends_the_wait() {
    let cloud = Cloud::start(|_| Hang);
    let mut agent = Command::new(env!("CARGO_BIN_EXE_cartridge-agent"))
        .args(["run", "--user-data", "ec2", "--user-data-server", &cloud.url])
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while cloud.lines().is_empty() {
        assert!(Instant::now() < deadline, "it never asked");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(agent.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(agent.wait().unwrap().code(), Some(1));
    let mut told = String::new();
    agent.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("asked to end by a signal"), "{told}");
}

//! Conversations with the three clouds, user-data that is for others, leases, and who may be asked.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn got(status: u16, body: &str) -> Answer {
    Answer::Got {
        status,
        body: body.into(),
    }
}

fn next(turn: Turn) -> Stage {
    match turn {
        Turn::Next(stage) => stage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ec2_wants_a_token_first_and_then_has_the_user_data() {
    let first = Stage::first(Cloud::Ec2);
    let ask = first.ask();
    assert_eq!((ask.put, ask.path), (true, "/latest/api/token"));
    assert_eq!(ask.headers[0].0, "x-aws-ec2-metadata-token-ttl-seconds");
    let second = next(first.answered(got(200, "abc==")));
    let ask = second.ask();
    assert_eq!((ask.put, ask.path), (false, "/latest/user-data"));
    assert_eq!(ask.headers, [("x-aws-ec2-metadata-token", "abc==".to_owned())]);
    let Turn::Done(found) = second.answered(got(200, "A=1")) else {
        panic!("not done");
    };
    assert_eq!(found.data, b"A=1");
}

#[test]
fn openstack_has_pairs_beside_the_user_data() {
    let second = next(Stage::first(Cloud::OpenStack).answered(got(200, r#"{"uuid":"x","meta":{"A":"1"}}"#)));
    assert_eq!(second.ask().path, "/openstack/latest/user_data");
    let Turn::Done(found) = second.answered(got(404, "")) else {
        panic!("not done");
    };
    assert_eq!((found.meta["A"].as_str(), found.data.len()), ("1", 0));
    let none = next(Stage::Meta.answered(got(200, "{}")));
    assert_eq!(none, Stage::OpenStack(Found::default()));
}

#[test]
fn what_may_come_up_is_tried_again_and_what_will_not_is_not() {
    let token = || Stage::Ec2("t".into());
    for (stage, answer, later, words) in [
        (Stage::Token, Answer::Silent, true, "hop limit"),
        (token(), Answer::Silent, true, "no whole answer"),
        (token(), got(401, ""), true, "no longer good"),
        (
            Stage::Token,
            Answer::Unreachable("no route".into()),
            true,
            "no route",
        ),
        (Stage::CloudStack, got(503, ""), true, "503"),
        (Stage::CloudStack, got(429, ""), true, "429"),
        (Stage::CloudStack, got(302, ""), false, "leads elsewhere"),
        (Stage::CloudStack, got(401, ""), false, "401"),
        (Stage::CloudStack, Answer::TooLong, false, "65536 bytes"),
        (Stage::Token, got(403, ""), false, "switched off"),
        (Stage::Token, got(404, ""), false, "version 2"),
        (Stage::Token, got(200, "two words"), false, "token"),
        (Stage::Token, got(200, ""), false, "token"),
        (Stage::Token, got(200, &"x".repeat(2000)), false, "token"),
        (Stage::Meta, got(404, ""), false, "OpenStack"),
        (
            Stage::Meta,
            got(200, r#"{"meta":{"A":["canary"]}}"#),
            false,
            "line 1",
        ),
    ] {
        let turn = stage.clone().answered(answer.clone());
        let (is_later, why) = match turn {
            Turn::Later(why) => (true, why),
            Turn::Never(why) => (false, why),
            other => panic!("{stage:?} {answer:?}: {other:?}"),
        };
        assert_eq!(is_later, later, "{stage:?} {answer:?}: {why}");
        assert!(why.contains(words) && !why.contains("canary"), "{why}");
    }
}

#[test]
fn no_user_data_at_all_is_nothing_and_no_fault() {
    for stage in [Stage::Ec2("t".into()), Stage::CloudStack] {
        assert_eq!(stage.answered(got(404, "x")), Turn::Done(Found::default()));
    }
    for nothing in ["", " \n\t"] {
        assert_eq!(
            content(nothing.as_bytes()),
            Ok(cartridge_protocol::launch::Parsed::default())
        );
    }
}

#[test]
fn user_data_for_somebody_else_is_named_as_what_it_is() {
    for (data, what) in [
        (&b"\x1f\x8b\x08\x00canary"[..], "gzip"),
        (b"#!/bin/sh\nexport TOKEN=canary\n", "a script"),
        (b"\n#cloud-config\npassword: canary\n", "#cloud-config"),
        (
            b"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n",
            "MIME",
        ),
        (b"MIME-VERSION: 1.0\n", "MIME"),
        (b"## template: jinja\n#cloud-config\n", "template"),
        (b"#include\nhttp://canary/\n", "#include"),
        (br#"{"ignition":{"version":"3.4.0"}}"#, "Ignition"),
        (b"\xff\xfe\x00", "UTF-8: byte 1"),
        (b"<powershell>canary</powershell>", "powershell"),
        (b"A=1\nB=\x00", "control character"),
        (b"no equals sign", "has no '='"),
    ] {
        let fault = content(data).unwrap_err().to_string();
        assert!(fault.contains(what) && !fault.contains("canary"), "{fault}");
    }
    let ours = content(b"# ours\nA=1\nB=2\n").unwrap();
    assert_eq!(ours.parameters.get("B"), Some("2"));
    assert_eq!(
        content(br#"{"IGNITION":"1"}"#)
            .unwrap()
            .parameters
            .get("IGNITION"),
        Some("1")
    );
}

#[test]
fn the_last_lease_counts_in_either_form() {
    let networkd = "# This is private data\nADDRESS=10.1.1.7\nSERVER_ADDRESS=10.1.1.1\n";
    assert_eq!(dhcp_server(networkd), Some(Ipv4Addr::new(10, 1, 1, 1)));
    let dhclient = "lease {\n  option dhcp-server-identifier 10.0.0.1;\n}\nlease {\n  \
        option dhcp-server-identifier 10.0.0.2;\n}\n";
    assert_eq!(dhcp_server(dhclient), Some(Ipv4Addr::new(10, 0, 0, 2)));
    for none in [
        "",
        "SERVER_ADDRESS=router",
        "option dhcp-server-identifier 10.0.0.1",
    ] {
        assert_eq!(dhcp_server(none), None, "{none}");
    }
}

#[test]
fn only_who_is_near_may_be_asked() {
    let at = |ip: &str, port| Ok(Server::At(ip.parse().unwrap(), port));
    assert_eq!(Server::parse("http://169.254.169.254"), at("169.254.169.254", 80));
    assert_eq!(Server::parse("http://127.0.0.1:8080/"), at("127.0.0.1", 8080));
    assert_eq!(Server::parse("http://[fd00:ec2::254]"), at("fd00:ec2::254", 80));
    assert_eq!(Server::parse("http://[::1]:81"), at("::1", 81));
    assert_eq!(Server::parse("http://data-server"), Ok(Server::DataServer));
    for far in ["http://8.8.8.8", "http://[2001:db8::1]", "http://172.32.0.1:80"] {
        assert!(Server::parse(far).unwrap_err().contains("too far"), "{far}");
    }
    for wrong in [
        "https://127.0.0.1",
        "127.0.0.1",
        "http://o.example",
        "http://127.0.0.1@8.8.8.8",
        "http://",
        "x",
    ] {
        assert!(
            Server::parse(wrong).unwrap_err().contains("http://address"),
            "{wrong}"
        );
    }
}

#[test]
fn wishes_are_read_as_the_option_has_them() {
    assert_eq!(Wish::parse("none"), Ok(Wish::Nothing));
    assert_eq!(Wish::parse("auto"), Ok(Wish::Auto));
    for cloud in ORDER {
        assert_eq!(Wish::parse(cloud.name()), Ok(Wish::From(cloud)));
    }
    assert!(Wish::parse("azure").is_err());
}

proptest! {
    #[test]
    fn no_answer_whatever_ends_the_conversation_otherwise_than_in_order(
        body in proptest::collection::vec(any::<u8>(), 0..300), status in 100_u16..600, cloud in 0_usize..3,
    ) {
        let mut stage = Stage::first(ORDER[cloud]);
        for _ in 0..3 {
            match stage.answered(Answer::Got { status, body: body.clone() }) {
                Turn::Next(next) => stage = next,
                Turn::Done(found) => {
                    prop_assert!(status == 200 || status == 404);
                    let _ = content(&found.data);
                    return Ok(());
                }
                Turn::Later(_) | Turn::Never(_) => return Ok(()),
            }
        }
        prop_assert!(false, "a conversation without an end");
    }
}

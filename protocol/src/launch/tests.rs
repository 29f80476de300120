//! The forms, their faults, and that nothing is lost between writing and reading.

use proptest::prelude::*;

use super::*;

#[test]
fn the_stratos_line_is_split_on_the_first_equals_sign() {
    let line = "APPLICATION_ID=app,TOKEN=abc==,PORTS=\"80|22\",REPO_URL=null,GROUP_NAME=,\n";
    let read = LaunchParameters::parse(line).unwrap();
    assert_eq!(read.get("TOKEN"), Some("abc=="));
    assert_eq!(read.get("PORTS"), Some("80|22"));
    assert_eq!(read.get("REPO_URL"), None);
    assert_eq!(read.get("GROUP_NAME"), None);
}

#[test]
fn a_piece_without_an_equals_sign_continues_the_value_before_it_and_is_told() {
    let parsed = parse("MB_URLS=a:1883,b:1883,PORTS=80").unwrap();
    assert_eq!(parsed.parameters.get("MB_URLS"), Some("a:1883,b:1883"));
    assert_eq!(parsed.parameters.get("PORTS"), Some("80"));
    assert!(parsed.notes[0].contains("parameter 2") && parsed.notes[0].contains("MB_URLS"));
}

#[test]
fn commas_survive_in_the_json_form_and_scalars_are_text() {
    let read = LaunchParameters::parse(r#"{"LIST":"a,b=c","N":80,"B":false,"X":null,"L":"a\nb"}"#).unwrap();
    assert_eq!(read.get("LIST"), Some("a,b=c"));
    assert_eq!(
        (read.get("N"), read.get("B"), read.get("X")),
        (Some("80"), Some("false"), None)
    );
    assert_eq!(read.get("L"), Some("a\nb"));
    assert_eq!(LaunchParameters::parse(&read.to_json()).unwrap(), read);
}

#[test]
fn several_lines_are_one_pair_each_and_commas_are_theirs() {
    let parsed = parse("# ours\nLIST=a,b\r\n\n ODD = 1,TWO=2 \n").unwrap();
    assert_eq!(parsed.parameters.get("LIST"), Some("a,b"));
    assert_eq!(parsed.parameters.get("ODD"), Some("1,TWO=2"));
    assert!(parsed.notes[0].contains("line 4"), "{:?}", parsed.notes);
}

#[test]
fn an_agent_conf_of_stratos_is_read_and_other_sections_are_not() {
    let text = "[agent]\nmb.urls = h:1883,i:1883\nlisten.address : localhost\n; old\n[other]\nx=1\n";
    let parsed = parse(text).unwrap();
    assert_eq!(parsed.parameters.get("mb.urls"), Some("h:1883,i:1883"));
    assert_eq!(parsed.parameters.get("listen.address"), Some("localhost"));
    assert_eq!(parsed.parameters.get("x"), None);
    assert!(parsed.notes[0].contains("line 5"), "{:?}", parsed.notes);
}

#[test]
fn the_last_of_two_values_counts_in_every_form_and_that_is_told() {
    for text in ["A=1,A=2", "A=1\nA=2", r#"{"A":"1","A":"2"}"#] {
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.parameters.get("A"), Some("2"), "{text}");
        assert_eq!(parsed.notes.len(), 1, "{text}");
    }
}

#[test]
fn faults_name_the_place_and_never_a_value() {
    let long = format!("A={}", "x".repeat(MAX_VALUE_BYTES + 1));
    let many = (0..=MAX_PARAMETERS)
        .map(|n| format!("K{n}=1\n"))
        .collect::<String>();
    let name = format!("{}=canary", "N".repeat(MAX_NAME_BYTES + 1));
    for (text, expected) in [
        ("canary", "parameter 1 has no '='"),
        ("A=1\ncanary", "line 2 has no '='"),
        ("=canary", "parameter 1 has no name"),
        ("A=1\nB=can\u{0}ary", "line 2, column 6"),
        ("A=\u{1b}[31mcanary", "U+001B"),
        (r#"{"A": ["canary"]}"#, "A is neither"),
        (r#"{"A": 1.5}"#, "A is neither"),
        (r#"{"A": "canary"#, "line 1, column"),
        (r#"{"A": "can\u0000ary"}"#, "A holds the control character U+0000"),
        (
            r#"{"A\u0007": "canary"}"#,
            "parameter 1 holds the control character U+0007",
        ),
        (&long, "32769 bytes"),
        (&many, "1025 parameters"),
        (&name, "a name of 129 bytes"),
        (&"canary".repeat(MAX_BYTES), "bytes long"),
    ] {
        let fault = parse(text).unwrap_err().to_string();
        assert!(fault.contains(expected), "{fault} does not name {expected}");
        assert!(!fault.contains("canary") && !fault.contains('\n'), "{fault}");
    }
}

#[test]
fn debug_output_hides_secrets() {
    let mut parameters = LaunchParameters::default();
    parameters.set(key::JOIN_TOKEN, "canary");
    assert!(!format!("{parameters:?}").contains("canary"));
}

/// Texts that are nearly right reach further than random ones.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("\"A\":".to_owned()),
        Just("[agent]\n".to_owned()),
        Just("=".to_owned()),
        Just(",".to_owned()),
        Just("\n".to_owned()),
        Just("null".to_owned()),
        Just("\u{0}".to_owned()),
        Just("\"".to_owned()),
        "[A-Z_]{1,8}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_whatever_ends_the_reader(text in nearly()) {
        if let Ok(parsed) = parse(&text) {
            for (name, value) in parsed.parameters.iter() {
                prop_assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES);
                prop_assert!(is_present(value) && value.len() <= MAX_VALUE_BYTES);
                prop_assert!(!name.contains('\0') && !value.contains('\0'));
            }
            prop_assert_eq!(&LaunchParameters::parse(&parsed.parameters.to_json()).unwrap(), &parsed.parameters);
        }
    }

    #[test]
    fn what_stratos_writes_is_what_is_read(
        pairs in proptest::collection::btree_map("[A-Z][A-Z0-9_]{0,20}", "[a-zA-Z0-9:/|;.=+-]{1,40}", 0..20)
    ) {
        let line: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let expected: BTreeMap<_, _> = pairs.into_iter().filter(|(_, v)| is_present(v)).collect();
        prop_assert_eq!(LaunchParameters::parse(&line.join(",")).unwrap(), LaunchParameters(expected.clone()));
        prop_assert_eq!(LaunchParameters::parse(&line.join("\n")).unwrap(), LaunchParameters(expected));
    }
}

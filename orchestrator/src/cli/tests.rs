//! What can be typed, and what mistyping says.

use super::*;

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("cartridge").chain(line.split_whitespace()))
}

#[test]
fn the_tree_is_sound_and_every_command_has_an_example() {
    let tree = Cli::command();
    tree.clone().debug_assert();
    for command in tree.get_subcommands() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            help.contains("cartridge "),
            "{} has no example",
            command.get_name()
        );
    }
}

#[test]
fn what_the_documentation_shows_is_understood() {
    for line in [
        "apply -f a.yaml -f - --deploy p",
        "get members",
        "get member m-1 -o json",
        "get autoscaling-policies",
        "describe cluster c",
        "events -f --application a",
        "logs m --follow --tail 5",
        "scale c 3",
        "scale c auto",
        "deploy a --policy p",
        "deploy c --commit 0123456789abcdef0123456789abcdef01234567",
        "deploy c --follow",
        "undeploy a --force",
        "rollback c",
        "drain m",
        "delete application a",
        "pause --reason x",
        "resume",
        "explain c",
        "status",
        "completions zsh",
        "token ci --role admin --data d",
        "version --server https://h:1 --user u --password-file f --ca c",
    ] {
        assert!(read(line).is_ok(), "{line}: {}", read(line).unwrap_err());
    }
}

#[test]
fn what_is_mistyped_gets_one_line_with_a_tip() {
    for (line, word) in [
        ("aply -f x", "apply"),
        ("get membres", "members"),
        ("scale c many", "auto"),
        ("scale c -1", "-1"),
        ("deploy a", "--policy"),
        ("deploy a --policy p --commit c", "--commit"),
        ("apply", "--file"),
    ] {
        let said = one_line(&read(line).unwrap_err().to_string());
        assert!(said.contains(word) && !said.contains('\n'), "{line}: {said}");
    }
}

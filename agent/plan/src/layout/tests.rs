use super::*;
use proptest::prelude::*;

fn names(list: &[&str]) -> BTreeSet<Name> {
    list.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn folder(list: &[(&str, Whose)]) -> Found {
    Found::Folder(list.iter().map(|(n, w)| (n.as_bytes().to_vec(), *w)).collect())
}

fn ground(found: Found) -> Ground {
    Ground {
        found,
        replaceable: true,
        aside: None,
    }
}

fn fixed(found: Found) -> Ground {
    Ground {
        replaceable: false,
        ..ground(found)
    }
}

use Whose::{Others, Ours};

#[test]
fn a_path_that_is_absent_or_empty_becomes_a_link_and_stays_one() {
    let wanted = names(&["index"]);
    for existing in [Existing::Beside, Existing::Backup, Existing::Refuse] {
        let of = |found| decide(&ground(found), existing, &wanted);
        let link = |empty| Ok(Layout::Link { empty, aside: false });
        assert_eq!(of(Found::Nothing), link(false));
        assert_eq!(of(folder(&[])), link(true));
        assert_eq!(of(Found::Ours), Ok(Layout::Stands));
    }
}

#[test]
fn a_mount_point_becomes_a_folder_of_links() {
    let made = decide(&fixed(folder(&[])), Existing::Refuse, &names(&["a", "b"]));
    let add = vec![b"a".to_vec(), b"b".to_vec()];
    let (aside, drop) = (Vec::new(), Vec::new());
    assert_eq!(made, Ok(Layout::Folder { aside, add, drop }));
}

#[test]
fn what_is_there_stays_beside_unless_its_name_is_wanted() {
    let found = folder(&[
        ("manager", Others),
        ("ROOT", Others),
        ("old", Ours),
        ("kept", Ours),
    ]);
    let Ok(Layout::Folder { aside, add, drop }) =
        decide(&ground(found), Existing::Beside, &names(&["ROOT", "kept", "new"]))
    else {
        panic!("not a folder of links")
    };
    assert_eq!(aside, [b"ROOT".to_vec()]);
    assert_eq!(add, [b"ROOT".to_vec(), b"new".to_vec()]);
    assert_eq!(drop, [b"old".to_vec()]);
}

#[test]
fn content_is_backed_up_once_and_refused_where_that_is_wished() {
    let found = folder(&[("index", Others)]);
    let wanted = names(&["index"]);
    assert_eq!(
        decide(&ground(found.clone()), Existing::Backup, &wanted),
        Ok(Layout::Link {
            empty: false,
            aside: true
        })
    );
    let again = Ground {
        aside: Some(names(&["index"])),
        ..ground(found.clone())
    };
    for existing in [Existing::Backup, Existing::Beside] {
        let why = decide(&again, existing, &wanted).unwrap_err();
        assert!(why.contains("backup of an earlier time"), "{why}");
    }
    let why = decide(&ground(found.clone()), Existing::Refuse, &wanted).unwrap_err();
    assert!(why.contains("--existing-files"), "{why}");
    let why = decide(&fixed(found), Existing::Backup, &wanted).unwrap_err();
    assert!(why.contains("mount point"), "{why}");
}

#[test]
fn what_is_not_ours_is_not_touched() {
    for found in [Found::File, Found::Link("/srv/other".into())] {
        for existing in [Existing::Beside, Existing::Backup, Existing::Refuse] {
            assert!(decide(&ground(found.clone()), existing, &names(&["a"])).is_err());
        }
    }
    assert!(decide(&fixed(Found::Nothing), Existing::Beside, &names(&["a"])).is_err());
}

#[test]
fn tenants_have_folders_of_their_own_below_the_application() {
    let paths = TenantPaths {
        super_tenant: "/repository/deployment/server/".into(),
        tenants: "/repository/tenants/".into(),
    };
    let place = |id| paths.place(Path::new("/opt/app"), TenantId::new(id).unwrap());
    assert_eq!(place(-1234), Path::new("/opt/app/repository/deployment/server"));
    assert_eq!(place(4), Path::new("/opt/app/repository/tenants/4"));
    let climbing = TenantPaths {
        super_tenant: "../../etc".into(),
        tenants: "..".into(),
    };
    let place = climbing.place(Path::new("/opt/app"), TenantId::new(-1234).unwrap());
    assert_eq!(place, Path::new("/opt/app/etc"));
}

proptest! {
    /// Carried out on a perfect disk, what is decided leads to what is wanted, touches nobody else's names but those
    /// that are wanted, and is stable.
    #[test]
    fn a_folder_of_links_holds_the_release_and_all_that_was_there(
        there in proptest::collection::btree_map(0u8..12, proptest::bool::ANY, 1..8),
        wanted in proptest::collection::btree_set(0u8..12, 0..8),
    ) {
        let mut names: BTreeMap<Name, Whose> = there
            .iter()
            .map(|(n, ours)| (vec![*n], if *ours { Ours } else { Others }))
            .collect();
        let before = names.clone();
        let wanted: BTreeSet<Name> = wanted.iter().map(|n| vec![*n]).collect();
        let decided = decide(&ground(Found::Folder(names.clone())), Existing::Beside, &wanted).unwrap();
        let Layout::Folder { aside, add, drop } = decided else { panic!("{decided:?}") };
        for name in &aside { prop_assert_eq!(names.remove(name), Some(Others)); }
        for name in &add { prop_assert_eq!(names.insert(name.clone(), Ours), None); }
        for name in &drop { prop_assert_eq!(names.remove(name), Some(Ours)); }
        for name in &wanted { prop_assert_eq!(names.get(name), Some(&Ours)); }
        for (name, whose) in &before {
            if *whose == Others && !wanted.contains(name) {
                prop_assert_eq!(names.get(name), Some(&Others));
            }
        }
        let again = decide(&ground(Found::Folder(names.clone())), Existing::Beside, &wanted).unwrap();
        prop_assert!(names.is_empty() || again.stands(), "{:?}", again);
    }
}

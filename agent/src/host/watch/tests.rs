use super::*;
use std::fs;
use tempfile::TempDir;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(50);

async fn next(watched: &mut Watched) -> Changes {
    timeout(SOON, watched.changed()).await.expect("a change is told")
}

/// Until this name was told, or everything was.
async fn until(watched: &mut Watched, name: &Path) {
    timeout(SOON, async {
        loop {
            let changes = watched.changed().await;
            if changes.all || changes.names.contains(name) {
                return;
            }
        }
    })
    .await
    .expect("the name is told");
}

#[tokio::test]
async fn a_change_is_told_by_name_and_reading_is_no_change() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("log");
    fs::write(&file, "a").unwrap();
    let watcher = Watcher::new();
    let mut watched = watcher.folder(dir.path(), SOON);
    assert_eq!(next(&mut watched).await, Changes::everything(), "first the whole");
    assert_eq!(watched.fault(), None);
    fs::write(&file, "b").unwrap();
    let told = next(&mut watched).await;
    assert_eq!(told.names, BTreeSet::from([file.clone()]));
    assert!(!told.all);
    fs::read(&file).unwrap();
    fs::read_dir(dir.path()).unwrap().count();
    // The pause after the change included.
    let silent = timeout(PACE * 3, watched.changed()).await;
    assert!(silent.is_err(), "{silent:?}");
}

#[tokio::test]
async fn a_renamed_file_is_told_under_both_names() {
    let dir = TempDir::new().unwrap();
    let (old, new) = (dir.path().join("log"), dir.path().join("log.1"));
    fs::write(&old, "a").unwrap();
    let mut watched = Watcher::new().folder(dir.path(), SOON);
    next(&mut watched).await;
    fs::rename(&old, &new).unwrap();
    let mut names = BTreeSet::new();
    while names.len() < 2 {
        names.extend(next(&mut watched).await.names);
    }
    assert_eq!(names, BTreeSet::from([old, new]));
}

#[tokio::test]
async fn what_happens_in_new_folders_is_seen_and_others_hear_nothing_of_it() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let watcher = Watcher::new();
    let mut tree = watcher.tree(dir.path(), SOON);
    let mut beside = watcher.folder(other.path(), SOON);
    next(&mut tree).await;
    next(&mut beside).await;
    let inner = dir.path().join("a/b/c");
    fs::create_dir_all(&inner).unwrap();
    assert!(
        next(&mut tree).await.all,
        "folders came: everything is to be looked at"
    );
    // Whatever of the three was there: from now on, or with the next, it is watched.
    let _ = timeout(PACE * 3, tree.settled(PACE * 2, SOON)).await;
    fs::write(inner.join("file"), "x").unwrap();
    until(&mut tree, &inner.join("file")).await;
    assert!(timeout(PACE, beside.changed()).await.is_err());
}

#[tokio::test]
async fn a_folder_that_is_not_there_yet_is_looked_for_and_then_watched() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("later");
    let mut watched = Watcher::new().folder(&path, EVERY);
    next(&mut watched).await;
    let fault = watched.fault().expect("it is not there").to_string();
    assert!(fault.contains("later cannot be watched: No such file"), "{fault}");
    fs::create_dir(&path).unwrap();
    timeout(SOON, async {
        while watched.fault().is_some() {
            assert!(watched.changed().await.all);
        }
    })
    .await
    .expect("it is found");
    fs::write(path.join("x"), "x").unwrap();
    until(&mut watched, &path.join("x")).await;
    // It goes, and comes back as another.
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    timeout(SOON, watched.settled(PACE * 3, SOON))
        .await
        .expect("told");
    fs::write(path.join("y"), "y").unwrap();
    until(&mut watched, &path.join("y")).await;
}

#[tokio::test]
async fn too_many_names_become_everything() {
    let dir = TempDir::new().unwrap();
    let mut watched = Watcher::new().folder(dir.path(), SOON);
    next(&mut watched).await;
    for n in 0..=MOST_NAMES {
        fs::write(dir.path().join(n.to_string()), "").unwrap();
    }
    let told = timeout(SOON, watched.settled(PACE * 4, SOON)).await.unwrap();
    assert!(told.all);
    assert_eq!(told.names.len(), MOST_NAMES);
}

#[tokio::test]
async fn a_storm_of_changes_is_gathered() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("busy");
    let mut watched = Watcher::new().folder(dir.path(), SOON);
    next(&mut watched).await;
    let (begun, mut told) = (Instant::now(), 0);
    while begun.elapsed() < PACE * 10 {
        fs::write(&file, "x").unwrap();
        told += usize::from(timeout(Duration::from_millis(1), watched.changed()).await.is_ok());
    }
    assert!(
        (1..=12).contains(&told),
        "told {told} times in {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_tree_of_too_many_folders_is_looked_at_instead() {
    let dir = TempDir::new().unwrap();
    for n in 0..=MOST_FOLDERS {
        fs::create_dir(dir.path().join(n.to_string())).unwrap();
    }
    let watcher = Watcher::new();
    let mut watched = watcher.tree(dir.path(), EVERY);
    next(&mut watched).await;
    let fault = watched.fault().expect("too many").to_string();
    assert!(fault.contains("more than 4096 folders"), "{fault}");
    assert!(watcher.table.is_idle(), "no watch is left behind");
    assert!(next(&mut watched).await.all, "it is looked at all the same");
}

#[tokio::test]
async fn two_who_watch_the_same_folder_both_hear_and_leave_no_watch_behind() {
    let dir = TempDir::new().unwrap();
    let watcher = Watcher::new();
    let mut one = watcher.folder(dir.path(), SOON);
    let mut two = watcher.tree(dir.path(), SOON);
    next(&mut one).await;
    next(&mut two).await;
    fs::write(dir.path().join("x"), "").unwrap();
    until(&mut one, &dir.path().join("x")).await;
    until(&mut two, &dir.path().join("x")).await;
    drop(two);
    fs::write(dir.path().join("y"), "").unwrap();
    until(&mut one, &dir.path().join("y")).await;
    drop(one);
    assert!(watcher.table.is_idle());
}

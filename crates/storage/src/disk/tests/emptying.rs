//! Giving up a store: the mark, and making room for a new one.

use simpledynamo_topology::Session;

use super::*;

/// A store that holds something of everything.
fn used() -> (DiskBench, [u8; 16]) {
    let bench = DiskBench::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    opened.log.append(&[author.put("key", "value", None)]).unwrap();
    opened.data.apply(&author.entries(0, 1)).unwrap();
    let uuid = opened.uuid;
    drop(opened);
    Lives::open(bench.folder.path()).unwrap().begin(Session(3), 7).unwrap();
    mark_damaged(bench.folder.path()).unwrap();
    (bench, uuid)
}

fn assert_new(bench: &DiskBench, uuid: [u8; 16], case: &str) {
    let mut opened = bench.open_as(&identity("5554")).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_ne!(opened.uuid, uuid, "{case}");
    assert!(opened.recovered.replicas.is_empty() && opened.recovered.applied.is_empty(), "{case}");
    assert_eq!(opened.data.range(0, u64::MAX).count(), 0, "{case}");
    assert!(!is_marked_damaged(bench.folder.path()).unwrap(), "{case}");
    assert!(!Lives::open(bench.folder.path()).unwrap().contains(Session(3), 7), "{case}");
    // And it is a store like any other.
    opened.log.append(&[seal(9)]).unwrap();
    drop(opened);
    assert_eq!(bench.open().recovered.replicas[&PartitionId(2)].sealed, Epoch(9), "{case}");
}

#[test]
fn a_mark_is_there_until_the_store_is_emptied() {
    let bench = DiskBench::new();
    let folder = bench.folder.path();
    assert!(!is_marked_damaged(folder).unwrap());
    let opened = bench.open();
    mark_damaged(folder).expect("the store may be open");
    drop(opened);
    drop(bench.open());
    assert!(is_marked_damaged(folder).unwrap());
    empty(folder).unwrap();
    assert!(!is_marked_damaged(folder).unwrap());
}

#[test]
fn an_emptied_folder_gets_a_new_store() {
    let (bench, uuid) = used();
    empty(bench.folder.path()).unwrap();
    assert_new(&bench, uuid, "emptied");
}

#[test]
fn a_folder_that_holds_nothing_is_emptied_too() {
    let bench = DiskBench::new();
    empty(bench.folder.path()).unwrap();
    assert_new(&bench, [0; 16], "nothing was there");
}

#[test]
fn a_store_that_is_open_is_not_emptied() {
    let bench = DiskBench::new();
    let opened = bench.open();
    assert!(matches!(empty(bench.folder.path()), Err(StoreError::InUse { .. })));
    let uuid = opened.uuid;
    drop(opened);
    assert_eq!(bench.open().uuid, uuid);
}

#[test]
fn an_interrupted_emptying_is_finished() {
    let parts = ["identity", "log", "data", "lives", "damaged", "emptying"];
    // So many of them are gone, in the order of the work; of the next one a part.
    for gone in 0..=parts.len() {
        let (bench, uuid) = used();
        let folder = bench.folder.path();
        fs::write(folder.join("emptying"), "").unwrap();
        for part in &parts[..gone] {
            let path = folder.join(part);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        match parts.get(gone) {
            Some(&"log") => fs::remove_file(segment::path(&folder.join("log"), 2)).unwrap(),
            Some(&"data") => fs::remove_file(folder.join("data").join("version")).unwrap(),
            _ => {}
        }
        assert_new(&bench, uuid, &format!("{gone} parts are gone"));
    }
}

#[test]
fn damage_that_opening_finds_is_told_as_such() {
    let (bench, _) = used();
    let damaged = |bench: &DiskBench| bench.open_as(&identity("5554")).map(drop).unwrap_err().is_damage();
    let log = bench.folder.path().join("log");
    let path = segment::path(&log, *segment::list(&log).unwrap().last().unwrap());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..20]).unwrap();
    assert!(damaged(&bench), "a segment without a beginning");
    fs::write(&path, &whole).unwrap();
    drop(bench.open());
    fs::remove_dir_all(&log).unwrap();
    assert!(damaged(&bench), "no log");
    assert!(
        !bench.open_as(&identity("5556")).map(drop).unwrap_err().is_damage(),
        "the store of somebody else"
    );

    let (bench, _) = used();
    fs::remove_file(bench.folder.path().join("data").join("version")).unwrap();
    assert!(damaged(&bench), "a part of the engine's files is gone");
}

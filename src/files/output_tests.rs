//! Tests of whole writes. Devices are only written into, never named as something to replace.

use super::*;

fn count(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn replaces_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bin");
    write(&path, b"one").unwrap();
    write(&path, b"two").unwrap();
    probe(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    assert_eq!(count(dir.path()), 1);
    // What fails half-way leaves the old file.
    let half = write_with(&path, |out| out.write_all(b"th").and_then(|()| Err(io::Error::other("stop"))));
    assert_eq!(half.unwrap_err().to_string(), "stop");
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    drop(temporary(&path).unwrap());
    assert_eq!(count(dir.path()), 1);
}

#[test]
fn what_is_no_place_for_a_file_is_refused_without_a_temporary_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    for (name, expected) in [
        ("no/such/file", "no such folder"),
        ("folder", "a folder of that name"),
        ("new/", "names a folder"),
        ("..", "names a folder"),
        ("file/inside", ""),
        (&"n".repeat(300), ""),
    ] {
        let path = dir.path().join(name);
        for refused in [write(&path, b"x").unwrap_err(), probe(&path).unwrap_err()] {
            let said = refused.to_string();
            assert!(said.contains(expected) && !said.contains(SUFFIX), "{name}: {said}");
        }
    }
    assert!(write(Path::new(""), b"x").is_err());
    assert_eq!(count(dir.path()), 2);
    // A name that is as long as a name may be.
    let long = dir.path().join("n".repeat(255));
    write(&long, b"x").unwrap();
    assert_eq!(std::fs::read(&long).unwrap(), b"x");
}

#[test]
fn a_folder_is_probed_where_it_would_be_made() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    probe_folder(dir.path()).unwrap();
    probe_folder(&dir.path().join("a/b/c")).unwrap();
    for name in ["file", "file/a"] {
        assert!(probe_folder(&dir.path().join(name)).is_err(), "{name}");
    }
    assert_eq!(count(dir.path()), 1);
}

#[test]
fn left_overs_of_the_dead_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.bin");
    let old = std::time::SystemTime::now() - 2 * LEFT_OVER;
    for (name, modified) in [
        (".m.bin.aB3xYz.part", old),
        (".m.bin.fresh1.part", std::time::SystemTime::now()),
        (".m.bin.a b.part", old),
        (".other.bin.aB3xYz.part", old),
        ("m.bin.aB3xYz.part", old),
    ] {
        let left = dir.path().join(name);
        std::fs::write(&left, b"left").unwrap();
        File::options().append(true).open(&left).unwrap().set_modified(modified).unwrap();
    }
    write(&path, b"new").unwrap();
    let there = |name: &str| dir.path().join(name).exists();
    assert!(!there(".m.bin.aB3xYz.part"));
    for name in [".m.bin.fresh1.part", ".m.bin.a b.part", ".other.bin.aB3xYz.part", "m.bin.aB3xYz.part", "m.bin"] {
        assert!(there(name), "{name}");
    }
    // One that is being written, however long.
    let held = temporary(&path).unwrap();
    held.part.as_file().set_modified(old).unwrap();
    assert!(is_part_of(held.path().file_name().unwrap().to_str().unwrap(), ".m.bin."));
    remove_left_over(held.path());
    #[cfg(unix)]
    assert!(held.path().exists());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_link_stays_and_leads_to_the_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("store")).unwrap();
        std::fs::write(at("store/m"), b"old").unwrap();
        symlink("store/m", at("m")).unwrap();
        symlink("m", at("twice")).unwrap();
        symlink("store/none", at("dangling")).unwrap();
        symlink("store", at("folder")).unwrap();
        for (link, file) in
            [("m", "store/m"), ("twice", "store/m"), ("dangling", "store/none"), ("folder/m", "store/m")]
        {
            probe(&at(link)).unwrap();
            write(&at(link), link.as_bytes()).unwrap();
            assert_eq!(std::fs::read(at(file)).unwrap(), link.as_bytes());
        }
        for link in ["m", "twice", "dangling", "folder"] {
            assert!(at(link).symlink_metadata().unwrap().is_symlink(), "{link}");
        }
        assert_eq!(count(&at("store")), 2);
        assert_eq!(count(dir.path()), 5);

        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(write(&at("a"), b"x").unwrap_err().to_string().contains("circle"));
        symlink("no/folder", at("lost")).unwrap();
        assert!(write(&at("lost"), b"x").unwrap_err().to_string().contains("no such folder"));
        // A dangling link is no place for a folder.
        assert!(probe_folder(&at("lost")).is_err());
    }

    #[test]
    fn a_fifo_is_written_into() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        symlink("fifo", dir.path().join("link")).unwrap();
        for name in ["fifo", "link"] {
            let path = dir.path().join(name);
            probe(&path).unwrap();
            std::thread::scope(|threads| {
                let reader = threads.spawn(|| std::fs::read(&fifo).unwrap());
                write(&path, b"through").unwrap();
                assert_eq!(reader.join().unwrap(), b"through");
            });
            let part = temporary(&path).unwrap();
            part.part.as_file().write_all(b"by name").unwrap();
            std::thread::scope(|threads| {
                let reader = threads.spawn(|| std::fs::read(&fifo).unwrap());
                part.commit().unwrap();
                assert_eq!(reader.join().unwrap(), b"by name");
            });
            assert!(is_fifo(&fifo.metadata().unwrap()));
        }
        assert_eq!(count(dir.path()), 2);
    }

    #[test]
    fn devices_are_streams() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/dev/null", dir.path().join("null")).unwrap();
        assert_eq!(resolve(&dir.path().join("null")).unwrap(), Target::Stream("/dev/null".into()));
        write(&dir.path().join("null"), b"gone").unwrap();
        probe(Path::new("/dev/null")).unwrap();
        if Path::new("/dev/full").exists() {
            assert_eq!(write(Path::new("/dev/full"), b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        assert_eq!(resolve(Path::new("-")).unwrap(), Target::Stdout);
        assert_eq!(count(dir.path()), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn open_files_of_processes_are_streams() {
        use std::os::fd::AsRawFd;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"first ").unwrap();
        let open = File::open(&path).unwrap();
        let link = dir.path().join("link");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &link).unwrap();
        assert!(matches!(resolve(&link).unwrap(), Target::Stream(at) if at.starts_with("/proc")));
        write(&link, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first second");
        assert!(probe(Path::new("/proc/self/fd/99999")).is_err());
        assert_eq!(resolve(Path::new("/dev/stdout")).unwrap(), Target::Stdout);
        assert_eq!(resolve(Path::new("/dev/fd/2")).unwrap(), Target::Stderr);
    }

    #[test]
    fn a_replaced_file_keeps_its_rights() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"one").unwrap();
        for mode in [0o600, 0o664, 0o755] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            write(&path, b"two").unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_read_only_file_or_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
        std::fs::write(&file, b"old").unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
        // The superuser may write anywhere.
        if File::create(folder.join("try")).is_err() {
            for refused in [probe(&file).unwrap_err(), write(&file, b"new").unwrap_err()] {
                assert!(refused.to_string().contains("read-only"), "{refused}");
            }
            for path in [folder.join("new"), folder.join("deep/new")] {
                let refused = probe(&path).unwrap_err().to_string();
                assert!(refused.contains("folder") && !refused.contains(SUFFIX), "{refused}");
            }
            assert!(probe_folder(&folder.join("deep")).is_err());
            assert_eq!(std::fs::read(&file).unwrap(), b"old");
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

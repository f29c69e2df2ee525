//! Real loss of power: the state lies on an ext4 file system of its own, which is shut down in the middle of the work and
//! forgets what was not synced. Needs root, loop devices, `mkfs.ext4` and Python.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Field, Findings};

/// `EXT4_IOC_SHUTDOWN` without writing the log: what a loss of power does.
const CUT: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// A file system of its own.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    fn new(folder: &Path) -> Self {
        let disk = Self {
            image: folder.join("disk.img"),
            at: folder.join("disk"),
        };
        std::fs::File::create(&disk.image)
            .unwrap()
            .set_len(32 << 20)
            .unwrap();
        std::fs::create_dir(&disk.at).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&disk.image));
        disk.mount();
        disk
    }

    fn mount(&self) {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop"]).arg(&self.image).arg(&self.at));
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(&self.at));
    }

    /// Takes the power away.
    fn cut(&self) {
        run(Command::new("/usr/bin/python3")
            .args(["-c", CUT])
            .arg(&self.at));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = Command::new("umount")
            .args(["-q", "-l"])
            .arg(&self.at)
            .status();
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}

/// Cuts the power so many times.
pub fn cut(program: &Path, count: u64, seed: u64) -> Findings {
    let mut found = Findings::default();
    let mut effects = 0;
    for n in 0..count {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path());
        let wrong = one(program, &disk, seed + n, &mut effects);
        found
            .wrong
            .extend(wrong.into_iter().map(|w| format!("cut {n}: {w}")));
        found.struck += 1;
    }
    found.told = format!("{} cuts of the power, {effects} movements", found.struck);
    found
}

fn one(program: &Path, disk: &Disk, seed: u64, effects: &mut usize) -> Vec<String> {
    let state = disk.at.join("state.sqlite");
    let changes = format!("[store]\npath = \"{}\"", state.display());
    let mut field = Field::open_with(program, seed, &changes);
    field.state = state;
    // From now on a canary can be found: until a base has booked anything, a doubt about its first movement waits for a
    // person.
    field.orders.push(field.shop.sell(2, 1));
    field.shop.cycles(3);
    let witness = disk.at.join("never-synced");
    let after = Duration::from_millis(field.chance.u64(50..1_500));
    std::thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            std::thread::sleep(after);
            std::fs::write(&witness, b"words").unwrap();
            disk.cut();
        });
        while !cutting.is_finished() {
            field.trade();
            field.run(&["run", "--wait", "0s"]);
            field.shop.sandbox.clock.advance(31_000);
        }
    });
    disk.unmount();
    disk.mount();
    let mut wrong = field.judge();
    if std::fs::read(&witness).is_ok_and(|left| !left.is_empty()) {
        wrong.push("the disk kept what was never synced: the cut is no cut".into());
    }
    *effects += field.effects();
    disk.unmount();
    wrong
}

//! Records which calls the program makes on its files, and when a request goes out, by tracing real runs.

use std::collections::{HashMap, HashSet};

use super::Field;

/// One call on a file of the state's folder; files are named within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A file is made.
    Create(String),
    /// Bytes are written at a place.
    Write(String, usize, Vec<u8>),
    /// A file gets this length.
    Length(String, usize),
    /// A file is synced.
    Sync(String),
    /// The folder is synced.
    SyncFolder,
    /// A name is removed.
    Remove(String),
    /// A name is replaced.
    Rename(String, String),
    /// A request that changes something leaves the machine.
    Sent,
}

const CALLS: &str =
    "trace=openat,close,pwrite64,write,writev,sendto,fsync,fdatasync,ftruncate,rename,unlink";
const STAGES: [&str; 7] = ["run", "poll", "reserve", "move", "run", "push-stock", "run"];

/// Lets the program trade for so many runs. Returns the files before, and the calls.
pub fn record(field: &mut Field, runs: u32) -> (Vec<(String, Vec<u8>)>, Vec<Op>) {
    let folder = field.shop.folder.path().to_owned();
    let before: Vec<(String, Vec<u8>)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| kept(path.file_name().unwrap().to_str().unwrap()))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut reader = Reader {
        folder: folder.to_str().unwrap().to_owned(),
        names: before.iter().map(|(name, _)| name.clone()).collect(),
        open: HashMap::new(),
        ops: vec![],
    };
    for n in 0..runs {
        field.trade();
        let path = log.path().to_str().unwrap();
        let wrapper = [
            "strace",
            "--seccomp-bpf",
            "-f",
            "-qq",
            "-xx",
            "-s",
            "200000",
            "-o",
            path,
            "-e",
            CALLS,
        ];
        let stage = STAGES[n as usize % STAGES.len()];
        field
            .command_under(&wrapper.map(ToOwned::to_owned), &[stage, "--wait", "0s"])
            .status()
            .unwrap();
        let text = std::fs::read_to_string(log.path()).unwrap();
        reader.process(&text);
        field.shop.sandbox.clock.advance(31_000);
    }
    (before, reader.ops)
}

/// Whether a file is part of the memory. The log's index is not: it is shared memory.
fn kept(name: &str) -> bool {
    name.starts_with("state.sqlite") && !name.ends_with("-shm") && !name.ends_with(".lock")
}

/// What a descriptor stands for.
enum Open {
    File { name: String, at: usize },
    Folder,
}

struct Reader {
    folder: String,
    /// The files that are there.
    names: HashSet<String>,
    open: HashMap<u32, Open>,
    ops: Vec<Op>,
}

impl Reader {
    /// All calls of one process.
    fn process(&mut self, text: &str) {
        self.open.clear();
        let mut begun: HashMap<&str, &str> = HashMap::new();
        for line in text.lines() {
            let (thread, rest) = line.split_once(' ').unwrap_or(("", line));
            let rest = rest.trim_start();
            if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, start);
            } else if let Some((_, end)) = rest.split_once(" resumed>") {
                let start = begun.remove(thread).unwrap_or_default();
                self.call(&format!("{start}{end}"));
            } else {
                self.call(rest);
            }
        }
    }

    /// One line such as `pwrite64(4, "\x53…", 4096, 0) = 4096`; what failed or is of no interest is passed over.
    fn call(&mut self, line: &str) {
        let Some((name, rest)) = line.split_once('(') else {
            return;
        };
        let Some((args, result)) = rest.rsplit_once(" = ") else {
            return;
        };
        let args = args.trim_end().trim_end_matches(')');
        let digits = |text: &str| -> Option<usize> {
            text.split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|digits| digits.parse().ok())
        };
        // Failures are negative.
        let Some(result) = digits(result.trim()) else {
            return;
        };
        let fd = digits(args).and_then(|fd| u32::try_from(fd).ok());
        match name {
            "openat" => self.opened(args, u32::try_from(result).unwrap_or_default()),
            "close" => {
                fd.and_then(|fd| self.open.remove(&fd));
            }
            "rename" => {
                let mut names = strings(args).into_iter().map(|s| self.kept(&s));
                if let (Some(Some(from)), Some(Some(to))) = (names.next(), names.next()) {
                    self.names.remove(&from);
                    self.names.insert(to.clone());
                    self.ops.push(Op::Rename(from, to));
                }
            }
            "unlink" => {
                let name = strings(args).first().and_then(|s| self.kept(s));
                if let Some(name) = name {
                    self.names.remove(&name);
                    self.ops.push(Op::Remove(name));
                }
            }
            _ => {
                if let Some(fd) = fd {
                    self.on(name, fd, args, &digits);
                }
            }
        }
    }

    /// A call on a descriptor.
    fn on(&mut self, name: &str, fd: u32, args: &str, digits: &dyn Fn(&str) -> Option<usize>) {
        let last = || {
            args.rsplit(", ")
                .next()
                .and_then(digits)
                .unwrap_or_default()
        };
        let bytes = || strings(args).into_iter().next().unwrap_or_default();
        match (self.open.get_mut(&fd), name) {
            (Some(Open::Folder), "fsync" | "fdatasync") => self.ops.push(Op::SyncFolder),
            (Some(Open::File { name: file, .. }), "fsync" | "fdatasync") => {
                self.ops.push(Op::Sync(file.clone()));
            }
            (Some(Open::File { name: file, .. }), "ftruncate") => {
                self.ops.push(Op::Length(file.clone(), last()));
            }
            (Some(Open::File { name: file, .. }), "pwrite64") => {
                self.ops.push(Op::Write(file.clone(), last(), bytes()));
            }
            (Some(Open::File { name: file, at }), "write") => {
                let bytes = bytes();
                let here = *at;
                *at += bytes.len();
                self.ops.push(Op::Write(file.clone(), here, bytes));
            }
            (None, "write" | "writev" | "sendto") => {
                let bytes = bytes();
                if [b"POST ".as_slice(), b"PUT ", b"PATCH ", b"DELETE "]
                    .iter()
                    .any(|verb| bytes.starts_with(verb))
                {
                    self.ops.push(Op::Sent);
                }
            }
            _ => {}
        }
    }

    fn opened(&mut self, args: &str, fd: u32) {
        let Some(path) = strings(args).into_iter().next() else {
            return;
        };
        if path == self.folder.as_bytes() {
            self.open.insert(fd, Open::Folder);
        } else if let Some(name) = self.kept(&path) {
            if args.contains("O_CREAT") && self.names.insert(name.clone()) {
                self.ops.push(Op::Create(name.clone()));
            }
            if args.contains("O_TRUNC") {
                self.ops.push(Op::Length(name.clone(), 0));
            }
            self.open.insert(fd, Open::File { name, at: 0 });
        } else {
            self.open.remove(&fd);
        }
    }

    /// The name within our folder, where it is a file that counts.
    fn kept(&self, path: &[u8]) -> Option<String> {
        let path = std::str::from_utf8(path).ok()?;
        let name = path.strip_prefix(&self.folder)?.strip_prefix('/')?;
        (!name.contains('/') && kept(name)).then(|| name.to_owned())
    }
}

/// The strings among the arguments of a call, which are written as `\x53\x54`.
fn strings(args: &str) -> Vec<Vec<u8>> {
    args.split('"')
        .skip(1)
        .step_by(2)
        .map(|text| {
            text.split("\\x")
                .skip(1)
                .map(|hex| u8::from_str_radix(hex, 16).unwrap())
                .collect()
        })
        .collect()
}

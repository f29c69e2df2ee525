//! What is answered 200 is kept, and hostile clients take nothing from the others.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::door::{Door, TOKEN, event, inbox, post, wait_for};
use crate::parts::variable;
use crate::shop::Shop;

#[test]
fn what_was_answered_is_in_the_inbox_after_kill_9() {
    let rounds = variable("STOCKBRIDGE_KILLS").map_or(4, |n| n.parse().unwrap());
    let shop = Shop::open(1);
    let answered = Mutex::new(BTreeSet::new());
    let next = AtomicU64::new(0);
    for round in 0..rounds {
        let door = Door::open(&shop, "requests_a_second = 0");
        let stop = AtomicBool::new(false);
        let before = answered.lock().unwrap().len();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let order = format!("{}-01", next.fetch_add(1, Ordering::Relaxed));
                        if door.tell(&order) == 200 {
                            answered.lock().unwrap().insert(order);
                        }
                    }
                });
            }
            let wanted = before + 150 + 37 * round;
            let busy = wait_for(Duration::from_secs(30), || {
                answered.lock().unwrap().len() >= wanted
            });
            door.signal(Signal::KILL);
            stop.store(true, Ordering::Relaxed);
            assert!(busy, "{}", door.log());
        });
        let kept: BTreeSet<_> = inbox(&shop).into_iter().collect();
        let answered = answered.lock().unwrap();
        let lost: Vec<_> = answered.difference(&kept).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
    }
    println!(
        "{} orders were answered 200 over {rounds} kills, none lost",
        answered.lock().unwrap().len()
    );
}

#[test]
fn hints_that_wait_are_committed_together() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "requests_a_second = 0");
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let posts: Vec<_> = (0..200)
            .map(|n| {
                let door = &door;
                scope.spawn(move || door.tell(&format!("{n}-01")))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(700));
        let began = Instant::now();
        file.execute_batch("ROLLBACK").unwrap();
        for post in posts {
            assert_eq!(post.join().unwrap(), 200);
        }
        // 200 single commits would take far longer than the few that are made.
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    });
    assert_eq!(inbox(&shop).len(), 200);
}

/// Ends what goes on until it is told to stop, also when an assertion fails before.
struct Stopped<'a>(&'a AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn slow_and_oversized_clients_do_not_disturb_the_others() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "requests_a_second = 0\nread_timeout = \"1s\"");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopped = Stopped(&stop);
        let mut slow = Vec::new();
        for n in 0..200 {
            let mut stream = TcpStream::connect(("127.0.0.1", door.port)).unwrap();
            // Half of them never end their head, half their body.
            let begun: &[u8] = if n % 2 == 0 {
                b"POST /webhook/vtex HTTP/1.1\r\nHost: x\r\nX-A"
            } else {
                &post(&event("9-01"), Some(TOKEN))[..120]
            };
            stream.write_all(begun).unwrap();
            slow.push(stream);
        }
        for _ in 0..4 {
            scope.spawn(|| {
                let large = post(&"x".repeat(200_000), Some(TOKEN));
                while !stop.load(Ordering::Relaxed) {
                    assert!(matches!(door.ask(&large).0, 413 | 0));
                }
            });
        }
        let mut longest = Duration::ZERO;
        for n in 0..300 {
            let began = Instant::now();
            assert_eq!(door.tell(&format!("{n}-02")), 200);
            longest = longest.max(began.elapsed());
            for (at, stream) in slow.iter_mut().enumerate() {
                if at % 20 == n % 20 {
                    let _ = stream.write_all(b"x");
                }
            }
        }
        drop(stopped);
        println!("the slowest of 300 answers beside 200 slow clients took {longest:?}");
        assert!(longest < Duration::from_secs(2), "{longest:?}");
        // The slow ones are put out.
        for mut stream in slow {
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    });
    assert_eq!(inbox(&shop).len(), 300);
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let shop = Shop::open(1);
    let door = Door::open(
        &shop,
        "requests_a_second = 0\nconnections = 8\nread_timeout = \"1s\"",
    );
    let idle: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(("127.0.0.1", door.port)).unwrap())
        .collect();
    let began = Instant::now();
    assert_eq!(door.tell("1-01"), 200, "after {:?}", began.elapsed());
    drop(idle);
    assert_eq!(door.tell("2-01"), 200);
}

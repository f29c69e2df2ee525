//! What a broken wire, a wrong password, a missing right and a server that is down end in.

use std::time::{Duration, Instant};

use stockbridge::domain::ids::ErpCode;
use stockbridge::domain::ports::{PortError, StockSource};

use crate::winthor_rig::{Engine, Mode, Relay, Shop, at, on, server, servers};

fn codes() -> [ErpCode; 1] {
    [ErpCode::parse("7890000000017-100").unwrap()]
}

#[test]
fn a_wrong_password_is_denied_and_never_shown() {
    let shop = Shop {
        password: "not it",
        ..Shop::default()
    };
    for server in servers() {
        let read = at(server, "", &shop, |sql| sql.read(&codes()));
        let Err(PortError::Denied { reason }) = read else {
            panic!("{:?}: {read:?}", server.engine);
        };
        assert!(!reason.contains("not it"), "{reason}");
    }
}

#[test]
fn a_fault_on_the_wire_ends_in_time_and_the_next_read_is_whole() {
    for server in servers() {
        let modes = match server.engine {
            Engine::Postgres => &[Mode::Close, Mode::Cut, Mode::Hang][..],
            // MariaDB's driver itself (3.1.15) ends the process when an answer breaks off.
            Engine::Mariadb => &[Mode::Hang],
        };
        for mode in modes.iter().copied() {
            let relay = Relay::start(server.port);
            let config = server.config(relay.port, "");
            let engine = server.engine;
            on(&config, &Shop::default(), |sql| {
                let whole = sql.read(&codes()).unwrap();
                relay.order(mode);
                let begun = Instant::now();
                let read = sql.read(&codes());
                let transient = matches!(read, Err(PortError::Transient { .. }));
                assert!(transient, "{engine:?} {mode:?}: {read:?}");
                assert!(
                    begun.elapsed() < Duration::from_secs(8),
                    "{engine:?} {mode:?}"
                );
                relay.order(Mode::Pass);
                assert_eq!(sql.read(&codes()).unwrap(), whole, "{engine:?} {mode:?}");
            });
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_tried_twice_and_then_left_alone() {
    for server in servers() {
        // Nothing listens on the discard port.
        on(&server.config(9, ""), &Shop::default(), |sql| {
            for _ in 0..2 {
                let read = sql.read(&codes());
                assert!(matches!(read, Err(PortError::Transient { .. })), "{read:?}");
            }
            let read = sql.read(&codes()).unwrap_err();
            assert!(read.to_string().contains("left alone"), "{read}");
        });
    }
}

#[test]
fn a_table_without_a_right_or_a_column_that_is_not_there_is_refused_with_its_name() {
    let Some(server) = server(Engine::Postgres) else {
        return;
    };
    let more = "order_column = \"nobody\"\n";
    let held = at(server, more, &Shop::default(), |sql| {
        use stockbridge::domain::ports::OrderBook;
        sql.held(&[stockbridge::domain::ids::OrderId::parse("x-1").unwrap()])
    });
    let Err(PortError::Rejected { reason }) = held else {
        panic!("{held:?}");
    };
    assert!(
        reason.contains("orders") && reason.contains("nobody"),
        "{reason}"
    );
}

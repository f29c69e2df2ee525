//! Tells the supervisor that the door is open, alive, or closing: systemd's notify protocol (`sd_notify(3)`), one
//! datagram a message.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where the supervisor listens.
pub struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC`; a name that begins with `@` is an abstract one.
    ///
    /// # Errors
    ///
    /// When the address is none, or no socket can be had.
    pub fn new(address: &str, watchdog_usec: Option<&str>) -> io::Result<Self> {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let usec: Option<u64> = watchdog_usec.and_then(|text| text.parse().ok());
        Ok(Self {
            socket: UnixDatagram::unbound()?,
            address,
            // Half of it, as the protocol advises.
            watchdog: usec
                .filter(|usec| *usec > 0)
                .map(|usec| Duration::from_micros(usec / 2)),
        })
    }

    /// Returns how often a sign of life is wanted.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends a message; a supervisor that does not listen is none of our business.
    pub fn tell(&self, message: &str) {
        if let Err(err) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            log::debug!("the supervisor was not told {message:?}: {err}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reaches_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("stockbridge-test-{:016x}", fastrand::u64(..));
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&abstract_name), format!("@{name}")),
        ];
        for (socket, address) in sockets {
            let socket = socket.unwrap();
            let supervisor = Supervisor::new(&address, Some("3000000")).unwrap();
            assert_eq!(supervisor.watchdog(), Some(Duration::from_millis(1500)));
            supervisor.tell("READY=1");
            let mut text = [0; 16];
            let n = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..n], b"READY=1", "{address}");
        }
    }
}

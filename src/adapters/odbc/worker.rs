//! The thread that waits inside a driver, and the end of the channel that does not.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use odbc_api::buffers::{ColumnarBuffer, WCharColumn};
use odbc_api::parameter::{InputParameter, WithDataType};
use odbc_api::sys::Timestamp;
use odbc_api::{
    Connection, ConnectionOptions, Cursor, DataType, Error, IntoParameter, ResultSetMetadata,
    environment,
};
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::odbc::fault::{Fault, Kind};
use crate::adapters::odbc::link::{Limits, Query, Rows};
use crate::adapters::odbc::values::{TIMESTAMP, Value, typed};

/// The most rows fetched at once.
const BUNCH: usize = 2000;
/// The most characters fetched at once, so that wide columns cost no more memory than narrow ones.
const BUNCH_CHARS: usize = 256 * 1024;
/// Bunches that may wait for their reader: memory stays the same however long the answer is.
const WAITING: usize = 2;
/// What our own deadline gives a driver beyond the one that the driver was told.
const GRACE: Duration = Duration::from_secs(2);

/// Some rows, the end of them, or a fault.
type Bunch = Result<Option<Rows>, Fault>;

struct Job {
    query: Query,
    seconds: u32,
    out: SyncSender<Bunch>,
}

/// A worker thread with its connection.
pub(super) struct Worker {
    jobs: Sender<Job>,
}

impl Worker {
    /// Starts a thread that connects.
    pub(super) fn start(connection: SecretString, limit: Duration) -> Result<Self, Fault> {
        let (jobs, inbox) = channel();
        let (told, opened) = sync_channel(1);
        let seconds = seconds(limit);
        thread::Builder::new()
            .name("odbc".into())
            .spawn(move || serve(connection, seconds, &told, &inbox))
            .map_err(|err| Fault::new(Kind::Driver, format!("no thread for ODBC: {err}")))?;
        match opened.recv_timeout(limit + GRACE) {
            Ok(Ok(())) => Ok(Self { jobs }),
            Ok(Err(fault)) => Err(fault),
            Err(RecvTimeoutError::Timeout) => Err(Fault::new(
                Kind::TimedOut,
                format!("no connection within {} s", limit.as_secs()),
            )),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    pub(super) fn query(
        &self,
        query: Query,
        limits: Limits,
        take: &mut dyn FnMut(&Rows),
    ) -> Result<u64, Fault> {
        let bunches = self.start_query(query, limits)?;
        self.rows(&bunches, limits, &mut |rows| {
            take(rows);
            true
        })
    }

    /// Looks at the first rows; what is still to come is not waited for, and the connection is gone with it.
    pub(super) fn begin(&self, query: Query, limits: Limits) -> Result<u64, Fault> {
        let bunches = self.start_query(query, limits)?;
        self.rows(&bunches, limits, &mut |_| false)
    }

    fn start_query(&self, query: Query, limits: Limits) -> Result<Receiver<Bunch>, Fault> {
        let (out, bunches) = sync_channel(WAITING);
        let job = Job {
            query,
            seconds: seconds(limits.silence),
            out,
        };
        self.jobs.send(job).map_err(|_| gone())?;
        Ok(bunches)
    }

    /// Waits for one bunch after another, until `take` has enough.
    fn rows(
        &self,
        bunches: &Receiver<Bunch>,
        limits: Limits,
        take: &mut dyn FnMut(&Rows) -> bool,
    ) -> Result<u64, Fault> {
        let begun = Instant::now();
        let mut n_rows = 0_u64;
        loop {
            let left = limits.total.saturating_sub(begun.elapsed());
            match bunches.recv_timeout((limits.silence + GRACE).min(left)) {
                Ok(Ok(Some(rows))) => {
                    n_rows = n_rows.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                    if !take(&rows) {
                        return Ok(n_rows);
                    }
                }
                Ok(Ok(None)) => return Ok(n_rows),
                Ok(Err(fault)) => return Err(fault),
                Err(RecvTimeoutError::Timeout) => {
                    let waited = begun.elapsed().as_secs();
                    return Err(Fault::new(
                        Kind::TimedOut,
                        format!("given up after {waited} s and {n_rows} rows"),
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }
}

fn gone() -> Fault {
    Fault::new(Kind::Broken, "the ODBC worker has ended")
}

/// Whole seconds for a driver, at least one: zero would mean no limit.
fn seconds(limit: Duration) -> u32 {
    u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1)
}

fn serve(
    connection: SecretString,
    seconds: u32,
    told: &SyncSender<Result<(), Fault>>,
    inbox: &Receiver<Job>,
) {
    let options = ConnectionOptions {
        login_timeout_sec: Some(seconds),
        packet_size: None,
    };
    let opened = environment().and_then(|environment| {
        environment.connect_with_connection_string(connection.expose_secret(), options)
    });
    drop(connection);
    let connection = match opened {
        Ok(connection) => connection,
        Err(err) => {
            let _ = told.send(Err(fault(err)));
            return;
        }
    };
    if told.send(Ok(())).is_err() {
        return;
    }
    for job in inbox {
        let end = run(&connection, &job).map(|()| None);
        // Nobody listens any more when the reader has given up; then the connection is of no use either.
        if job.out.send(end).is_err() {
            return;
        }
    }
}

fn run(connection: &Connection<'_>, job: &Job) -> Result<(), Fault> {
    let query = &job.query;
    let values = typed(&query.text, &query.values)?;
    let values: Vec<_> = values.iter().map(bound).collect();
    let seconds = Some(job.seconds.try_into().unwrap_or(usize::MAX));
    // The mark has done its work, and drivers look for parameters by themselves.
    let statement = query.text.replace(TIMESTAMP, "");
    let cursor = if values.is_empty() {
        connection.execute(&statement, (), seconds)
    } else {
        connection.execute(&statement, &values[..], seconds)
    };
    let Some(mut cursor) = cursor.map_err(fault)? else {
        return Err(Fault::new(Kind::Refused, "the statement returns no rows"));
    };
    let n_columns = cursor.num_result_cols().map_err(fault)?;
    if usize::try_from(n_columns).ok() != Some(query.widths.len()) {
        let wanted = query.widths.len();
        let told = format!("the statement gives {n_columns} columns, {wanted} are read");
        return Err(Fault::new(Kind::Refused, told));
    }
    let bunch = BUNCH_CHARS / query.widths.iter().sum::<usize>().max(1);
    let bunch = bunch.clamp(1, BUNCH);
    let columns = query.widths.iter().zip(1_u16..);
    let columns = columns.map(|(width, number)| (number, WCharColumn::new(bunch, *width)));
    let mut cursor = cursor
        .bind_buffer(ColumnarBuffer::new(columns.collect()))
        .map_err(fault)?;
    // A cell that does not fit is an error: a part of a code is another code.
    while let Some(bunch) = cursor.fetch_with_truncation_check(true).map_err(fault)? {
        if job.out.send(Ok(Some(text(bunch)?))).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn bound(value: &Value) -> Box<dyn InputParameter + '_> {
    match value {
        Value::Text(text) => Box::new(text.as_str().into_parameter()),
        Value::Timestamp([year, month, day, hour, minute, second]) => Box::new(WithDataType {
            value: Timestamp {
                year: i16::try_from(*year).unwrap_or(i16::MAX),
                month: *month,
                day: *day,
                hour: *hour,
                minute: *minute,
                second: *second,
                fraction: 0,
            },
            data_type: DataType::Timestamp { precision: 0 },
        }),
    }
}

fn text(bunch: &ColumnarBuffer<WCharColumn>) -> Result<Rows, Fault> {
    let (n_rows, width) = (bunch.num_rows(), bunch.num_cols());
    let mut rows = Rows {
        text: String::with_capacity(n_rows * width * 8),
        cells: Vec::with_capacity(n_rows * width),
        width,
    };
    let columns: Vec<_> = (0..width).map(|column| bunch.column(column)).collect();
    for row in 0..n_rows {
        for column in &columns {
            let Some(units) = column.get(row) else {
                rows.cells.push(None);
                continue;
            };
            let from = rows.text.len();
            for c in char::decode_utf16(units.iter().copied()) {
                rows.text
                    .push(c.map_err(|_| Fault::new(Kind::Refused, "a cell is not valid UTF-16"))?);
            }
            rows.cells.push(Some((from, rows.text.len())));
        }
    }
    Ok(rows)
}

fn fault(err: Error) -> Fault {
    match err {
        Error::Diagnostics { record, .. }
        | Error::InvalidRowArraySize { record, .. }
        | Error::UnsupportedOdbcApiVersion(record)
        | Error::UnableToRepresentNull(record) => Fault::diagnosed(
            record.state.as_str(),
            record.native_error,
            &String::from_utf16_lossy(&record.message),
        ),
        Error::TooLargeValueForBuffer { buffer_index, .. } => Fault::new(
            Kind::Refused,
            format!("column {} is longer than it can be", buffer_index + 1),
        ),
        Error::NoDiagnostics { function } => {
            Fault::new(Kind::Broken, format!("{function} failed without a word"))
        }
        // What is left concerns memory, dialogs and other vendors' drivers; none of it holds a value of ours.
        other => Fault::new(Kind::Refused, other.to_string()),
    }
}

//! One connection, held by one worker thread, asked through a channel with a deadline of ours.
//!
//! A driver's own time-out is no bound: one was seen to come back after minutes when seconds were asked for. So nobody
//! but the worker ever waits inside a driver. A worker that does not answer in time is left behind with its connection.

use std::time::Duration;

use secrecy::SecretString;

use crate::adapters::odbc::fault::Fault;

/// A statement with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The statement, with a `?` for each value; after [`super::values::TIMESTAMP`] it is bound as one.
    pub text: String,
    /// The values, as text.
    pub values: Vec<String>,
    /// The most characters of each column; a longer one is an error, never cut.
    pub widths: Vec<usize>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To connect and log in.
    pub connect: Duration,
    /// To the first rows, and from one bunch of rows to the next.
    pub silence: Duration,
    /// For a whole statement.
    pub total: Duration,
}

/// Some rows, as text.
#[derive(Debug, Default)]
pub struct Rows {
    /// The text of all cells, one after another.
    pub(super) text: String,
    /// Where each cell's text lies; `None` for NULL.
    pub(super) cells: Vec<Option<(usize, usize)>>,
    /// Cells a row.
    pub(super) width: usize,
}

impl Rows {
    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Returns a cell without the blanks that fixed-length columns end in; `None` for NULL.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        let (from, to) = (*self.cells.get(row * self.width + column)?)?;
        Some(self.text[from..to].trim_end_matches(' '))
    }
}

/// A connection that is open, or was until a fault ended it.
pub struct Link {
    #[cfg(feature = "odbc")]
    worker: super::worker::Worker,
    limits: Limits,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    ///
    /// A [`Fault`]; after one of the kind time-out the worker is left behind.
    #[cfg(feature = "odbc")]
    pub fn open(connection: SecretString, limits: Limits) -> Result<Self, Fault> {
        Ok(Self {
            worker: super::worker::Worker::start(connection, limits.connect)?,
            limits,
        })
    }

    /// Says that this program was built without ODBC.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(not(feature = "odbc"))]
    pub fn open(_: SecretString, _: Limits) -> Result<Self, Fault> {
        Err(Fault::new(
            crate::adapters::odbc::fault::Kind::Driver,
            "this program was built without ODBC (cargo feature \"odbc\")",
        ))
    }

    /// Runs a statement and hands its rows over bunch by bunch; returns how many there were.
    ///
    /// # Errors
    ///
    /// A [`Fault`]; rows handed over before it are a part of the answer and prove nothing.
    pub fn query(&self, query: Query, take: &mut dyn FnMut(&Rows)) -> Result<u64, Fault> {
        self.query_within(query, self.limits, take)
    }

    /// Runs a statement within limits of its own, such as what is left of a run.
    ///
    /// # Errors
    ///
    /// A [`Fault`], as [`Link::query`] says.
    pub fn query_within(
        &self,
        query: Query,
        limits: Limits,
        take: &mut dyn FnMut(&Rows),
    ) -> Result<u64, Fault> {
        #[cfg(feature = "odbc")]
        return self.worker.query(query, limits, take);
        #[cfg(not(feature = "odbc"))]
        {
            let _ = (query, take, limits);
            Ok(0)
        }
    }

    /// Runs a statement, looks at its first rows only and gives the connection up; returns how many came.
    ///
    /// # Errors
    ///
    /// A [`Fault`], as [`Link::query`] says.
    pub fn begin(self, query: Query, limits: Limits) -> Result<u64, Fault> {
        #[cfg(feature = "odbc")]
        return self.worker.begin(query, limits);
        #[cfg(not(feature = "odbc"))]
        {
            let _ = (query, limits);
            Ok(0)
        }
    }
}

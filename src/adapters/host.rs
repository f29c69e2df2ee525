//! The machine we run on: clocks, chance, locks between processes.

//! Stateful fakes of the outside systems, for tests and the demo.

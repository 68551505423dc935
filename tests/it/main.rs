//! pinflow from the outside: one binary of tests, so that the large crates are linked once.

mod architecture;
mod delta;
mod harness;
mod kill;
mod ledger;
mod reference;
mod same;
mod stop;

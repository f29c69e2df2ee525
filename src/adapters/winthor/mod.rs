//! WinThor: what its packagings are called (`code`), and its database (`sql`, `sql_text`).

pub mod code;
pub mod sql;
mod sql_checks;
mod sql_orders;
mod sql_page;
mod sql_rows;
mod sql_stock;
pub mod sql_text;

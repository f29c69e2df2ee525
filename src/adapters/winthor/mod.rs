//! WinThor: what its packagings are called (`code`).

pub mod code;

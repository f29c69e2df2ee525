//! The VTEX storefront.
